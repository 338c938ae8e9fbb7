"""Pushed candles: each closed one is stored once, no open one ever, and holes are told."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future
from pathlib import Path

import msgspec
import pytest

from engine.binance.clock import ExchangeClock
from engine.binance.events import KlineEvent
from engine.capture.board import Board
from engine.capture.collector import Collector
from engine.market.candle import Candle
from engine.market.interval import MINUTE_MS
from engine.store import Store

SYMBOL = "BTCUSDT"
STREAM = "btcusdt@kline_1m"
START_MS = 1_795_000_020_000 // MINUTE_MS * MINUTE_MS


def candle(minute: int, close: float = 10.0, *, closed: bool = True, trades: int = 3) -> Candle:
    return Candle(
        START_MS + minute * MINUTE_MS, 10.0, 20.0, 5.0, close, 1.0, 10.0, trades, closed=closed
    )


class Parts:
    """A collector on a real store, and what it told."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.stored: list[int] = []
        self.holes: list[tuple[int, int]] = []
        self.board = Board()
        self.board.series_of(SYMBOL, "1m")
        self.collector = Collector(
            self.board,
            store.writer,
            ExchangeClock(),
            asyncio.get_running_loop(),
            on_stored=lambda *told: self.stored.append((told[2] - START_MS) // MINUTE_MS),
            on_hole=lambda *told: self.holes.append(
                tuple((time_ms - START_MS) // MINUTE_MS for time_ms in told[2:4])
            ),
        )

    def push(self, candle: Candle) -> None:
        event = KlineEvent(SYMBOL, "1m", candle.open_time_ms + MINUTE_MS, candle)
        self.collector.on_event(STREAM, event, 1_795_000_000_000_000_000)

    async def commit(self) -> list[Candle]:
        await asyncio.sleep(0)
        await asyncio.to_thread(self.store.writer.flush)
        await asyncio.sleep(0)
        return self.store.reader.candles(SYMBOL, "1m")


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    with Store.open(tmp_path, source="live") as store:
        store.writer._gather_s = 0.005  # tests wait for most commits one by one
        yield Parts(store)


async def test_a_closed_candle_pushed_twice_is_stored_and_told_once(parts: Parts) -> None:
    parts.push(candle(0))
    parts.push(candle(0))
    assert await parts.commit() == [candle(0)]
    assert parts.stored == [0]
    assert parts.collector.closed_seen == 1
    assert parts.store.reader.count_by_source()["stream"] == 1


async def test_an_open_candle_is_shown_but_never_stored(parts: Parts) -> None:
    parts.push(candle(0, closed=False))
    parts.push(candle(0, 11.0, closed=False))
    assert await parts.commit() == []
    assert parts.stored == []
    assert parts.board.series[SYMBOL, "1m"].candles == [candle(0, 11.0, closed=False)]


async def test_a_closed_candle_that_is_pushed_with_more_trades_replaces_the_first(
    parts: Parts,
) -> None:
    parts.push(candle(0))
    parts.push(candle(0, 12.0, trades=4))
    assert await parts.commit() == [candle(0, 12.0, trades=4)]


async def test_a_hole_between_closed_candles_is_told_once(parts: Parts) -> None:
    parts.push(candle(0))
    parts.push(candle(3))
    parts.push(candle(4))
    parts.push(candle(1))
    assert parts.holes == [(1, 3)]


async def test_after_a_reconnect_the_refill_looks_for_holes(parts: Parts) -> None:
    parts.push(candle(0))
    parts.collector.forget_continuity(SYMBOL, "1m")
    parts.push(candle(3))
    parts.push(candle(5))
    assert parts.holes == [(4, 5)]


async def test_a_candle_that_can_not_be_true_is_asked_for_again(parts: Parts) -> None:
    parts.push(msgspec.structs.replace(candle(0), low=15.0))
    assert await parts.commit() == []
    assert parts.stored == []
    assert parts.holes == [(0, 1)]
    assert parts.store.reader.quarantine_count() == 1


async def test_a_candle_that_the_store_refused_is_counted_and_asked_for_again(
    parts: Parts,
) -> None:
    parts.store.writer.close()
    parts.push(candle(0))
    await asyncio.sleep(0.01)
    assert parts.collector.store_failures == 1
    assert parts.holes == [(0, 1)]


async def test_what_the_writer_did_not_take_is_counted_once(parts: Parts) -> None:
    writer = parts.store.writer
    writer._max_queued_rows = 0
    held, gate = threading.Event(), threading.Event()
    blocked = writer.run(lambda _: (held.set(), gate.wait(60)))
    assert await asyncio.to_thread(held.wait, 10)
    parts.push(candle(0))
    await asyncio.sleep(0.01)
    assert parts.holes == [(0, 1)]
    assert parts.collector.store_failures + writer.counters.refused == 1
    gate.set()
    await asyncio.wrap_future(blocked)


async def test_the_burst_at_a_minutes_end_is_one_commit(parts: Parts) -> None:
    symbols = [f"COIN{number:04d}USDT" for number in range(1_400)]
    before = parts.store.writer.counters.commits
    for symbol in symbols:
        event = KlineEvent(symbol, "1m", START_MS + MINUTE_MS, candle(0))
        parts.collector.on_event(STREAM, event, 1_795_000_000_000_000_000)
    await parts.commit()
    assert parts.store.writer.counters.commits <= before + 2, "the burst, and the flush"
    assert len(parts.stored) == parts.collector.closed_seen == len(symbols)
    assert parts.store.reader.count_by_source()["stream"] == len(symbols)
    assert parts.collector.store_failures == 0


async def test_one_impossible_candle_of_a_burst_keeps_no_other_from_the_store(
    parts: Parts,
) -> None:
    wrong = msgspec.structs.replace(candle(0), low=15.0)
    for symbol, told in (("AUSDT", candle(0)), (SYMBOL, wrong), ("CUSDT", candle(0))):
        event = KlineEvent(symbol, "1m", START_MS + MINUTE_MS, told)
        parts.collector.on_event(STREAM, event, 1_795_000_000_000_000_000)
    assert await parts.commit() == []
    assert parts.stored == [0, 0]
    assert parts.holes == [(0, 1)]
    assert parts.store.reader.count_by_source()["stream"] == 2


async def test_when_a_burst_fails_as_a_whole_each_candle_is_tried_alone(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(closed: object, source: object) -> Future[object]:
        future: Future[object] = Future()
        future.set_exception(sqlite3.IntegrityError("one row is refused"))
        return future

    monkeypatch.setattr(parts.store.writer, "put_closed", fail)
    parts.push(candle(0))
    event = KlineEvent("AUSDT", "1m", START_MS + MINUTE_MS, candle(0))
    parts.collector.on_event(STREAM, event, 1_795_000_000_000_000_000)
    await asyncio.sleep(0.01)
    assert await parts.commit() == [candle(0)]
    assert len(parts.stored) == 2
    assert parts.collector.store_failures == 0
