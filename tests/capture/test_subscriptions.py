"""Leases decide which streams the exchange sends; nothing that is looked at has holes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from engine.capture import subscriptions
from engine.capture.subscriptions import Lease
from engine.market.interval import INTERVALS, MINUTE_MS
from engine.runtime import Engine
from engine.simulator.server import Running
from engine.store import Source

SPEED = 60.0
WATCHED = {"btcusdt@kline_1m", "btcusdt@ticker"}
LOOKED_AT = {
    "ltcusdt@kline_5m", "ltcusdt@ticker", "ltcusdt@trade", "ltcusdt@depth@100ms"
}  # fmt: skip


def streams(running: Running) -> set[str]:
    """What the exchange sends."""
    return {name for connection in running.faults.connections for name in connection.streams}


def is_whole(engine: Engine, symbol: str, interval: str, rows: int) -> bool:
    series = engine.board.series.get((symbol, interval))
    if series is None or len(series.candles) < rows:
        return False
    times = [candle.open_time_ms for candle in series.candles]
    step_ms = INTERVALS[interval].length_ms
    return all(b - a == step_ms for a, b in itertools.pairwise(times))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "LINGER_S", 0.3)
    monkeypatch.setattr(subscriptions, "REFRESH_EVERY_S", 0.05)


@pytest.fixture
async def started(quick, exchange_at, engine_on) -> tuple[Running, Engine]:
    running = await exchange_at(SPEED)
    return running, await engine_on(running, SPEED, symbols=("BTCUSDT",))


async def test_a_lease_opens_its_streams_and_their_end_lingers(started: Any, eventually) -> None:
    running, engine = started
    await eventually(lambda: streams(running) == WATCHED)
    engine.subscriptions.lease(1, Lease("LTCUSDT", "5m"))
    await eventually(lambda: streams(running) == WATCHED | LOOKED_AT)
    engine.subscriptions.lease(2, Lease("LTCUSDT", "5m"))
    engine.subscriptions.release(1)
    engine.subscriptions.refresh()
    assert ("LTCUSDT", "5m") in engine.board.series
    engine.subscriptions.release(2)
    engine.subscriptions.refresh()
    assert "LTCUSDT" in engine.collector.books
    await eventually(lambda: streams(running) == WATCHED)
    assert engine.collector.books == {}
    assert list(engine.board.series) == [("BTCUSDT", "1m")]


async def test_a_second_viewer_keeps_a_stream_that_the_first_left(started: Any, eventually) -> None:
    running, engine = started
    engine.subscriptions.lease(1, Lease("LTCUSDT", "5m"))
    engine.subscriptions.lease(2, Lease("LTCUSDT", "5m"))
    engine.subscriptions.release(1)
    engine.subscriptions.lease(3, Lease("LTCUSDT", "15m"))
    engine.subscriptions.release(3)
    await eventually(lambda: ("LTCUSDT", "15m") not in engine.board.series)
    await eventually(lambda: streams(running) == WATCHED | LOOKED_AT)


async def test_a_lease_of_the_book_alone_opens_the_book_alone(started: Any, eventually) -> None:
    running, engine = started
    engine.subscriptions.lease(-1, Lease("LTCUSDT", None))
    await eventually(lambda: streams(running) == WATCHED | {"ltcusdt@depth@100ms"})
    book = engine.collector.books["LTCUSDT"]
    await eventually(lambda: book.sync.state.value == "synchronised")
    assert ("LTCUSDT", "1m") not in engine.board.series


async def test_a_series_that_was_dropped_is_whole_when_it_is_opened_again(
    started: Any, eventually
) -> None:
    _, engine = started
    key = ("LTCUSDT", "1m")
    engine.subscriptions.lease(1, Lease(*key))
    await eventually(lambda: is_whole(engine, *key, 1_000))
    engine.subscriptions.release(1)
    await eventually(lambda: key not in engine.board.series)
    last = engine.store.reader.last_open_time(*key)
    await eventually(lambda: engine.clock.now_ms() > last + 3 * MINUTE_MS)
    engine.subscriptions.lease(1, Lease(*key))
    newest = engine.clock.now_ms() // MINUTE_MS * MINUTE_MS
    await eventually(
        lambda: (
            is_whole(engine, *key, 1_000)
            and engine.board.series[key].candles[-1].open_time_ms > newest
        )
    )
    assert engine.board.series[key].note == ""
    assert engine.store.reader.gap_counts()["filled"] == 0


async def test_the_candle_that_closed_while_a_first_subscription_was_made_is_fetched(
    started: Any, eventually
) -> None:
    _, engine = started
    await eventually(lambda: engine.state == "running")
    engine.openings.opened(frozenset({"ltcusdt@kline_1m"}), "newly subscribed")
    await eventually(lambda: engine.store.reader.last_open_time("LTCUSDT", "1m"))
    assert engine.store.reader.gap_counts()["filled"] == 0


async def test_older_candles_come_page_by_page_down_to_the_listing(
    started: Any, eventually, pair_market
) -> None:
    _, engine = started
    key = ("LTCUSDT", "1h")
    engine.subscriptions.lease(1, Lease(*key))
    await eventually(lambda: is_whole(engine, *key, 190))
    listed_ms = pair_market.history(*_args(key), None, pair_market.start_ms, 1_000)[0].open_time_ms
    series = engine.board.series[key]
    assert series.first_open_time_ms == listed_ms
    assert not series.is_oldest
    engine.subscriptions.load_older(*key)
    engine.subscriptions.load_older(*key)
    await eventually(lambda: series.is_oldest)


async def test_a_page_that_failed_is_not_the_oldest(started: Any, eventually) -> None:
    running, engine = started
    key = ("LTCUSDT", "1m")
    engine.subscriptions.lease(1, Lease(*key))
    await eventually(lambda: is_whole(engine, *key, 1_000))
    series = engine.board.series[key]
    running.faults.rest_status = 400
    engine.subscriptions.load_older(*key)
    await eventually(lambda: "400" in series.note)
    assert not series.is_oldest
    running.faults.rest_status = None
    engine.subscriptions.load_older(*key)
    await eventually(lambda: is_whole(engine, *key, 2_000))


async def test_an_import_of_long_ago_does_not_stand_beside_today(
    started: Any, eventually, pair_market
) -> None:
    _, engine = started
    key = ("LTCUSDT", "1m")
    old = pair_market.history(*_args(key), None, pair_market.start_ms - 6 * 86_400_000, 100)
    engine.store.writer.put_candles(*key, old, Source.IMPORT)
    engine.store.writer.flush()
    engine.subscriptions.lease(1, Lease(*key))
    await eventually(lambda: is_whole(engine, *key, 1_000))


async def test_an_unknown_market_is_told_in_its_chart(started: Any, eventually) -> None:
    _, engine = started
    engine.subscriptions.lease(1, Lease("NOSUCHUSDT", "1m"))
    series = engine.board.series["NOSUCHUSDT", "1m"]
    await eventually(lambda: "NOSUCHUSDT" in series.note)


async def test_captured_markets_stream_without_a_series_in_memory(
    quick, exchange_at, engine_on, eventually
) -> None:
    running = await exchange_at(SPEED)
    engine = await engine_on(running, SPEED, symbols=("BTCUSDT",), markets=("all",))
    captured = WATCHED | {"ltcusdt@kline_1m", "!miniTicker@arr"}
    await eventually(lambda: streams(running) == captured)
    await eventually(lambda: engine.board.symbols.get("LTCUSDT") is not None)
    await eventually(lambda: engine.store.reader.last_open_time("LTCUSDT", "1m"))
    assert list(engine.board.series) == [("BTCUSDT", "1m")]
    assert engine.board.symbol("LTCUSDT").last is not None
    engine.subscriptions.lease(1, Lease("LTCUSDT", "1m"))
    assert engine.board.series["LTCUSDT", "1m"].candles
    await eventually(lambda: streams(running) == captured | {
        "ltcusdt@ticker", "ltcusdt@trade", "ltcusdt@depth@100ms"
    })  # fmt: skip
    engine.subscriptions.release(1)
    await eventually(lambda: streams(running) == captured)
    assert list(engine.board.series) == [("BTCUSDT", "1m")]


async def test_the_supervisor_is_told_only_what_changed(
    started: Any, eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, engine = started
    await eventually(lambda: engine.state == "running" and streams(running) == WATCHED)
    told: list[set[str]] = []
    want = engine.supervisor.want
    monkeypatch.setattr(
        engine.supervisor, "want", lambda names: told.append(set(names)) or want(names)
    )
    for _ in range(5):
        engine.subscriptions.refresh()
    assert told == []
    engine.subscriptions.lease(1, Lease("LTCUSDT", None))
    assert told == [WATCHED | {"ltcusdt@depth@100ms"}]


def _args(key: tuple[str, str]) -> tuple[str, Any]:
    return key[0], INTERVALS[key[1]]
