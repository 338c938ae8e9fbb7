"""Range arithmetic against sets of minutes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.market.interval import INTERVALS, MINUTE_MS
from engine.store.ranges import (
    Range,
    candle_count,
    missing_ranges,
    shared,
    spans,
    union,
    without,
)

MINUTE = INTERVALS["1m"]
minutes = st.sets(st.integers(0, 60), max_size=40)


def ranges_of(points: set[int]) -> list[Range]:
    return union((at * MINUTE_MS, (at + 1) * MINUTE_MS) for at in points)


def points_of(ranges: list[Range]) -> set[int]:
    points = [at // MINUTE_MS for a, b in ranges for at in range(a, b, MINUTE_MS)]
    assert len(points) == len(set(points)), "ranges overlap"
    assert ranges == sorted(ranges)
    return set(points)


@given(minutes, minutes)
def test_ranges_behave_as_sets_do(left: set[int], right: set[int]) -> None:
    a, b = ranges_of(left), ranges_of(right)
    assert points_of(a) == left
    assert points_of(without(a, b)) == left - right
    assert points_of(shared(a, b)) == left & right
    assert points_of(union([*b, *a])) == left | right
    assert candle_count(MINUTE, a) == len(left)


@given(minutes, st.integers(0, 60), st.integers(0, 60), st.integers(0, MINUTE_MS - 1))
def test_what_is_missing_is_the_rest_of_the_grid(
    stored: set[int], first: int, last: int, off_ms: int
) -> None:
    start_ms, end_ms = first * MINUTE_MS - off_ms, last * MINUTE_MS - off_ms
    times = sorted(at * MINUTE_MS for at in stored if start_ms <= at * MINUTE_MS < end_ms)
    found = missing_ranges(times, "1m", start_ms, end_ms)
    assert points_of(found) == set(range(first, last)) - stored


@given(minutes, st.integers(1, 20))
def test_spans_keep_all_and_fit_into_a_request(points: set[int], most: int) -> None:
    ranges = ranges_of(points)
    groups = spans(ranges, MINUTE, most)
    assert [piece for group in groups for piece in group] == ranges
    for group in groups:
        assert len(group) == 1 or group[-1][1] - group[0][0] <= most * MINUTE_MS


def test_months_are_counted_as_months() -> None:
    month = INTERVALS["1M"]
    start_ms = month.floor(1_735_689_600_000)
    assert candle_count(month, [(start_ms, month.back(start_ms, -14))]) == 14
