"""Fitting lines of styled text into a width."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.style import Style

from tui.widgets.line_widget import Line, line_width
from tui.widgets.line_widget import Piece as Cell

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Cell", "Line", "fit", "folded", "pad", "spread", "width_of"]

_PLAIN = Style()


def width_of(line: Sequence[Cell]) -> int:
    """Return how many terminal cells `line` takes."""
    return line_width(tuple(line))


def pad(count: int) -> Cell:
    """Return `count` blank cells."""
    return (" " * max(0, count), _PLAIN)


def fit(line: Sequence[Cell], width: int, ellipsis: str = "…") -> Line:
    """Return `line` cut to `width` cells; what was cut ends in `ellipsis`."""
    if width_of(line) <= width:
        return tuple(line)
    left = max(0, width - cell_len(ellipsis))
    kept: list[Cell] = []
    for text, style in line:
        size = cell_len(text)
        if size > left:
            kept.append((set_cell_size(text, left) + (ellipsis if width > 0 else ""), style))
            break
        kept.append((text, style))
        left -= size
    return tuple(kept)


def folded(line: Sequence[Cell], width: int, most: int, ellipsis: str = "…") -> list[Line]:
    """Return `line`, all in the style of its first piece, as at most `most` lines of words."""
    if width_of(line) <= width or width < 3:
        return [fit(line, width, ellipsis)]
    text = "".join(piece for piece, _ in line).strip()
    parts = textwrap.wrap(text, width - 2, max_lines=most, placeholder=f" {ellipsis}")
    return [fit(((f" {part} ", line[0][1]),), width, ellipsis) for part in parts]


def spread(left: Sequence[Cell], right: Sequence[Cell], width: int) -> Line:
    """Return `left` and `right` at the two ends of `width` cells; `left` is cut if need be."""
    room = width - width_of(right)
    start = fit(left, max(0, room - 1))
    return (*start, pad(room - width_of(start)), *right)
