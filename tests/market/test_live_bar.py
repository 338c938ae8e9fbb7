"""A live bar is what resampling gives, at every step, in any order, to the last digit."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.market.candle import Candle
from engine.market.interval import INTERVALS
from engine.market.live_bar import ExactSum, LiveBar
from engine.market.resample import differing, resample, resample_rows

MINUTE_MS = 60_000
START_MS = 1_733_097_600_000  # Monday 2024-12-02, the start of a day and a week
GRID = INTERVALS["15m"]

amounts = st.integers(0, 10**17).map(lambda n: n / 10**8)
prices = st.integers(1, 10**7).map(lambda n: n / 100)


@st.composite
def minutes(draw: st.DrawFn, count: int) -> list[Candle]:
    made = []
    for index in range(count):
        opened, close = draw(prices), draw(prices)
        values = (draw(amounts), draw(amounts), draw(st.none() | st.integers(0, 99)))
        taker = draw(st.none() | amounts)
        high, low = max(opened, close) + 1, min(opened, close) / 2
        time_ms = START_MS + index * MINUTE_MS
        made.append(Candle(time_ms, opened, high, low, close, *values, taker, draw(amounts)))
    return made


@settings(max_examples=40)
@given(minutes(15), st.data())
def test_a_live_bar_equals_resampling_at_every_step(
    parts: list[Candle], data: st.DataObject
) -> None:
    bar = LiveBar(GRID, START_MS)
    for index, part in enumerate(parts):
        opened = msgspec.structs.replace(part, closed=False)
        if data.draw(st.booleans()):
            expected = resample([*parts[:index], opened], GRID, complete_only=False)
            assert [bar.candle(opened)] == expected
        assert bar.add(part)
        assert not bar.add(part)
        assert [bar.candle(opened)] == resample(parts[: index + 1], GRID, complete_only=False)
    assert bar.candle() == resample(parts, GRID)[0]


@settings(max_examples=40)
@given(minutes(15), st.permutations(range(15)), st.integers(0, 15))
def test_the_order_of_minutes_is_of_no_account(
    parts: list[Candle], order: list[int], count: int
) -> None:
    bar = LiveBar(GRID, START_MS)
    taken = order[:count]
    for index in taken:
        bar.add(parts[index])
    expected = resample([parts[index] for index in sorted(taken)], GRID, complete_only=False)
    assert [bar.candle()] == (expected or [None])
    assert bar.lacks_before(bar.end_ms) is (count < 15)


@given(st.lists(st.floats(-1e15, 1e15), max_size=40), st.floats(-1e6, 1e6))
def test_an_exact_sum_rounds_once(values: list[float], last: float) -> None:
    total = ExactSum()
    for value in values:
        total.add(value)
    assert total.with_one(last) == round(math.fsum([*values, last]), 8)


@given(st.lists(st.integers(0, 10**12), min_size=60, max_size=60))
def test_resampling_what_was_resampled_changes_nothing(volumes: list[int]) -> None:
    parts = [
        Candle(START_MS + at * MINUTE_MS, 1.0 + at, 99.0, 0.5, 2.0, volume / 1e8, volume / 1e7, at)
        for at, volume in enumerate(volumes)
    ]
    fives = resample(parts, INTERVALS["5m"])
    hours = resample(fives, INTERVALS["1h"], source=INTERVALS["5m"])
    assert hours == resample(parts, INTERVALS["1h"])
    rows = [tuple(getattr(part, name) for name in Candle.__struct_fields__[:10]) for part in parts]
    assert resample_rows(rows, INTERVALS["1h"]) == hours


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, ()),
        ({"close": 1.50000001}, ("close",)),
        ({"volume": 10.00000001}, ("volume",)),
        ({"trades": 4, "low": 0.4}, ("low", "trades")),
        ({"trades": None, "taker_buy_volume": None}, ()),
        ({"quote_volume": math.nextafter(3e9, math.inf)}, ()),
        ({"quote_volume": 3e9 + 1}, ("quote_volume",)),
    ],
)
def test_differences_are_named_and_the_unknown_is_none(
    changes: dict[str, float | None], names: tuple[str, ...]
) -> None:
    values = {"open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 10.0}
    values |= {"quote_volume": 3e9, "trades": 3, "taker_buy_volume": 4.0}
    own, made = Candle(START_MS, **values), Candle(START_MS, **(values | changes))  # type: ignore[arg-type]
    assert differing(own, made) == names


@given(minutes(15), st.integers(0, 14))
def test_a_bar_closes_without_what_the_exchange_does_not_have(
    parts: list[Candle], lost: int
) -> None:
    bar = LiveBar(GRID, START_MS)
    for part in parts:
        if part is not parts[lost]:
            bar.add(part)
    hole = (parts[lost].open_time_ms, parts[lost].open_time_ms + MINUTE_MS)
    there = [part for part in parts if part is not parts[lost]]
    rows = [tuple(getattr(part, name) for name in Candle.__struct_fields__[:10]) for part in there]
    assert bar.lacks_before(bar.end_ms)
    bar.excuse([hole])
    assert not bar.lacks_before(bar.end_ms)
    assert [bar.candle()] == resample_rows(rows, GRID, lambda lacking: list(lacking) == [hole])
    bar.add(parts[lost])
    assert bar.candle() == resample(parts, GRID)[0]
