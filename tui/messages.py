"""What the terminal has to say in passing: the newest message, and how many more there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from tui.cells import fit, pad, width_of

if TYPE_CHECKING:
    from rich.style import Style

    from tui.cells import Cell, Line
    from tui.widgets.glyphs import Glyphs
    from tui.widgets.palette import Palette

Level = Literal["info", "warning", "error"]
SHOWN_MS: Final = 7_000
KEPT: Final = 200


class Message(NamedTuple):
    """One sentence and when it was said (wall clock, epoch ms)."""

    wall_ms: int
    level: str
    text: str


class Messages(msgspec.Struct):
    """The newest messages that nobody has seen yet; errors stay until then, others for a while."""

    unseen: list[Message] = msgspec.field(default_factory=list)

    def add(self, message: Message) -> None:
        """Say something; what was said with the same words before is replaced."""
        others = [one for one in self.unseen if one.text != message.text]
        self.unseen = [*others, message][-KEPT:]

    def see(self) -> None:
        """Take all as seen."""
        self.unseen.clear()

    def current(self, wall_ms: int) -> tuple[Message, int] | None:
        """Return the newest message that stands at `wall_ms`, and how many more do."""
        self.unseen = [
            one for one in self.unseen if one.level == "error" or wall_ms - one.wall_ms < SHOWN_MS
        ]
        return (self.unseen[-1], len(self.unseen) - 1) if self.unseen else None


def message_line(message: Message, more: int, width: int, palette: Palette, glyphs: Glyphs) -> Line:
    """Return a line of `width` cells: the text, and at its end how many more there are."""
    styles: dict[str, Style] = {"warning": palette.warn, "error": palette.error}
    style = styles.get(message.level, palette.bright)
    hints: list[Cell] = []
    if more:
        hints.append((f" +{more} more", palette.dim))
    is_cut = width_of(((message.text, style),)) + 2 + width_of(hints) > width
    if more or is_cut:
        hints += [("  n", palette.bright), (" reads all", palette.dim)]
    if message.level == "error":
        hints += [("  Esc", palette.bright), (" seen", palette.dim)]
    hints.append(pad(1))
    room = max(0, width - width_of(hints))
    text = fit((pad(1), (message.text, style)), room, glyphs.ellipsis)
    return (*text, pad(room - width_of(text)), *hints)
