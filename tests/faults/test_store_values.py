"""Cases 9, 10, 12, 26, 37 and 38: the same minute told twice, otherwise, or not at all."""

from __future__ import annotations

import asyncio
import json

import pytest

from engine.market.candle import Candle
from engine.market.interval import INTERVALS, MINUTE_MS
from engine.simulator import wire
from engine.store import Source, Store, import_kline_file

pytestmark = pytest.mark.faults

FAST = 120.0
PAIR = ("BTCUSDT", "LTCUSDT")


async def begun(started, eventually, **options):
    """An exchange and an engine that has fetched its history and seen candles close."""
    running, engine = await started(speed=FAST, exchange={"activity": 0.1}, **options)
    await eventually(lambda: engine.history.pending == 0)
    return running, engine


async def truth(running, symbol: str, first_ms: int, last_ms: int) -> list[Candle]:
    record: list[Candle] = []
    while first_ms <= last_ms:
        page = await running.exchange.candles(symbol, INTERVALS["1m"], first_ms, last_ms, 1_000)
        record += [candle for candle in page if candle.closed]
        first_ms = page[-1].open_time_ms + MINUTE_MS
    return record


@pytest.fixture
def assert_whole(stored_equals_truth):
    """Return a check: 0 missing, wrong, extra; counters that tell the truth; no reconnect."""

    async def check(engine, running, symbols=PAIR) -> None:
        await stored_equals_truth(engine, running, symbols)
        engine.store.writer.flush()
        reader = engine.store.reader
        [told] = reader.query(
            "SELECT (SELECT count(*) FROM candle) AS rows,"
            " (SELECT sum(value) FROM counter WHERE name <> 'quarantine') AS counted"
        )
        assert told["rows"] == told["counted"]
        gaps = reader.gap_counts()
        assert gaps["exchange_hole"] == gaps["unfillable"] == 0
        assert engine.supervisor.stats.reconnects == 0

    return check


def revisions(engine) -> list[dict]:
    return engine.store.reader.query(
        "SELECT name, open_time_ms, old_source, new_source, old_values, new_values, applied"
        " FROM revision JOIN symbol ON symbol.id = symbol_id ORDER BY revision.id"
    )


async def test_case_09_the_same_close_twice_is_one_candle(
    started, eventually, assert_whole
) -> None:
    running, engine = await begun(started, eventually)
    running.faults.repeat_close("*", "1m", 6)
    seen = engine.collector.closed_seen
    await eventually(lambda: engine.collector.closed_seen >= seen + 6)
    await assert_whole(engine, running)
    assert revisions(engine) == []
    assert engine.store.reader.gap_counts()["open"] == 0


async def test_case_10_another_close_of_the_same_minute_is_logged_as_a_revision(
    started, eventually, assert_whole
) -> None:
    running, engine = await begun(started, eventually)
    running.faults.repeat_close("BTCUSDT", "1m", 2, change={"trades": 9_999_999, "volume": 5.5})
    rows = await eventually(lambda: len(found := revisions(engine)) >= 2 and found)
    assert {row["name"] for row in rows} == {"BTCUSDT"}
    await assert_whole(engine, running)
    for row in rows:
        old, new = json.loads(row["old_values"]), json.loads(row["new_values"])
        [stored] = engine.store.reader.candles(
            "BTCUSDT", "1m", start_ms=row["open_time_ms"], limit=1
        )
        assert (new[4], new[6]) == (stored.volume, stored.trades) == (5.5, 9_999_999)
        assert old != new
        assert row["applied"] == 1


@pytest.mark.parametrize("are_pushed", [True, False], ids=["pushed", "not pushed"])
async def test_case_12_minutes_without_a_trade_are_candles(
    exchange_of, engine_on, eventually, assert_whole, are_pushed: bool
) -> None:
    running = await exchange_of(PAIR, speed=FAST, activity=0.0005)
    if not are_pushed:
        running.faults.skip_close("LTCUSDT", "1m", 1_000_000)
    engine = await engine_on(running, FAST)
    await eventually(lambda: engine.state == "running")
    began_ms = running.exchange.now_ms
    await eventually(lambda: running.exchange.now_ms > began_ms + 15 * MINUTE_MS)
    await assert_whole(engine, running)
    rows = engine.store.reader.candles("LTCUSDT", "1m", start_ms=began_ms)
    assert sum(candle.trades == 0 for candle in rows) >= 3, "the market was not quiet enough"
    sources = engine.store.reader.query(
        "SELECT DISTINCT source FROM candle JOIN symbol ON symbol.id = symbol_id"
        " WHERE name = 'LTCUSDT' AND open_time_ms >= ?",
        (began_ms + 2 * MINUTE_MS,),
    )
    told_by = {row["source"] for row in sources}
    assert told_by <= ({1, 3} if are_pushed else {2}), told_by


