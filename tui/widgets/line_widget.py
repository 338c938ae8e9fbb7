"""Base of all widgets that draw line by line and repaint only the cells that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Unpack

    from textual.color import Color
    from textual.filter import LineFilter

    from tui.widgets.glyphs import Glyphs
    from tui.widgets.palette import Palette

Piece = tuple[str, Style]
"""A text and its style."""

Line = tuple[Piece, ...]
"""One row of a widget, without padding at its end."""


def changed_span(old: Line, new: Line) -> tuple[int, int] | None:
    """Return the columns [start, end) that differ between two lines, None when they are equal.

    Whole pieces are compared at the end and single characters at the beginning, so the span may be
    wider than needed but never too narrow.
    """
    if old == new:
        return None
    start = _common_start(old, new)
    old_width, new_width = line_width(old), line_width(new)
    if old_width != new_width:
        return start, max(old_width, new_width)
    end = new_width
    for old_piece, new_piece in zip(reversed(old), reversed(new), strict=False):
        if old_piece != new_piece:
            break
        end -= cell_len(new_piece[0])
    return start, max(end, start + 1)


def _common_start(old: Line, new: Line) -> int:
    start = 0
    for (old_text, old_style), (new_text, new_style) in zip(old, new, strict=False):
        if old_style != new_style:
            break
        if old_text != new_text:
            for old_char, new_char in zip(old_text, new_text, strict=False):
                if old_char != new_char:
                    break
                start += cell_len(new_char)
            break
        start += cell_len(new_text)
    return start


def line_width(line: Iterable[Piece]) -> int:
    """Return the width of a line in cells."""
    return sum([len(text) if text.isascii() else cell_len(text) for text, _ in line])


def line_text(line: Line) -> str:
    """Return the text of a line without its styles."""
    return "".join(text for text, _ in line)


def to_strip(line: Sequence[Piece], width: int, base: Style) -> Strip:
    """Return a strip of exactly `width` cells; pieces take from `base` what they do not set."""
    segments = [Segment(text, base + style) for text, style in line if text]
    missing = width - line_width(line)
    if missing < 0:
        return LineStrip(Strip(segments).adjust_cell_length(width, base), width)
    if missing:
        segments.append(Segment(" " * missing, base))
    return LineStrip(segments, width)


class LineStrip(Strip):
    """A strip that no cache of its own refers to, so that it is freed as soon as nobody shows it.

    Textual's keeps itself as what is left of it after a division into one part; thousands of such
    cycles a second would be left to the garbage collector.
    """

    __slots__ = ()

    def divide(self, cuts: Iterable[int]) -> Sequence[Strip]:
        """Return the parts between `cuts` (columns); the whole where there is but one."""
        wanted = list(cuts)
        return [self] if wanted == [self.cell_length] else super().divide(wanted)

    def crop(self, start: int, end: int | None = None) -> Strip:
        """Return the columns from `start` to `end`."""
        part = super().crop(start, end)
        return part if part is self else LineStrip(part, part.cell_length)

    def apply_filter(self, filter: LineFilter, background: Color) -> Strip:  # noqa: A002
        """Return what `filter` makes of it on `background`."""
        key = (filter, background)
        filtered = self._filter_cache.get(key)
        if filtered is None:
            filtered = LineStrip(filter.apply(self._segments, background), self.cell_length)
            self._filter_cache[key] = filtered
        return filtered


def is_decorated(widget: Widget) -> bool:
    """Return whether borders, padding or opacity change what a widget's lines look like."""
    return widget.content_region.size != widget.region.size or widget.opacity < 1


def painted_lines(widget: Widget, crop: Region) -> list[Strip]:
    """Return the rows of `crop` of a widget without decoration; the same strip is painted once."""
    filters = widget.get_line_filters()
    background = widget.background_colors[1]
    strips = []
    for y in crop.line_range:
        strip = widget.render_line(y)
        for line_filter in filters:
            strip = strip.apply_filter(line_filter, background)
        strips.append(strip)
    if crop.column_span == (0, widget.region.width):
        return strips
    return [strip.crop(*crop.column_span) for strip in strips]


def blank_lines(widget: Widget, crop: Region) -> list[Strip]:
    """Return blank rows for `crop` of a widget without decoration."""
    style, background = widget.visual_style.rich_style, widget.background_colors[1]
    strip: Strip = to_strip((), crop.width, style)
    for line_filter in widget.get_line_filters():
        strip = strip.apply_filter(line_filter, background)
    return [strip] * crop.height


class WidgetOptions(TypedDict, total=False):
    """What every Textual widget takes."""

    name: str | None
    id: str | None
    classes: str | None


class LineWidget(Widget):
    """A widget that shows lines and repaints only where they differ from those on the screen.

    A subclass calls `set_lines`, and redraws in `draw`, which is called when the size changed.
    """

    DEFAULT_CSS = """
    LineWidget {
        width: 1fr;
        height: 1fr;
    }
    """

    def __init__(self, **options: Unpack[WidgetOptions]) -> None:
        super().__init__(**options)
        self._lines: list[Line] = []
        self._strips: dict[int, Strip] = {}
        self._strips_key: tuple[int, Style] | None = None

    def draw(self) -> None:
        """Draw everything anew for the current size."""

    @property
    def lines(self) -> Sequence[Line]:
        """What is shown now, from the top."""
        return tuple(self._lines)

    def set_lines(self, lines: Sequence[Line]) -> None:
        """Show `lines` from the top; only cells that changed are repainted."""
        old_lines = self._lines
        regions: list[Region] = []
        for y in range(max(len(lines), len(old_lines))):
            old = old_lines[y] if y < len(old_lines) else ()
            new = lines[y] if y < len(lines) else ()
            span = changed_span(old, new)
            if span is None:
                continue
            self._strips.pop(y, None)
            regions.append(Region(span[0], y, span[1] - span[0], 1))
        self._lines = list(lines)
        if regions:
            self.refresh(*regions)

    def set_line(self, y: int, line: Line) -> None:
        """Show `line` in row `y`, which must have been shown before."""
        span = changed_span(self._lines[y], line)
        if span is not None:
            self._lines[y] = line
            self._strips.pop(y, None)
            self.refresh(Region(span[0], y, span[1] - span[0], 1))

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.draw()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the rows of `crop`; without borders and padding they need no more styling."""
        return super().render_lines(crop) if is_decorated(self) else painted_lines(self, crop)

    def render_line(self, y: int) -> Strip:
        """Return row `y` from the cache, or build it."""
        width = self.size.width
        base = self.visual_style.rich_style
        key = (width, base)
        if key != self._strips_key:
            self._strips_key = key
            self._strips.clear()
        strip = self._strips.get(y)
        if strip is None:
            line = self._lines[y] if y < len(self._lines) else ()
            strip = self._strips[y] = to_strip(line, width, base)
        return strip


class PaintedWidget(LineWidget):
    """A `LineWidget` that draws in the colours of a palette and with the signs of a set."""

    def __init__(self, palette: Palette, glyphs: Glyphs, **options: Unpack[WidgetOptions]) -> None:
        super().__init__(**options)
        self.palette = palette
        self.glyphs = glyphs
