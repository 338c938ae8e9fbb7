"""A row of small columns: one value a cell."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui.widgets.glyphs import Glyphs


def sparkline(values: Sequence[float], width: int, glyphs: Glyphs) -> str:
    """Return exactly `width` cells that show `values`, oldest first, scaled to their own range.

    More values than cells are thinned evenly, the newest always included; fewer stand at the right.
    Equal values lie on the middle level.
    """
    if width <= 0:
        return ""
    shown = _thinned([value for value in values if isfinite(value)], width)
    if not shown:
        return " " * width
    low, high = min(shown), max(shown)
    top = len(glyphs.levels) - 1
    span = high - low
    if span <= 0 or not isfinite(span):
        line = glyphs.levels[top // 2] * len(shown)
    else:
        line = "".join(glyphs.levels[round((value - low) / span * top)] for value in shown)
    return line.rjust(width)


def _thinned(values: list[float], width: int) -> list[float]:
    if len(values) <= width:
        return values
    last = len(values) - 1
    return [values[last - (width - 1 - cell) * last // max(1, width - 1)] for cell in range(width)]
