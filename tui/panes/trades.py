"""The trades tape of the focused symbol, with the buyers' share of the last minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Vertical

from tui.cells import spread
from tui.panes.pane import Pane
from tui.widgets import formats
from tui.widgets.meter import meter
from tui.widgets.tape import Tape, TapeRow
from tui.widgets.text_lines import TextLines

if TYPE_CHECKING:
    from rich.style import Style
    from textual.app import ComposeResult

    from engine.service.contract import TradesSection
    from tui.cells import Cell, Line
    from tui.model import DeskModel

METER_MAX = 24
WINDOW = "1 min"


class TradesPane(Pane):
    """Pane 6, newest trade at the top."""

    NAME = "trades"
    SECTIONS = frozenset({"trades"})
    DEFAULT_CSS = """
    TradesPane Tape { height: 1fr; }
    TradesPane TextLines { height: 1; }
    """

    def __init__(self, model: DeskModel) -> None:
        super().__init__(model)
        self._tape = Tape(model.palette, model.glyphs)
        self._pressure = TextLines()

    def compose(self) -> ComposeResult:
        """Hold the tape and the line below it."""
        with Vertical(classes="body"):
            yield self._tape
            yield self._pressure

    @property
    def rows_wanted(self) -> int:
        """Trades that fit."""
        return Tape.rows_for(self.inner_width, self.inner_height - 1)

    def draw(self) -> None:
        """Draw tape, pressure line and title."""
        section = self._section()
        if section is None:
            self._tape.show((), note=self.model.waiting_note)
            self._pressure.show(((),))
            self.set_title()
            self.set_foot(())
            return
        rows = [
            TapeRow(trade.time_ms, trade.price, trade.quantity, trade.buyer_is_maker)
            for trade in self.model.state.tape
        ]
        self._tape.show(
            rows,
            section.price_decimals,
            section.quantity_decimals,
            note=section.note or "no trades yet",
        )
        self._pressure.show((self._pressure_line(section),))
        palette = self.model.palette
        left = (("invented", palette.warn),) if section.made_up else ()
        window = (f"buy and {self._delta_name} of {WINDOW}", palette.dim)
        if not self.has_room_for(left, (window,)):
            window = (f"{self._delta_name} of {WINDOW}", palette.dim)
        self.set_title(left, (window,))
        self.set_foot((("invented: made of candles", palette.warn),) if section.made_up else ())

    def figure(self) -> Cell:
        """Return the buyers' share."""
        section = self._section()
        if section is None or section.buy_share is None:
            return ("-", self.model.palette.dim)
        return (f"buy {section.buy_share * 100:.0f}%", self._style(section.buy_share))

    def _section(self) -> TradesSection | None:
        section = self.model.state.trades
        if section is None or section.symbol != self.model.view.focused:
            return None
        return section

    @property
    def _delta_name(self) -> str:
        return "delta" if self.model.glyphs.is_ascii else "Δ"

    def _style(self, share: float) -> Style:
        palette = self.model.palette
        return palette.up if share > 0.5 else palette.down if share < 0.5 else palette.text

    def _pressure_line(self, section: TradesSection) -> Line:
        palette, glyphs = self.model.palette, self.model.glyphs
        if section.buy_share is None:
            return ((" no trade in it", palette.dim),)
        label = f" {formats.share(section.buy_share):>5}"
        delta = f"{self._delta_name} {formats.signed(section.delta, 3)} "
        room = min(METER_MAX, self.inner_width - len(label) - len(delta) - 6)
        left: list[Cell] = [(" buy ", palette.dim)]
        if room >= 4:
            left.append((meter(section.buy_share, room, glyphs), palette.up))
        left.append((label, palette.text))
        return spread(left, ((delta, palette.direction(section.delta)),), self.inner_width)
