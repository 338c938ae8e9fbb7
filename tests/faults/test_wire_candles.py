"""Cases of candles on the wire: late, out of order, without trades, in bursts, of odd markets."""

from __future__ import annotations

import time

import pytest

from engine.market.interval import INTERVALS, MINUTE_MS
from engine.market.symbol import SymbolInfo
from engine.simulator import wire
from engine.simulator.limits import Limits
from engine.simulator.load import publish_burst

pytestmark = pytest.mark.faults

SPEED = 200.0
ODD = "币安人生USDT"


async def minutes_pass(running, eventually, minutes: int) -> None:
    until_ms = running.exchange.now_ms + minutes * MINUTE_MS
    await eventually(lambda: running.exchange.now_ms >= until_ms)


def stored_times(engine, symbol: str, from_ms: int) -> list[int]:
    rows = engine.store.reader.candles(symbol, "1m", start_ms=from_ms)
    return [row.open_time_ms for row in rows]


@pytest.mark.parametrize("by_ms", [2_400, 70_000, 150_000])
async def test_case_11_closes_that_come_late_and_out_of_order(
    by_ms, bounded, started, eventually, stored_equals_truth
) -> None:
    running, engine = await started()
    for _ in range(3):
        running.faults.late_close("*", "1m", 2, by_ms)
        await minutes_pass(running, eventually, 3)
    await minutes_pass(running, eventually, 4)
    await stored_equals_truth(engine, running)
    assert engine.supervisor.stats.reconnects == 0
    bounded(engine, 5)


async def test_case_12_minutes_without_a_trade(
    bounded, started, eventually, stored_equals_truth
) -> None:
    running, engine = await started(exchange={"activity": 0.02})
    from_ms = running.exchange.now_ms // MINUTE_MS * MINUTE_MS
    # Some minutes close with n=0, others are never pushed at all; REST has every one of them.
    await minutes_pass(running, eventually, 6)
    running.faults.skip_close("LTCUSDT", "1m", 3)
    await minutes_pass(running, eventually, 8)
    await stored_equals_truth(engine, running)
    rows = engine.store.reader.candles("LTCUSDT", "1m", start_ms=from_ms)
    empty = [row for row in rows if row.trades == 0]
    assert empty
    assert all(row.open == row.high == row.low == row.close for row in empty)
    assert all(row.volume == 0 for row in empty)
    bounded(engine, 5)


@pytest.mark.parametrize("count", [101, 770])
async def test_case_19_bursts_of_real_density(
    count, bounded, started, eventually, stored_equals_truth
) -> None:
    running, engine = await started()
    exchange = running.exchange
    before = engine.supervisor.stats
    stream = "btcusdt@kline_1m"
    last = await exchange.candles("BTCUSDT", INTERVALS["1m"], None, None, 1)
    running_kline = wire.kline("BTCUSDT", "1m", last[0], last[0].open_time_ms + 59_999, 1, 1)
    for _ in range(5):
        # One write on the socket: they arrive within a millisecond.
        publish_burst(exchange, stream, [running_kline] * count)
    told = 5 * count
    await eventually(lambda: engine.supervisor.stats.messages - before.messages >= told)
    await minutes_pass(running, eventually, 3)
    await stored_equals_truth(engine, running)
    after = engine.supervisor.stats
    assert (after.bad, after.handler_failures, after.reconnects) == (0, 0, 0)
    bounded(engine, 5)


@pytest.mark.parametrize("change_ms", [-1_270, 3_600_000, -3_600_000])
async def test_case_20_a_wall_clock_that_is_wrong_or_jumps(
    change_ms, bounded, started, eventually, stored_equals_truth, monkeypatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")  # where summer time begins and ends
    time.tzset()
    real_time, real_ns = time.time, time.time_ns
    running, engine = await started()
    monkeypatch.setattr(time, "time", lambda: real_time() + change_ms / 1000)
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + change_ms * 1_000_000)
    await minutes_pass(running, eventually, 4)
    running.faults.drop_connections()
    await minutes_pass(running, eventually, 4)
    assert abs(engine.clock.now_ms() - running.exchange.now_ms) < 60_000
    await stored_equals_truth(engine, running)
    monkeypatch.undo()
    time.tzset()
    bounded(engine, 8)


