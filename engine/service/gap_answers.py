"""Answers about gaps and backfills: the ledger's rows, trying again, long jobs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from engine.capture.jobs import UnknownMarkets, read_job
from engine.market.capture_figures import BackfillProgress
from engine.market.interval import parse_interval
from engine.service import contract
from engine.store import gap_reads
from engine.store.gaps import GAP_STATES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from engine.capture.history import HistoryKeeper
    from engine.capture.jobs import Job, Jobs
    from engine.capture.ledger import Ledger
    from engine.service.contract import Answer
    from engine.store import Reader

MOST_ROWS = 1_000


class GapAnswers:
    """Carries out the commands about gaps and backfills."""

    def __init__(self, reader: Reader, ledger: Ledger, history: HistoryKeeper, jobs: Jobs) -> None:
        self._reader = reader
        self._ledger = ledger
        self._history = history
        self._jobs = jobs

    def commands(self) -> dict[type, Callable[[Any], Awaitable[Answer]]]:
        """Return the handlers by the type of their request."""
        return {
            contract.GapsRequest: self._gaps,
            contract.RetryGaps: self._retry,
            contract.BackfillMarkets: self._backfill,
            contract.BackfillState: self._state,
            contract.CancelBackfill: self._cancel,
        }

    async def _gaps(self, request: contract.GapsRequest) -> Answer:
        unknown = [state for state in request.states if state not in GAP_STATES]
        if unknown:
            return contract.Problem(
                f"There is no state '{unknown[0]}'; choose of: {', '.join(GAP_STATES)}.", usage=True
            )
        symbol, limit = request.symbol.upper(), min(request.limit, MOST_ROWS)
        total, candles = await asyncio.to_thread(
            gap_reads.gap_totals, self._reader, symbol, request.states
        )
        rows = await asyncio.to_thread(
            gap_reads.gap_rows, self._reader, symbol, request.states, request.offset, limit
        )
        return contract.Gaps(total, candles, tuple(rows))

    async def _retry(self, request: contract.RetryGaps) -> Answer:
        series = await self._ledger.retry(request.symbol.upper())
        if not series:
            return contract.Done("No gap is open.", {"series": 0})
        return contract.Done(f"The gaps of {series:,} series are asked for.", {"series": series})

    async def _backfill(self, request: contract.BackfillMarkets) -> Answer:
        parse_interval(request.interval)
        if request.end_ms <= request.start_ms:
            return contract.Problem("The end of a backfill must lie after its start.", usage=True)
        try:
            job, markets = await self._jobs.add(
                request.markets, request.interval, request.start_ms, request.end_ms
            )
        except UnknownMarkets as error:
            return contract.Problem(str(error), usage=True)
        return contract.Done(
            f"Backfill {job}: {markets:,} market{'s' * (markets != 1)}.",
            {"job": job, "markets": markets},
        )

    async def _state(self, request: contract.BackfillState) -> Answer:
        job = await asyncio.to_thread(read_job, self._reader, request.job)
        if job is None:
            return contract.Problem(f"There is no backfill {request.job}.", usage=True)
        return contract.Done(data=job_figures(job, self._history.progress()))

    async def _cancel(self, request: contract.CancelBackfill) -> Answer:
        cancelled = await self._jobs.cancel(request.job)
        if not cancelled:
            return contract.Problem("No backfill runs or waits.", usage=True)
        return contract.Done(
            f"{cancelled} backfill{'s are' if cancelled > 1 else ' is'} cancelled; "
            "what was fetched stays."
        )


def job_figures(job: Job, progress: BackfillProgress | None) -> dict[str, Any]:
    """Return what `BackfillState` tells about a job; `wanted` is 0 while nobody knows."""
    note = "It waits for its turn." if job.state == "waiting" else ""
    nothing = BackfillProgress(
        what="", rows=job.rows, wanted=0, rows_per_s=0.0, eta_s=None, series_left=0, note=note
    )
    told = progress if progress is not None and job.state == "running" else nothing
    figures: dict[str, Any] = msgspec.to_builtins(told)
    return {"job": job.number, "state": job.state, "message": job.message, **figures}
