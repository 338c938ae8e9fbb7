import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.market.candle import Candle
from engine.market.interval import INTERVALS
from engine.market.kline_files import read_klines
from engine.market.resample import can_resample, resample

MINUTE_MS = 60_000
START_MS = 1_733_011_200_000  # 2024-12-01, a Sunday


def minute(index: int, **changes: float | None) -> Candle:
    values = {
        "open": 100.0 + index,
        "high": 102.0 + index,
        "low": 99.0 + index,
        "close": 101.0 + index,
        "volume": 0.1,
        "quote_volume": 10.1,
        "trades": 2,
        "taker_buy_volume": 0.05,
        "taker_buy_quote_volume": 5.05,
        **changes,
    }
    return Candle(START_MS + index * MINUTE_MS, **values)  # type: ignore[arg-type]


def test_a_bucket_joins_its_minutes() -> None:
    [candle] = resample([minute(index) for index in range(3)], INTERVALS["3m"])
    assert candle == Candle(START_MS, 100.0, 104.0, 99.0, 103.0, 0.3, 30.3, 6, 0.15, 15.15)


def test_an_amount_that_one_minute_does_not_know_is_unknown() -> None:
    minutes = [minute(0), minute(1, trades=None, taker_buy_volume=None), minute(2)]
    minutes[2] = minute(2, quote_volume=None)
    [candle] = resample(minutes, INTERVALS["3m"])
    assert candle.trades is None
    assert candle.taker_buy_volume is None
    assert candle.quote_volume is None
    assert candle.taker_buy_quote_volume == 15.15


def test_incomplete_buckets_come_only_when_asked_and_are_open() -> None:
    minutes = [minute(index) for index in (1, 2, 3, 4, 5, 6, 8)]
    assert [c.open_time_ms for c in resample(minutes, INTERVALS["3m"])] == [
        START_MS + 3 * MINUTE_MS
    ]
    parts = resample(minutes, INTERVALS["3m"], complete_only=False)
    assert [(c.open_time_ms - START_MS) // MINUTE_MS for c in parts] == [0, 3, 6]
    assert [c.closed for c in parts] == [False, True, False]
    assert parts[0].open == 101.0


def test_an_open_minute_makes_an_open_candle() -> None:
    minutes = [minute(0), minute(1), Candle(START_MS + 120_000, 1, 1, 1, 1, 1, 1, closed=False)]
    assert resample(minutes, INTERVALS["3m"]) == []
    assert not resample(minutes, INTERVALS["3m"], complete_only=False)[0].closed


def test_weeks_and_months_follow_the_calendar() -> None:
    days = [
        Candle(START_MS + day * 86_400_000, 1.0, 2.0, 0.5, 1.5, 1.0, 1.0, 1) for day in range(62)
    ]
    weeks = resample(days, INTERVALS["1w"], source=INTERVALS["1d"])
    assert weeks[0].open_time_ms == START_MS + 86_400_000
    assert [week.trades for week in weeks] == [7] * 8
    months = resample(days, INTERVALS["1M"], source=INTERVALS["1d"])
    assert [month.trades for month in months] == [31, 31]


def test_what_does_not_fit_is_refused() -> None:
    assert not can_resample(INTERVALS["2h"], INTERVALS["3m"])
    assert not can_resample(INTERVALS["1w"], INTERVALS["1M"])
    assert not can_resample(INTERVALS["1m"], INTERVALS["1s"])
    with pytest.raises(ValueError, match="1s candles can not be made of 1m"):
        resample([], INTERVALS["1s"])


@given(st.lists(st.integers(0, 10**13).map(lambda n: n / 10**8), min_size=5, max_size=5))
def test_volumes_sum_to_the_exact_decimal(volumes: list[float]) -> None:
    minutes = [minute(index, volume=volume) for index, volume in enumerate(volumes)]
    [candle] = resample(minutes, INTERVALS["5m"])
    exact = sum(round(volume * 10**8) for volume in volumes)
    assert candle.volume == exact / 10**8
    assert math.isclose(candle.volume, sum(volumes))


@pytest.mark.recorded
def test_minutes_resampled_equal_the_exchanges_own_candles() -> None:
    folder = os.environ.get("KLINETOP_RECORDINGS")
    if not folder:
        pytest.skip("KLINETOP_RECORDINGS is not set")

    def read(interval: str) -> list[Candle]:
        path = Path(folder or "") / "klines" / f"BTCUSDT_{interval}.csv.gz"
        with path.open("rb") as file:
            rows = list(read_klines(file, path.name))
        return [row for row in rows if isinstance(row, Candle)]

    made = {candle.open_time_ms: candle for candle in resample(read("1m"), INTERVALS["15m"])}
    both = [candle for candle in read("15m") if candle.open_time_ms in made]
    assert len(both) == 2_784
    for own in both:
        ours = made[own.open_time_ms]
        assert (ours.open, ours.high, ours.low, ours.close, ours.trades, ours.volume) == (
            own.open,
            own.high,
            own.low,
            own.close,
            own.trades,
            own.volume,
        )