async def test_case_25_markets_halt_come_back_leave_and_begin(
    bounded, started, eventually, stored_equals_truth
) -> None:
    symbols = ("BTCUSDT", "ETHUSDT", "LTCUSDT")
    running, engine = await started(symbols, symbols=("BTCUSDT",), markets=("all",))
    faults, reader = running.faults, engine.store.reader
    streams = {f"{symbol.lower()}@kline_1m" for symbol in symbols}
    await eventually(lambda: streams <= set(running.exchange.hub.streams))
    flow_ms = (running.exchange.now_ms // MINUTE_MS + 1) * MINUTE_MS
    await minutes_pass(running, eventually, 3)
    halted_ms = running.exchange.now_ms
    faults.set_status("LTCUSDT", "BREAK")
    faults.list_symbol(SymbolInfo("ADAUSDT", "ADA", "USDT", "TRADING"))
    await minutes_pass(running, eventually, 8)
    faults.set_status("LTCUSDT", "TRADING")
    await eventually(lambda: engine.roster.is_trading("ADAUSDT"), 30.0)
    listed_ms = running.exchange.now_ms // MINUTE_MS * MINUTE_MS
    # A renamed market is one that leaves and another that begins.
    faults.delist("ETHUSDT")
    faults.list_symbol(SymbolInfo("ETH2USDT", "ETH2", "USDT", "TRADING"))
    await eventually(lambda: not engine.roster.is_trading("ETHUSDT"), 30.0)
    await eventually(lambda: engine.roster.is_trading("ETH2USDT"), 30.0)
    await minutes_pass(running, eventually, 4)
    await stored_equals_truth(engine, running, symbols, flow_ms)
    renamed_ms = running.exchange.now_ms // MINUTE_MS * MINUTE_MS
    await minutes_pass(running, eventually, 4)
    await stored_equals_truth(engine, running, ("ADAUSDT",), listed_ms)
    await stored_equals_truth(engine, running, ("ETH2USDT",), renamed_ms)
    halted = reader.candles("LTCUSDT", "1m", start_ms=halted_ms, end_ms=halted_ms + 7 * MINUTE_MS)
    assert len(halted) <= 1
    bounded(engine, 8)


async def test_case_27_a_symbol_outside_ascii(
    bounded, started, eventually, stored_equals_truth
) -> None:
    running, engine = await started((ODD, "BTCUSDT"))
    running.faults.drop_connections()
    await minutes_pass(running, eventually, 5)
    await stored_equals_truth(engine, running, (ODD, "BTCUSDT"))
    assert engine.store.reader.last_open_time(ODD, "1m") is not None
    assert engine.supervisor.stats.bad == 0
    bounded(engine, 6)


async def test_case_40_a_hundred_markets_at_once_inside_the_limits(
    bounded, exchange_of, engine_on, eventually, stored_equals_truth
) -> None:
    names = ("BTCUSDT", *(f"M{number:02d}USDT" for number in range(99)))
    limits = Limits(most_commands_per_s=5, most_connects=20)
    running = await exchange_of(names, speed=30.0, activity=0.05, limits=limits)
    engine = await engine_on(
        running, 30.0, symbols=("BTCUSDT",), markets=("all",), history_days=0.05
    )
    streams = {f"{name.lower()}@kline_1m" for name in names}
    await eventually(lambda: streams <= set(running.exchange.hub.streams), 30.0)
    flow_ms = (running.exchange.now_ms // MINUTE_MS + 1) * MINUTE_MS
    until_ms = flow_ms + 2 * MINUTE_MS
    await eventually(lambda: running.exchange.now_ms > until_ms, 30.0)
    await stored_equals_truth(engine, running, names, flow_ms, until_ms)
    stats = engine.supervisor.stats
    # The exchange cuts who sends more than five messages a second or connects too often.
    assert (stats.reconnects, stats.failed_attempts) == (0, 0)
    used, limit = engine.rest.budget.used
    assert used <= limit
    # The exchange with its hundred markets lives in this process, too.
    bounded(engine, 8, most_mb=500)
