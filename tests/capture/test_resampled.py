"""Charts of longer intervals: from stored minutes at once, and from pushed ones bar by bar."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from engine.capture.board import Board
from engine.capture.differences import DifferenceLog
from engine.capture.resampled import Resampler
from engine.capture.series import Series
from engine.capture.subscriptions import Lease
from engine.market.candle import Candle
from engine.market.interval import INTERVALS, parse_interval
from engine.market.resample import resample
from engine.simulator.replay import open_replay
from engine.simulator.server import serve
from engine.store import Source, Store
from engine.store.export import write_csv
from engine.store.gaps import mark, record_missing
from engine.store.series import candle_series

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from engine.runtime import Engine
    from engine.simulator.server import Running

MINUTE_MS = 60_000
START_MS = 1_733_011_200_000
NAME = "BTCUSDT"


def minute(at: int, close: float = 101.0, *, closed: bool = True, trades: int = 2) -> Candle:
    return Candle(
        START_MS + at * MINUTE_MS, 100.0, 110.0, 90.0, close, 0.1, 10.1, trades, 0.05, 5.05, closed
    )


def bar(at: int, close: float, *, closed: bool = True) -> Candle:
    return Candle(
        START_MS + at * 15 * MINUTE_MS, 1.0, 200.0, 0.5, close, 9.0, 9.0, 9, closed=closed
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "data", source="live") as opened:
        opened.writer._gather_s = 0.005
        yield opened


@pytest.fixture
def board() -> Board:
    made = Board()
    made.series_of(NAME, "15m")
    return made


@pytest.fixture
async def resampler(store: Store, board: Board) -> AsyncIterator[Resampler]:
    made = Resampler(store.reader, board, lambda: START_MS + 100 * MINUTE_MS)
    yield made
    await made.close()


def put(store: Store, candles: list[Candle], interval: str = "1m") -> None:
    store.writer.put_candles(NAME, interval, candles, Source.REST).result(10)


# --- the series -----------------------------------------------------------------------------------


def test_the_exchanges_candle_wins_by_open_time() -> None:
    series = Series(NAME, parse_interval("15m"))
    series.merge([bar(0, 1.0)], 1)
    series.merge_made([bar(0, 2.0), bar(1, 2.0), bar(2, 2.0)], 2)
    assert [candle.close for candle in series.candles] == [1.0, 2.0, 2.0]
    assert not series.put_made(bar(0, 3.0), 3)
    assert series.put(bar(1, 4.0), 4)
    assert not series.put_made(bar(1, 5.0), 5)
    assert series.put_made(bar(2, 6.0), 6)
    assert [candle.close for candle in series.candles] == [1.0, 4.0, 6.0]
    assert [series.is_made(candle.open_time_ms) for candle in series.candles] == [
        False, False, True
    ]  # fmt: skip


def test_an_open_one_of_the_exchange_gives_way_to_a_closed_made_one_only() -> None:
    series = Series(NAME, parse_interval("15m"))
    series.put(bar(0, 1.0, closed=False), 1)
    assert not series.put_made(bar(0, 2.0, closed=False), 2)
    assert series.put_made(bar(0, 3.0), 3)
    assert series.put(bar(0, 4.0), 4)
    assert not series.put_made(bar(0, 5.0), 5)


# --- the live bar ---------------------------------------------------------------------------------


async def test_a_chart_shows_stored_minutes_at_once_and_then_every_push(
    store: Store, board: Board, resampler: Resampler
) -> None:
    parts = [minute(at, 100.0 + at % 10) for at in range(97)]
    put(store, parts)
    await resampler.open(NAME, "15m")
    series = board.series[NAME, "15m"]
    assert series.candles == resample(parts, INTERVALS["15m"], complete_only=False)
    for at in range(97, 125):
        for close in (91.0, 109.5):
            opened = minute(at, close, closed=False)
            revision = board.revision
            board.set_candle(NAME, "1m", opened)
            assert board.revision == revision + 1
            expected = resample([*parts, opened], INTERVALS["15m"], complete_only=False)
            assert series.candles == expected
        parts.append(minute(at, 105.0))
        board.set_candle(NAME, "1m", parts[-1])
        assert series.candles == resample(parts, INTERVALS["15m"], complete_only=False)


async def test_minutes_that_were_missed_come_from_the_store(
    store: Store,
    board: Board,
    resampler: Resampler,
    eventually: Callable[..., Awaitable[Any]],
) -> None:
    put(store, [minute(at) for at in range(92)])
    await resampler.open(NAME, "15m")
    series = board.series[NAME, "15m"]
    board.set_candle(NAME, "1m", minute(94, 108.0))
    assert series.candles[-1].trades == 6
    put(store, [minute(at) for at in (92, 93)])
    board.set_candle(NAME, "1m", minute(95, 109.0))
    await eventually(lambda: series.candles[-1].trades == 12)
    assert series.candles[-1].close == 109.0


async def test_a_bar_over_a_hole_of_the_exchange_closes_incomplete(
    store: Store,
    board: Board,
    resampler: Resampler,
    eventually: Callable[..., Awaitable[Any]],
) -> None:
    hole = (minute(80).open_time_ms, minute(83).open_time_ms)
    parts = [minute(at) for at in range(88) if not 80 <= at < 83]
    put(store, parts)
    store.writer.run(
        lambda connection: record_missing(connection, NAME, "1m", *hole, 0, reason="lost")
    ).result(10)
    store.writer.run(
        lambda connection: mark(connection, NAME, "1m", *hole, "exchange_hole", 0)
    ).result(10)
    await resampler.open(NAME, "15m")
    series = board.series[NAME, "15m"]
    for at in range(88, 92):
        put(store, [minute(at)])
        board.set_candle(NAME, "1m", minute(at))
    await eventually(lambda: series.candles[5].closed)
    made = candle_series(store.reader, NAME, "15m")
    assert series.candles[:6] == made[:6]
    assert [candle.complete for candle in series.candles] == [*([True] * 5), False, True]


async def test_a_minute_that_is_pushed_again_with_other_values_counts(
    store: Store,
    board: Board,
    resampler: Resampler,
    eventually: Callable[..., Awaitable[Any]],
) -> None:
    put(store, [minute(at) for at in range(92)])
    await resampler.open(NAME, "15m")
    series = board.series[NAME, "15m"]
    board.set_candle(NAME, "1m", minute(92))
    board.set_candle(NAME, "1m", replace(minute(92), trades=5, close=104.0))
    await eventually(lambda: series.candles[-1].trades == 9)
    assert series.candles[-1].close == 104.0


async def test_the_live_bar_of_the_exchange_is_left_alone(
    store: Store, board: Board, resampler: Resampler
) -> None:
    put(store, [minute(at) for at in range(92)])
    await resampler.open(NAME, "15m")
    board.set_candle(NAME, "15m", bar(6, 77.0, closed=False))
    board.set_candle(NAME, "1m", minute(92, 109.0, closed=False))
    assert board.series[NAME, "15m"].candles[-1].close == 77.0


async def test_a_chart_that_nobody_shows_costs_nothing(
    store: Store, board: Board, resampler: Resampler
) -> None:
    put(store, [minute(at) for at in range(92)])
    await resampler.open(NAME, "15m")
    assert NAME in board.minute_listeners
    del board.series[NAME, "15m"]
    board.set_candle(NAME, "1m", minute(92))
    assert not board.minute_listeners


async def test_older_bars_are_joined_and_shorter_intervals_refused(
    store: Store, board: Board, resampler: Resampler
) -> None:
    put(store, [minute(at) for at in range(92)])
    board.series[NAME, "15m"].merge([bar(4, 1.0)], 1)
    await resampler.older(NAME, "15m", START_MS + 60 * MINUTE_MS)
    assert len(board.series[NAME, "15m"].candles) == 5
    board.series_of(NAME, "1s")
    await resampler.open(NAME, "1s")
    assert board.series[NAME, "1s"].candles == []
    assert not board.minute_listeners


# --- differences ----------------------------------------------------------------------------------


def noted(store: Store) -> list[int]:
    rows = store.reader.query("SELECT open_time_ms FROM resample_difference ORDER BY 1")
    return [(row["open_time_ms"] - START_MS) // (15 * MINUTE_MS) for row in rows]


async def test_differences_are_noted_once(
    store: Store, eventually: Callable[..., Awaitable[Any]]
) -> None:
    parts = [minute(at) for at in range(75)]
    put(store, parts[:70])
    own = resample(parts, INTERVALS["15m"])
    own[1] = replace(own[1], close=99.0)
    own[2] = replace(own[2], taker_buy_volume=None)
    put(store, own, "15m")
    log = DifferenceLog(store, every_s=0.01)
    log.stored(NAME, "1m", START_MS, START_MS)
    log.stored(NAME, "15m", own[0].open_time_ms, own[-1].open_time_ms)
    task = asyncio.create_task(log.run())
    await eventually(lambda: log.found == 1)
    assert noted(store) == [1]
    own[4] = replace(own[4], volume=5.0, trades=99)
    put(store, [own[4]], "15m")
    put(store, parts[70:])
    log.stored(NAME, "15m", own[0].open_time_ms, own[-1].open_time_ms)
    await eventually(lambda: log.found == 2)
    assert noted(store) == [1, 4]
    task.cancel()


# --- in the engine --------------------------------------------------------------------------------


async def test_a_chart_of_a_captured_market_needs_no_rest(
    exchange_at: Callable[[float], Awaitable[Running]],
    engine_on: Callable[..., Awaitable[Engine]],
    eventually: Callable[..., Awaitable[Any]],
) -> None:
    running = await exchange_at(60.0)
    engine = await engine_on(running, 60.0)
    await eventually(lambda: engine.state == "running")
    running.faults.rest_status = 503
    engine.subscriptions.lease(1, Lease("BTCUSDT", "15m"))
    series = engine.board.series["BTCUSDT", "15m"]
    await eventually(lambda: len(series.candles) > 20)
    assert any(series.is_made(candle.open_time_ms) for candle in series.candles)
    last = series.candles[-1]
    await eventually(lambda: series.candles[-1] != last)
    bars = series.candles[-12:-2]
    truth = await running.exchange.candles(
        "BTCUSDT", INTERVALS["15m"], bars[0].open_time_ms, bars[-1].open_time_ms, 500
    )
    assert bars == truth
    running.faults.rest_status = None


async def test_an_interval_that_the_source_lacks_is_said(
    tmp_path: Path,
    engine_on: Callable[..., Awaitable[Engine]],
    eventually: Callable[..., Awaitable[Any]],
) -> None:
    file = tmp_path / "BTCUSDT_1m.csv"
    with file.open("w") as out:
        write_csv([minute(at) for at in range(600)], "1m", out)
    async with serve(open_replay([file], start=None, start_ms=None), speed=60.0) as running:
        engine = await engine_on(running, 60.0, symbols=("BTCUSDT",))
        await eventually(lambda: engine.state == "running")
        engine.subscriptions.lease(1, Lease("BTCUSDT", "1s"))
        series = engine.board.series["BTCUSDT", "1s"]
        await eventually(lambda: series.absence == "the source has no 1s candles")
        assert not series.note
        await engine.close()
