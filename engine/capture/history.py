"""Fills the store by REST: history at start, holes of a reconnect, what a chart or a job wants."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from engine.binance.rest import BadAnswer, RateLimited, RestError, UnknownSymbol
from engine.capture import holes
from engine.capture.collector import wall_ms
from engine.capture.fills import Fill, FillQueue
from engine.capture.series import MAX_CANDLES
from engine.market.interval import parse_interval
from engine.store import Source, StoreError, gaps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.binance.clock import ExchangeClock
    from engine.binance.rest import RestClient
    from engine.capture.board import Board
    from engine.capture.collector import Collector
    from engine.capture.series import Series
    from engine.market.interval import Interval
    from engine.store import Store
    from engine.store.gaps import Range

log = logging.getLogger(__name__)

RETRY_FIRST_S = 1.0
RETRY_CAP_S = 30.0
SWEEP_EVERY_S = 3600.0
SERIES_IN_MEMORY = 1_500
BACKGROUND_PRIORITY = 2


class HistoryKeeper:
    """Works off fills one by one, inside the REST client's weight budget.

    A more urgent fill interrupts a long one between two pages. A fill that failed waits by itself,
    so that it holds up no other.

    Args:
        clock: The exchange's, which says which candles are over; asked for when it is not set.

    Attributes:
        current: What runs or is waited for, in words; empty when there is nothing to do.
    """

    def __init__(
        self,
        rest: RestClient,
        store: Store,
        board: Board,
        collector: Collector,
        clock: ExchangeClock,
    ) -> None:
        self._rest = rest
        self._store = store
        self._board = board
        self._collector = collector
        self._clock = clock
        self._queue = FillQueue()
        self._is_running = False
        self.current = ""
        self.rows_fetched = 0
        self.last_error = ""

    @property
    def pending(self) -> int:
        """Fills that wait or run."""
        return len(self._queue) + self._is_running

    def request(
        self,
        symbol: str,
        interval: str,
        start_ms: int,
        end_ms: int | None = None,
        *,
        priority: int = 5,
        is_gap: bool = False,
        keeps_trying: bool = False,
        progress: Callable[[str], None] | None = None,
    ) -> asyncio.Future[int]:
        """Queue a fill of open times in [start_ms, end_ms); the future tells the rows fetched.

        Without `end_ms` it takes all that is over when it runs. It fails with a `RestError` or
        `StoreError`; with `keeps_trying` only when trying again is of no use. Gaps always keep
        trying, and those of one series that lie near each other become one fill.
        """
        grid = parse_interval(interval)
        fill = Fill(
            priority,
            symbol,
            grid,
            max(grid.floor(start_ms), 0),
            end_ms,
            is_gap,
            self._clock.now_ms() if self._clock.is_set else None,
            is_gap or keeps_trying,
            asyncio.get_running_loop().create_future(),
            progress,
        )
        return self._queue.add(fill).done

    async def ensure(
        self,
        symbol: str,
        interval: str,
        rows: int,
        progress: Callable[[str], None] | None = None,
        *,
        priority: int = 1,
        keeps_trying: bool = False,
    ) -> int:
        """Make sure that the newest `rows` closed candles are stored; returns the rows fetched."""
        grid = parse_interval(interval)
        await self._know_clock(keeps_trying=keeps_trying)
        start_ms = grid.back(grid.floor(self._clock.now_ms()), rows)
        return await self.request(
            symbol,
            interval,
            start_ms,
            priority=priority,
            keeps_trying=keeps_trying,
            progress=progress,
        )

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

    async def run(self) -> None:
        """Work for ever."""
        while True:
            fill = await self._queue.take()
            self._is_running = True
            try:
                await self._work_on(fill)
            finally:
                self._is_running = False
                self.current = self._trouble()

    async def sweep(self) -> None:
        """Ask again for what the ledger of gaps holds as open, now and every hour; for ever."""
        while True:
            try:
                for gap in await asyncio.to_thread(holes.open_gaps, self._store.reader):
                    self.request(*gap, priority=4, is_gap=True)
            except StoreError as error:
                self.last_error = str(error)
                log.warning("the open gaps could not be read: %s", error)
            await asyncio.sleep(SWEEP_EVERY_S)

    async def _work_on(self, fill: Fill) -> None:
        try:
            is_whole = await self._fill(fill)
        except UnknownSymbol as error:
            await self._unfillable(fill, error)
            self._give_up(fill, error)
        except (RestError, StoreError) as error:
            self._failed(fill, error)
        except Exception as error:
            # The keeper outlives a fault in one fill.
            log.exception("%s %s could not be filled", fill.symbol, fill.interval.name)
            self._give_up(fill, error)
        else:
            if not is_whole:
                self._queue.put_back(fill)
                return
            self.last_error = ""
            if not fill.done.done():
                fill.done.set_result(fill.fetched)

    def _failed(self, fill: Fill, error: RestError | StoreError) -> None:
        self.last_error = str(error)
        is_refusal = isinstance(error, BadAnswer) and error.code != 0
        if not fill.keeps_trying or is_refusal:
            self._give_up(fill, error)
            return
        wait_s = min(RETRY_FIRST_S * 2.0 ** min(fill.tries, 10), RETRY_CAP_S)
        if isinstance(error, RateLimited):
            wait_s = max(wait_s, error.retry_after_s)
        fill.tries += 1
        log.warning(
            "%s %s: %s Trying again in %.0f s.", fill.symbol, fill.interval.name, error, wait_s
        )
        if fill.progress is not None:
            fill.progress(str(error))
        self._queue.defer(fill, wait_s)

    def _give_up(self, fill: Fill, error: Exception) -> None:
        self.last_error = str(error)
        if not fill.done.done():
            fill.done.set_exception(error)
            fill.done.exception()

    def _trouble(self) -> str:
        return f"waiting to try again: {self.last_error}" if self._queue.has_later else ""

    # --- one fill ---------------------------------------------------------------------------

    async def _know_clock(self, *, keeps_trying: bool = False) -> None:
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

    async def _fill(self, fill: Fill) -> bool:
        """Fetch what is missing; False when a more urgent fill interrupted it."""
        await self._know_clock()
        name = fill.interval.name
        over_ms = fill.interval.floor(self._clock.now_ms())
        end_ms = over_ms if fill.end_ms is None else min(fill.end_ms, over_ms)
        reader = self._store.reader
        ranges = await asyncio.to_thread(reader.missing, fill.symbol, name, fill.start_ms, end_ms)
        if fill.is_gap:
            lost_ms = over_ms if fill.asked_ms is None else fill.interval.floor(fill.asked_ms)
            await self._note_gaps(fill, [(a, min(b, lost_ms)) for a, b in ranges if a < lost_ms])
        wanted = fill.fetched + sum(_count(fill.interval, a, b) for a, b in ranges)
        for a, b in ranges:
            if not await self._fill_range(fill, a, b, wanted):
                return False
        if ranges:
            await self._note_unanswered(fill, end_ms)
        await self.reload(fill.symbol, name)
        return True

    async def _fill_range(self, fill: Fill, start_ms: int, end_ms: int, wanted: int) -> bool:
        name = fill.interval.name
        self._tell(fill, wanted)
        background = fill.priority >= BACKGROUND_PRIORITY
        async for page in self._rest.history(
            fill.symbol, name, start_ms, end_ms, background=background
        ):
            closed = [candle for candle in page if candle.closed]
            if closed:
                future = self._collector.store(closed, fill.symbol, name, Source.REST)
                await asyncio.wrap_future(future)
                fill.fetched += len(closed)
                self.rows_fetched += len(closed)
                self._tell(fill, wanted)
            if self._queue.has_before(fill.priority):
                return False
        return True

    def _tell(self, fill: Fill, wanted: int) -> None:
        self.current = f"{fill.symbol} {fill.interval.name}: {fill.fetched:,} of {wanted:,} candles"
        if fill.progress is not None:
            fill.progress(self.current)

    # --- the ledger of gaps -----------------------------------------------------------------

    async def _note_gaps(self, fill: Fill, ranges: Sequence[Range]) -> None:
        symbol, name, now_ms = fill.symbol, fill.interval.name, wall_ms()
        if ranges:
            await asyncio.wrap_future(
                self._store.writer.run(
                    lambda connection: [
                        gaps.record_missing(connection, symbol, name, a, b, now_ms)
                        for a, b in ranges
                    ]
                )
            )

    async def _note_unanswered(self, fill: Fill, end_ms: int) -> None:
        symbol, name, now_ms = fill.symbol, fill.interval.name, wall_ms()
        left = await asyncio.to_thread(
            holes.interior_missing, self._store.reader, symbol, name, fill.start_ms, end_ms
        )
        if left:
            await asyncio.wrap_future(
                self._store.writer.run(
                    lambda connection: holes.note_unanswered(connection, symbol, name, left, now_ms)
                )
            )

    async def _unfillable(self, fill: Fill, error: UnknownSymbol) -> None:
        if not fill.is_gap:
            return
        symbol, name, now_ms, text = fill.symbol, fill.interval.name, wall_ms(), str(error)
        end_ms = self._clock.now_ms() if fill.end_ms is None else fill.end_ms
        work = self._store.writer.run(
            lambda connection: gaps.mark(
                connection, symbol, name, fill.start_ms, end_ms, "unfillable", now_ms, text
            )
        )
        try:
            await asyncio.wrap_future(work)
        except StoreError as refusal:
            log.warning("a gap of %s could not be marked: %s", symbol, refusal)


def _count(interval: Interval, start_ms: int, end_ms: int) -> int:
    return max(1, (end_ms - start_ms) // interval.length_ms)
