"""Backfills from the command line: in the running engine, else here with the same parts."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from engine.commands.asking import ask, no_engine, running_engine
from engine.commands.fetching import exchange, own_store
from engine.commands.guard import USAGE, CommandError
from engine.commands.output import say

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from concurrent.futures import Future

    from engine.binance.rest import RestClient
    from engine.capture.history import HistoryKeeper
    from engine.market.candle import Candle
    from engine.settings import Settings
    from engine.store import PutResult, Source, Store, Writer

    Look = Callable[[], Awaitable[dict[str, Any]]]

LOOK_EVERY_S = 0.5
SAY_EVERY_S = 5.0
_ENDED = ("done", "failed", "cancelled")


class _Direct:
    """Hands candles to the writer without an engine."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def store(
        self, candles: list[Candle], symbol: str, interval: str, source: Source
    ) -> Future[PutResult]:
        """Store closed candles of one series."""
        return self._writer.put_candles(symbol, interval, candles, source)


async def one(settings: Settings, symbol: str, interval: str, start_ms: int, end_ms: int) -> int:
    """Fetch what one series lacks; returns the candles fetched.

    Raises:
        EngineProblem: when the engine refuses.
        RestError: when the exchange does; what was fetched before stays stored.
        StoreError: when the store does.
    """
    from engine.service.contract import Backfill

    client = await running_engine(settings)
    if client is not None:
        done = await ask(client, Backfill(symbol, interval, start_ms, end_ms))
        return int(done.data.get("rows", 0))
    _refuse_other_sources(settings)
    async with exchange(settings) as rest:
        await rest.symbols([symbol])
        with own_store(settings) as store:
            async with _own_history(settings, rest, store) as (history, keeping):
                work = history.request(symbol, interval, start_ms, end_ms)

                async def look() -> dict[str, Any]:
                    progress = _progress(history)
                    return {"state": "done" if work.done() else "running", **progress}

                await _watch(look, keeping)
                return await work


async def many(
    settings: Settings, words: Sequence[str], interval: str, start_ms: int, end_ms: int
) -> dict[str, Any]:
    """Run a job for the markets that `words` mean; returns `job`, `state`, `message`, `rows`.

    Raises:
        CommandError: when no market is meant.
        EngineProblem: when the engine refuses.
        RestError: when the exchange does.
        StoreError: when the store does.
    """
    client = await running_engine(settings)
    if client is None:
        return await _many_alone(settings, words, interval, start_ms, end_ms)
    from engine.service.contract import BackfillMarkets, BackfillState, Done

    try:
        queued = await client.ask(BackfillMarkets(tuple(words), interval, start_ms, end_ms))
        assert isinstance(queued, Done)
        say(queued.message)
        number = int(queued.data["job"])

        async def look() -> dict[str, Any]:
            answer = await client.ask(BackfillState(number))
            assert isinstance(answer, Done)
            return answer.data

        try:
            return _result(await _watch(look))
        except asyncio.CancelledError:
            say(
                f"Backfill {number} goes on in the engine; `klinetop backfill --cancel` ends it, "
                "and the storage pane shows how far it is."
            )
            raise
    finally:
        await client.close()


async def cancel(settings: Settings) -> str:
    """Give up all backfills; returns a sentence.

    Raises:
        EngineProblem: when none runs or waits.
        StoreError: when the store refuses.
    """
    from engine.service.contract import CancelBackfill

    client = await running_engine(settings)
    if client is not None:
        return (await ask(client, CancelBackfill())).message
    from engine.capture.jobs import cancel_jobs

    with own_store(settings) as store:
        cancelled = await asyncio.wrap_future(store.writer.run(lambda db: cancel_jobs(db, 0)))
    if not cancelled:
        raise CommandError("No backfill runs or waits.", status=USAGE)
    return "The backfills that waited are cancelled; what was fetched stays."


async def _many_alone(
    settings: Settings, words: Sequence[str], interval: str, start_ms: int, end_ms: int
) -> dict[str, Any]:
    _refuse_other_sources(settings)
    from engine.capture.jobs import Jobs, UnknownMarkets, read_job
    from engine.service.gap_answers import job_figures

    async with exchange(settings) as rest:
        await rest.server_time()
        with own_store(settings) as store:
            async with _own_history(settings, rest, store) as (history, keeping):
                jobs = Jobs(rest, store, history, _say_trouble)
                try:
                    number, markets = await jobs.add(
                        words, interval, start_ms, end_ms, takes_over=True
                    )
                except UnknownMarkets as error:
                    raise CommandError(str(error), status=USAGE) from None
                say(f"Backfill {number}: {markets:,} market{'s' * (markets != 1)}.")

                async def look() -> dict[str, Any]:
                    job = await asyncio.to_thread(read_job, store.reader, number)
                    assert job is not None
                    return job_figures(job, history.progress())

                job = await asyncio.to_thread(read_job, store.reader, number)
                assert job is not None
                work = asyncio.create_task(jobs.do(job))
                try:
                    return _result(await _watch(look, keeping, work))
                except asyncio.CancelledError:
                    say(
                        "Interrupted; what was fetched is stored. The next engine on this data "
                        "directory goes on, and so does this command; --cancel gives it up."
                    )
                    raise
                finally:
                    work.cancel()
                    await asyncio.gather(work, return_exceptions=True)


