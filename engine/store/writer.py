"""The one thread that writes: it gathers work for a moment and commits it in one transaction."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from engine.market.interval import parse_interval
from engine.store.checks import candle_fault, candle_values
from engine.store.closed import Closed, write_closed
from engine.store.database import is_corruption
from engine.store.errors import QueueFull, WriterDied, WriteRefused
from engine.store.symbols import put_quarantine
from engine.store.tasks import Task, TransactionEnded, explain
from engine.store.upsert import Batch
from engine.store.values import PutResult, Source, WriterCounters

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.market.candle import Candle
    from engine.market.interval import Interval

T = TypeVar("T")
log = logging.getLogger(__name__)

GATHER_S = 0.25
GATHER_ROWS = 500
MAX_QUEUED_ROWS = 100_000
RETRY_FIRST_S = 0.25
RETRY_CAP_S = 5.0
_MINUTE_S = 60.0
_CLOSED = "The store is closed."
NEARLY_FULL = (
    "The disk is nearly full, and only captured candles are written; free some space first."
)


class Writer:
    """Takes candles and other work from any thread; owns the only writing connection.

    A candle counts as captured when its future is done, that is after COMMIT returned. When the
    disk is full or the file can not be written, what waits is kept and tried again until it works;
    beyond `max_queued_rows` rows, further work is refused (`QueueFull` in its future).

    Attributes:
        only_candles: Set while the disk is nearly full. Candles of stream and REST, and all work
            that keeps the books about them (gaps, promises, predictions, sessions: some bytes
            each), are written; imports and the raw texts of quarantine are refused and counted.
        damage: What SQLite said when it met a damaged page; empty while it did not.
        death: Why the thread ended although nobody closed it; empty while it did not. It is not
            begun anew: what state it left the connection in is unknown.
        on_death: Told the same, in the thread, when that happens.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        gather_s: float = GATHER_S,
        max_queued_rows: int = MAX_QUEUED_ROWS,
    ) -> None:
        self.only_candles = False
        self.damage = ""
        self.death = ""
        self.on_death: Callable[[str], None] | None = None
        self._connection = connection
        self._gather_s = gather_s
        self._max_queued_rows = max_queued_rows
        self._tasks: deque[Task[Any]] = deque()
        self._changed = threading.Condition()
        self._queued_rows = 0
        self._hurry = False
        self._closing = False
        self._counters = WriterCounters()
        self._recent: deque[tuple[float, int]] = deque()
        self._rows = 0
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    # --- from any thread ------------------------------------------------------------------------

    def put_candles(
        self, symbol: str, interval: str, candles: Sequence[Candle], source: Source
    ) -> Future[PutResult]:
        """Store closed candles of one series; the future is done after COMMIT.

        Candles that can not be true, or that open off the interval's grid, go to quarantine.

        Raises:
            ValueError: for a candle that is not closed, or an unknown interval.
        """
        grid = parse_interval(interval)
        rows, refused = _checked(symbol, grid, candles, source)
        return self.put_rows(symbol, grid, rows, refused, source)

    def put_closed(
        self, closed: Sequence[tuple[str, str, Candle]], source: Source
    ) -> Future[list[PutResult]]:
        """Store (symbol, interval, closed candle) of many series in one work, results in order.

        The burst at a minute's end is one piece of work with one future. Candles that can not be
        true go to quarantine; an error of one undoes and fails all.

        Raises:
            ValueError: for a candle that is not closed, or an unknown interval.
        """
        told: list[Closed] = []
        for symbol, interval, candle in closed:
            grid = parse_interval(interval)
            rows, refused = _checked(symbol, grid, [candle], source)
            if self.only_candles:
                self._count_refused(len(refused))
                refused = []
            told.append(Closed(symbol, grid, *(rows or (None,)), *refused))

        def work(connection: sqlite3.Connection) -> list[PutResult]:
            results = write_closed(connection, told, source, _wall_ms())
            self._rows += sum(result.inserted + result.changed for result in results)
            return results

        return self._submit(Task(work, len(told)))

    def put_rows(
        self,
        symbol: str,
        interval: Interval,
        rows: Sequence[tuple[Any, ...]],
        refused: Sequence[tuple[str, str, str]],
        source: Source,
    ) -> Future[PutResult]:
        """Store rows that were checked already (`candle_values`), and quarantine `refused`."""
        if self.only_candles:
            self._count_refused(len(refused))
            refused = ()
            if source is Source.IMPORT:
                self._count_refused(len(rows))
                return _refusal(NEARLY_FULL)
        batch = Batch(symbol, interval, rows, refused, source)

        def work(connection: sqlite3.Connection) -> PutResult:
            result = batch.write(connection, _wall_ms())
            self._rows += result.inserted + result.changed
            return result

        return self._submit(Task(work, len(rows) + len(refused)))

    def quarantine(self, origin: str, reason: str, raw: str) -> None:
        """Keep what was refused, such as a message that could not be read."""
        if self.only_candles:
            self._count_refused(1)
            return
        rows = [(origin, reason, raw)]
        self._submit(Task(lambda connection: put_quarantine(connection, rows, _wall_ms()), 1))

    def run(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Do `work` inside the next transaction; the future holds its result after COMMIT.

        An exception of `work` undoes only what it did and ends in the future. The transaction may
        fail for reasons from outside and be tried again, so `work` may run more than once.
        """
        return self._submit(Task(work, 1))

    def flush(self, timeout_s: float = 10.0) -> None:
        """Wait until all that was handed over so far is committed.

        Raises:
            TimeoutError: when that takes longer than `timeout_s`.
        """
        with self._changed:
            self._hurry = True
            future = self.run(lambda _: None)
        future.result(timeout_s)

    def close(self, timeout_s: float = 30.0) -> None:
        """Commit what waits and end the thread; what could not be written is refused aloud.

        Raises:
            WriteRefused: when rows had to be given up because the disk refused them to the end.
            WriterDied: when the thread had ended before.
        """
        with self._changed:
            already = self._closing
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        if self.death:
            raise WriterDied(self.death)
        if already:
            return
        if self._thread.is_alive():
            raise WriteRefused(f"The store did not end within {timeout_s:.0f} s.")
        if lost := self._give_up():
            raise WriteRefused(
                f"{lost} rows could not be written: {self._counters.last_error}. Stored candles "
                f"are safe; the missing ones are fetched again at the next start."
            )

    @property
    def counters(self) -> WriterCounters:
        """A snapshot of the counters."""
        with self._changed:
            since = time.monotonic() - _MINUTE_S
            while self._recent and self._recent[0][0] < since:
                self._recent.popleft()
            return self._counters._replace(
                queued=self._queued_rows, rows_per_minute=float(sum(n for _, n in self._recent))
            )

    def _count_refused(self, rows: int) -> None:
        with self._changed:
            self._counters = self._counters._replace(refused=self._counters.refused + rows)

    # --- in the writer's thread -----------------------------------------------------------------

    def _submit(self, task: Task[T]) -> Future[T]:
        refusal: WriteRefused | None = None
        with self._changed:
            if self._closing:
                refusal = WriterDied(self.death) if self.death else WriteRefused(_CLOSED)
            elif self._queued_rows and self._queued_rows + task.rows > self._max_queued_rows:
                refusal = QueueFull(
                    f"{self._queued_rows} rows wait to be written already: "
                    f"{self._counters.last_error or 'the disk is too slow'}."
                )
                self._counters = self._counters._replace(refused=self._counters.refused + task.rows)
            else:
                self._tasks.append(task)
                self._queued_rows += task.rows
                self._changed.notify_all()
        if refusal is not None:
            task.future.set_exception(refusal)
        return task.future

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            log.critical("the store's thread failed", exc_info=error)
            self._die(f"{type(error).__name__}: {error}".rstrip(": "))

    def _die(self, reason: str) -> None:
        with self._changed:
            self._closing, self.death = True, reason
            self._counters = self._counters._replace(
                failures=self._counters.failures + 1, last_error=reason, is_stalled=True
            )
        self._give_up()
        if self.on_death is not None:
            self.on_death(reason)

    def _work(self) -> None:
        retry_s = RETRY_FIRST_S
        while True:
            batch = self._gather()
            if not batch:
                return
            try:
                self._commit(batch)
            except TransactionEnded:
                self._sort_out(batch)
            except sqlite3.Error as error:
                if self._put_back(batch, error, retry_s):
                    return
                retry_s = min(retry_s * 2, RETRY_CAP_S)
            except BaseException:
                with self._changed:
                    self._tasks.extendleft(
                        reversed([task for task in batch if not task.future.done()])
                    )
                raise
            else:
                retry_s = RETRY_FIRST_S

    def _gather(self) -> list[Task[Any]]:
        """Wait for work, then for more of it; an empty list means that all is done."""
        with self._changed:
            while not self._tasks and not self._closing:
                self._changed.wait()
            until = time.monotonic() + self._gather_s
            while not self._hurry and not self._closing and self._queued_rows < GATHER_ROWS:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            self._hurry = False
            batch: list[Task[Any]] = []
            rows = 0
            while self._tasks and (not batch or rows < 20 * GATHER_ROWS):
                task = self._tasks.popleft()
                rows += task.rows
                batch.append(task)
            return batch

    def _commit(self, batch: list[Task[Any]]) -> None:
        connection = self._connection
        started = time.perf_counter()
        self._rows = 0
        try:
            connection.execute("BEGIN IMMEDIATE")
            for task in batch:
                task.attempt(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._count(batch, (time.perf_counter() - started) * 1000)
        for task in batch:
            task.settle()

    def _count(self, batch: list[Task[Any]], took_ms: float) -> None:
        with self._changed:
            counters = self._note_failures(batch)
            self._queued_rows -= sum(task.rows for task in batch)
            self._recent.append((time.monotonic(), self._rows))
            if len(self._recent) > 10_000:
                self._recent.popleft()
            self._counters = counters._replace(
                rows_committed=counters.rows_committed + self._rows,
                commits=counters.commits + 1,
                last_commit_ms=took_ms,
                last_commit_wall_ms=_wall_ms(),
                is_stalled=False,
            )
        if counters.is_stalled:
            log.warning("The store writes again.")

    def _note_failures(self, batch: list[Task[Any]]) -> WriterCounters:
        failures = [task.failure for task in batch if task.failure is not None]
        if not failures:
            return self._counters
        return self._counters._replace(
            failures=self._counters.failures + len(failures), last_error=str(failures[-1])
        )

    def _sort_out(self, batch: list[Task[Any]]) -> None:
        """Refuse the work that ended the transaction and queue the others again."""
        failed = [task for task in batch if task.failure is not None]
        with self._changed:
            self._counters = self._note_failures(batch)
            self._tasks.extendleft(reversed([task for task in batch if task.failure is None]))
            self._queued_rows -= sum(task.rows for task in failed)
        for task in failed:
            task.settle()

    def _put_back(self, batch: list[Task[Any]], error: sqlite3.Error, retry_s: float) -> bool:
        """Keep a batch that failed for the next try; True when there is none since we close."""
        why = explain(error, self._connection)
        log.warning("The store can not write, %d works wait: %s", len(batch), why)
        if is_corruption(error):
            self.damage = str(error)
        with self._changed:
            was_closing = self._closing
            self._tasks.extendleft(reversed(batch))
            self._counters = self._counters._replace(
                failures=self._counters.failures + 1,
                last_error=why,
                is_stalled=True,
            )
            if not was_closing:
                self._changed.wait_for(lambda: self._closing, retry_s)
            return was_closing

    def _give_up(self) -> int:
        with self._changed:
            left, self._tasks = list(self._tasks), deque()
            self._queued_rows = 0
        refusal = WriteRefused(f"Not written: {self._counters.last_error}.")
        for task in left:
            task.future.set_exception(WriterDied(self.death) if self.death else refusal)
        return sum(task.rows for task in left)


def _refusal(reason: str) -> Future[PutResult]:
    future: Future[PutResult] = Future()
    future.set_exception(WriteRefused(reason))
    return future


def _checked(
    symbol: str, grid: Interval, candles: Sequence[Candle], source: Source
) -> tuple[list[tuple[Any, ...]], list[tuple[str, str, str]]]:
    """Return the rows of candles that can be true, and (origin, reason, raw) of the others.

    Raises:
        ValueError: for a candle that is not closed.
    """
    rows: list[tuple[Any, ...]] = []
    refused: list[tuple[str, str, str]] = []
    for candle in candles:
        if not candle.closed:
            raise ValueError(f"The candle of {symbol} at {candle.open_time_ms} is still open.")
        fault = candle_fault(candle, grid)
        if fault is None:
            rows.append(candle_values(candle))
        else:
            refused.append((f"{source.name.lower()} {symbol} {grid.name}", fault, repr(candle)))
    return rows, refused


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
