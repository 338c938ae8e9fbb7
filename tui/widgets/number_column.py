"""A column of quantities whose decimal points line up and whose width only ever grows."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from tui.widgets import formats

if TYPE_CHECKING:
    from collections.abc import Iterable

_DIGITS = 5
_MOST_WHOLE_DIGITS = 6
_UNITS = ((1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "B"), (1e12, "T"), (1e15, "P"))


class NumberColumn:
    """Chooses one unit and one number of places for all numbers of a column.

    It remembers the largest number seen, so the column neither narrows nor jumps between units
    while numbers move; `reset` forgets it.
    """

    def __init__(self) -> None:
        self._largest = 0.0
        self._widest = 0
        self._is_whole = False

    def reset(self) -> None:
        """Forget what was seen (for another market)."""
        self._largest = 0.0
        self._widest = 0
        self._is_whole = False

    def see(self, values: Iterable[float], most_decimals: int, room: int = 0) -> None:
        """Take `values` into account for unit, places and width.

        Where all `most_decimals` of the largest number fit `room` cells, all of them are shown.
        """
        finite = [abs(value) for value in values if isfinite(value)]
        largest = max(finite, default=0.0)
        if largest > self._largest:
            self._largest = largest
        self._is_whole = len(formats.quantity(self._largest, most_decimals)) <= room
        self._widest = max(self._widest, len(self.text(self._largest, most_decimals)))

    @property
    def width(self) -> int:
        """Cells that the widest number seen takes."""
        return self._widest

    @property
    def unit(self) -> str:
        """What numbers are counted in: nothing, k, M, B, T or P."""
        return self._scale()[1]

    def _scale(self) -> tuple[float, str]:
        whole = self._whole_digits(self._largest)
        if self._is_whole or whole <= _MOST_WHOLE_DIGITS:
            return _UNITS[0]
        return _UNITS[min(len(_UNITS) - 1, (whole - 4) // 3)]

    @staticmethod
    def _whole_digits(value: float) -> int:
        return len(f"{value:.0f}")

    def text(self, value: float, most_decimals: int) -> str:
        """Return `value` in the column's unit and places, not padded.

        A quantity too small for these places is `<` the least one, such as `<.0001`, so that
        nothing which is there reads as zero.
        """
        divisor, unit = self._scale()
        if unit:
            most_decimals = 12
        whole = self._whole_digits(self._largest / divisor)
        places = most_decimals if self._is_whole else max(0, min(most_decimals, _DIGITS - whole))
        text = formats.quantity(value / divisor, places)
        if value > 0 and not text.strip("0."):
            return "<" + formats.quantity(10.0**-places, places).lstrip("0")
        return text
