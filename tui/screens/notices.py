"""What has happened: the engine's notices, newest first."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from tui.cells import pad, width_of
from tui.screens.help import HelpScreen
from tui.widgets import formats

if TYPE_CHECKING:
    from tui.cells import Line
    from tui.model import DeskModel


TEXT_LEAST: Final = 20


def notice_lines(model: DeskModel, width: int) -> list[Line]:
    """Return each notice in lines of `width` cells, newest first, under a heading."""
    palette = model.palette
    styles = {"warning": palette.warn, "error": palette.error}
    lines: list[Line] = [
        ((" notices, newest first", palette.bright),),
        (),
    ]
    for notice in reversed(model.state.notices):
        style = styles.get(notice.level, palette.text)
        head: Line = (
            (f" {formats.clock(notice.wall_ms)}  ", palette.dim),
            (f"{notice.level:<8} ", style),
        )
        room = max(TEXT_LEAST, width - width_of(head) - 1)
        first, *others = textwrap.wrap(notice.text, room) or [""]
        lines.append((*head, (first, palette.text)))
        lines += [(pad(width_of(head)), (part, palette.text)) for part in others]
    if not model.state.notices:
        lines.append(((" Nothing has happened yet.", palette.dim),))
    return lines


class NoticesScreen(HelpScreen, inherit_bindings=True):
    """The page of notices."""

    def opened(self) -> None:
        """Write what has happened by now."""
        super().opened()
        self.write_page()

    def lines(self) -> list[Line]:
        """Return the page."""
        return notice_lines(self.model, self.page_width)
