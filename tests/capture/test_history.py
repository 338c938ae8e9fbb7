"""History by REST: only what is missing, in the right order, and never given up for good."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.binance.clock import ExchangeClock
from engine.binance.rest import BadAnswer, RestClient, UnknownSymbol
from engine.capture import history, holes
from engine.capture.board import Board
from engine.capture.collector import Collector
from engine.capture.history import HistoryKeeper
from engine.market.candle import Candle
from engine.market.interval import DAY_MS, INTERVALS, MINUTE_MS
from engine.simulator.generated import GeneratedMarket
from engine.simulator.server import Running
from engine.store import Source, Store

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
        collector = Collector(
            self.board,
            store.writer,
            self.clock,
            asyncio.get_running_loop(),
            on_stored=lambda *_: None,
            on_hole=lambda *_: None,
        )
        self.keeper = HistoryKeeper(self.rest, store, self.board, collector, self.clock)
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

    def gaps(self) -> list[dict[str, object]]:
        return self.store.reader.query("SELECT from_ms, to_ms, state, tries FROM gap ORDER BY 1")


@pytest.fixture
async def parts(exchange_at, pair_market, tmp_path: Path) -> AsyncIterator[Parts]:
    running = await exchange_at(SPEED)
    with Store.open(tmp_path, source="live") as store:
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
    parts.faults.rest_status = HTML_REFUSAL
    done = parts.fill(8, 20, is_gap=True)
    await eventually(parts.gaps)
    assert [(gap["from_ms"], gap["to_ms"], gap["state"]) for gap in parts.gaps()] == [
        (parts.at(10), parts.at(20), "open")
    ]
    parts.faults.rest_status = None
    assert await done == 10
    assert parts.store.reader.gap_counts() == {
        "open": 0, "filled": 1, "exchange_hole": 0, "unfillable": 0
    }  # fmt: skip


async def test_gaps_near_each_other_are_one_fill(parts: Parts) -> None:
    first = parts.fill(0, 10, is_gap=True)
    assert parts.fill(20, 30, is_gap=True) is first
    assert parts.fill(-5_000, -4_990, is_gap=True) is not first
    assert await first == 30


async def test_what_the_exchange_lacks_is_a_hole_only_at_the_second_answer(parts: Parts) -> None:
    before_listing = -30 * 1_440
    parts.put([parts.truth(0, 1)[0], _moved(parts.truth(0, 1)[0], parts.at(before_listing))])
    await parts.fill(before_listing, before_listing + 5, is_gap=True)
    (gap,) = parts.gaps()
    assert (gap["from_ms"], gap["to_ms"]) == (parts.at(before_listing + 1),
                                              parts.at(before_listing + 5))  # fmt: skip
    assert (gap["state"], gap["tries"]) == ("open", 1)
    missing = [(gap["from_ms"], gap["to_ms"])]
    later_ms = history.wall_ms() + 2 * holes.HOLE_AFTER_MS
    parts.store.writer.run(
        lambda connection: holes.note_unanswered(connection, SYMBOL, "1m", missing, later_ms)
    ).result(10)
    assert parts.gaps()[0]["state"] == "exchange_hole"


async def test_open_gaps_of_an_earlier_run_are_asked_for_again(parts: Parts, eventually) -> None:
    await parts.fill(100, 101)  # sets the clock
    parts.faults.rest_status = HTML_REFUSAL
    parts.fill(0, 10, is_gap=True)
    await eventually(parts.gaps)
    assert holes.open_gaps(parts.store.reader) == [(SYMBOL, "1m", parts.at(0), parts.at(10))]
    fresh = HistoryKeeper(
        parts.rest, parts.store, parts.board, parts.keeper._collector, parts.clock
    )
    parts.faults.rest_status = None
    tasks = [asyncio.create_task(work) for work in (fresh.run(), fresh.sweep())]
    await eventually(lambda: parts.store.reader.gap_counts()["filled"] == 1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert parts.stored(0, 10) == parts.truth(0, 10)


async def test_a_series_in_memory_ends_where_a_long_stretch_is_missing(parts: Parts) -> None:
    series = parts.board.series_of(SYMBOL, "1m")
    await parts.fill(1_000, 1_200)
    times = [candle.open_time_ms for candle in series.candles]
    assert times == [parts.at(minute) for minute in range(1_000, 1_200)]
    await parts.fill(-3_000, -2_990)
    assert [candle.open_time_ms for candle in series.candles] == times


def _moved(candle: Candle, open_time_ms: int) -> Candle:
    return Candle(open_time_ms, candle.open, candle.high, candle.low, candle.close,
                  candle.volume, candle.quote_volume, candle.trades)  # fmt: skip
