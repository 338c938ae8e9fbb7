"""Where the panes stand: geometry only, decided by the size of the terminal."""

from __future__ import annotations

from typing import Literal

import msgspec
from textual.geometry import Region, Size

MIN_WIDTH, MIN_HEIGHT = 60, 16
MEDIUM_WIDTH, MEDIUM_HEIGHT = 100, 24
FULL_WIDTH, FULL_HEIGHT = 140, 36

LayoutKind = Literal["full", "medium", "single", "too small"]
SWAPS = (("book", "trades"), ("forecast", "storage"))


class Plan(msgspec.Struct, frozen=True):
    """What stands where.

    Attributes:
        kind: Which layout was chosen.
        regions: Region of each pane that is shown, in cells of the desk.
        tabs: Panes that are not shown, or all of them where only one is; in the panes' order.
    """

    kind: LayoutKind
    regions: dict[str, Region] = msgspec.field(default_factory=dict)
    tabs: tuple[str, ...] = ()


def layout_kind(terminal: Size) -> LayoutKind:
    """Return the layout for a terminal of this size (columns and rows, bars included)."""
    width, height = terminal
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        return "too small"
    if width >= FULL_WIDTH and height >= FULL_HEIGHT:
        return "full"
    if width >= MEDIUM_WIDTH and height >= MEDIUM_HEIGHT:
        return "medium"
    return "single"


def has_tabs(kind: LayoutKind, *, maximised: bool) -> bool:
    """Tell whether the layout has a line of tabs."""
    return kind in ("medium", "single") or (kind == "full" and maximised)


def arrange(
    kind: LayoutKind,
    desk: Size,
    names: tuple[str, ...],
    focused: str,
    *,
    maximised: bool,
    behind: frozenset[str],
) -> Plan:
    """Return the plan for a desk of `desk` cells.

    Args:
        kind: From `layout_kind`.
        desk: Size of the area that the panes share.
        names: All panes in their order.
        focused: The pane that has the keyboard.
        maximised: Whether it fills the screen.
        behind: Of each pair that shares a place in the medium layout, the pane behind.
    """
    if kind == "too small":
        return Plan(kind)
    if kind == "single" or maximised:
        return Plan(kind, {focused: Region(0, 0, *desk)}, names)
    if kind == "full":
        return Plan(kind, _full(desk))
    regions = _medium(desk, behind)
    return Plan(kind, regions, tuple(name for name in names if name not in regions))


def swap_in(focused: str, behind: frozenset[str]) -> frozenset[str]:
    """Return which panes are behind once `focused` is in front."""
    for pair in SWAPS:
        if focused in pair:
            other = pair[1 - pair.index(focused)]
            return (behind - {focused}) | {other}
    return behind


def _full(desk: Size) -> dict[str, Region]:
    width, height = desk
    left = _between(width * 28 // 100, 42, 56)
    right = _between(width * 22 // 100, 34, 44)
    lower = _between(height * 32 // 100, 12, 18)
    upper = height - lower
    middle = width - left - right
    return {
        "tickers": Region(0, 0, left, upper),
        "chart": Region(left, 0, middle, upper),
        "book": Region(left + middle, 0, right, upper),
        "storage": Region(0, upper, left, lower),
        "forecast": Region(left, upper, middle, lower),
        "trades": Region(left + middle, upper, right, lower),
    }


def _medium(desk: Size, behind: frozenset[str]) -> dict[str, Region]:
    width, height = desk
    right = _between(width * 29 // 100, 34, 40)
    lower = _between(height * 42 // 100, 9, 16)
    upper = height - lower
    left = _between(width * 40 // 100, 42, 50)
    side = "trades" if "book" in behind else "book"
    below = "storage" if "forecast" in behind else "forecast"
    return {
        "chart": Region(0, 0, width - right, upper),
        side: Region(width - right, 0, right, upper),
        "tickers": Region(0, upper, left, lower),
        below: Region(left, upper, width - left, lower),
    }


def _between(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))
