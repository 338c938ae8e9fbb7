"""The engine loses its streams, its REST or both, and afterwards no closed candle is missing."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from engine.capture import history
from engine.market.candle import Candle
from engine.market.interval import INTERVALS, MINUTE_MS
from engine.runtime import Engine
from engine.service.figures import status_section, storage_section
from engine.simulator.server import Running, serve
from engine.store import open_reader

FAST = 200.0
PAIR = ("BTCUSDT", "LTCUSDT")


async def truth(running: Running, symbol: str, first_ms: int, last_ms: int) -> list[Candle]:
    """The exchange's own closed candles with open times from first to last."""
    candles = await running.exchange.candles(symbol, INTERVALS["1m"], first_ms, last_ms, 1_000)
    return [candle for candle in candles if candle.closed]


def last_stored(engine: Engine) -> int:
    return min(engine.store.reader.last_open_time(symbol, "1m") or 0 for symbol in PAIR)


def is_complete(engine: Engine, until_ms: int) -> bool:
    """Whether all minutes before `until_ms` were looked at, and nothing is left to fetch."""
    return (
        engine.ledger.swept_ms >= until_ms
        and engine.history.pending == 0
        and engine.store.reader.gap_counts()["open"] == 0
    )


async def assert_equal_to_the_exchange(engine: Engine, running: Running) -> None:
    reader = engine.store.reader
    for symbol in PAIR:
        stored = reader.candles(symbol, "1m", limit=900)
        first_ms, last_ms = stored[0].open_time_ms, stored[-1].open_time_ms
        assert reader.missing(symbol, "1m", first_ms, last_ms) == []
        assert stored == await truth(running, symbol, first_ms, last_ms)


async def started(exchange_at: Any, engine_on: Any, eventually: Any) -> tuple[Running, Engine]:
    running = await exchange_at(FAST)
    engine = await engine_on(running, FAST)
    await eventually(lambda: engine.state == "running")
    await eventually(lambda: engine.collector.closed_seen >= 4)
    return running, engine


async def test_an_outage_of_the_streams_leaves_no_hole(exchange_at, engine_on, eventually) -> None:
    running, engine = await started(exchange_at, engine_on, eventually)
    running.faults.refuse_connections(1.5)
    assert running.faults.drop_connections() == 1
    before_ms = engine.clock.now_ms()
    await eventually(lambda: status_section(engine).connection == "offline")
    assert "503" in status_section(engine).connection_note
    await eventually(lambda: status_section(engine).connection == "live")
    assert engine.clock.now_ms() - before_ms > 3 * MINUTE_MS
    back_ms = engine.clock.now_ms()
    await eventually(lambda: last_stored(engine) > back_ms + 2 * MINUTE_MS)
    await eventually(lambda: is_complete(engine, back_ms))
    await assert_equal_to_the_exchange(engine, running)
    gaps = engine.store.reader.query("SELECT from_ms, to_ms, state FROM gap")
    assert {gap["state"] for gap in gaps} == {"filled"}
    assert sum(gap["to_ms"] - gap["from_ms"] for gap in gaps) >= 2 * 3 * MINUTE_MS
    await eventually(lambda: storage_section(engine).gaps["filled"] == len(gaps))
    assert storage_section(engine).reconnects == 1
    for name in ("streams", "1"):
        sessions = engine.store.reader.query(
            "SELECT event, reason FROM session WHERE connection = ? ORDER BY id", (name,)
        )
        assert [row["event"] for row in sessions] == ["connect", "disconnect", "connect"]
        assert "503" in sessions[1]["reason"] or "cut" in sessions[1]["reason"]


async def test_rest_that_fails_after_the_outage_is_waited_for(
    exchange_at, engine_on, eventually, monkeypatch
) -> None:
    monkeypatch.setattr(history, "RETRY_FIRST_S", 0.05)
    running, engine = await started(exchange_at, engine_on, eventually)
    running.faults.rest_status = 400
    running.faults.refuse_connections(1.0)
    running.faults.drop_connections()
    await eventually(lambda: status_section(engine).connection == "offline")
    await eventually(lambda: status_section(engine).connection == "live")
    await eventually(lambda: engine.store.reader.gap_counts()["open"] >= 2)
    await eventually(lambda: "400" in storage_section(engine).backfill)
    running.faults.rest_status = None
    back_ms = engine.clock.now_ms()
    await eventually(lambda: is_complete(engine, back_ms))
    await assert_equal_to_the_exchange(engine, running)


