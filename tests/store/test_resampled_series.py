"""Stored minutes as candles of longer intervals, beside the exchange's own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.market.candle import Candle
from engine.market.interval import INTERVALS
from engine.market.kline_files import read_klines
from engine.market.resample import differing, resample
from engine.store import Source, Store
from engine.store import series as series_module
from engine.store.frames import candle_frame
from engine.store.series import candle_series, made_of_minutes

MINUTE_MS = 60_000
START_MS = 1_733_011_200_000  # 2024-12-01, a Sunday
NAME = "BTCUSDT"


def minutes(first: int, count: int) -> list[Candle]:
    return [
        Candle(START_MS + at * MINUTE_MS, 100.0 + at, 102.0 + at, 99.0, 101.0 + at, 0.1, 10.1, 2)
        for at in range(first, first + count)
    ]


def put(store: Store, candles: list[Candle], interval: str = "1m") -> None:
    store.writer.put_candles(NAME, interval, candles, Source.REST).result(10)


@pytest.fixture(params=[7, 60, 10_000])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(series_module, "PIECE_ROWS", request.param)
    return int(request.param)


@pytest.mark.parametrize("interval", ["3m", "15m", "1h"])
@pytest.mark.parametrize("limit", [None, 1, 4, 100])
def test_pieces_of_any_size_give_the_same(
    store: Store, piece: int, interval: str, limit: int | None
) -> None:
    parts = minutes(5, 100) + minutes(110, 200)
    put(store, parts)
    whole = resample(parts, INTERVALS[interval])
    made = made_of_minutes(store.reader, NAME, interval, limit=limit)
    assert made == (whole if limit is None else whole[-limit:])
    start_ms = START_MS + 31 * MINUTE_MS
    later = [bar for bar in whole if bar.open_time_ms >= start_ms]
    assert made_of_minutes(store.reader, NAME, interval, start_ms=start_ms, limit=limit) == (
        later if limit is None else later[:limit]
    )
    end_ms = START_MS + 250 * MINUTE_MS
    before = [bar for bar in whole if bar.open_time_ms < end_ms]
    assert made_of_minutes(store.reader, NAME, interval, end_ms=end_ms, limit=limit) == (
        before if limit is None else before[-limit:]
    )


def test_months_and_weeks_are_whole_or_not_there(store: Store) -> None:
    put(store, minutes(-3 * 1440, 40 * 1440))
    (month,) = candle_series(store.reader, NAME, "1M")
    assert datetime.fromtimestamp(month.open_time_ms / 1000, UTC).isoformat()[:10] == "2024-12-01"
    assert month.trades == 2 * 31 * 1440
    assert month.volume == 4464.0
    weeks = candle_series(store.reader, NAME, "1w")
    assert [datetime.fromtimestamp(week.open_time_ms / 1000, UTC).day for week in weeks] == [
        2, 9, 16, 23, 30
    ]  # fmt: skip


def test_the_exchanges_own_candles_win_and_gaps_of_theirs_are_filled(store: Store) -> None:
    put(store, minutes(0, 60))
    own = Candle(START_MS + 15 * MINUTE_MS, 1.0, 2.0, 0.5, 1.5, 1.5, 10.0, 7)
    put(store, [own], "15m")
    shown = candle_series(store.reader, NAME, "15m")
    assert [candle.trades for candle in shown] == [30, 7, 30, 30]
    frame = candle_frame(store.reader, NAME, "15m", limit=3)
    assert frame["trades"].tolist() == [7, 30, 30]


@pytest.mark.recorded
def test_the_oracle_2784_of_2784_through_the_store(store: Store, klines: Path) -> None:
    def read(interval: str) -> list[Candle]:
        path = klines / f"BTCUSDT_{interval}.csv.gz"
        with path.open("rb") as file:
            rows = list(read_klines(file, path.name))
        return [row for row in rows if isinstance(row, Candle)]

    put(store, read("1m"))
    made = {bar.open_time_ms: bar for bar in made_of_minutes(store.reader, NAME, "15m")}
    both = [candle for candle in read("15m") if candle.open_time_ms in made]
    assert len(both) == 2_784
    assert [own for own in both if differing(own, made[own.open_time_ms])] == []
