"""The ledger of gaps: what is or was missing, why, and what was done about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import Binding, BindingType

from engine.service.contract import Gaps, GapsRequest, RetryGaps
from tui.screens.ledger_screen import ROWS, LedgerScreen
from tui.widgets import formats
from tui.widgets.live_table import Column, LiveTable, TableRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.style import Style

    from engine.market.capture_figures import GapRow
    from engine.service.contract import Answer, Request
    from tui.cells import Cell
    from tui.model import DeskModel
    from tui.screens.ledger_screen import Asker

STATE_WORDS: Final = {
    "open": "open",
    "filled": "filled",
    "exchange_hole": "hole",
    "unfillable": "lost",
}
FILTERS: Final[tuple[tuple[str, ...], ...]] = (
    (),
    ("open",),
    ("exchange_hole",),
    ("unfillable",),
    ("filled",),
)
FILTER_NAMES: Final = ("all", "open", "exchange holes", "lost for good", "filled")


class GapsScreen(LedgerScreen):
    """Rows of the ledger, the newest first; Enter shows the place in the chart."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "filter", "filter"),
        Binding("r", "retry", "ask again"),
        Binding("a", "all_markets", "all markets"),
        Binding("q", "back", show=False),
    ]
    COLUMNS = (
        Column("from", "from (UTC)", 16),
        Column("to", "to", 16, priority=4),
        Column("candles", "candles", 8, "right"),
        Column("symbol", "market", 13),
        Column("interval", "", 3, priority=1),
        Column("state", "state", 7),
        Column("tries", "tries", 5, "right", priority=2),
        Column("reason", "why it was missed", None, least=26),
        Column("error", "last answer", None, priority=3, least=16),
    )

    def __init__(self, model: DeskModel, asker: Asker, symbol: str = "") -> None:
        super().__init__(model, asker)
        self.symbol = symbol
        self._filter = 0
        self._rows: dict[str, GapRow] = {}

    def keys(self) -> Sequence[tuple[str, str]]:
        """Return the keys of this screen."""
        return (
            ("Enter", "chart"),
            ("f", "filter"),
            ("r", "ask the exchange again"),
            ("a", "all markets"),
            ("Esc", "back"),
        )

    def heading_text(self) -> str:
        """Name the market, where it is one."""
        return f"gaps of {self.symbol}" if self.symbol else "gaps of all markets"

    def question(self) -> Request:
        """Ask for the newest rows that pass the filter."""
        return GapsRequest(self.symbol, FILTERS[self._filter], limit=ROWS)

    def show_answer(self, answer: Answer) -> None:
        """Fill the table."""
        if not isinstance(answer, Gaps):
            return
        palette = self.model.palette
        name = FILTER_NAMES[self._filter]
        self.write_heading(
            self.heading_text(),
            ((f"{name}: {min(ROWS, answer.total):,} of {answer.total:,}", palette.text),),
            self._sums(answer.candles_by_state),
        )
        self._rows = {self._key(row): row for row in answer.rows}
        self.table.set_rows(
            [self._row(key, row) for key, row in self._rows.items()],
            note="No candle is missing." if name == "all" else f"No gap is {name}.",
        )

    def action_filter(self) -> None:
        """Show the next kind of gaps."""
        self._filter = (self._filter + 1) % len(FILTERS)
        self.ask()

    def action_retry(self) -> None:
        """Ask the exchange again for what is open or lost, of the market shown or of all."""
        self.asker.request(RetryGaps(self.symbol), aside=True)

    def action_all_markets(self) -> None:
        """Show the gaps of all markets."""
        self.symbol = ""
        self.ask()

    def on_live_table_chosen(self, message: LiveTable.Chosen) -> None:
        """Show the place of the gap in the chart."""
        message.stop()
        row = self._rows.get(message.key)
        if row is not None:
            self.asker.show_time(row.symbol, row.interval, row.from_ms)

    def _sums(self, candles: dict[str, int]) -> Sequence[Cell]:
        palette = self.model.palette
        cells: list[Cell] = [(" candles:", palette.dim)]
        for state, word in (
            ("open", "open"),
            ("filled", "filled"),
            ("exchange_hole", "in exchange holes"),
            ("unfillable", "lost for good"),
        ):
            count = candles.get(state, 0)
            cells += [
                (f"  {count:,}", self._style(state) if count else palette.dim),
                (f" {word}", palette.dim),
            ]
        return cells

    def _key(self, row: GapRow) -> str:
        return f"{row.symbol} {row.interval} {row.from_ms} {row.state}"

    def _row(self, key: str, row: GapRow) -> TableRow:
        palette = self.model.palette
        return TableRow(
            key,
            (
                (formats.stamp(row.from_ms), palette.text),
                (formats.stamp(row.to_ms), palette.dim),
                (f"{row.candles:,}", palette.bright),
                (row.symbol, palette.bright),
                (row.interval, palette.dim),
                (STATE_WORDS.get(row.state, row.state), self._style(row.state)),
                (f"{row.tries:,}" if row.tries else "", palette.text),
                (row.reason or "not known", palette.text),
                (row.last_error, palette.dim),
            ),
        )

    def _style(self, state: str) -> Style:
        palette = self.model.palette
        styles = {"open": palette.warn, "filled": palette.text, "unfillable": palette.error}
        return styles.get(state, palette.text)
