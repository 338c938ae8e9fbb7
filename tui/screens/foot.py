"""What all screens but the dashboard have at their foot: their keys, or what there is to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.screen import Screen

from tui.messages import message_line
from tui.widgets.text_lines import TextLines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui.cells import Cell
    from tui.model import DeskModel


class FootScreen(Screen[None], inherit_bindings=False):
    """A screen with a last line; subclasses yield `foot` last and name their keys."""

    DEFAULT_CSS = "FootScreen .foot { height: 1; dock: bottom; }"

    def __init__(self, model: DeskModel) -> None:
        super().__init__()
        self.model = model
        self.foot = TextLines(classes="foot")

    def keys(self) -> Sequence[tuple[str, str]]:
        """Return (key, what it does) for the last line."""
        return (("Esc", "back"),)

    def draw_foot(self) -> None:
        """Draw the newest message, or else the keys."""
        palette, width = self.model.palette, self.size.width
        said = self.model.messages.current(self.model.wall_ms())
        if said is not None:
            line = message_line(*said, width, palette, self.model.glyphs)
            self.foot.show((line,))
            return
        cells: list[Cell] = []
        for key, label in self.keys():
            cells += [(f" {key} ", palette.bright), (f"{label} ", palette.dim)]
        self.foot.show((tuple(cells),))

    def action_back(self) -> None:
        """Take messages as seen, and go back."""
        self.model.messages.see()
        self.app.pop_screen()

    def on_resize(self) -> None:
        """Fit the last line to the width."""
        self.draw_foot()
