"""An input above a table of what matches it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input

from tui.screens.foot import FootScreen
from tui.widgets.live_table import Column, LiveTable
from tui.widgets.text_lines import TextLines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from tui.model import DeskModel

SEARCH_BINDINGS: tuple[BindingType, ...] = (
    Binding("escape", "back", "back", priority=True),
    Binding("down", "move(1)", show=False, priority=True),
    Binding("up", "move(-1)", show=False, priority=True),
    Binding("pagedown", "page(1)", show=False, priority=True),
    Binding("pageup", "page(-1)", show=False, priority=True),
)


class SearchScreen(FootScreen, inherit_bindings=False):
    """Letters go to the input, arrows to the table, and Enter takes the row under the cursor.

    Args:
        model: What is drawn.
        columns: Of the table.
        hint: Stands in the empty input.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*SEARCH_BINDINGS]
    DEFAULT_CSS = """
    SearchScreen TextLines { height: 1; }
    SearchScreen Input { height: 1; }
    SearchScreen LiveTable { height: 1fr; }
    """

    def __init__(self, model: DeskModel, columns: Sequence[Column], hint: str) -> None:
        super().__init__(model)
        self.input = Input(placeholder=hint, compact=True)
        self.input.cursor_blink = False
        self.table = LiveTable(columns, model.palette, model.glyphs)
        self.table.can_focus = False
        self.heading = TextLines()

    def choose(self) -> None:
        """Do what Enter or a click on a row is for; each screen says what."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        """Stack heading, input and table."""
        yield self.heading
        yield self.input
        yield self.table
        yield self.foot

    def on_mount(self) -> None:
        """Type into the input."""
        self.draw_foot()
        self.input.focus()

    def on_input_submitted(self) -> None:
        """Take the row under the cursor."""
        self.choose()

    def on_live_table_chosen(self, message: LiveTable.Chosen) -> None:
        """Take the row that was clicked."""
        message.stop()
        self.choose()

    def action_move(self, by: int) -> None:
        """Move the cursor in the table."""
        if by > 0:
            self.table.action_cursor_down()
        else:
            self.table.action_cursor_up()

    def action_page(self, by: int) -> None:
        """Move the cursor by a page."""
        if by > 0:
            self.table.action_page_down()
        else:
            self.table.action_page_up()