async def test_a_silent_server_is_left_and_what_it_kept_back_is_fetched(
    exchange_at, engine_on, eventually, quick_limits
) -> None:
    running = await exchange_at(FAST)
    limits = replace(quick_limits, silence_s=0.6, stale_s=0.3)
    engine = await engine_on(running, FAST, limits=limits)
    await eventually(lambda: engine.state == "running")
    await eventually(lambda: engine.collector.closed_seen >= 4)
    running.faults.silent = True
    await eventually(lambda: status_section(engine).connection == "stale")
    await eventually(lambda: engine.supervisor.stats.reconnects >= 1, 8.0)
    running.faults.silent = False
    await eventually(lambda: status_section(engine).connection == "live")
    back_ms = engine.clock.now_ms()
    await eventually(lambda: last_stored(engine) > back_ms + 2 * MINUTE_MS)
    await eventually(lambda: is_complete(engine, back_ms))
    await assert_equal_to_the_exchange(engine, running)


async def test_a_second_run_goes_on_where_the_first_ended(
    exchange_at, engine_on, eventually, tmp_path: Path
) -> None:
    running, engine = await started(exchange_at, engine_on, eventually)
    await engine.close()
    engine.store.close()
    with contextlib.closing(open_reader(tmp_path / "engine")) as reader:
        stored_before = reader.last_open_time("BTCUSDT", "1m")
    target_ms = running.exchange.now_ms + 4 * MINUTE_MS
    await eventually(lambda: running.exchange.now_ms > target_ms)
    again = await engine_on(running, FAST, history_days=0.001)
    await eventually(lambda: again.state == "running")
    await eventually(lambda: last_stored(again) > target_ms + MINUTE_MS)
    await eventually(lambda: is_complete(again, target_ms))
    await assert_equal_to_the_exchange(again, running)
    gaps = again.store.reader.query(
        "SELECT min(from_ms) AS first, state FROM gap WHERE symbol_id ="
        " (SELECT id FROM symbol WHERE name = 'BTCUSDT') GROUP BY state"
    )
    assert gaps == [{"first": stored_before + MINUTE_MS, "state": "filled"}]


async def test_a_changed_watchlist_survives_until_the_settings_name_another(
    exchange_at, engine_on, eventually
) -> None:
    running = await exchange_at(FAST)
    first = await engine_on(running, FAST, symbols=("BTCUSDT",))
    await eventually(lambda: first.state == "running")
    info = await first.markets.find("LTCUSDT")
    first.watch(info)
    await eventually(lambda: first.store.reader.last_open_time("LTCUSDT", "1m"))
    await first.close()
    first.store.close()
    second = await engine_on(running, FAST, symbols=("BTCUSDT",))
    assert second.board.watchlist == ["BTCUSDT", "LTCUSDT"]
    assert second.board.symbol("LTCUSDT").info is not None
    await second.close()
    second.store.close()
    third = await engine_on(running, FAST, symbols=("LTCUSDT",))
    assert third.board.watchlist == ["LTCUSDT"]


async def test_a_market_that_does_not_exist_is_left_out(exchange_at, engine_on, eventually) -> None:
    running = await exchange_at(FAST)
    engine = await engine_on(running, FAST, symbols=("NOSUCHUSDT", "BTCUSDT"))
    await eventually(lambda: engine.state == "running")
    assert engine.board.watchlist == ["BTCUSDT"]
    texts = [notice.text for notice in engine.notices.after(0)]
    assert any("NOSUCHUSDT" in text for text in texts)
    assert not any("failed" in text for text in texts)


async def test_a_watchlist_that_does_not_exist_is_refused(
    exchange_at, engine_on, eventually
) -> None:
    running = await exchange_at(FAST)
    told: list[str] = []
    await engine_on(running, FAST, symbols=("NOSUCHUSDT",), on_refused=told.append)
    await eventually(lambda: told)
    assert "NOSUCHUSDT" in told[0]


async def test_without_a_network_it_opens_on_what_is_stored(
    pair_market, engine_on, eventually
) -> None:
    async with serve(pair_market, speed=FAST) as running:
        engine = await engine_on(running, FAST)
        await eventually(lambda: engine.state == "running")
        await engine.close()
        engine.store.close()
    offline = await engine_on(running, FAST)
    assert len(offline.board.series["BTCUSDT", "1m"].candles) > 500
    assert offline.board.symbol("BTCUSDT").info is not None
    await eventually(lambda: status_section(offline).connection == "offline")
    assert offline.state == "connecting"
    assert "nothing listens" in status_section(offline).connection_note
    await asyncio.wait_for(offline.close(), 60)
