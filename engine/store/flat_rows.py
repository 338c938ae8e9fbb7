"""Rows of candles as one flat list of numbers: a batch without an object for each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

WIDTH = 10  # open_time_ms … taker_buy_quote_volume, the fields of Candle but `closed`
Values = tuple[Any, ...]


class FlatRows(Sequence[Values]):
    """Stored values of candles, row after row.

    Args:
        flat: `WIDTH` values for each candle, in the order of Candle's fields.
    """

    def __init__(self, flat: list[Any]) -> None:
        self.flat = flat

    def __len__(self) -> int:
        return len(self.flat) // WIDTH

    def __iter__(self) -> Iterator[Values]:
        values = iter(self.flat)
        return zip(*[values] * WIDTH, strict=True)

    @overload
    def __getitem__(self, at: int) -> Values: ...

    @overload
    def __getitem__(self, at: slice) -> list[Values]: ...

    def __getitem__(self, at: int | slice) -> Values | list[Values]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        first = range(len(self))[at] * WIDTH
        return tuple(self.flat[first : first + WIDTH])

    def times(self) -> list[int]:
        """Return the open times (epoch ms) of all rows."""
        return self.flat[::WIDTH]


def times_of(rows: Sequence[Values]) -> list[int]:
    """Return the open times (epoch ms) of all rows."""
    return rows.times() if isinstance(rows, FlatRows) else [row[0] for row in rows]


def flat_values(rows: Sequence[Values], start: int, stop: int) -> list[Any]:
    """Return the values of rows [start, stop), one after the other."""
    if isinstance(rows, FlatRows):
        return rows.flat[start * WIDTH : stop * WIDTH]
    return [value for row in rows[start:stop] for value in row]
