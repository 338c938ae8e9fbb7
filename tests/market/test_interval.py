from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.market.interval import INTERVALS, Interval, UnknownInterval, parse_interval

times = st.integers(min_value=0, max_value=4_102_444_800_000)
intervals = st.sampled_from(list(INTERVALS.values()))


def utc(ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


@given(intervals, times)
def test_a_time_lies_in_the_candle_that_floor_names(interval: Interval, time_ms: int) -> None:
    opened = interval.floor(time_ms)
    assert opened <= time_ms < interval.next(opened)
    assert interval.close_time(opened) == interval.next(opened) - 1
    assert interval.is_aligned(opened)
    assert interval.floor(interval.close_time(opened)) == opened
    assert interval.is_aligned(interval.next(opened))


@given(intervals, times, st.integers(min_value=0, max_value=40))
def test_back_undoes_next(interval: Interval, time_ms: int, count: int) -> None:
    start = interval.floor(time_ms)
    at = start
    for _ in range(count):
        at = interval.next(at)
    assert interval.back(at, count) == start


@given(times)
def test_weeks_start_on_monday_and_months_on_the_first(time_ms: int) -> None:
    week = utc(INTERVALS["1w"].floor(time_ms))
    assert (week.weekday(), week.hour, week.minute, week.second) == (0, 0, 0, 0)
    month = utc(INTERVALS["1M"].floor(time_ms))
    assert (month.day, month.hour, month.minute) == (1, 0, 0)
    assert (month.year, month.month) == (utc(time_ms).year, utc(time_ms).month)


def test_month_bounds_over_a_leap_february() -> None:
    month = INTERVALS["1M"]
    february = int(datetime(2024, 2, 1, tzinfo=UTC).timestamp() * 1000)
    assert utc(month.next(february)) == datetime(2024, 3, 1, tzinfo=UTC)
    assert utc(month.back(february, 2)) == datetime(2023, 12, 1, tzinfo=UTC)
    assert not month.is_aligned(february + 1)


def test_names_are_case_sensitive_and_the_unknown_is_named() -> None:
    assert parse_interval("1m").length_ms == 60_000
    assert parse_interval("1M") != parse_interval("1m")
    with pytest.raises(UnknownInterval, match=r"no interval '7m'.*1m 3m 5m"):
        parse_interval("7m")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("5min", "5m"),
        ("60m", "1h"),
        ("1H", "1h"),
        ("24h", "1d"),
        ("7d", "1w"),
        ("1mo", "1M"),
        ("daily", "1d"),
        ("30 minutes", "30m"),
    ],
)
def test_an_interval_written_otherwise_gets_the_name_that_is_meant(
    written: str, meant: str
) -> None:
    with pytest.raises(UnknownInterval, match=f"'{written}'; did you mean {meant}"):
        parse_interval(written)


@pytest.mark.parametrize("written", ["7m", "2mo", "m5", "", "99999d"])
def test_an_interval_that_is_none_gets_the_list(written: str) -> None:
    with pytest.raises(UnknownInterval, match="choose one of: 1s 1m"):
        parse_interval(written)