def in_microseconds(candles: list[Candle], every: int) -> bytes:
    """Rows of GET klines, every so-manyth with times of 16 digits."""
    closes_ms = [candle.open_time_ms + MINUTE_MS - 1 for candle in candles]
    rows = json.loads(wire.kline_rows(candles, closes_ms))
    for row in rows[::every]:
        row[0], row[6] = row[0] * 1000, row[6] * 1000 + 999
    return json.dumps(rows).encode()


@pytest.mark.parametrize("every", [1, 2], ids=["all", "mixed"])
async def test_case_26_microseconds_of_rest_are_milliseconds_in_the_store(
    started, eventually, assert_whole, every: int
) -> None:
    alone = ("BTCUSDT",)
    running, engine = await begun(started, eventually, symbols=alone)
    from_ms = running.exchange.now_ms // MINUTE_MS * MINUTE_MS
    running.faults.rest_answer(503, paths=("klines",))
    running.faults.skip_close("BTCUSDT", "1m", 4)
    await eventually(lambda: running.exchange.now_ms > from_ms + 6 * MINUTE_MS)
    await eventually(lambda: engine.store.reader.gap_counts()["open"])
    now_ms = running.exchange.now_ms
    record = await truth(running, "BTCUSDT", from_ms, now_ms)
    running.faults.clear_rest()
    running.faults.rest_answer(200, body=in_microseconds(record, every), paths=("klines",))
    last_ms = record[-1].open_time_ms
    await eventually(
        lambda: engine.store.reader.missing("BTCUSDT", "1m", from_ms, last_ms + MINUTE_MS) == []
    )
    running.faults.clear_rest()
    await assert_whole(engine, running, alone)
    rows = engine.store.reader.candles("BTCUSDT", "1m", start_ms=from_ms)
    assert all(candle.open_time_ms < 10**14 for candle in rows)


async def test_case_26_mixed_microseconds_of_a_file_join_the_stream(
    exchange_of, engine_on, eventually, assert_whole, tmp_path
) -> None:
    running = await exchange_of(PAIR, speed=FAST, activity=0.1)
    now_ms = running.exchange.now_ms
    record = await truth(running, "BTCUSDT", now_ms - 300 * MINUTE_MS, now_ms)
    lines = [
        ",".join(map(str, [*row[:6], row[6], row[7], row[8], row[9], row[10], 0]))
        for row in json.loads(in_microseconds(record, 3))
    ]
    path = tmp_path / "BTCUSDT-1m-2026-11-18.csv"
    path.write_text("\n".join(lines) + "\n")
    with Store.open(tmp_path / "engine", source="live", source_note="127.0.0.1") as store:
        result = import_kline_file(store, path, "BTCUSDT", "1m")
        assert (result.inserted, result.quarantined) == (len(record), 0)
        assert store.reader.candles("BTCUSDT", "1m") == record
    engine = await engine_on(running, FAST)
    await eventually(lambda: engine.state == "running")
    await assert_whole(engine, running)
    assert revisions(engine) == []


async def test_case_37_history_that_differs_from_the_stream_is_logged_and_wins(
    started, eventually, assert_whole
) -> None:
    running, engine = await begun(started, eventually)
    reader = engine.store.reader
    by_stream = await eventually(
        lambda: reader.query(
            "SELECT open_time_ms FROM candle JOIN symbol ON symbol.id = symbol_id"
            " WHERE name = 'BTCUSDT' AND source = 1 ORDER BY open_time_ms LIMIT 1"
        )
    )
    time_ms = by_stream[0]["open_time_ms"]
    [stored] = reader.candles("BTCUSDT", "1m", start_ms=time_ms, limit=1)
    running.faults.rewrite_kline("BTCUSDT", "1m", time_ms, trades=1, volume=stored.volume / 2)
    page = await engine.rest.klines(
        "BTCUSDT", "1m", start_ms=time_ms - 5 * MINUTE_MS, end_ms=time_ms
    )
    await asyncio.wrap_future(engine.collector.store(page, "BTCUSDT", "1m", Source.REST))
    [row] = revisions(engine)
    assert (row["name"], row["open_time_ms"], row["applied"]) == ("BTCUSDT", time_ms, 1)
    assert json.loads(row["old_values"])[6] == stored.trades
    assert json.loads(row["new_values"])[6] == 1
    await assert_whole(engine, running)


async def test_case_38_a_backfill_that_races_the_stream_for_the_same_minutes(
    started, eventually, assert_whole
) -> None:
    running, engine = await begun(started, eventually)
    running.faults.late_close("*", "1m", 20, by_ms=4_000)
    began_ms = running.exchange.now_ms
    while running.exchange.now_ms < began_ms + 12 * MINUTE_MS:
        for symbol in PAIR:
            page = await engine.rest.klines(symbol, "1m", limit=5, background=True)
            closed = [candle for candle in page if candle.closed]
            engine.collector.store(closed, symbol, "1m", Source.REST)
            fill = engine.history.request(symbol, "1m", running.exchange.now_ms - 3 * MINUTE_MS)
            await fill
    await assert_whole(engine, running)
    assert revisions(engine) == []
    assert engine.store.reader.count_by_source()["both"] >= 8, "both told the same minutes"
