"""How complete each captured market is, hour by hour."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import Binding, BindingType
from textual.widgets import Input

from engine.service.contract import Coverage, CoverageRequest
from tui.screens.ledger_screen import ROWS, LedgerScreen
from tui.widgets import formats
from tui.widgets.heat import heat_strip
from tui.widgets.live_table import Column, LiveTable, TableRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.widget import Widget

    from engine.market.capture_figures import MarketCoverage
    from engine.service.contract import Answer, Request
    from tui.model import DeskModel
    from tui.screens.ledger_screen import Asker

HOURS: Final = (24, 48, 72, 120)
OTHER_COLUMNS: Final = 48


class CoverageScreen(LedgerScreen):
    """A line for each market with one cell an hour; letters typed narrow the list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move('down')", show=False, priority=True),
        Binding("up", "move('up')", show=False, priority=True),
        Binding("pagedown", "page('down')", show=False, priority=True),
        Binding("pageup", "page('up')", show=False, priority=True),
        Binding("tab", "order", "order", priority=True),
        Binding("f2", "hours", "hours", priority=True),
    ]
    DEFAULT_CSS = "CoverageScreen Input { height: 1; }"

    def __init__(self, model: DeskModel, asker: Asker) -> None:
        super().__init__(model, asker)
        self.input = Input(placeholder="letters of a market's name", compact=True)
        self.input.cursor_blink = False
        self.table.can_focus = False
        self._worst_first = True
        self._hours = HOURS[0]
        self._rows: dict[str, MarketCoverage] = {}

    def extras(self) -> Sequence[Widget]:
        """Put the input above the table."""
        return (self.input,)

    def on_mount(self) -> None:
        """Type into the input from the beginning."""
        super().on_mount()
        self.input.focus()

    def keys(self) -> Sequence[tuple[str, str]]:
        """Return the keys of this screen."""
        return (
            ("Enter", "gaps"),
            ("Tab", "worst first, or by name"),
            ("F2", "more hours"),
            ("Esc", "back"),
        )

    def heading_text(self) -> str:
        """Say how many hours are shown."""
        return f"coverage of the last {self._hours_shown()} hours"

    def question(self) -> Request:
        """Ask for as many hours as fit."""
        query = "".join(self.input.value.split()).upper()
        return CoverageRequest("1m", self._hours_shown(), query, self._worst_first, limit=ROWS)

    def show_answer(self, answer: Answer) -> None:
        """Fill the table."""
        if not isinstance(answer, Coverage):
            return
        palette = self.model.palette
        hours = self._hours_shown()
        if not answer.first_hour_ms:
            self.table.set_rows((), note="The first count of what is stored is still to come.")
            return
        text = (
            f" each cell is an hour, from {formats.stamp(answer.first_hour_ms)} UTC on; full: all "
            f"expected candles are stored, {self.model.glyphs.middot}: none was expected"
        )
        order = "most missing first" if self._worst_first else "by name"
        self.write_heading(
            self.heading_text(),
            ((f"{order}: {len(answer.rows):,} of {answer.total:,} markets", palette.text),),
            ((text, palette.dim),),
        )
        self.table.set_columns(self._columns(hours))
        self._rows = {row.symbol: row for row in answer.rows}
        letters = " with these letters" if self.input.value else ""
        note = f"No market{letters} is captured."
        self.table.set_rows([self._row(row) for row in answer.rows], note=note)

    def on_input_changed(self) -> None:
        """Ask for what was typed."""
        self.ask()

    def on_input_submitted(self) -> None:
        """Show the gaps of the market under the cursor."""
        if self.table.cursor_key is not None:
            self.asker.action_gaps(self.table.cursor_key)

    def on_live_table_chosen(self, message: LiveTable.Chosen) -> None:
        """Show the gaps of the market that was clicked."""
        message.stop()
        self.asker.action_gaps(message.key)

    def action_move(self, where: str) -> None:
        """Move the cursor in the table."""
        if where == "down":
            self.table.action_cursor_down()
        else:
            self.table.action_cursor_up()

    def action_page(self, where: str) -> None:
        """Move the cursor by a page."""
        if where == "down":
            self.table.action_page_down()
        else:
            self.table.action_page_up()

    def action_order(self) -> None:
        """List the worst first, or by name."""
        self._worst_first = not self._worst_first
        self.ask()

    def action_hours(self) -> None:
        """Show more hours, or begin again with a day."""
        fitting = [hours for hours in HOURS if hours <= self._room()]
        larger = [hours for hours in fitting if hours > self._hours_shown()]
        self._hours = larger[0] if larger else HOURS[0]
        self.ask()

    def _room(self) -> int:
        return max(HOURS[0], self.size.width - OTHER_COLUMNS)

    def _hours_shown(self) -> int:
        return min(self._hours, self._room())

    def _columns(self, hours: int) -> Sequence[Column]:
        return (
            Column("symbol", "market", 13),
            Column("final", "stored", 8, "right"),
            Column("stream", "stream", 8, "right", priority=2),
            Column("missing", "missing", 7, "right"),
            Column("holes", "holes", 5, "right", priority=3),
            Column("cells", f"last {hours} h", hours),
            Column("status", "", None, priority=1),
        )

    def _row(self, row: MarketCoverage) -> TableRow:
        palette, glyphs = self.model.palette, self.model.glyphs
        missing = max(0, row.expected - row.stored)
        strip = palette.warn if missing else palette.text
        status = "" if row.status == "TRADING" else row.status.lower().replace("_", " ")
        return TableRow(
            row.symbol,
            (
                (row.symbol, palette.bright),
                (formats.share_floor(row.stored, row.expected), strip),
                (formats.share_floor(row.by_stream, row.expected), palette.text),
                (f"{missing:,}" if missing else "", palette.warn),
                (f"{row.holes:,}" if row.holes else "", palette.text),
                (heat_strip(row.cells, glyphs), strip),
                (status, palette.warn),
            ),
        )
