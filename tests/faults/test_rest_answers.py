"""Cases 21 to 24: refusals, nonsense, a page's edge and empty answers of REST."""

from __future__ import annotations

import asyncio
import time

import pytest

from engine.binance import budget, requester
from engine.capture import history
from engine.market.interval import INTERVALS, MINUTE_MS

pytestmark = pytest.mark.faults

FAST = 120.0
PAIR = ("BTCUSDT", "LTCUSDT")
TERM_S = 2
HOUR_MS = 60 * MINUTE_MS


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that the exchange does not set are short; those that it sets are kept."""
    monkeypatch.setattr(history, "RETRY_FIRST_S", 0.05)
    monkeypatch.setattr(history, "RETRY_CAP_S", 0.3)
    monkeypatch.setattr(requester, "_FIRST_WAIT_S", 0.05)
    monkeypatch.setattr(requester, "_LONGEST_WAIT_S", 0.2)
    monkeypatch.setattr(requester, "_BAN_WITHOUT_TERM_S", float(TERM_S))
    monkeypatch.setattr(budget, "MINUTE_S", 2.0)
    monkeypatch.setattr(budget, "TURN_MARGIN_S", 0.1)


async def begun(started, eventually, **options):
    """An exchange and an engine that has fetched its history and seen candles close."""
    running, engine = await started(speed=FAST, exchange={"activity": 0.1}, **options)
    await eventually(lambda: engine.history.pending == 0)
    return running, engine


async def outage(running, eventually, minutes: int = 3) -> None:
    """Cut the streams for some minutes of exchange time: REST has to repair them."""
    running.faults.refuse_connections(minutes * 60 / FAST)
    running.faults.drop_connections()
    from_ms = running.exchange.now_ms
    await eventually(lambda: running.exchange.now_ms > from_ms + minutes * MINUTE_MS)


async def truth(running, symbol: str, first_ms: int, last_ms: int) -> list:
    page = await running.exchange.candles(symbol, INTERVALS["1m"], first_ms, last_ms, 10_000)
    return [candle for candle in page if candle.closed]


def ban_text() -> bytes:
    until_ms = int((time.time() + TERM_S) * 1000)
    return (
        b'{"code":-1003,"msg":"Way too much request weight used; IP banned until %d. Please use'
        b' WebSocket Streams for live updates to avoid bans."}' % until_ms
    )


@pytest.mark.parametrize(
    ("status", "told"),
    [(429, "header"), (429, "nothing"), (418, "header"), (418, "text"), (418, "nothing")],
)
async def test_case_21_a_refusal_stops_every_request_until_its_term_is_over(
    started, eventually, stored_equals_truth, status: int, told: str
) -> None:
    running, engine = await begun(started, eventually)
    running.faults.rest_answer(
        status,
        headers={"Retry-After": str(TERM_S)} if told == "header" else None,
        body=ban_text() if told == "text" else None,
    )
    await outage(running, eventually)
    given = running.faults.rest
    await eventually(lambda: given.given and engine.rest.budget.blocked_s > 0)
    await asyncio.sleep(0.1)  # whatever was under way is answered
    refused = given.given
    while engine.rest.budget.blocked_s > 0.3:
        assert given.given == refused, "a request went out before the term was over"
        await asyncio.sleep(0.02)
    running.faults.clear_rest()
    await stored_equals_truth(engine, running)
    assert engine.store.reader.quarantine_count() == 0
    assert refused <= 10
    assert engine.supervisor.stats.reconnects == 1


async def test_case_21_a_term_of_30_s_is_taken_over(
    started, eventually, stored_equals_truth
) -> None:
    running, engine = await begun(started, eventually)
    running.faults.rest_answer(429, headers={"Retry-After": "30"}, count=1)
    await outage(running, eventually, 2)
    await eventually(lambda: engine.rest.budget.blocked_s > 25)
    await eventually(lambda: "429" in told_of(engine), 10)


def told_of(engine) -> str:
    """What a user reads about the fetching."""
    progress = engine.history.progress()
    return f"{engine.history.current} {progress.note if progress is not None else ''}"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, None),
        (503, b""),
        (504, b"<html><body>Gateway timeout</body></html>"),
        (200, b"<html><body>Maintenance</body></html>"),
        (200, b""),
        (200, b"null"),
        (200, b'{"code":0,"msg":"all is well"}'),
        (200, b'[[1795000000000,"0.1"]]'),
        (200, b"[[[[["),
        (400, b'{"code":-1003,"msg":"Too many requests queued."}'),
        (403, None),
    ],
    ids=str,
)
async def test_case_22_nonsense_is_asked_again_and_never_stored(
    started, eventually, stored_equals_truth, status: int, body: bytes | None
) -> None:
    running, engine = await begun(started, eventually)
    running.faults.rest_answer(status, body=body, paths=("klines",))
    await outage(running, eventually)
    await eventually(lambda: running.faults.rest.given >= 3, 30)
    await eventually(lambda: engine.store.reader.gap_counts()["open"] >= 1)
    running.faults.clear_rest()
    await stored_equals_truth(engine, running)
    assert engine.store.reader.quarantine_count() == 0
    gaps = engine.store.reader.gap_counts()
    assert gaps["exchange_hole"] == gaps["unfillable"] == gaps["open"] == 0
    assert engine.supervisor.stats.reconnects == 1


async def test_case_22_a_market_that_rest_does_not_know_for_a_while(
    started, eventually, stored_equals_truth
) -> None:
    running, engine = await begun(started, eventually)
    running.faults.rest_answer(
        400, body=b'{"code":-1121,"msg":"Invalid symbol."}', paths=("klines",)
    )
    await outage(running, eventually)
    counts = engine.store.reader.gap_counts
    await eventually(lambda: counts()["open"] + counts()["unfillable"] >= 1)
    await eventually(lambda: running.faults.rest.given >= 1)
    await asyncio.sleep(0.5)
    running.faults.clear_rest()
    for symbol in PAIR:
        await asyncio.wait_for(retried(engine, symbol), 60)
    await stored_equals_truth(engine, running)
    assert engine.store.reader.quarantine_count() == 0


async def retried(engine, symbol: str) -> None:
    done = engine.ledger.retry(symbol)
    if asyncio.iscoroutine(done) or asyncio.isfuture(done):
        await done


@pytest.mark.parametrize("rows", [999, 1000, 1001, 2000])
async def test_case_23_the_edge_of_a_page_and_the_open_last_row(
    exchange_at, engine_on, eventually, rows: int
) -> None:
    running = await exchange_at(1.0)
    engine = await engine_on(running, 1.0, history_days=rows / 1440)
    await eventually(lambda: engine.state == "running")
    await eventually(lambda: engine.history.pending == 0)
    over_ms = running.exchange.now_ms // MINUTE_MS * MINUTE_MS
    for symbol in PAIR:
        stored = engine.store.reader.candles(symbol, "1m")
        assert rows - 1 <= len(stored) <= rows + 1
        assert stored[-1].open_time_ms == over_ms - MINUTE_MS, "the open row is not stored"
        assert stored == await truth(running, symbol, stored[0].open_time_ms, over_ms - 1)
    page = await engine.rest.klines("BTCUSDT", "1m", limit=1000)
    assert (len(page), [candle.closed for candle in page[-2:]]) == (1000, [True, False])
    first_ms = over_ms - 999 * MINUTE_MS
    pages = [
        page async for page in engine.rest.history("BTCUSDT", "1m", first_ms, over_ms + HOUR_MS)
    ]
    assert [len(page) for page in pages] == [1000], "the exchange answers with a whole page"
    assert not pages[0][-1].closed


async def test_case_24_an_empty_hour_is_a_hole_only_at_the_second_answer_an_hour_later(
    exchange_of, engine_on, eventually, stored_equals_truth
) -> None:
    speed = 400.0
    running = await exchange_of(PAIR, speed=speed, activity=0.02)
    hour_ms = running.exchange.now_ms // HOUR_MS * HOUR_MS - 3 * HOUR_MS
    running.faults.hide_klines("LTCUSDT", "1m", hour_ms, hour_ms + HOUR_MS)
    engine = await engine_on(running, speed)
    await eventually(lambda: engine.state == "running")

    def rows() -> list[dict]:
        return engine.store.reader.query(
            "SELECT name, from_ms, to_ms, state, tries, first_empty_ms FROM gap JOIN symbol"
            " ON symbol.id = symbol_id WHERE from_ms < ? AND to_ms > ?",
            (hour_ms + HOUR_MS, hour_ms),
        )

    await eventually(lambda: rows() and rows()[0]["tries"] >= 1)
    [first] = rows()
    assert (first["name"], first["state"]) == ("LTCUSDT", "open")
    assert (first["from_ms"], first["to_ms"]) == (hour_ms, hour_ms + HOUR_MS)
    states: list[tuple[int, str]] = []

    def is_hole() -> bool:
        states.append((engine.clock.now_ms(), rows()[0]["state"]))
        return states[-1][1] == "exchange_hole"

    await eventually(is_hole, 30)
    empty_ms = rows()[0]["first_empty_ms"]
    assert all(state == "open" for now_ms, state in states if now_ms < empty_ms + HOUR_MS)
    assert rows()[0]["tries"] >= 2
    for symbol in PAIR:
        stored = engine.store.reader.candles(symbol, "1m", start_ms=hour_ms - HOUR_MS)
        record = await truth(running, symbol, hour_ms - HOUR_MS, stored[-1].open_time_ms)
        hidden = range(hour_ms, hour_ms + HOUR_MS) if symbol == "LTCUSDT" else ()
        assert stored == [candle for candle in record if candle.open_time_ms not in hidden]

    # The exchange repairs its history now and then: what is asked for again comes, daily.
    running.faults.show_klines()
    engine.history.repair("LTCUSDT", "1m", hour_ms + HOUR_MS, states=("exchange_hole",))
    await eventually(lambda: {row["state"] for row in rows()} == {"filled"}, 30)
    await stored_equals_truth(engine, running)
    assert engine.store.reader.quarantine_count() == 0
