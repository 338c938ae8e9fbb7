"""Lines of styled pieces, for panes that show labels and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.widgets.line_widget import Line, LineWidget

if TYPE_CHECKING:
    from collections.abc import Sequence


class TextLines(LineWidget):
    """Shows lines as they are given; the rest is cut at the edges. Repaints only what changed."""

    def show(self, lines: Sequence[Line]) -> None:
        """Show lines of (text, style) pieces from the top."""
        self.set_lines(lines)
