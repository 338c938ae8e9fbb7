"""What the screens about capture share: a table that asks the engine again every two seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

from textual.binding import Binding, BindingType

from engine.service.client import EngineGone, EngineMismatch, EngineProblem
from tui.cells import spread
from tui.screens.foot import FootScreen
from tui.widgets.live_table import LiveTable
from tui.widgets.text_lines import TextLines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult
    from textual.widget import Widget
    from textual.worker import Worker

    from engine.service.contract import Answer, Request
    from tui.cells import Cell
    from tui.model import DeskModel
    from tui.widgets.table_layout import Column

EVERY_S = 2.0
ROWS = 200


class Asker(Protocol):
    """What the screens need of the app."""

    async def look_up(self, request: Request) -> Answer:
        """Return the engine's answer."""
        ...

    def request(self, request: Request, *, aside: bool = False) -> None:
        """Send a command and show the answer in a line."""
        ...

    def show_time(self, symbol: str, interval: str, time_ms: int) -> None:
        """Show a time of a market on the dashboard."""
        ...

    def action_gaps(self, symbol: str = "") -> None:
        """Show the gaps of a market, or of all."""
        ...


class LedgerScreen(FootScreen, inherit_bindings=False):
    """A heading, a table, and a line of keys; subclasses ask and fill the table."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "back", priority=True),
    ]
    COLUMNS: ClassVar[Sequence[Column]] = ()
    DEFAULT_CSS = """
    LedgerScreen TextLines { height: 1; }
    LedgerScreen .summary { height: 2; }
    LedgerScreen LiveTable { height: 1fr; }
    """

    def __init__(self, model: DeskModel, asker: Asker) -> None:
        super().__init__(model)
        self.asker = asker
        self.has_answer = False
        self.heading = TextLines(classes="summary")
        self.table = LiveTable(self.COLUMNS, model.palette, model.glyphs)

    def compose(self) -> ComposeResult:
        """Stack heading, what a subclass puts beneath it, table and keys."""
        yield self.heading
        yield from self.extras()
        yield self.table
        yield self.foot

    def extras(self) -> Sequence[Widget]:
        """Return the widgets between heading and table."""
        return ()

    def on_mount(self) -> None:
        """Ask every two seconds."""
        self.table.set_rows((), note="asking the engine")
        self.table.focus()
        self.draw_foot()
        self.set_interval(EVERY_S, self.ask)

    def opened(self) -> None:
        """Say what this is, and ask now."""
        super().opened()
        if not self.has_answer:
            self.write_heading(self.heading_text(), (), ())
        self.ask()

    def on_resize(self) -> None:
        """Ask for what fits now."""
        self.ask()

    def ask(self) -> None:
        """Ask the engine, in the place of a question that is still open."""
        if self.is_current:
            self._asking: Worker[None] = self.run_worker(self._ask, group="ask", exclusive=True)

    def heading_text(self) -> str:
        """Return what the screen shows, for its first line."""
        raise NotImplementedError

    def question(self) -> Request:
        """Return what to ask the engine."""
        raise NotImplementedError

    def show_answer(self, answer: Answer) -> None:
        """Fill heading and table."""
        raise NotImplementedError

    async def _ask(self) -> None:
        try:
            answer = await self.asker.look_up(self.question())
        except (EngineGone, EngineMismatch, EngineProblem, OSError) as error:
            self.table.set_rows((), note=str(error))
            return
        self.has_answer = True
        self.show_answer(answer)

    def write_heading(self, title: str, detail: Sequence[Cell], below: Sequence[Cell]) -> None:
        """Write title and detail on the first line, and `below` on the second."""
        palette = self.model.palette
        first = spread(((f" {title}", palette.bright),), (*detail, (" ", palette.text)),
                       self.size.width)  # fmt: skip
        self.heading.show((first, tuple(below)))
