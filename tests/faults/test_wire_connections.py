"""Cases 1 to 8 of the forty: connections that break, stay silent, are renewed or refused."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace as with_fields

import pytest
from msgspec.structs import replace

from engine.market.interval import INTERVALS, MINUTE_MS
from engine.service.figures import status_section
from engine.simulator import wire
from engine.simulator.limits import Limits

pytestmark = pytest.mark.faults

SPEED = 200.0
HOUR_MS = 60 * MINUTE_MS


def connection(engine) -> str:
    return status_section(engine).connection


def sources(engine, start_ms: int) -> set[int]:
    rows = engine.store.reader.query(
        "SELECT DISTINCT source FROM candle WHERE open_time_ms >= ?", (start_ms,)
    )
    return {row["source"] for row in rows}


async def minutes_pass(running, eventually, minutes: int) -> None:
    until_ms = running.exchange.now_ms + minutes * MINUTE_MS
    await eventually(lambda: running.exchange.now_ms >= until_ms)


async def test_case_01_reset_in_the_middle_of_a_frame(
    bounded, started, eventually, stored_equals_truth
) -> None:
    running, engine = await started()
    for _ in range(3):
        lives = engine.supervisor.stats.reconnects
        assert running.faults.reset_mid_frame() >= 1
        await eventually(lambda: engine.supervisor.stats.reconnects > lives)  # noqa: B023
        await eventually(lambda: connection(engine) == "live")
    await minutes_pass(running, eventually, 3)
    await stored_equals_truth(engine, running)
    bounded(engine, 12)


@pytest.mark.parametrize("code", [1000, 1001, 1008])
async def test_case_02_fifty_unread_frames_before_a_close_frame(
    code, bounded, exchange_of, engine_on, eventually, stored_equals_truth
) -> None:
    running = await exchange_of()
    engine = await engine_on(running, SPEED, history_days=0.005)
    await eventually(lambda: engine.state == "running")
    await eventually(lambda: engine.collector.closed_seen >= 2)
    exchange = running.exchange
    exchange.clock.stop()
    await asyncio.sleep(0.2)
    end_ms = exchange.now_ms // MINUTE_MS * MINUTE_MS - HOUR_MS
    older = await exchange.candles("BTCUSDT", INTERVALS["1m"], end_ms - 50 * MINUTE_MS, end_ms, 50)
    # Only the stream can bring them: REST answers nothing from here on.
    running.faults.rest_answer(500)
    running.faults.close_connections(code, unread=50)
    for candle in older:
        close_ms = candle.open_time_ms + MINUTE_MS - 1
        text = wire.kline("BTCUSDT", "1m", candle, close_ms, 9_000_000, close_ms + 1)
        exchange.hub.publish("btcusdt@kline_1m", text)

    def stored() -> list:
        first, last = older[0].open_time_ms, older[-1].open_time_ms
        return engine.store.reader.candles("BTCUSDT", "1m", start_ms=first, end_ms=last + 1)

    await eventually(lambda: len(stored()) == 50)
    assert stored() == older
    await eventually(lambda: engine.supervisor.stats.reconnects >= 1)
    running.faults.clear_rest()
    exchange.clock.resume()
    await eventually(lambda: connection(engine) == "live")
    await minutes_pass(running, eventually, 2)
    await stored_equals_truth(engine, running, start_ms=end_ms + HOUR_MS)
    bounded(engine, 12)


async def test_case_03_the_24_hour_cut_with_overlap_loses_nothing(
    bounded, started, eventually, stored_equals_truth, quick_limits
) -> None:
    running, engine = await started(
        limits=replace(quick_limits, renew_s=1.2, overlap_s=0.3),
        exchange={"limits": Limits(life_s=2.5)},
    )
    begin_ms = running.exchange.now_ms // MINUTE_MS * MINUTE_MS + MINUTE_MS
    await eventually(lambda: engine.supervisor.stats.renewals >= 4)
    stats = engine.supervisor.stats
    assert stats.reconnects == 0
    await stored_equals_truth(engine, running)
    # REST repaired nothing: the stream brought each of them.
    assert sources(engine, begin_ms) == {1}
    bounded(engine, 12)


@pytest.mark.parametrize("cut_after_s", [0.0, 1.5])
async def test_case_04_server_shutdown_then_cut(
    cut_after_s, bounded, started, eventually, stored_equals_truth
) -> None:
    running, engine = await started()
    begin_ms = running.exchange.now_ms // MINUTE_MS * MINUTE_MS + MINUTE_MS
    told = list(running.faults.connections)
    running.faults.shutdown_notice()
    await asyncio.sleep(cut_after_s)
    for peer in told:
        peer.abort()
    await minutes_pass(running, eventually, 5)
    await eventually(lambda: connection(engine) == "live")
    assert not set(told) & running.faults.connections
    await stored_equals_truth(engine, running)
    if cut_after_s:
        assert engine.supervisor.stats.renewals >= 1
        assert engine.supervisor.stats.reconnects == 0
        assert sources(engine, begin_ms) == {1}
    bounded(engine, 12)


async def test_case_05_silence_on_an_open_socket(
    bounded, started, eventually, stored_equals_truth, quick_limits
) -> None:
    # The wall's 15 s before a silent connection is left are 0.6 s here.
    running, engine = await started(limits=replace(quick_limits, silence_s=0.6, stale_s=0.3))
    running.faults.silent = True
    silent_ms = running.exchange.now_ms
    await eventually(lambda: connection(engine) == "stale")
    await eventually(lambda: engine.supervisor.stats.reconnects >= 1)
    assert running.exchange.now_ms - silent_ms > 75_000
    running.faults.silent = False
    await eventually(lambda: connection(engine) == "live")
    await minutes_pass(running, eventually, 3)
    await stored_equals_truth(engine, running)
    bounded(engine, 30)


@pytest.mark.parametrize("outage_s", [20, 600, 12 * 3600])
async def test_case_06_outages_of_any_length_end_by_themselves(
    outage_s, bounded, started, eventually, stored_equals_truth
) -> None:
    running, engine = await started(exchange={"activity": 0.1})
    running.faults.rest_answer(503)
    running.faults.refuse_connections(3600)
    running.faults.drop_connections()
    await eventually(lambda: connection(engine) == "offline")
    running.exchange.clock.skip(outage_s * 1000)
    await minutes_pass(running, eventually, 2)
    running.faults.refuse_connections(0)
    running.faults.clear_rest()
    await eventually(lambda: connection(engine) == "live")
    await minutes_pass(running, eventually, 2)
    await stored_equals_truth(engine, running)
    states = engine.store.reader.gap_counts()
    assert states.get("open", 0) == 0
    bounded(engine, 80)


async def test_case_07_refused_until_somebody_listens(
    bounded, exchange_of, engine_on, eventually, stored_equals_truth
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    here = await exchange_of()
    urls = {"rest_url": f"http://127.0.0.1:{port}", "stream_url": f"ws://127.0.0.1:{port}"}
    engine = await engine_on(with_fields(here, **urls), SPEED)
    await eventually(lambda: connection(engine) == "offline")
    assert "nothing listens" in status_section(engine).connection_note
    running = await exchange_of(port=port)
    await eventually(lambda: engine.state == "running")
    await eventually(lambda: connection(engine) == "live")
    await minutes_pass(running, eventually, 3)
    await stored_equals_truth(engine, running)
    bounded(engine, 120)


@pytest.mark.parametrize("kind", ["dns", "tls"])
async def test_case_07_failures_of_name_and_tls_are_told_and_bounded(
    kind, bounded, exchange_of, engine_on, eventually
) -> None:
    running = await exchange_of()
    port = running.stream_url.rsplit(":", 1)[1]
    url = {"dns": "wss://streams.invalid", "tls": f"wss://127.0.0.1:{port}"}[kind]
    engine = await engine_on(with_fields(running, stream_url=url), SPEED)
    await eventually(lambda: connection(engine) == "offline")
    note = status_section(engine).connection_note
    assert {"dns": "streams.invalid", "tls": "No secure connection"}[kind] in note
    tried = engine.supervisor.stats.attempts
    await eventually(lambda: engine.supervisor.stats.attempts > tried)
    await asyncio.wait_for(engine.close(), 60)
    bounded(engine, 150)


@pytest.mark.parametrize("status", [403, 451])
async def test_case_08_refused_by_firewall_or_region(
    status, bounded, started, eventually, stored_equals_truth
) -> None:
    running, engine = await started()
    running.faults.rest_answer(status)
    running.faults.refuse_connections(3600, status)
    running.faults.drop_connections()
    await eventually(lambda: connection(engine) == "offline")
    assert str(status) in status_section(engine).connection_note
    await minutes_pass(running, eventually, 2)
    running.faults.clear_rest()
    running.faults.refuse_connections(0)
    await eventually(lambda: connection(engine) == "live")
    await minutes_pass(running, eventually, 2)
    await stored_equals_truth(engine, running)
    bounded(engine, 80)
