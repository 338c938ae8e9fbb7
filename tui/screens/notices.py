"""What has happened: the engine's notices, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.screens.help import HelpScreen
from tui.widgets import formats

if TYPE_CHECKING:
    from tui.cells import Line
    from tui.model import DeskModel


def notice_lines(model: DeskModel) -> list[Line]:
    """Return one line for each notice, newest first, under a heading."""
    palette = model.palette
    styles = {"warning": palette.warn, "error": palette.error}
    lines: list[Line] = [
        ((" notices, newest first", palette.bright),),
        (),
    ]
    for notice in reversed(model.state.notices):
        style = styles.get(notice.level, palette.text)
        lines.append(
            (
                (f" {formats.clock(notice.wall_ms)}  ", palette.dim),
                (f"{notice.level:<8} ", style),
                (notice.text, palette.text),
            )
        )
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
        return notice_lines(self.model)
