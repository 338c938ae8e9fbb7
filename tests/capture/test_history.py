"""History by REST: only what is missing, in the right order, and never given up for good."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.binance.clock import ExchangeClock
from engine.binance.lists import Listing, OddEntry
from engine.binance.rest import BadAnswer, RestClient, UnknownSymbol
from engine.capture import history
from engine.capture.board import Board
from engine.capture.collector import Collector
from engine.capture.filler import REFUSED
from engine.capture.fills import Priority
from engine.capture.history import HistoryKeeper
from engine.market.candle import Candle
from engine.market.interval import DAY_MS, INTERVALS, MINUTE_MS
from engine.simulator.generated import GeneratedMarket
from engine.simulator.limits import Limits
from engine.simulator.server import Running, serve
from engine.store import Source, Store, gaps

SPEED = 20.0
SYMBOL = "BTCUSDT"
HTML_REFUSAL = 400


class Parts:
    """A history keeper with all that it needs, and what the exchange has."""

    def __init__(self, running: Running, market: GeneratedMarket, store: Store) -> None:
        self.faults = running.faults
        self.market = market
        self.store = store
        self.board = Board()
        self.rest = RestClient(running.rest_url)
        self.clock = ExchangeClock(SPEED)
        self.sink = Collector(
            self.board,
            store.writer,
            self.clock,
            asyncio.get_running_loop(),
            on_stored=lambda *_: None,
            on_hole=lambda *_: None,
        )
        self.keeper = HistoryKeeper(self.rest, store, self.board, self.sink, self.clock)
        self.start_ms = market.start_ms // MINUTE_MS * MINUTE_MS - DAY_MS

    def at(self, minute: int) -> int:
        return self.start_ms + minute * MINUTE_MS

    def truth(self, first: int, last: int) -> list[Candle]:
        return self.market.history(SYMBOL, INTERVALS["1m"], self.at(first), self.at(last), 10_000)

    def stored(self, first: int, last: int) -> list[Candle]:
        return self.store.reader.candles(
            SYMBOL, "1m", start_ms=self.at(first), end_ms=self.at(last)
        )

    def put(self, candles: list[Candle]) -> None:
        self.store.writer.put_candles(SYMBOL, "1m", candles, Source.IMPORT)
        self.store.writer.flush()

    def fill(self, first: int, last: int | None, **options: object) -> asyncio.Future[int]:
        end_ms = None if last is None else self.at(last)
        return self.keeper.request(SYMBOL, "1m", self.at(first), end_ms, **options)

    def note(self, first: int, last: int, symbol: str = SYMBOL, interval: str = "1m") -> None:
        self.store.writer.run(
            lambda db: gaps.note_missing(
                db, symbol, interval, [(self.at(first), self.at(last))], 1,
                reason="no connection", now_ms=self.clock.now_ms(),
            )
        ).result(10)  # fmt: skip

    def gaps(self) -> list[dict[str, object]]:
        return self.store.reader.query(
            "SELECT from_ms, to_ms, state, tries, last_error FROM gap ORDER BY 1"
        )


@pytest.fixture
async def parts(exchange_at, pair_market, tmp_path: Path) -> AsyncIterator[Parts]:
    running = await exchange_at(SPEED)
    with Store.open(tmp_path, source="live") as store:
        store.writer._gather_s = 0.005  # tests wait for most commits one by one
        made = Parts(running, pair_market, store)
        task = asyncio.create_task(made.keeper.run())
        yield made
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await made.rest.close()


async def test_only_what_is_missing_is_fetched(parts: Parts) -> None:
    parts.put(parts.truth(0, 100) + parts.truth(150, 200))
    assert await parts.fill(0, 210) == 60
    assert parts.stored(0, 210) == parts.truth(0, 210)
    assert parts.store.reader.count_by_source()["rest"] == 60
    assert await parts.fill(0, 210) == 0
    assert parts.gaps() == []


async def test_many_pages_join_without_a_seam(parts: Parts) -> None:
    assert await parts.fill(-2_000, 501) == 2_501
    assert parts.stored(-2_000, 501) == parts.truth(-2_000, 501)


async def test_the_open_candle_is_not_stored(parts: Parts) -> None:
    await parts.fill(1_400, None)
    last = parts.store.reader.last_open_time(SYMBOL, "1m")
    assert last is not None
    assert last + MINUTE_MS <= parts.clock.now_ms()
    assert parts.store.reader.missing(SYMBOL, "1m", parts.at(1_400), last) == []


async def test_a_clock_that_is_ahead_stores_no_open_candle(parts: Parts) -> None:
    server_ms = await parts.rest.server_time()
    assert parts.rest.last_time_answer is not None
    _, sent_s, received_s = parts.rest.last_time_answer
    parts.clock.observe_answer(server_ms + 10 * MINUTE_MS, sent_s, received_s)
    await parts.fill(1_400, None)
    last = parts.store.reader.last_open_time(SYMBOL, "1m")
    assert last is not None
    assert server_ms - 2 * MINUTE_MS < last < server_ms + 4 * MINUTE_MS
    assert parts.stored(1_400, 1_430) == parts.truth(1_400, 1_430)


async def test_an_urgent_fill_does_not_wait_for_a_long_one(parts: Parts) -> None:
    order: list[str] = []
    long = parts.fill(-7_000, 1_000, priority=5, progress=lambda _: started.set())
    started = asyncio.Event()
    long.add_done_callback(lambda _: order.append("long"))
    await started.wait()
    urgent = parts.fill(1_100, 1_110, priority=0)
    urgent.add_done_callback(lambda _: order.append("urgent"))
    assert await urgent == 10
    assert await long == 8_000
    assert order == ["urgent", "long"]
    assert parts.stored(-7_000, 1_000) == parts.truth(-7_000, 1_000)


async def test_a_fill_that_fails_is_tried_again(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, eventually
) -> None:
    monkeypatch.setattr(history, "RETRY_FIRST_S", 0.01)
    parts.faults.rest_status = HTML_REFUSAL
    told: list[str] = []
    done = parts.fill(0, 50, keeps_trying=True, progress=told.append)
    await eventually(lambda: len(told) > 2)
    assert "400" in parts.keeper.current
    assert parts.keeper.pending == 1
    parts.faults.rest_status = None
    assert await done == 50
    assert parts.stored(0, 50) == parts.truth(0, 50)
    await eventually(lambda: parts.keeper.current == "")


async def test_a_fill_that_fails_holds_up_no_other(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, eventually
) -> None:
    monkeypatch.setattr(history, "RETRY_FIRST_S", 600.0)
    monkeypatch.setattr(history, "RETRY_CAP_S", 600.0)
    parts.faults.rest_status = HTML_REFUSAL
    stuck = parts.fill(0, 50, priority=0, keeps_trying=True)
    await eventually(lambda: "waiting" in parts.keeper.current)
    parts.faults.rest_status = None
    assert await parts.fill(100, 110, priority=5) == 10
    assert not stuck.done()


async def test_whoever_waits_is_told_of_a_failure(parts: Parts) -> None:
    parts.faults.rest_status = HTML_REFUSAL
    with pytest.raises(BadAnswer):
        await parts.fill(0, 50)
    parts.faults.rest_status = None
    assert await parts.fill(0, 50) == 50


async def test_an_unknown_symbol_ends_its_fill_alone(parts: Parts) -> None:
    unknown = parts.keeper.request(
        "NOSUCHUSDT", "1m", parts.at(0), parts.at(5), priority=0, keeps_trying=True
    )
    with pytest.raises(UnknownSymbol):
        await unknown
    assert await parts.fill(0, 5) == 5


async def test_a_fault_of_the_store_does_not_end_the_keeper(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, eventually
) -> None:
    monkeypatch.setattr(history, "RETRY_FIRST_S", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(parts.store.writer, "_max_queued_rows", -1)
        patch.setattr(parts.store.writer, "_queued_rows", 1)
        told: list[str] = []
        done = parts.fill(0, 5, keeps_trying=True, progress=told.append)
        await eventually(lambda: any("wait to be written" in text for text in told))
    assert await done == 5


async def test_a_gap_is_open_until_it_is_filled(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, eventually
) -> None:
    monkeypatch.setattr(history, "RETRY_FIRST_S", 0.02)
    parts.put(parts.truth(0, 10) + parts.truth(20, 30))
    await parts.fill(0, 5)  # sets the clock
    parts.note(10, 20)
    parts.faults.rest_status = HTML_REFUSAL
    done = parts.keeper.repair(SYMBOL, "1m", parts.at(20))
    await eventually(lambda: [gap["tries"] for gap in parts.gaps()] > [1])
    (gap,) = parts.gaps()
    assert (gap["from_ms"], gap["to_ms"], gap["state"]) == (parts.at(10), parts.at(20), "open")
    assert "400" in str(gap["last_error"])
    parts.faults.rest_status = None
    assert await done == 10
    assert [gap["state"] for gap in parts.gaps()] == ["filled"]
    assert parts.stored(0, 30) == parts.truth(0, 30)


async def test_gaps_near_each_other_are_one_request(parts: Parts) -> None:
    await parts.fill(0, 1)  # sets the clock
    parts.note(10, 12)
    parts.note(900, 901)
    parts.note(-5_000, -4_990)
    asked: list[int] = []
    klines = parts.rest.klines

    async def counted(*args: Any, **options: Any) -> Any:
        asked.append(options["start_ms"])
        return await klines(*args, **options)

    parts.rest.klines = counted  # type: ignore[method-assign]
    assert await parts.keeper.repair(SYMBOL, "1m", parts.at(901)) == 13
    assert asked == [parts.at(10), parts.at(-5_000)], "the newest first"
    assert {gap["state"] for gap in parts.gaps()} == {"filled"}
    assert parts.stored(1, 900) == parts.truth(10, 12), "what lies between is left alone"


async def test_a_market_that_is_gone_makes_its_gaps_unfillable(parts: Parts) -> None:
    await parts.fill(0, 1)  # sets the clock
    parts.note(0, 5, "NOSUCHUSDT")
    with pytest.raises(UnknownSymbol):
        await parts.keeper.repair("NOSUCHUSDT", "1m", parts.at(5))
    (gap,) = parts.gaps()
    assert gap["state"] == "unfillable"
    assert "NOSUCHUSDT" in str(gap["last_error"])


async def test_what_lies_before_the_first_candle_ever_is_no_gap_and_learnt_once(
    parts: Parts,
) -> None:
    first_ms = parts.market.history(SYMBOL, INTERVALS["1m"], 0, parts.at(0), 1)[0].open_time_ms
    before = -30 * 1_440
    listed = (parts.at(0) - first_ms) // MINUTE_MS
    assert await parts.fill(before, -listed + 5) == 5
    assert parts.gaps() == []
    starts = parts.store.reader.query("SELECT first_ms FROM series_start")
    assert starts == [{"first_ms": first_ms}]
    used = parts.rest.budget.used
    assert await parts.fill(before, -listed + 5) == 0
    assert parts.rest.budget.used == used, "nothing is asked twice"


async def test_a_gap_before_the_first_candle_ever_is_forgotten(parts: Parts) -> None:
    await parts.fill(0, 1)  # sets the clock
    parts.note(-30 * 1_440, -30 * 1_440 + 5)
    await parts.keeper.repair(SYMBOL, "1m", parts.at(1))
    assert parts.gaps() == []


async def test_focused_gaps_come_first_and_old_ones_last(parts: Parts, eventually) -> None:
    await parts.fill(0, 1)  # sets the clock
    now = (parts.clock.now_ms() - parts.at(0)) // MINUTE_MS
    order: list[str] = []
    keeper = HistoryKeeper(parts.rest, parts.store, parts.board, parts.sink, parts.clock)
    for name, interval, at in (("old", "1h", -600), ("new", "5m", now - 10), ("mine", "15m", -900)):
        parts.note(at // 60 * 60, at // 60 * 60 + 60, "LTCUSDT" if name == "mine" else SYMBOL,
                   interval)  # fmt: skip
    for symbol, interval, at in ((SYMBOL, "1h", -600), (SYMBOL, "5m", now - 10),
                                 ("LTCUSDT", "15m", -900)):  # fmt: skip
        done = keeper.repair(symbol, interval, parts.at(at))
        done.add_done_callback(lambda _, name=interval: order.append(name))
    keeper.focus({"LTCUSDT"})
    urgency = [(await keeper._queue.take(9)).interval.name for _ in range(3)]
    assert urgency == ["15m", "5m", "1h"]


async def test_a_page_that_is_out_of_order_proves_nothing(parts: Parts, monkeypatch) -> None:
    await parts.fill(0, 1)  # sets the clock
    klines = parts.rest.klines

    async def turned(*args: Any, **options: Any) -> Any:
        return Listing(reversed(await klines(*args, **options)))

    monkeypatch.setattr(parts.rest, "klines", turned)
    with pytest.raises(BadAnswer, match="out of order"):
        await parts.fill(5, 10)
    assert parts.gaps() == []


async def test_a_row_that_can_not_be_understood_is_no_hole_of_the_exchange(
    parts: Parts, monkeypatch
) -> None:
    await parts.fill(0, 1)  # sets the clock
    klines = parts.rest.klines

    async def odd(*args: Any, **options: Any) -> Any:
        rows = await klines(*args, **options)
        understood = [row for row in rows if row.open_time_ms != parts.at(7)]
        return Listing(understood, [OddEntry(str(parts.at(7)), "got `null`", "null")])

    monkeypatch.setattr(parts.rest, "klines", odd)
    assert await parts.fill(5, 10) == 4
    (gap,) = parts.gaps()
    assert (gap["from_ms"], gap["to_ms"]) == (parts.at(7), parts.at(8))
    assert gap["last_error"] == REFUSED


async def test_progress_tells_rows_and_what_is_left(parts: Parts, eventually) -> None:
    assert parts.keeper.progress() is None
    told: list[Any] = []
    done = parts.fill(-4_000, 0, progress=lambda _: told.append(parts.keeper.progress()))
    assert await done == 4_000
    assert [progress.wanted for progress in told] == [4_000] * len(told)
    rows = [progress.rows for progress in told]
    assert rows == sorted(rows)
    assert 0 < rows[-1] <= 4_000
    assert told[-1].what == "BTCUSDT 1m"
    await eventually(lambda: parts.keeper.progress() is None)


async def test_a_fill_that_nobody_wants_any_more_ends_after_its_page(
    parts: Parts, eventually
) -> None:
    def tell(_: str) -> None:
        if parts.keeper.rows_fetched:
            fill.cancel()

    fill = parts.fill(-10_000, 0, priority=Priority.JOB, keeps_trying=True, progress=tell)
    await eventually(lambda: fill.cancelled() and not parts.keeper.pending)
    assert parts.keeper.rows_fetched == 1_000
    assert parts.keeper.progress() is None
    assert await parts.fill(0, 10) == 10, "the others go on"


async def test_a_fill_that_waits_for_its_next_try_can_be_given_up(parts: Parts, eventually) -> None:
    parts.faults.rest_answer(HTML_REFUSAL, body=b"<html>no</html>")
    fill = parts.fill(0, 10, priority=Priority.JOB, keeps_trying=True)
    await eventually(lambda: "try again" in parts.keeper.current)
    assert parts.keeper.progress() is not None
    fill.cancel()
    await eventually(lambda: parts.keeper.progress() is None)
    assert (parts.keeper.pending, parts.keeper.current) == (0, "")


async def test_a_backfill_keeps_to_half_of_the_limit_that_the_exchange_reports(
    pair_market, tmp_path: Path, eventually
) -> None:
    limits = Limits(weight_per_minute=240)
    async with serve(pair_market, speed=SPEED, limits=limits) as running:
        with Store.open(tmp_path / "small", source="live") as store:
            parts = Parts(running, pair_market, store)
            await parts.rest.symbols([SYMBOL])
            assert parts.rest.budget.limit == 240
            task = asyncio.create_task(parts.keeper.run())
            fills = [parts.fill(at, at + 2, priority=4) for at in range(0, 1_400, 4)]
            await eventually(lambda: parts.rest.budget.note)
            used, limit = parts.rest.budget.used
            assert (used <= 120, limit) == (True, 240)
            progress = parts.keeper.progress()
            assert progress is not None
            assert "of 240 request weight" in progress.note
            assert sum(fill.done() for fill in fills) >= 40
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await parts.rest.close()


async def test_a_job_never_delays_the_repair_of_a_minute(parts: Parts, eventually) -> None:
    await parts.fill(0, 1)  # sets the clock
    jobs = [
        parts.fill(-10_000 + 100 * at, -9_000 + 100 * at, priority=Priority.JOB) for at in range(40)
    ]
    parts.rest.budget.limit = 40  # the jobs' share of it is used up at once
    await eventually(lambda: parts.rest.budget.note)
    parts.note(20, 22)
    assert await asyncio.wait_for(parts.keeper.repair(SYMBOL, "1m", parts.at(22)), 60) == 2
    assert not all(job.done() for job in jobs)
    for job in jobs:
        job.cancel()


async def test_a_series_in_memory_ends_where_a_long_stretch_is_missing(parts: Parts) -> None:
    series = parts.board.series_of(SYMBOL, "1m")
    await parts.fill(1_000, 1_200)
    times = [candle.open_time_ms for candle in series.candles]
    assert times == [parts.at(minute) for minute in range(1_000, 1_200)]
    await parts.fill(-3_000, -2_990)
    assert [candle.open_time_ms for candle in series.candles] == times
