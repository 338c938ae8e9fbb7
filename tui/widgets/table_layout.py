"""Widths of a table's columns and texts cut to them: pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from rich.cells import cell_len, set_cell_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui.widgets.glyphs import Glyphs


class Column(NamedTuple):
    """A column: `width` in cells, None takes what is left (shared evenly between such columns).

    Columns of `priority` above 0 are left out when the table is too narrow, the highest first.
    It is too narrow when a column without a width would get fewer cells than `least`.
    """

    key: str
    title: str
    width: int | None = None
    align: Literal["left", "right"] = "left"
    priority: int = 0
    least: int = 4


def column_widths(columns: Sequence[Column], width: int) -> tuple[int, ...]:
    """Return the cells of each column in `width` cells, with one cell between; 0 leaves one out."""
    kept = set(range(len(columns)))
    while _least(columns, kept) > width:
        optional = [index for index in kept if columns[index].priority > 0]
        if not optional:
            break
        kept.discard(max(optional, key=lambda index: (columns[index].priority, index)))
    flexible = [index for index in sorted(kept) if columns[index].width is None]
    fixed = sum(columns[index].width or 0 for index in kept)
    rest = max(0, width - fixed - max(0, len(kept) - 1))
    widths = [columns[index].width or 0 if index in kept else 0 for index in range(len(columns))]
    for place, index in enumerate(flexible):
        share, extra = divmod(rest, len(flexible))
        widths[index] = max(1, share + (place < extra))
    return tuple(widths)


def _least(columns: Sequence[Column], kept: set[int]) -> int:
    needed = 0
    for index in kept:
        width = columns[index].width
        needed += columns[index].least if width is None else width
    return needed + len(kept) - 1


def fit(text: str, width: int, align: Literal["left", "right"], glyphs: Glyphs) -> str:
    """Return `text` in exactly `width` cells, cut with an ellipsis or padded.

    Wide characters (such as CJK) count two cells and are never cut in half.
    """
    length = cell_len(text)
    if length > width:
        if width <= 1:
            return glyphs.ellipsis[:width]
        return set_cell_size(text, width - 1) + glyphs.ellipsis
    padding = " " * (width - length)
    return padding + text if align == "right" else text + padding
