"""A horizontal bar that shows a share of one."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui.widgets.glyphs import Glyphs


def bar(fraction: float, width: int, glyphs: Glyphs) -> str:
    """Return the filled part of a bar only, without padding, at an eighth of a cell.

    ASCII bars have whole cells. A fraction above zero shows at least the thinnest part.
    """
    if width <= 0 or not isfinite(fraction) or fraction <= 0:
        return ""
    steps = len(glyphs.partial) + 1
    filled = max(1, round(min(fraction, 1.0) * width * steps))
    whole, part = divmod(filled, steps)
    return glyphs.full * whole + (glyphs.partial[part - 1] if part else "")


def meter(fraction: float, width: int, glyphs: Glyphs) -> str:
    """Return exactly `width` cells: the share `fraction` filled, the rest as empty track.

    Shares below zero or not finite show as zero, above one as one.
    """
    filled = bar(fraction, width, glyphs)
    return filled + glyphs.track * (max(0, width) - len(filled))
