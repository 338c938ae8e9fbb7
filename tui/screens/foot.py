"""What all screens but the dashboard have at their foot: their keys, or what there is to say."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from textual.screen import Screen

from tui.messages import message_line
from tui.widgets.text_lines import TextLines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events
    from textual.geometry import Size

    from tui.cells import Cell
    from tui.model import DeskModel

SETTLE_S: Final = 0.1
"""How long widgets take to draw themselves for the sizes that they got."""


class FootScreen(Screen[None], inherit_bindings=False):
    """A screen with a last line; subclasses yield `foot` last and name their keys."""

    DEFAULT_CSS = "FootScreen .foot { height: 1; dock: bottom; }"

    def __init__(self, model: DeskModel) -> None:
        super().__init__()
        self.model = model
        self.foot = TextLines(classes="foot")
        self._is_styled = False

    def keys(self) -> Sequence[tuple[str, str]]:
        """Return (key, what it does) for the last line."""
        return (("Esc", "back"),)

    async def draw_ahead(self, size: Size) -> None:
        """Lay out and draw all of it for a terminal of `size` before it is shown."""
        self._refresh_layout(size)
        # A timer that has ticked once paints at once, one that begins to waits a period.
        self._update_timer.resume()
        await asyncio.sleep(SETTLE_S)
        self._refresh_layout(size)
        self._layout_required = False
        self._dirty_widgets.clear()
        self._compositor.render_full_update()
        self._is_styled = True

    def opened(self) -> None:
        """Begin to be shown: draw what may have changed since it was mounted."""
        self.draw_foot()

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        """Catch up, and go on."""
        if self._is_styled:
            event.refresh_styles = False
        self.opened()

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
