"""The frame around a pane: quiet and thin, heavy and bright where the focus is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.containers import Container

if TYPE_CHECKING:
    from textual.widget import Widget

    from tui.widgets.glyphs import Glyphs


class PaneFrame(Container):
    """A bordered container with `1 tickers` in its top edge and a subtitle in its bottom edge.

    The focus shows in the line (heavy), in its brightness and, in ASCII, by a `>` before the title,
    never by a hue alone. `number` 0 shows no number.
    """

    DEFAULT_CSS = """
    PaneFrame {
        width: 1fr;
        height: 1fr;
        layout: vertical;
        border: solid $foreground 40%;
        border-title-color: $foreground 70%;
        border-title-align: left;
        border-subtitle-color: $foreground 60%;
        border-subtitle-align: right;
        padding: 0;
    }
    PaneFrame:focus-within {
        border: heavy $foreground;
        border-title-color: $foreground;
        border-title-style: bold;
        border-subtitle-color: $foreground 80%;
    }
    PaneFrame.-ascii {
        border: ascii $foreground 40%;
    }
    PaneFrame.-ascii:focus-within {
        border: ascii $foreground;
    }
    """

    def __init__(
        self,
        *children: Widget,
        glyphs: Glyphs,
        number: int = 0,
        title: str = "",
        subtitle: str = "",
        name: str | None = None,
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
    ) -> None:
        super().__init__(*children, name=name, id=id, classes=classes)
        self.glyphs = glyphs
        self._number = number
        self._title = title
        self._subtitle = subtitle
        self.set_class(glyphs.is_ascii, "-ascii")
        self._label()

    @property
    def number(self) -> int:
        """Number of the pane, which is also its key."""
        return self._number

    @property
    def title(self) -> str:
        """Text in the top edge, after the number; plain text, no markup."""
        return self._title

    @title.setter
    def title(self, title: str) -> None:
        if title != self._title:
            self._title = title
            self._label()

    @property
    def subtitle(self) -> str:
        """Text in the bottom edge; plain text, no markup."""
        return self._subtitle

    @subtitle.setter
    def subtitle(self, subtitle: str) -> None:
        if subtitle != self._subtitle:
            self._subtitle = subtitle
            self._label()

    def _label(self) -> None:
        label = f"{self._number} {self._title}" if self._number else self._title
        if self.glyphs.is_ascii and self.has_focus_within:
            label = f"> {label}"
        self.border_title = Text(label)
        self.border_subtitle = Text(self._subtitle)

    def on_descendant_focus(self) -> None:
        """Mark the title."""
        self._label()

    def on_descendant_blur(self) -> None:
        """Take the mark away."""
        self.call_after_refresh(self._label)
