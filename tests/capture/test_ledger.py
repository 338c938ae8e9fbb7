"""The ledger of gaps of a whole engine: every minute is captured, or its row says why not."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from engine.capture.gap_reasons import BEFORE_FLOW, NOT_RUNNING, Reasons
from engine.market.interval import INTERVALS, MINUTE_MS
from engine.runtime import Engine
from engine.service import contract
from engine.service.desk import Desk
from engine.service.figures import storage_section
from engine.simulator.server import Running
from engine.store import gaps as ledger_of_gaps
from engine.store.gaps import NOT_PUSHED

FAST = 200.0
SHORT_HOUR_MS = 600_000
KEY = ("BTCUSDT", "1m")


async def started(exchange_at: Any, engine_on: Any, eventually: Any) -> tuple[Running, Engine]:
    running = await exchange_at(FAST)
    engine = await engine_on(running, FAST)
    await eventually(lambda: engine.state == "running")
    await eventually(lambda: engine.collector.closed_seen >= 4)
    return running, engine


def gaps(engine: Engine, symbol: str = "BTCUSDT") -> list[dict[str, Any]]:
    return engine.store.reader.query(
        "SELECT from_ms, to_ms, gap.state AS state, reason, tries FROM gap"
        " JOIN symbol ON symbol.id = symbol_id WHERE name = ? ORDER BY from_ms",
        (symbol,),
    )


def is_complete(engine: Engine, until_ms: int) -> bool:
    return (
        engine.ledger.swept_ms >= until_ms
        and engine.history.pending == 0
        and engine.store.reader.gap_counts()["open"] == 0
    )


def next_minute(running: Running, after: int = 1) -> int:
    return (running.exchange.now_ms // MINUTE_MS + after) * MINUTE_MS


async def test_a_close_that_is_never_pushed_is_noted_and_fetched(
    exchange_at, engine_on, eventually
) -> None:
    running, engine = await started(exchange_at, engine_on, eventually)
    before = {gap["from_ms"] for gap in gaps(engine)}
    running.faults.skip_close(*KEY, 2)
    until_ms = running.exchange.now_ms + 6 * MINUTE_MS
    await eventually(lambda: is_complete(engine, until_ms))
    (gap,) = [gap for gap in gaps(engine) if gap["from_ms"] not in before]
    assert (gap["state"], gap["reason"]) == ("filled", NOT_PUSHED)
    assert gap["to_ms"] - gap["from_ms"] == 2 * MINUTE_MS
    lost = engine.store.reader.candles(*KEY, start_ms=gap["from_ms"], end_ms=gap["to_ms"])
    told = await running.exchange.candles(
        "BTCUSDT", INTERVALS["1m"], gap["from_ms"], gap["to_ms"] - 1, 10
    )
    assert lost == told


async def test_what_the_exchange_lacks_becomes_a_hole_after_a_while_then_is_repaired(
    exchange_at, engine_on, eventually, monkeypatch
) -> None:
    monkeypatch.setattr(ledger_of_gaps, "HOLE_AFTER_MS", SHORT_HOUR_MS)
    running, engine = await started(exchange_at, engine_on, eventually)
    first_ms = next_minute(running, 2)
    running.faults.hide_klines(*KEY, first_ms, first_ms + 3 * MINUTE_MS, push=False)

    end_ms = first_ms + 3 * MINUTE_MS

    def states() -> dict[str, int]:
        """Minutes of the hidden range by state."""
        minutes: Counter[str] = Counter()
        for gap in gaps(engine):
            inside_ms = min(gap["to_ms"], end_ms) - max(gap["from_ms"], first_ms)
            if inside_ms > 0:
                minutes[gap["state"]] += inside_ms // MINUTE_MS
        return dict(minutes)

    await eventually(lambda: states().get("open"))
    seen_ms = engine.clock.now_ms()
    await eventually(lambda: states() == {"exchange_hole": 3})
    assert engine.clock.now_ms() - seen_ms >= SHORT_HOUR_MS
    assert all(gap["tries"] >= 2 for gap in gaps(engine) if gap["state"] == "exchange_hole")
    running.faults.show_klines()
    engine.history.repair(*KEY, end_ms, states=("exchange_hole",))
    await eventually(lambda: states() == {"filled": 3})


async def test_the_first_minutes_of_a_second_run_say_that_no_engine_ran(
    exchange_at, engine_on, eventually, tmp_path: Path
) -> None:
    running, engine = await started(exchange_at, engine_on, eventually)
    await engine.close()
    engine.store.close()
    target_ms = running.exchange.now_ms + 5 * MINUTE_MS
    await eventually(lambda: running.exchange.now_ms > target_ms)
    again = await engine_on(running, FAST)
    await eventually(lambda: is_complete(again, target_ms + 3 * MINUTE_MS))
    reasons = [gap["reason"] for gap in gaps(again) if gap["to_ms"] <= target_ms]
    assert NOT_RUNNING in reasons
    assert {gap["state"] for gap in gaps(again)} == {"filled"}
    notices = " ".join(notice.text for notice in again.notices.after(0))
    assert "2 markets were not captured" in notices


async def test_viewers_read_the_ledger_and_open_rows_again(
    exchange_at, engine_on, eventually
) -> None:
    running, engine = await started(exchange_at, engine_on, eventually)
    running.faults.rest_status = 400
    running.faults.refuse_connections(1.0)
    running.faults.drop_connections()
    await eventually(lambda: engine.store.reader.gap_counts()["open"])
    desk = Desk(engine, owned=False, on_stop=lambda: None)
    told = await desk.command(None, contract.GapsRequest("btcusdt", ("open",)))  # type: ignore[arg-type]
    assert isinstance(told, contract.Gaps)
    assert told.total == len(told.rows) >= 1
    assert told.candles_by_state["open"] == sum(row.candles for row in told.rows)
    progress = await eventually(lambda: storage_section(engine).progress)
    assert progress.series_left >= 1
    refused = await desk.command(None, contract.GapsRequest(states=("lost",)))  # type: ignore[arg-type]
    assert isinstance(refused, contract.Problem)
    assert "lost" in refused.message
    running.faults.rest_status = None
    done = await desk.command(None, contract.RetryGaps("BTCUSDT"))  # type: ignore[arg-type]
    assert isinstance(done, contract.Done)
    until_ms = engine.clock.now_ms()
    await eventually(lambda: is_complete(engine, until_ms))


async def test_a_quiet_look_asks_the_exchange_for_nothing(
    exchange_at, engine_on, eventually
) -> None:
    _, engine = await started(exchange_at, engine_on, eventually)
    await eventually(lambda: is_complete(engine, engine.clock.now_ms() - 3 * MINUTE_MS))
    fetched, swept_ms = engine.history.rows_fetched, engine.ledger.swept_ms
    await eventually(lambda: engine.ledger.swept_ms >= swept_ms + 10 * MINUTE_MS)
    assert engine.history.rows_fetched == fetched


def test_reasons_follow_what_happened() -> None:
    reasons = Reasons(10 * MINUTE_MS + 5)
    series = ("BTCUSDT", "1m")

    def of(first: int, last: int, trouble: str = "") -> list[tuple[int, int, str]]:
        where = (first * MINUTE_MS, last * MINUTE_MS)
        pieces = reasons.of(series, where, trouble)
        return [(a // MINUTE_MS, b // MINUTE_MS, why) for (a, b), why in pieces]

    assert of(5, 12) == [(5, 10, NOT_RUNNING), (10, 12, BEFORE_FLOW)]
    reasons.flowed(series, 12 * MINUTE_MS + 1, "newly subscribed")
    assert of(11, 14) == [(11, 12, BEFORE_FLOW), (12, 14, NOT_PUSHED)]
    assert of(14, 15, "cut") == [(14, 15, "no connection: cut")]
    reasons.flowed(series, 20 * MINUTE_MS, "reconnected after the connection was cut")
    assert of(15, 21) == [
        (15, 20, "no connection: the connection was cut"),
        (20, 21, NOT_PUSHED),
    ]


async def test_a_reread_counts_what_differs_and_revises_it(
    exchange_at, engine_on, eventually
) -> None:
    running, engine = await started(exchange_at, engine_on, eventually)
    now_ms = engine.clock.now_ms()
    for back in range(15, 400):
        running.faults.rewrite_kline(
            *KEY, (now_ms // MINUTE_MS - back) * MINUTE_MS, volume=123.0, quote_volume=5.0
        )
    for _ in range(40):
        await engine.rereads.run(now_ms)
        (row,) = engine.store.reader.query(
            "SELECT sum(candles) AS n, sum(differing) AS bad FROM reread"
        )
        if row["bad"]:
            break
        await asyncio.sleep(0)
    assert row["bad"], "a rewritten candle is found"
    assert row["n"] > row["bad"] or row["n"] >= 1
    revised = engine.store.reader.query("SELECT count(*) AS n FROM revision")[0]["n"]
    assert revised >= row["bad"]
    assert any("differ from what the exchange" in n.text for n in engine.notices.after(0))


@pytest.mark.parametrize("words", [("BTC*",), ("all",)])
async def test_a_backfill_of_many_markets_is_a_job(
    exchange_at, engine_on, eventually, words: tuple[str, ...]
) -> None:
    _, engine = await started(exchange_at, engine_on, eventually)
    desk = Desk(engine, owned=False, on_stop=lambda: None)
    end_ms = engine.clock.now_ms()
    request = contract.BackfillMarkets(words, "1m", end_ms - 86_400_000, end_ms)
    queued = await desk.command(None, request)  # type: ignore[arg-type]
    assert isinstance(queued, contract.Done)
    number = queued.data["job"]

    def state() -> str:
        query = "SELECT state FROM backfill_job WHERE id = ?"
        return str(engine.store.reader.query(query, (number,))[0]["state"])

    await eventually(lambda: state() == "done")
    told = await desk.command(None, contract.BackfillState(number))  # type: ignore[arg-type]
    assert isinstance(told, contract.Done)
    assert told.data["rows"] >= 800 * queued.data["markets"]
    start_ms = (end_ms - 86_400_000) // MINUTE_MS * MINUTE_MS
    assert engine.store.reader.missing(*KEY, start_ms, end_ms - 5 * MINUTE_MS) == []
    nothing = contract.BackfillMarkets(("NOPE",), "1m", 0, end_ms)
    refused = await desk.command(None, nothing)  # type: ignore[arg-type]
    assert isinstance(refused, contract.Problem)
    assert "NOPE" in refused.message
