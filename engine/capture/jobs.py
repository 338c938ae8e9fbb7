"""Long backfills of many markets: kept in the store, so that they go on after a restart."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from engine.binance.rest import RestError
from engine.capture.fills import Priority
from engine.capture.selection import select_markets, unknown_sentence
from engine.market.interval import parse_interval
from engine.store import StoreError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from engine.binance.rest import RestClient
    from engine.capture.history import HistoryKeeper
    from engine.store import Reader, Store

log = logging.getLogger(__name__)

AT_ONCE = 8
NOTE_EVERY_S = 2.0
RETRY_S = 10.0
_COLUMNS = "id AS number, markets, interval, start_ms, end_ms, state, rows, message"


class UnknownMarkets(Exception):
    """Raised when a job's markets match nothing; its text is a sentence for users."""


class Job(NamedTuple):
    """One row of the table `backfill_job`; `markets` is a JSON list of a user's words."""

    number: int
    markets: str
    interval: str
    start_ms: int
    end_ms: int
    state: str
    rows: int
    message: str

    @property
    def words(self) -> list[str]:
        """What the user wrote: `all`, quote assets, symbols, patterns."""
        return [str(word) for word in json.loads(self.markets)]


class Jobs:
    """Works off the jobs of the store, one after the other.

    Each series of a job is a fill of the history keeper, a few at a time; what a series has is not
    fetched again, so a job that begins anew goes on where it was.

    Args:
        on_notice: Told what users should know, as level and text.
    """

    def __init__(
        self,
        rest: RestClient,
        store: Store,
        history: HistoryKeeper,
        on_notice: Callable[[str, str], None],
    ) -> None:
        self._rest = rest
        self._store = store
        self._history = history
        self._on_notice = on_notice
        self._wake = asyncio.Event()
        self._running: int | None = None
        self._work: asyncio.Task[None] | None = None
        self.rows = 0

    async def add(
        self,
        words: Sequence[str],
        interval: str,
        start_ms: int,
        end_ms: int,
        *,
        takes_over: bool = False,
    ) -> tuple[int, int]:
        """Queue a job; returns its number and how many markets it is about.

        With `takes_over` it does what an interrupted job with the same words, that is no longer
        and ends no later, has left to do; that one is given up.

        Raises:
            UnknownMarkets: when no market is meant.
            RestError: when the exchange can not be asked for its markets.
            StoreError: when the store refuses.
        """
        parse_interval(interval)
        symbols = await self._symbols(words)
        wall_ms = _wall_ms()

        def insert(db: sqlite3.Connection) -> int:
            number = int(
                db.execute(
                    "INSERT INTO backfill_job (markets, interval, start_ms, end_ms, state,"
                    " created_wall_ms, changed_wall_ms) VALUES (?, ?, ?, ?, 'waiting', ?, ?)"
                    " RETURNING id",
                    (json.dumps(list(words)), interval, start_ms, end_ms, wall_ms, wall_ms),
                ).fetchone()[0]
            )
            if takes_over:
                db.execute(
                    "UPDATE backfill_job SET state = 'cancelled', message = ?, changed_wall_ms = ?"
                    " WHERE state IN ('waiting', 'running') AND id <> ? AND markets = ?"
                    " AND interval = ? AND end_ms <= ? AND end_ms - start_ms <= ?",
                    (
                        f"backfill {number} went on with it",
                        *(wall_ms, number, json.dumps(list(words)), interval),
                        *(end_ms, end_ms - start_ms),
                    ),
                )
            return number

        number = await asyncio.wrap_future(self._store.writer.run(insert))
        self._wake.set()
        return number, len(symbols)

    async def cancel(self, number: int = 0) -> int:
        """Give up a job, or all (0); returns how many there were. What was fetched stays."""
        cancelled = await asyncio.wrap_future(
            self._store.writer.run(lambda db: cancel_jobs(db, number))
        )
        if self._work is not None and number in (0, self._running):
            self._work.cancel()
        return cancelled

    async def run(self) -> None:
        """Work for ever."""
        while True:
            self._wake.clear()
            job = await asyncio.to_thread(next_job, self._store.reader)
            if job is None:
                await self._wake.wait()
            else:
                await self.do(job)

    async def do(self, job: Job) -> None:
        """Work one job off; a cancelled one ends, any failure stands in the job's row."""
        self._running, self.rows = job.number, job.rows
        self._work = asyncio.create_task(self._fetch_all(job), name=f"backfill {job.number}")
        try:
            await asyncio.wait([self._work])
        except asyncio.CancelledError:
            self._work.cancel()
            with suppress(asyncio.CancelledError):
                await self._work
            raise
        finally:
            self._history.announce(0, 0)
            self._running = None
        work, self._work = self._work, None
        if work.cancelled():
            return
        error = work.exception()
        if error is None:
            message = f"{self.rows:,} candles fetched"
            await self._note(job, "done", message)
            self._on_notice("info", f"Backfill {job.number} is done: {message}.")
        else:
            await self._note(job, "failed", str(error))
            self._on_notice("error", f"Backfill {job.number} failed: {error}")

    async def _fetch_all(self, job: Job) -> None:
        symbols = await self._symbols_at_last(job)
        if not await self._note(job, "running", f"{len(symbols):,} markets"):
            raise asyncio.CancelledError  # it was cancelled before it began
        length_ms = parse_interval(job.interval).length_ms
        each = max(1, (job.end_ms - job.start_ms) // length_ms)
        waiting = list(reversed(symbols))
        underway: set[asyncio.Future[int]] = set()
        left_out: list[str] = []
        noted_s = time.monotonic()
        try:
            while waiting or underway:
                while waiting and len(underway) < AT_ONCE:
                    underway.add(
                        self._history.request(
                            waiting.pop(),
                            job.interval,
                            job.start_ms,
                            job.end_ms,
                            priority=Priority.JOB,
                            keeps_trying=True,
                        )
                    )
                self._history.announce(len(waiting), len(waiting) * each)
                done, underway = await asyncio.wait(
                    underway, return_when=asyncio.FIRST_COMPLETED, timeout=NOTE_EVERY_S
                )
                for fill in done:
                    if (error := fill.exception()) is None:
                        self.rows += fill.result()
                    else:
                        left_out.append(str(error))
                if time.monotonic() - noted_s >= NOTE_EVERY_S:
                    noted_s = time.monotonic()
                    gone = len(symbols) - len(waiting) - len(underway)
                    await self._note(
                        job, "running", f"{gone:,} of {len(symbols):,} markets are complete"
                    )
        finally:
            for fill in underway:
                fill.cancel()
        if left_out:
            text = f"{len(left_out):,} of {len(symbols):,} markets were left out: {left_out[0]}"
            self._on_notice("warning", text)

    async def _symbols_at_last(self, job: Job) -> tuple[str, ...]:
        """Return the job's markets; waits until the exchange can be asked."""
        while True:
            try:
                return await self._symbols(job.words)
            except RestError as error:
                await self._note(job, "running", str(error))
                await asyncio.sleep(RETRY_S)

    async def _symbols(self, words: Sequence[str]) -> tuple[str, ...]:
        infos = await self._rest.all_symbols(background=True)
        selection = select_markets(words, infos)
        if selection.unknown:
            sentence = unknown_sentence(selection.unknown, infos)
            if not selection.symbols:
                raise UnknownMarkets(sentence)
            self._on_notice("warning", sentence)
        return selection.symbols

    async def _note(self, job: Job, state: str, message: str) -> bool:
        """Note the state of a job; False when it is none of those that wait or run."""
        rows = self.rows
        try:
            noted = await asyncio.wrap_future(
                self._store.writer.run(
                    lambda db: (
                        db.execute(
                            "UPDATE backfill_job SET state = ?, rows = ?, message = ?,"
                            " changed_wall_ms = ? WHERE id = ? AND state IN ('waiting', 'running')",
                            (state, rows, message, _wall_ms(), job.number),
                        ).rowcount
                    )
                )
            )
        except StoreError as error:
            log.warning("the state of backfill %d could not be noted: %s", job.number, error)
            return True
        return bool(noted)


def cancel_jobs(connection: sqlite3.Connection, number: int) -> int:
    """Mark a job, or all (0), as cancelled inside a transaction; returns how many there were."""
    return connection.execute(
        "UPDATE backfill_job SET state = 'cancelled', changed_wall_ms = ?"
        " WHERE state IN ('waiting', 'running') AND (? = 0 OR id = ?)",
        (_wall_ms(), number, number),
    ).rowcount


def next_job(reader: Reader) -> Job | None:
    """Return the oldest job that is not done."""
    rows = reader.query(
        f"SELECT {_COLUMNS} FROM backfill_job WHERE state IN ('waiting', 'running')"  # noqa: S608
        " ORDER BY id LIMIT 1"
    )
    return Job(**rows[0]) if rows else None


def read_job(reader: Reader, number: int) -> Job | None:
    """Return one job; None when there is none of that number."""
    rows = reader.query(f"SELECT {_COLUMNS} FROM backfill_job WHERE id = ?", (number,))  # noqa: S608
    return Job(**rows[0]) if rows else None


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
