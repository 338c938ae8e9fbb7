"""Writes partial updates with few bytes.

Textual 8.2 writes every changed span from the left edge of its widget, and each segment with its
full style and a reset. Here a span begins where it begins, and only what differs from the style
before is written: a clock's tick takes 30 bytes, not 900.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from rich.color import ColorSystem
from textual._compositor import ChopsUpdate, CompositorUpdate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.color import Color
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.segment import Segment
    from rich.style import Style

RESET: Final = "\x1b[0m"
_SYSTEMS: Final = {
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
    "windows": ColorSystem.WINDOWS,
}
_ATTRIBUTES: Final = (
    ("bold", "1"),
    ("dim", "2"),
    ("italic", "3"),
    ("underline", "4"),
    ("blink", "5"),
    ("reverse", "7"),
    ("strike", "9"),
)
Codes = tuple[str, str, str]
"""Attributes, foreground and background as SGR parameters (ECMA-48)."""
_PLAIN: Final[Codes] = ("", "39", "49")


@lru_cache(4096)
def codes_of(style: Style | None, system: ColorSystem | None) -> Codes:
    """Return the SGR parameters of `style` on a terminal with the colours of `system`."""
    if style is None:
        return _PLAIN
    attributes = ";".join(code for name, code in _ATTRIBUTES if getattr(style, name))
    return (
        attributes,
        _color(style.color, system, foreground=True) or "39",
        _color(style.bgcolor, system, foreground=False) or "49",
    )


def _color(color: Color | None, system: ColorSystem | None, *, foreground: bool) -> str:
    if color is None or system is None:
        return ""
    return ";".join(color.downgrade(system).get_ansi_codes(foreground))


def encode(
    segments: Iterable[Segment], before: Codes, system: ColorSystem | None
) -> tuple[str, Codes]:
    """Return the text of `segments` after the style `before`, and the last style."""
    parts: list[str] = []
    for text, style, _ in segments:
        if not text:
            continue
        after = codes_of(style, system)
        if after != before:
            parts.append(_change(before, after))
            before = after
        parts.append(text)
    return "".join(parts), before


def _change(before: Codes, after: Codes) -> str:
    if after[0] != before[0]:
        wanted = ["0", after[0]] if after[0] else ["0"]
        wanted += [code for code, plain in zip(after[1:], _PLAIN[1:], strict=True) if code != plain]
    else:
        wanted = [code for code, old in zip(after[1:], before[1:], strict=True) if code != old]
    return f"\x1b[{';'.join(wanted)}m"


class TightUpdate(CompositorUpdate):
    """A partial update that writes the changed spans and nothing else."""

    def __init__(self, update: ChopsUpdate) -> None:
        self.update = update

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render as Textual's own update does."""
        yield from self.update.__rich_console__(console, options)

    def render_segments(self, console: Console) -> str:
        """Return the terminal's input that draws this update."""
        system = _SYSTEMS.get(console.color_system or "")
        style = _PLAIN
        parts: list[str] = []
        for y, x1, x2 in self.update.spans:
            chops = self.update.chops[y]
            cursor = -1
            for end, (x, strip) in zip(self.update.chop_ends[y], chops.items(), strict=False):
                if strip is None or x >= x2 or end <= x1:
                    continue
                start, stop = max(x, x1), min(end, x2)
                if start != cursor:
                    parts.append(f"\x1b[{y + 1};{start + 1}H")
                text, style = encode(strip.crop(start - x, stop - x), style, system)
                parts.append(text)
                cursor = stop
        if style != _PLAIN:
            parts.append(RESET)
        return "".join(parts)
