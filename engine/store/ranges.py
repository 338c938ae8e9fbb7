"""Arithmetic of ranges [from_ms, to_ms) of open times, ascending and disjoint in every list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.market.interval import parse_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.market.interval import Interval

Range = tuple[int, int]


def missing_ranges(
    times: Iterable[int], interval_name: str, start_ms: int, end_ms: int
) -> list[Range]:
    """Return the merged ranges of the interval's grid in [start_ms, end_ms) that `times` lacks.

    `times` are the stored open times in that range, ascending.
    """
    interval = parse_interval(interval_name)
    expected = ceil(interval, start_ms)
    end = ceil(interval, end_ms)
    ranges: list[Range] = []
    step = None if interval.name == "1M" else interval.length_ms
    for time in times:
        if time > expected:
            ranges.append((expected, time))
        expected = time + step if step else interval.next(time)
    if expected < end:
        ranges.append((expected, end))
    return ranges


def ceil(interval: Interval, time_ms: int) -> int:
    """Return the first open time of the grid at or after `time_ms`."""
    floor = interval.floor(time_ms)
    return floor if floor == time_ms else interval.next(floor)


def without(wholes: Iterable[Range], holes: Sequence[Range]) -> list[Range]:
    """Return what `holes`, which may stick out, leave of `wholes`."""
    pieces: list[Range] = []
    at = 0
    for start, end in wholes:
        while at < len(holes) and holes[at][1] <= start:
            at += 1
        cursor, index = start, at
        while index < len(holes) and holes[index][0] < end:
            if holes[index][0] > cursor:
                pieces.append((cursor, holes[index][0]))
            cursor = max(cursor, holes[index][1])
            index += 1
        if cursor < end:
            pieces.append((cursor, end))
    return pieces


def shared(ranges: Sequence[Range], others: Sequence[Range]) -> list[Range]:
    """Return what both lists cover."""
    found: list[Range] = []
    i = j = 0
    while i < len(ranges) and j < len(others):
        start = max(ranges[i][0], others[j][0])
        end = min(ranges[i][1], others[j][1])
        if start < end:
            found.append((start, end))
        if ranges[i][1] < others[j][1]:
            i += 1
        else:
            j += 1
    return found


def union(ranges: Iterable[Range]) -> list[Range]:
    """Return ranges of any order, overlapping or touching, as ascending and apart."""
    found: list[Range] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def candle_count(interval: Interval, ranges: Iterable[Range]) -> int:
    """Return how many candles open in `ranges`, whose ends lie on the grid."""
    if interval.name == "1M":
        return sum(_month(end) - _month(start) for start, end in ranges)
    return sum((end - start) // interval.length_ms for start, end in ranges)


def spans(ranges: Sequence[Range], interval: Interval, most: int) -> list[list[Range]]:
    """Group ranges that one request of `most` candles can span; a longer range stays alone."""
    groups: list[list[Range]] = []
    for start, end in ranges:
        if groups and end - groups[-1][0][0] <= most * interval.length_ms:
            groups[-1].append((start, end))
        else:
            groups.append([(start, end)])
    return groups


def _month(open_time_ms: int) -> int:
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(open_time_ms / 1000, UTC)
    return moment.year * 12 + moment.month
