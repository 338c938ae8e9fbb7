"""Find a market by some letters of its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

from textual.binding import Binding

from engine.service.client import EngineGone, EngineMismatch, EngineProblem
from engine.service.contract import Found
from tui.screens.search import SEARCH_BINDINGS, SearchScreen
from tui.widgets import formats
from tui.widgets.live_table import Column, TableRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.binding import BindingType
    from textual.widgets import Input

    from engine.market.symbol import SymbolInfo
    from engine.service.contract import TickerRow
    from tui.model import DeskModel

COLUMNS = (
    Column("mark", "", 1),
    Column("symbol", "market", 18),
    Column("base", "base", 10, priority=2),
    Column("quote", "quote", 10, priority=2),
    Column("last", "last", 14, "right"),
    Column("change", "24 h", 9, "right", priority=1),
    Column("status", "status", None),
)
PAUSE_S = 0.12


class Finder(Protocol):
    """What the screen needs of the app."""

    async def search(self, query: str, limit: int = 50) -> Found:
        """Return matching markets."""
        ...

    def focus_symbol(self, symbol: str) -> None:
        """Show a symbol everywhere."""
        ...

    def watch_symbol(self, symbol: str) -> None:
        """Put a symbol on the watchlist."""
        ...


class FindScreen(SearchScreen, inherit_bindings=False):
    """An input and the markets that match; Enter focuses, Ctrl+A adds to the watchlist."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *SEARCH_BINDINGS,
        Binding("ctrl+a,f2", "add", "add", show=False, priority=True),
    ]

    def __init__(self, model: DeskModel, finder: Finder) -> None:
        super().__init__(model, COLUMNS, "letters of a market's name, such as eth usdt")
        self.finder = finder
        self.found = Found(())

    def keys(self) -> Sequence[tuple[str, str]]:
        """Return the keys of this screen."""
        return (
            ("Enter", "show it in every pane"),
            ("Ctrl+A F2", "put it on the watchlist"),
            ("Esc", "back"),
        )

    def on_mount(self) -> None:
        """Write the heading."""
        palette = self.model.palette
        self.heading.show((((" find a market", palette.bright),),))

    def opened(self) -> None:
        """Begin with all markets."""
        super().opened()
        self._look_up(self.input.value)

    def on_input_changed(self, message: Input.Changed) -> None:
        """Look up what was typed."""
        self._look_up(message.value)

    def action_add(self) -> None:
        """Put the market under the cursor on the watchlist."""
        if self.table.cursor_key is not None:
            self.finder.watch_symbol(self.table.cursor_key)

    def choose(self) -> None:
        """Focus the market under the cursor."""
        if self.table.cursor_key is not None:
            self.finder.focus_symbol(self.table.cursor_key)
            self.app.pop_screen()

    def _look_up(self, text: str) -> None:
        query = "".join(text.split()).upper()
        self.run_worker(self._search(query), group="search", exclusive=True)

    async def _search(self, query: str) -> None:
        try:
            self.found = await self.finder.search(query)
        except (EngineGone, EngineMismatch, EngineProblem, OSError) as error:
            self.table.set_rows((), note=str(error))
            return
        note = f"The exchange has no market with the letters {query}." if query else ""
        tickers = {row.symbol: row for row in self.found.tickers}
        rows = [self._row(info, tickers.get(info.name)) for info in self.found.symbols]
        self.table.set_rows(rows, note=note)
        if rows:
            self.table.cursor_key = rows[0].key

    def _row(self, info: SymbolInfo, ticker: TickerRow | None) -> TableRow:
        palette, glyphs = self.model.palette, self.model.glyphs
        is_watched = info.name in self.model.state.order
        status = "" if info.is_trading else info.status.lower()
        last = change = formats.UNKNOWN
        direction = palette.dim
        if ticker is not None:
            last = formats.price(ticker.last, info.price_decimals)
            change = formats.percent(ticker.change_percent)
            direction = palette.direction(ticker.change_percent)
        return TableRow(
            info.name,
            (
                (glyphs.hit if is_watched else " ", palette.bright),
                (info.name, palette.bright),
                (info.base, palette.text),
                (info.quote, palette.text),
                (last, palette.text if ticker is not None else palette.dim),
                (change, direction),
                (status, palette.warn),
            ),
        )