@asynccontextmanager
async def _own_history(
    settings: Settings, rest: RestClient, store: Store
) -> AsyncIterator[tuple[HistoryKeeper, asyncio.Task[None]]]:
    """Run a history keeper without an engine; gives the task that it runs in, too."""
    from engine.binance.clock import ExchangeClock
    from engine.capture.board import Board
    from engine.capture.history import HistoryKeeper

    clock = ExchangeClock(settings.effective_speed)
    history = HistoryKeeper(rest, store, Board(), _Direct(store.writer), clock)
    work = asyncio.create_task(history.run())
    try:
        yield history, work
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def _watch(look: Look, *workers: asyncio.Task[None]) -> dict[str, Any]:
    """Show the progress on stderr until the work has ended; returns the last figures.

    What one of `workers` raises is raised: the work would never end.
    """
    show = _Bar() if sys.stderr.isatty() else _Lines()
    try:
        while True:
            figures = await look()
            if figures["state"] in _ENDED:
                return figures
            for worker in workers:
                if worker.done():
                    worker.result()
            show.tell(figures)
            await asyncio.sleep(LOOK_EVERY_S)
    finally:
        show.close()


class _Bar:
    """A progress bar on a terminal."""

    def __init__(self) -> None:
        self._line = ""
        self._bar: Any = click.progressbar(
            length=1,
            file=sys.stderr,
            label="candles",
            show_eta=False,
            item_show_func=lambda _: self._line,
        )
        self._bar.__enter__()

    def tell(self, figures: dict[str, Any]) -> None:
        """Draw the bar anew."""
        self._line = progress_line(figures)
        self._bar.length = max(int(figures["wanted"]), 1)
        self._bar.pos = min(int(figures["rows"]), self._bar.length)
        self._bar.render_progress()

    def close(self) -> None:
        """Leave the bar's line."""
        self._bar.__exit__(None, None, None)


class _Lines:
    """A plain line every few seconds, where stderr is no terminal."""

    def __init__(self) -> None:
        self._next_s = time.monotonic() + SAY_EVERY_S
        self._last = ""

    def tell(self, figures: dict[str, Any]) -> None:
        """Print a line when it is time and there is something else to tell."""
        line = progress_line(figures)
        if time.monotonic() >= self._next_s and line != self._last:
            self._next_s = time.monotonic() + SAY_EVERY_S
            self._last = line
            say(line)

    def close(self) -> None:
        """Do nothing."""


def progress_line(figures: dict[str, Any]) -> str:
    """Return rows, rate, what is left and why it waits, in words."""
    if not figures["wanted"] and figures["note"]:
        return str(figures["note"])
    parts = [f"{figures['rows']:,} of {figures['wanted']:,}", f"{figures['rows_per_s']:,.0f}/s"]
    if figures["eta_s"] is not None and figures["wanted"] > figures["rows"]:
        parts.append(f"{duration(figures['eta_s'])} left")
    if figures["series_left"] > 1:
        parts.append(f"{figures['series_left']:,} series")
    if figures["note"]:
        parts.append(figures["note"])
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return `45 s`, `12 min`, `3 h 20 min` or `2 d 4 h`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def _progress(history: HistoryKeeper) -> dict[str, Any]:
    import msgspec

    nothing = {"rows": 0, "wanted": 0, "rows_per_s": 0.0, "eta_s": None, "series_left": 0}
    progress = history.progress()
    return {**nothing, "note": ""} if progress is None else dict(msgspec.to_builtins(progress))


def _result(figures: dict[str, Any]) -> dict[str, Any]:
    return {key: figures[key] for key in ("job", "state", "message", "rows")}


def _say_trouble(level: str, text: str) -> None:
    if level != "info":
        say(text)


def _refuse_other_sources(settings: Settings) -> None:
    if settings.source != "live":
        raise no_engine(settings, f"a {settings.source} has no exchange to ask without one")
