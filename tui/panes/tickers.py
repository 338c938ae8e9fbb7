"""The watchlist: last price, change, sparkline and volume of every market."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from rich.cells import cell_len
from textual.containers import Vertical
from textual.message import Message

from tui.actions import bindings
from tui.panes.market_lines import ROWS, market_lines, range_track, spread_bps
from tui.panes.pane import Pane
from tui.widgets import formats
from tui.widgets.live_table import Column, LiveTable, TableRow
from tui.widgets.sparkline import sparkline
from tui.widgets.table_layout import column_widths
from tui.widgets.text_lines import TextLines

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from engine.service.contract import TickerRow
    from tui.cells import Cell
    from tui.model import DeskModel

SORTS: Final = ("", "symbol", "last", "change", "volume")
SORT_TITLES: Final = {
    "": "watchlist order",
    "symbol": "symbol",
    "last": "last price",
    "change": "change",
    "volume": "volume",
}
SPARK_MAX = 60
WIDE = 76
MARKET_WIDTH = 64
RANGE_WIDTH = 11


class TickersPane(Pane):
    """Pane 1. Enter makes the symbol under the cursor the focus of every pane."""

    NAME = "tickers"
    SECTIONS = frozenset({"tickers"})
    LEAST_S = 0.5
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("tickers")]
    DEFAULT_CSS = """
    TickersPane LiveTable { height: 1fr; scrollbar-size-vertical: 0; }
    TickersPane TextLines { height: 0; }
    """

    class Focused(Message):
        """The user chose a symbol."""

        def __init__(self, symbol: str) -> None:
            super().__init__()
            self.symbol = symbol

    class Removed(Message):
        """The user took a symbol off the watchlist."""

        def __init__(self, symbol: str) -> None:
            super().__init__()
            self.symbol = symbol

    def __init__(self, model: DeskModel) -> None:
        super().__init__(model)
        self.sort_key = ""
        self.is_reversed = False
        self._order: list[str] = []
        self._order_stale = True
        self._table = LiveTable(columns(0, 2), model.palette, model.glyphs)
        self._table.can_focus = False
        self._market = TextLines()
        self._market_height = 0
        self._columns: tuple[Column, ...] = ()
        self._price_width = 0
        self._is_wide = False
        self._made: dict[str, tuple[TickerRow, bool, int, bool, TableRow]] = {}

    def compose(self) -> ComposeResult:
        """Hold the table and the lines below it."""
        with Vertical(classes="body"):
            yield self._table
            yield self._market

    @property
    def table(self) -> LiveTable:
        """The table inside."""
        return self._table

    @property
    def order(self) -> tuple[str, ...]:
        """Symbols as they are shown."""
        return tuple(self._order)

    def draw(self) -> None:
        """Draw all rows."""
        state = self.model.state
        if self._order_stale or set(self._order) != set(state.order):
            self._sort()
        self._fit_columns()
        width = min(SPARK_MAX, self._spark_width())
        rows = [self._row(symbol, width) for symbol in self._order]
        self._draw_market(len(rows))
        self._table.set_rows(rows, note="" if rows else self.model.waiting_note)
        shown = min(len(rows), max(0, self.inner_height - 1))
        count = f"{shown} of {len(rows)}" if shown < len(rows) else f"{len(rows)}" if rows else ""
        by = f"by {SORT_TITLES[self.sort_key]}" if self.sort_key else ""
        text = " ".join(part for part in (count, by) if part)
        self.set_title(right=((text, self.model.palette.dim),) if text else ())

    def tick(self) -> None:
        """Sort anew, once a second at most, so that rows do not jump about."""
        if self.sort_key:
            before = list(self._order)
            self._sort()
            if before != self._order:
                self.draw()

    def figure(self) -> Cell:
        """Return the focused symbol's last price and change."""
        row = self.model.state.tickers.get(self.model.view.focused)
        if row is None:
            return ("-", self.model.palette.dim)
        change = self._change(row)[0].replace(" ", "")
        text = f"{formats.price(row.last, row.price_decimals)} {change}"
        return (text, self.model.palette.direction(row.change_percent))

    def sort_as(self, key: str, *, is_reversed: bool) -> None:
        """Sort by the column `key`, or as the watchlist is for an empty one."""
        self.sort_key, self.is_reversed = key, is_reversed
        self._table.set_sort(self.sort_key or None, self.is_reversed)

    # --- keys

    def action_choose(self) -> None:
        """Make the symbol under the cursor the focus everywhere."""
        self._table.action_choose()

    def action_cursor_up(self) -> None:
        """Move the cursor up."""
        self._table.action_cursor_up()

    def action_cursor_down(self) -> None:
        """Move the cursor down."""
        self._table.action_cursor_down()

    def action_cursor_first(self) -> None:
        """Move the cursor to the first row."""
        self._table.action_cursor_first()

    def action_cursor_last(self) -> None:
        """Move the cursor to the last row."""
        self._table.action_cursor_last()

    def action_page_up(self) -> None:
        """Move the cursor up by a page."""
        self._table.action_page_up()

    def action_page_down(self) -> None:
        """Move the cursor down by a page."""
        self._table.action_page_down()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._sort_by(SORTS[(SORTS.index(self.sort_key) + 1) % len(SORTS)])

    def action_reverse(self) -> None:
        """Sort the other way round."""
        self.is_reversed = not self.is_reversed
        self._resorted()

    def action_unwatch(self) -> None:
        """Ask to take the symbol under the cursor off the watchlist."""
        if self._table.cursor_key is not None:
            self.post_message(self.Removed(self._table.cursor_key))

    def on_live_table_chosen(self, message: LiveTable.Chosen) -> None:
        """Pass the choice on."""
        message.stop()
        self.post_message(self.Focused(message.key))

    def on_live_table_header_clicked(self, message: LiveTable.HeaderClicked) -> None:
        """Sort by the column whose title was clicked; again: the other way round."""
        message.stop()
        if message.key not in SORTS:
            return
        if message.key == self.sort_key:
            self.action_reverse()
        else:
            self._sort_by(message.key)

    # --- drawing

    def _draw_market(self, rows: int) -> None:
        """Tell about the focused market where the rows leave room."""
        row = self.model.state.tickers.get(self.model.view.focused)
        room = self.inner_height - 1 - rows - 1
        shown = row is not None and room >= ROWS
        height = room if shown else 0
        if height != self._market_height:
            self._market_height = height
            self._market.styles.height = height
        width = min(self.inner_width, MARKET_WIDTH)
        lines = market_lines(self.model, row, width) if shown and row else []
        self._market.show(lines)

    def _sort_by(self, key: str) -> None:
        self.sort_key = key
        self.is_reversed = key in ("change", "volume", "last")
        self._resorted()

    def _resorted(self) -> None:
        self._order_stale = True
        self._table.set_sort(self.sort_key or None, self.is_reversed)
        self.draw()

    def _sort(self) -> None:
        state = self.model.state
        order = [symbol for symbol in state.order if symbol in state.tickers]
        if self.sort_key == "symbol":
            order.sort()
        elif self.sort_key:
            order.sort(key=lambda symbol: _number(state.tickers[symbol], self.sort_key))
        if self.is_reversed:
            order.reverse()
        self._order = order
        self._order_stale = False

    def _fit_columns(self) -> None:
        tickers = self.model.state.tickers.values()
        prices = [len(formats.price(row.last, row.price_decimals)) for row in tickers]
        self._price_width = max(self._price_width, *prices, 0)
        symbol_width = max((cell_len(row.symbol) for row in tickers), default=8)
        self._is_wide = self.inner_width >= WIDE
        wanted = columns(symbol_width, self._price_width, is_wide=self._is_wide)
        if wanted != self._columns:
            self._columns = wanted
            self._table.set_columns(wanted)

    def _change(self, row: TickerRow) -> Cell:
        palette, glyphs = self.model.palette, self.model.glyphs
        if row.change_percent is None:
            return ("-", palette.dim)
        change = row.change_percent
        arrow = glyphs.up if change > 0 else glyphs.down if change < 0 else glyphs.flat
        places = 2 if abs(change) < 99.995 else 0
        return (f"{arrow}{abs(change):5.{places}f}%", palette.direction(change))

    def _row(self, symbol: str, spark_width: int) -> TableRow:
        """Return the symbol's row, made anew only when it differs from the last one."""
        row = self.model.state.tickers[symbol]
        is_focused = symbol == self.model.view.focused
        made = self._made.get(symbol)
        key = (is_focused, spark_width, self._is_wide)
        if made is None or made[0] is not row or made[1:4] != key:
            fresh = self._make_row(row, is_focused, spark_width)
            made = self._made[symbol] = (row, *key, fresh)
        return made[4]

    def _make_row(self, row: TickerRow, is_focused: bool, width: int) -> TableRow:
        palette, glyphs = self.model.palette, self.model.glyphs
        symbol = row.symbol
        quiet = row.status != "TRADING"
        name_style = palette.warn if quiet else palette.bright if is_focused else palette.text
        text = palette.dim if quiet else palette.text
        change = ("halted", palette.warn) if quiet else self._change(row)
        return TableRow(
            symbol,
            (
                (glyphs.dot if is_focused else " ", palette.bright),
                (symbol, name_style),
                (formats.price(row.last, row.price_decimals), text),
                change,
                (sparkline(row.spark, width, glyphs), palette.direction(row.change_percent)),
                *(self._wide_cells(row) if self._is_wide else ()),
                (formats.compact(row.quote_volume), palette.dim),
            ),
        )

    def _wide_cells(self, row: TickerRow) -> list[Cell]:
        palette, glyphs = self.model.palette, self.model.glyphs
        prices = (row.low, row.high, row.bid, row.ask)
        low, high, bid, ask = (formats.price(price, row.price_decimals) for price in prices)
        return [
            (range_track(row, RANGE_WIDTH, glyphs), palette.text),
            (f"{low} to {high}", palette.text),
            (bid, palette.bid),
            (ask, palette.ask),
            (spread_bps(row), palette.text),
            (formats.compact(row.volume), palette.dim),
        ]

    def _spark_width(self) -> int:
        widths = column_widths(self._columns, self.inner_width - 1)
        return widths[[column.key for column in self._columns].index("spark")]


def columns(symbol_width: int, price_width: int, *, is_wide: bool = False) -> tuple[Column, ...]:
    """Return the table's columns for the longest symbol and price there are.

    `is_wide` adds the day's range, bid, ask, spread and the volume in the base asset.
    """
    price = max(6, price_width)
    wide = (
        Column("range", "low-high", RANGE_WIDTH, "left", 4),
        Column("day", "low to high", 2 * price + 4, "left", 5),
        Column("bid", "bid", price, "right", 6),
        Column("ask", "ask", price, "right", 6),
        Column("bps", "bps", 6, "right", 7),
        Column("base", "in base", 7, "right", 3),
    )
    return (
        Column("mark", "", 1),
        Column("symbol", "symbol", max(6, symbol_width)),
        Column("last", "last", max(6, price_width), "right"),
        Column("change", "24 h", 7, "right"),
        Column("spark", "", None, "left", 1, least=16 if is_wide else 4),
        *(wide if is_wide else ()),
        Column("volume", "volume", 7, "right", 2),
    )


def _number(row: TickerRow, key: str) -> float:
    values = {"last": row.last, "change": row.change_percent, "volume": row.quote_volume}
    value = values[key]
    return float("-inf") if value is None else value
