"""Backfill jobs: what was given up is never begun."""

from __future__ import annotations

import asyncio
from pathlib import Path

from engine.binance.clock import ExchangeClock
from engine.binance.rest import RestClient
from engine.capture.board import Board
from engine.capture.collector import Collector
from engine.capture.history import HistoryKeeper
from engine.capture.jobs import Jobs, next_job, read_job
from engine.store import Store


async def test_a_job_that_was_cancelled_before_its_turn_fetches_nothing(
    exchange_at, tmp_path: Path
) -> None:
    running = await exchange_at(20.0)
    notices: list[tuple[str, str]] = []
    with Store.open(tmp_path, source="live") as store:
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
        number, _ = await jobs.add(["all"], "1m", 0, 60_000_000)
        job = next_job(store.reader)
        assert job is not None
        assert await jobs.cancel(number) == 1
        await asyncio.wait_for(jobs.do(job), 10)
        await rest.close()
        assert keeper.pending == 0
        ended = read_job(store.reader, number)
        assert ended is not None
        assert ended.state == "cancelled"
    assert notices == []
