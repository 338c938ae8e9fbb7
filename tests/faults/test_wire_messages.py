"""Cases 28 to 30 of the forty: frames that are broken, absurd, or no data at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.market.interval import INTERVALS, MINUTE_MS
from engine.service.figures import status_section
from engine.simulator import wire
from engine.simulator.limits import Limits

pytestmark = pytest.mark.faults

SPEED = 200.0
STREAM = "btcusdt@kline_1m"


async def minutes_pass(running, eventually, minutes: int) -> None:
    until_ms = running.exchange.now_ms + minutes * MINUTE_MS
    await eventually(lambda: running.exchange.now_ms >= until_ms)


GARBAGE = {
    "truncated": '{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":17950000',
    "nan": '{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":NaN}}',
    "bare nan": "NaN",
    "empty": "",
    "binary that is not UTF-8": b"\xff\xfe\x00{",
    "deep nesting": "[" * 2000 + "]" * 2000,
    "deep objects": '{"a":' * 2000 + "1" + "}" * 2000,
    "2 MiB": json.dumps({"stream": STREAM, "data": {"e": "kline", "pad": "x" * (2 << 20)}}),
    "not an object": '"kline"',
}


@pytest.mark.parametrize("kind", GARBAGE)
async def test_case_28_one_broken_frame_ends_nothing(
    kind, bounded, started, eventually, stored_equals_truth
) -> None:
    running, engine = await started()
    before = engine.supervisor.stats
    running.faults.send_raw(GARBAGE[kind], 3)
    await eventually(lambda: engine.supervisor.stats.messages >= before.messages + 3)
    await minutes_pass(running, eventually, 3)
    await stored_equals_truth(engine, running)
    after = engine.supervisor.stats
    assert after.reconnects == 0
    assert after.handler_failures == 0
    assert after.bad + after.unknown >= 3
    bounded(engine, 5)


async def test_case_28_a_text_frame_that_is_not_utf_8_costs_one_connection_at_most(
    bounded, started, eventually, stored_equals_truth
) -> None:
    running, engine = await started()
    running.faults.send_raw(b'{"stream":"\xff\xfe"}', as_text=True)
    await minutes_pass(running, eventually, 3)
    await stored_equals_truth(engine, running)
    assert engine.supervisor.stats.reconnects <= 1
    bounded(engine, 5)


def without(name: str) -> Any:
    return lambda kline: kline.pop(name)


def having(**values: Any) -> Any:
    return lambda kline: kline.update(values)


ABSURD = {
    "no open time": without("t"),
    "no close flag": without("x"),
    "no volume": without("v"),
    "text NaN": having(c="NaN"),
    "empty text": having(o=""),
    "negative": having(l="-1"),
    "huge volume": having(v="1e30", o="abc"),
    "14 s off the minute (2018)": lambda kline: kline.update(t=kline["t"] + 14_000),
    "high under low": having(h="1.0", l="2.0"),
    "open time as text": having(t="soon"),
    "null": having(q=None),
}
HARMLESS = {
    "a field that nobody knows": having(Z={"more": [1, 2]}),
    "numbers where texts are usual": lambda kline: kline.update(
        {name: float(kline[name]) for name in "ohlcvqVQ"}
    ),
}


async def closed_kline(running, engine) -> tuple[dict[str, Any], int]:
    """A closing push of a minute that the engine has not stored: two hours before the start."""
    first_ms = running.exchange.source.start_ms // MINUTE_MS * MINUTE_MS - 120 * MINUTE_MS
    stored = engine.store.reader.first_open_time("BTCUSDT", "1m")
    assert stored is None or stored > first_ms + MINUTE_MS
    candle = (await running.exchange.candles("BTCUSDT", INTERVALS["1m"], first_ms, first_ms, 1))[0]
    text = wire.kline("BTCUSDT", "1m", candle, first_ms + 59_999, 900_000, first_ms + MINUTE_MS)
    return json.loads(text), first_ms


@pytest.mark.parametrize("kind", ABSURD)
async def test_case_29_absurd_values_are_never_stored(
    kind, bounded, started, eventually, stored_equals_truth
) -> None:
    running, engine = await started(history_days=0.01)
    begin_ms = running.exchange.now_ms // MINUTE_MS * MINUTE_MS
    message, first_ms = await closed_kline(running, engine)
    ABSURD[kind](message["k"])
    before = engine.supervisor.stats
    running.exchange.hub.publish(STREAM, json.dumps(message).encode())
    await minutes_pass(running, eventually, 3)
    reader = engine.store.reader
    # What is there by now came from REST, which was asked about the minute of the odd frame.
    until_ms = first_ms + 2 * MINUTE_MS
    true = await running.exchange.candles("BTCUSDT", INTERVALS["1m"], first_ms, until_ms - 1, 10)
    assert set(reader.candles("BTCUSDT", "1m", end_ms=until_ms)) <= set(true)
    kept = reader.query("SELECT count(*) AS rows FROM quarantine")[0]["rows"]
    assert kept >= 1
    after = engine.supervisor.stats
    assert (after.reconnects, after.handler_failures) == (before.reconnects, 0)
    await stored_equals_truth(engine, running, start_ms=begin_ms)
    bounded(engine, 5)


@pytest.mark.parametrize("kind", HARMLESS)
async def test_case_29_what_can_be_understood_is_stored(
    kind, bounded, started, eventually, stored_equals_truth
) -> None:
    running, engine = await started(history_days=0.01)
    message, first_ms = await closed_kline(running, engine)
    HARMLESS[kind](message["k"])
    running.exchange.hub.publish(STREAM, json.dumps(message).encode())
    await eventually(
        lambda: engine.store.reader.candles("BTCUSDT", "1m", end_ms=first_ms + MINUTE_MS)
    )
    await stored_equals_truth(engine, running, ("BTCUSDT",), first_ms, first_ms + MINUTE_MS)
    bounded(engine, 5)


async def test_case_30_answers_and_errors_are_no_data(
    bounded, started, eventually, stored_equals_truth
) -> None:
    running, engine = await started()
    frames = (
        '{"error":{"code":3,"msg":"Invalid JSON"}}',
        '{"code":2,"msg":"Invalid request"}',
        '{"code":2,"msg":"Invalid request","id":123456}',
        '{"result":null,"id":1}',
        '{"result":null,"id":999999}',
        '{"result":["btcusdt@trade"],"id":"abc"}',
        '{"id":null,"result":null}',
    )
    for frame in frames:
        running.faults.send_raw(frame, 2)
    await minutes_pass(running, eventually, 3)
    await stored_equals_truth(engine, running)
    stats = engine.supervisor.stats
    assert (stats.reconnects, stats.handler_failures) == (0, 0)
    assert status_section(engine).connection == "live"
    bounded(engine, 5)


async def test_case_30_too_many_subscriptions_are_told_and_repaired_by_rest(
    bounded, exchange_of, engine_on, eventually, stored_equals_truth
) -> None:
    running = await exchange_of(limits=Limits(most_streams=1))
    engine = await engine_on(running, SPEED)
    await eventually(lambda: engine.supervisor.stats.refused >= 1)
    await eventually(lambda: "refused" in status_section(engine).connection_note)
    await minutes_pass(running, eventually, 4)
    (promise,) = engine.store.reader.query("SELECT max(from_ms) AS from_ms FROM captured")
    await stored_equals_truth(engine, running, start_ms=promise["from_ms"])
    bounded(engine, 30)
