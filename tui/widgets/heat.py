"""A strip of cells that shows shares of one, such as coverage by hour."""

from __future__ import annotations

from itertools import groupby
from math import ceil, isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.style import Style

    from tui.widgets.glyphs import Glyphs
    from tui.widgets.line_widget import Piece


def heat_strip(values: Sequence[float | None], glyphs: Glyphs) -> str:
    """Return one cell for each value from 0 to 1; None is a dot.

    Only a full share reaches the highest level, and only zero is empty, so that one missing
    minute in a day does not hide in rounding.
    """
    return "".join(_cell(value, glyphs) for value in values)


def heat_pieces(
    values: Sequence[float | None], glyphs: Glyphs, full: Style, partial: Style
) -> tuple[Piece, ...]:
    """Return the same strip as styled pieces: `full` where nothing lacks, else `partial`."""
    return tuple(
        (heat_strip(tuple(group), glyphs), full if is_full else partial)
        for is_full, group in groupby(values, lambda value: value is None or value >= 1)
    )


def _cell(value: float | None, glyphs: Glyphs) -> str:
    if value is None or not isfinite(value):
        return glyphs.middot
    if value <= 0:
        return " "
    levels = glyphs.levels
    if value >= 1:
        return levels[-1]
    return levels[min(len(levels) - 2, ceil(value * (len(levels) - 1)) - 1)]
