"""What a salvage could not read, as series and times: worked out from what surrounds the holes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from engine.market.interval import UnknownInterval, parse_interval

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

Key = tuple[int, str, int]
_FIRST: Key = (-1, "", -1)
_LAST: Key = (1 << 62, "", 0)
_KEY_COLUMNS = 3


class SeriesLoss(NamedTuple):
    """Candles of one series that are missing where pages could not be read.

    Attributes:
        candles: How many there are by the interval's grid; the exchange may never have had some.
        ranges: Open times in exchange ms, [from, to).
    """

    symbol: str
    interval: str
    candles: int
    ranges: tuple[tuple[int, int], ...]


class StretchLoss(NamedTuple):
    """Pages that could not be read and that held the end of a series, or whole ones.

    Candles lie in the order of symbol id, interval and time; None stands for the first or the last.

    Attributes:
        after: The last candle before the hole, as symbol, interval and open time.
        before: The first candle behind it.
    """

    after: tuple[str, str, int] | None
    before: tuple[str, str, int] | None


@dataclass(slots=True)
class Holes:
    """Ranges of keys of the table of candles that could not be read, in ascending order."""

    ranges: list[tuple[Key, Key, bool]] = field(default_factory=list)

    def add(self, low: object, high: object, *, is_leaf: bool) -> None:
        """Add what lies between two keys, both exclusive; None is the first or the last.

        Args:
            low: Values of the row before the hole.
            high: Values of the row behind it.
            is_leaf: Whether every row of the hole was on the page; else most of them are on its
                children, which may be found by themselves.
        """
        start, end = _key(low) or _FIRST, _key(high) or _LAST
        if self.ranges and self.ranges[-1][1:] == (start, is_leaf):
            start = self.ranges.pop()[0]
        self.ranges.append((start, end, is_leaf))

    def losses(
        self, fresh: sqlite3.Connection, names: Mapping[int, str]
    ) -> tuple[tuple[SeriesLoss, ...], tuple[StretchLoss, ...]]:
        """Compare the holes with the rows that are there by now."""
        lost: dict[tuple[int, str], set[tuple[int, int]]] = {}
        stretches: dict[StretchLoss, None] = {}
        for start, end, is_leaf in self.ranges:
            before = start
            for key in (*_between(fresh, start, end), end):
                if before[:2] == key[:2]:
                    _add_missing(lost, before, key)
                elif is_leaf:
                    stretch = StretchLoss(_named(before, names), _named(key, names))
                    stretches.setdefault(stretch)
                before = key
        return tuple(
            SeriesLoss(names[series[0]], series[1], *_counted(series[1], ranges))
            for series, ranges in sorted(lost.items())
        ), tuple(stretches)


def _between(fresh: sqlite3.Connection, start: Key, end: Key) -> Iterator[Key]:
    rows = fresh.execute(
        "SELECT symbol_id, interval, open_time_ms FROM candle"
        " WHERE (symbol_id, interval, open_time_ms) > (?, ?, ?)"
        " AND (symbol_id, interval, open_time_ms) < (?, ?, ?)"
        " ORDER BY symbol_id, interval, open_time_ms",
        (*start, *end),
    )
    for symbol_id, interval, open_time_ms in rows:
        yield int(symbol_id), str(interval), int(open_time_ms)


def _add_missing(
    lost: dict[tuple[int, str], set[tuple[int, int]]], before: Key, after: Key
) -> None:
    try:
        first_ms = parse_interval(before[1]).next(before[2])
    except UnknownInterval:
        return
    if first_ms < after[2]:
        lost.setdefault(before[:2], set()).add((first_ms, after[2]))


def _counted(
    interval: str, ranges: set[tuple[int, int]]
) -> tuple[int, tuple[tuple[int, int], ...]]:
    length_ms = parse_interval(interval).length_ms
    count = sum(max(1, round((end - start) / length_ms)) for start, end in ranges)
    return count, tuple(sorted(ranges))


def _named(key: Key, names: Mapping[int, str]) -> tuple[str, str, int] | None:
    if key in {_FIRST, _LAST}:
        return None
    return names.get(key[0], f"id-{key[0]}"), key[1], key[2]


def _key(values: object) -> Key | None:
    if not isinstance(values, tuple) or len(values) < _KEY_COLUMNS:
        return None
    symbol_id, interval, open_time_ms = values[:_KEY_COLUMNS]
    if isinstance(symbol_id, int) and isinstance(interval, str) and isinstance(open_time_ms, int):
        return symbol_id, interval, open_time_ms
    return None
