"""A strip of cells that shows shares of one, such as coverage by hour."""

from __future__ import annotations

from math import ceil, isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui.widgets.glyphs import Glyphs


def heat_strip(values: Sequence[float | None], glyphs: Glyphs) -> str:
    """Return one cell for each value from 0 to 1; None is a dot.

    Only a full share reaches the highest level, and only zero is empty, so that one missing
    minute in a day does not hide in rounding.
    """
    return "".join(_cell(value, glyphs) for value in values)


def _cell(value: float | None, glyphs: Glyphs) -> str:
    if value is None or not isfinite(value):
        return glyphs.middot
    if value <= 0:
        return " "
    levels = glyphs.levels
    if value >= 1:
        return levels[-1]
    return levels[min(len(levels) - 2, ceil(value * (len(levels) - 1)) - 1)]
