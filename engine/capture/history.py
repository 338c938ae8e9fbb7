"""Fills the store by REST: history at start, gaps, what a chart or a job wants."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from engine.binance.rest import (
    BadAnswer,
    Blocked,
    RateLimited,
    RestError,
    UnknownSymbol,
    Unreachable,
)
from engine.capture.filler import Filler
from engine.capture.fills import Fill, FillQueue, Priority
from engine.capture.progress import Progress
from engine.capture.series import MAX_CANDLES
from engine.market.interval import parse_interval
from engine.store import StoreError, gaps

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection

    from engine.binance.clock import ExchangeClock
    from engine.binance.rest import RestClient
    from engine.capture.board import Board
    from engine.capture.filler import CandleSink
    from engine.capture.series import Series
    from engine.market.capture_figures import BackfillProgress
    from engine.store import Store

log = logging.getLogger(__name__)

RETRY_FIRST_S = 1.0
RETRY_CAP_S = 30.0
DISK_WAIT_S = 5.0
SERIES_IN_MEMORY = 1_500
NEW_GAP_MS = 3_600_000
# Fills under way at once: most of their time they wait for an answer, for weight or for a COMMIT.
# What is reserved for urgent ones is never taken by gaps, and what is for gaps never by jobs.
WORKERS = {Priority.VIEWER: 4, Priority.HOLE: 12, Priority.JOB: 8}
_REFUSED_FOR_GOOD = frozenset({-1100, -1120, -1121})
_NEARLY_FULL = "the disk is nearly full; it goes on when there is space again"
_OPEN = ("open",)
_ASKED_OF_ALL = (Unreachable, Blocked, RateLimited)


class HistoryKeeper:
    """Works off fills, the most urgent first, inside the REST client's weight budget.

    A more urgent fill interrupts a long one between two pages. A fill that failed waits by itself,
    so that it holds up no other; while the exchange can not be reached at all, everything waits.

    Args:
        sink: Where fetched candles go.
        clock: The exchange's, which says which candles are over; asked for when it is not set.

    Attributes:
        current: What runs or is waited for, in words; empty when there is nothing to do.
        rows_fetched: Candles fetched and stored so far.
        last_error: What went wrong last, in words; empty while all goes well.
    """

    def __init__(
        self,
        rest: RestClient,
        store: Store,
        board: Board,
        sink: CandleSink,
        clock: ExchangeClock,
    ) -> None:
        self._rest = rest
        self._store = store
        self._board = board
        self._clock = clock
        self._filler = Filler(rest, store, sink, clock, self._page_stored)
        self._queue = FillQueue()
        self._running: set[int] = set()
        self._repairs: dict[tuple[str, str, tuple[str, ...]], Fill] = {}
        self._focused: frozenset[str] = frozenset()
        self._progress = Progress(rest.budget)
        self._may_work = asyncio.Event()
        self._may_work.set()
        self._paused_until_s = 0.0
        self._pauses = 0
        self.current = ""
        self.rows_fetched = 0
        self.last_error = ""

    @property
    def pending(self) -> int:
        """Fills that wait or run."""
        return len(self._queue) + len(self._running)

    def progress(self) -> BackfillProgress | None:
        """Return how far the fetching is; None when nothing is to be fetched."""
        return self._progress.told(self._waits_for())

    def announce(self, series: int, candles: int) -> None:
        """Say how much a job will ask for that is not queued yet, for the progress."""
        self._progress.announce(series, candles)

    def hold(self) -> None:
        """Fetch nothing until `release`, so that what is missing can be noted first."""
        self._may_work.clear()

    def release(self) -> None:
        """Begin to fetch."""
        self._may_work.set()

    # --- what shall be fetched ----------------------------------------------------------------

    def request(
        self,
        symbol: str,
        interval: str,
        start_ms: int,
        end_ms: int | None = None,
        *,
        priority: int = Priority.HISTORY,
        keeps_trying: bool = False,
        progress: Callable[[str], None] | None = None,
    ) -> asyncio.Future[int]:
        """Queue a fill of open times in [start_ms, end_ms); the future tells the rows fetched.

        Without `end_ms` it takes all that is over when it runs. It fails with a `RestError` or
        `StoreError`; with `keeps_trying` only when trying again is of no use.
        """
        grid = parse_interval(interval)
        fill = Fill(
            priority,
            0,
            symbol,
            grid,
            asyncio.get_running_loop().create_future(),
            start_ms=max(grid.floor(start_ms), 0),
            end_ms=end_ms,
            keeps_trying=keeps_trying,
            progress=progress,
        )
        self._add(fill)
        return fill.done

    def repair(
        self,
        symbol: str,
        interval: str,
        newest_ms: int,
        *,
        states: tuple[str, ...] = _OPEN,
        at_once: bool = False,
    ) -> asyncio.Future[int]:
        """Queue what the ledger of gaps holds in `states` for a series; once, however often asked.

        Those whose newest gap ends latest (`newest_ms`) come first. With `at_once` a wait after a
        failure ends now.
        """
        key = (symbol, interval, states)
        fill = self._repairs.get(key)
        if fill is None:
            done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            fill = Fill(0, -newest_ms, symbol, parse_interval(interval), done, states=states)
            fill.priority = self._urgency(fill)
            self._repairs[key] = fill
            self._add(fill)
        elif id(fill) in self._running:
            fill.asked_again = True
        elif at_once:
            self._queue.hasten(fill)
        return fill.done

    def focus(self, symbols: Collection[str]) -> None:
        """Say which markets somebody looks at: their gaps are filled first."""
        wanted = frozenset(symbols)
        if wanted == self._focused:
            return
        self._focused = wanted
        for fill in self._repairs.values():
            fill.priority = self._urgency(fill)
        self._queue.reorder()

    async def ensure(
        self,
        symbol: str,
        interval: str,
        rows: int,
        progress: Callable[[str], None] | None = None,
        *,
        priority: int = Priority.VIEWER,
        keeps_trying: bool = False,
    ) -> int:
        """Make sure that the newest `rows` closed candles are stored; returns the rows fetched."""
        grid = parse_interval(interval)
        await self.know_clock(keeps_trying=keeps_trying)
        start_ms = grid.back(grid.floor(self._clock.now_ms()), rows)
        return await self.request(
            symbol,
            interval,
            start_ms,
            priority=priority,
            keeps_trying=keeps_trying,
            progress=progress,
        )

    def _urgency(self, fill: Fill) -> int:
        if fill.states != _OPEN:
            return Priority.HOLE
        if fill.symbol in self._focused:
            return Priority.FOCUSED_GAP
        is_new = -fill.rank > self._clock.now_ms() - NEW_GAP_MS
        return Priority.NEW_GAP if is_new else Priority.OLD_GAP

    def _add(self, fill: Fill) -> None:
        self._progress.began(fill)
        self._queue.add(fill)
        fill.done.add_done_callback(lambda done: self._dropped(fill) if done.cancelled() else None)

    def _dropped(self, fill: Fill) -> None:
        """Forget a fill that nobody waits for any more; one under way ends after its page."""
        self._queue.drop(fill)
        self._end(fill)
        if not self._running:
            self.current = self._trouble()

    # --- series in memory -----------------------------------------------------------------------

    def holds(self, symbol: str, interval: str) -> bool:
        """Tell whether any candle of a series is stored."""
        return self._store.reader.last_open_time(symbol, interval) is not None

    def load(self, symbol: str, interval: str) -> Series:
        """Return a series of the board, with what is stored of its newest candles; it blocks."""
        series = self._board.series_of(symbol, interval)
        rows = self._store.reader.candles(symbol, interval, limit=SERIES_IN_MEMORY)
        series.merge(rows, self._board.next_revision())
        return series

    async def reload(self, symbol: str, interval: str, more: int = 0) -> None:
        """Read a series that somebody uses from the store again, with `more` older candles."""
        series = self._board.series.get((symbol, interval))
        if series is None:
            return
        limit = min(MAX_CANDLES, max(SERIES_IN_MEMORY, len(series.candles)) + more)
        rows = await asyncio.to_thread(self._store.reader.candles, symbol, interval, limit=limit)
        series.merge(rows, self._board.next_revision())

    # --- work -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work for ever."""
        try:
            async with asyncio.TaskGroup() as group:
                for least, count in WORKERS.items():
                    for _ in range(count):
                        group.create_task(self._work(least))
        except asyncio.CancelledError:
            self._queue.clear()
            raise

    async def know_clock(self, *, keeps_trying: bool = False) -> None:
        """Ask the exchange for its time unless that is known.

        Raises:
            RestError: when it can not be asked; not with `keeps_trying`.
        """
        while not self._clock.is_set:
            try:
                await self._rest.server_time()
            except RestError:
                if not keeps_trying:
                    raise
                await asyncio.sleep(RETRY_FIRST_S)
                continue
            if self._rest.last_time_answer is not None:
                self._clock.observe_answer(*self._rest.last_time_answer)

    async def _work(self, least: int) -> None:
        while True:
            await asyncio.sleep(max(0.0, self._paused_until_s - time.monotonic()))
            await self._may_work.wait()
            fill = await self._queue.take(least)
            self._running.add(id(fill))
            try:
                await self._work_on(fill)
            except asyncio.CancelledError:
                self._queue.put_back(fill)
                raise
            except Exception as error:
                self._give_up(fill, error)
                raise
            finally:
                self._running.discard(id(fill))
                if not self._running:
                    self.current = self._trouble()

    async def _work_on(self, fill: Fill) -> None:
        if self._is_held(fill):
            self._queue.defer(fill, DISK_WAIT_S)
            return
        try:
            await self.know_clock()
            is_whole = await self._filler.fill(fill, lambda: self._should_yield(fill))
            if is_whole:
                await self.reload(*fill.series)
        except (RestError, StoreError) as error:
            await self._failed(fill, error)
        except Exception as error:
            # The keeper outlives a fault in one fill.
            log.exception("%s %s could not be filled", *fill.series)
            self._give_up(fill, error)
        else:
            self.last_error, self._pauses = "", 0
            if is_whole and not fill.asked_again:
                self._end(fill)
                if not fill.done.done():
                    fill.done.set_result(fill.fetched)
                return
            fill.asked_again = False
            self._queue.put_back(fill)

    def _should_yield(self, fill: Fill) -> bool:
        is_wanted = not fill.done.cancelled() and not self._is_held(fill)
        return not is_wanted or self._queue.has_before(fill.priority)

    def _is_held(self, fill: Fill) -> bool:
        """Whether a fill of a long job has to leave the last space to what is captured."""
        return fill.is_bulk and self._store.writer.only_candles

    async def _failed(self, fill: Fill, error: RestError | StoreError) -> None:
        self._note_trouble(fill, str(error))
        code = error.code if isinstance(error, BadAnswer) else 0
        is_final = isinstance(error, UnknownSymbol) or code in _REFUSED_FOR_GOOD
        if fill.states:
            await self._note_failure(fill, str(error), is_final=is_final)
        if fill.done.cancelled():
            return
        if is_final or not fill.keeps_trying or (code and not fill.states):
            self._give_up(fill, error)
            return
        wait_s = min(RETRY_FIRST_S * 2.0 ** min(fill.tries, 10), RETRY_CAP_S)
        if isinstance(error, _ASKED_OF_ALL):
            wait_s = self._pause(error)
        fill.tries += 1
        if fill.progress is not None:
            fill.progress(str(error))
        self._queue.defer(fill, wait_s)

    def _pause(self, error: RestError) -> float:
        """Let all fills wait, since the exchange answers nobody; returns for how long."""
        now_s = time.monotonic()
        if self._paused_until_s <= now_s:
            wait_s = min(RETRY_FIRST_S * 2.0 ** min(self._pauses, 10), RETRY_CAP_S)
            if isinstance(error, RateLimited):
                wait_s = max(wait_s, error.retry_after_s)
            self._paused_until_s = now_s + wait_s
            self._pauses += 1
        return self._paused_until_s - now_s

    def _note_trouble(self, fill: Fill, text: str) -> None:
        if text != self.last_error:
            log.warning("%s %s: %s", *fill.series, text)
        self.last_error = text

    async def _note_failure(self, fill: Fill, text: str, *, is_final: bool) -> None:
        """Count a try of the gaps, or mark them as lost for good."""
        symbol, name = fill.series
        wall_ms = time.time_ns() // 1_000_000
        end_ms = fill.interval.floor(self._clock.now_ms())

        def note(db: sqlite3.Connection) -> None:
            if is_final:
                gaps.mark(db, symbol, name, 0, end_ms, "unfillable", wall_ms, text)
            else:
                gaps.count_try(db, symbol, name, 0, end_ms, text, wall_ms)

        try:
            await asyncio.wrap_future(self._store.writer.run(note))
        except StoreError as error:
            log.warning("a try to fill gaps of %s %s could not be noted: %s", symbol, name, error)

    def _give_up(self, fill: Fill, error: Exception) -> None:
        self.last_error = str(error)
        self._end(fill)
        if not fill.done.done():
            fill.done.set_exception(error)
            fill.done.exception()

    def _end(self, fill: Fill) -> None:
        if fill.states:
            self._repairs.pop((*fill.series, fill.states), None)
        self._progress.ended(fill)

    def _trouble(self) -> str:
        why = self._waits_for()
        return f"waiting to try again: {why}" if why else ""

    def _waits_for(self) -> str:
        if not self._queue.has_later:
            return ""
        return self.last_error or (_NEARLY_FULL if self._store.writer.only_candles else "")

    def _page_stored(self, fill: Fill, rows: int) -> None:
        self.rows_fetched += rows
        self._progress.add(rows)
        wanted = fill.wanted or 0
        if wanted:
            self.current = (
                f"{fill.symbol} {fill.interval.name}: {fill.fetched:,} of {wanted:,} candles"
            )
            self._progress.what = f"{fill.symbol} {fill.interval.name}"
            if fill.progress is not None:
                fill.progress(self.current)
