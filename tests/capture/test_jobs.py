"""Backfill jobs: what was given up is never begun, and none takes the last space of a disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from engine.binance.clock import ExchangeClock
from engine.binance.rest import RestClient
from engine.capture import history
from engine.capture.board import Board
from engine.capture.collector import Collector
from engine.capture.history import HistoryKeeper
from engine.capture.jobs import Jobs, next_job, read_job
from engine.service.gap_answers import job_figures
from engine.simulator.server import Running
from engine.store import Store


class Parts(NamedTuple):
    store: Store
    keeper: HistoryKeeper
    jobs: Jobs
    notices: list[tuple[str, str]]


@asynccontextmanager
async def parts(running: Running, directory: Path) -> AsyncIterator[Parts]:
    notices: list[tuple[str, str]] = []
    with Store.open(directory, source="live") as store:
        store.writer._gather_s = 0.005
        rest, clock, board = RestClient(running.rest_url), ExchangeClock(20.0), Board()
        sink = Collector(
            board,
            store.writer,
            clock,
            asyncio.get_running_loop(),
            on_stored=lambda *_: None,
            on_hole=lambda *_: None,
        )
        keeper = HistoryKeeper(rest, store, board, sink, clock)
        jobs = Jobs(rest, store, keeper, lambda *notice: notices.append(notice))
        try:
            yield Parts(store, keeper, jobs, notices)
        finally:
            await rest.close()


async def test_a_job_that_was_cancelled_before_its_turn_fetches_nothing(
    exchange_at, tmp_path: Path
) -> None:
    async with parts(await exchange_at(20.0), tmp_path) as (store, keeper, jobs, notices):
        number, _ = await jobs.add(["all"], "1m", 0, 60_000_000)
        job = next_job(store.reader)
        assert job is not None
        assert job_figures(job, None)["note"] == "It waits for its turn."
        assert await jobs.cancel(number) == 1
        await asyncio.wait_for(jobs.do(job), 60)
        assert keeper.pending == 0
        ended = read_job(store.reader, number)
        assert ended is not None
        assert ended.state == "cancelled"
        assert notices == []


async def test_a_job_waits_while_the_disk_is_nearly_full(
    exchange_at, tmp_path: Path, monkeypatch, eventually
) -> None:
    monkeypatch.setattr(history, "DISK_WAIT_S", 0.05)
    running = await exchange_at(20.0)
    async with parts(running, tmp_path) as (store, keeper, jobs, _):
        end_ms = running.exchange.now_ms
        await jobs.add(["all"], "1m", end_ms - 2 * 86_400_000, end_ms)
        store.writer.only_candles = True
        tasks = [asyncio.create_task(keeper.run()), asyncio.create_task(jobs.run())]
        told = await eventually(keeper.progress)
        await eventually(lambda: "nearly full" in (keeper.progress() or told).note)
        assert "nearly full" in keeper.current
        # What is captured goes on: a gap is no long job.
        await keeper.request("BTCUSDT", "1m", end_ms - 3_600_000, end_ms, priority=1)
        assert (keeper.rows_fetched, keeper.pending) == (60, 2)
        store.writer.only_candles = False
        await eventually(lambda: keeper.rows_fetched > 2_000)
        assert "nearly full" not in (keeper.progress() or told).note
        store.writer.only_candles = True  # in the middle of a market, too
        await eventually(lambda: "nearly full" in (keeper.progress() or told).note)
        store.writer.only_candles = False
        await eventually(lambda: next_job(store.reader) is None)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert store.reader.missing("LTCUSDT", "1m", end_ms - 86_400_000, end_ms - 60_000) == []
        assert keeper.rows_fetched in range(2 * 2_880 - 60, 2 * 2_880 + 60)


async def test_a_command_run_again_goes_on_with_what_was_interrupted(
    exchange_at, tmp_path: Path
) -> None:
    day_ms = 86_400_000
    async with parts(await exchange_at(20.0), tmp_path) as (store, _, jobs, _):

        def states() -> list[str]:
            rows = store.reader.query("SELECT state FROM backfill_job ORDER BY id")
            return [row["state"] for row in rows]

        await jobs.add(["all"], "1m", 10 * day_ms, 20 * day_ms)
        await jobs.add(["all"], "1h", 10 * day_ms, 20 * day_ms)
        await jobs.add(["BTC*"], "1m", 10 * day_ms, 20 * day_ms)
        await jobs.add(["all"], "1m", 2 * day_ms, 20 * day_ms)
        await jobs.add(["all"], "1m", 11 * day_ms, 21 * day_ms)
        assert states() == ["waiting"] * 5, "a running engine does them one after the other"
        await jobs.add(["all"], "1m", 11 * day_ms, 21 * day_ms, takes_over=True)
        assert states() == ["cancelled", "waiting", "waiting", "waiting", "cancelled", "waiting"]
        first = read_job(store.reader, 1)
        assert first is not None
        assert first.message == "backfill 6 went on with it"
