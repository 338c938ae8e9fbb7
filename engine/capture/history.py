"""Fills the store by REST: history at start, holes of a reconnect, what a chart or a job wants."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.binance.rest import RateLimited, RestError, UnknownSymbol
from engine.capture.collector import wall_ms
from engine.market.interval import Interval, parse_interval
from engine.store import Source, gaps

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.binance.rest import RestClient
    from engine.capture.board import Board
    from engine.capture.collector import Collector
    from engine.store import Store

log = logging.getLogger(__name__)

RETRY_FIRST_S = 1.0
RETRY_CAP_S = 30.0


@dataclass(order=True)
class Fill:
    """One range of one series to be made complete.

    Attributes:
        priority: Lower is sooner.
        start_ms: First open time wanted; `end_ms` is exclusive.
        is_gap: True when the range was lost from a running stream, so that the gap ledger tells.
    """

    priority: int
    order: int
    symbol: str = field(compare=False)
    interval: Interval = field(compare=False)
    start_ms: int = field(compare=False)
    end_ms: int = field(compare=False)
    is_gap: bool = field(compare=False)
    done: asyncio.Future[int] = field(compare=False)
    progress: Callable[[str], None] | None = field(compare=False, default=None)


class HistoryKeeper:
    """Works off fills one by one, inside the REST client's weight budget.

    Args:
        exchange_now_ms: The exchange clock, which says which candles are over.
    """

    def __init__(
        self,
        rest: RestClient,
        store: Store,
        board: Board,
        collector: Collector,
        exchange_now_ms: Callable[[], int],
    ) -> None:
        self._rest = rest
        self._store = store
        self._board = board
        self._collector = collector
        self._now_ms = exchange_now_ms
        self._queue: list[Fill] = []
        self._order = itertools.count()
        self._wake = asyncio.Event()
        self.current = ""
        self.rows_fetched = 0
        self.last_error = ""

    @property
    def pending(self) -> int:
        """Fills that wait or run."""
        return len(self._queue) + bool(self.current)

    def request(
        self,
        symbol: str,
        interval: str,
        start_ms: int,
        end_ms: int,
        *,
        priority: int = 5,
        is_gap: bool = False,
        progress: Callable[[str], None] | None = None,
    ) -> asyncio.Future[int]:
        """Queue a fill of open times in [start_ms, end_ms); the future tells the rows fetched."""
        grid = parse_interval(interval)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        fill = Fill(
            priority,
            next(self._order),
            symbol,
            grid,
            max(grid.floor(start_ms), 0),
            end_ms,
            is_gap,
            future,
            progress,
        )
        heapq.heappush(self._queue, fill)
        self._wake.set()
        return future

    async def ensure(
        self,
        symbol: str,
        interval: str,
        rows: int,
        progress: Callable[[str], None] | None = None,
        *,
        priority: int = 1,
    ) -> int:
        """Make sure that the newest `rows` closed candles are stored; returns the rows fetched."""
        grid = parse_interval(interval)
        end_ms = grid.floor(self._now_ms())
        start_ms = grid.back(end_ms, rows)
        return await self.request(
            symbol, interval, start_ms, end_ms, priority=priority, progress=progress
        )

    async def run(self) -> None:
        """Work for ever; a failed fill goes back into the queue and is tried again later."""
        delay_s = RETRY_FIRST_S
        while True:
            while not self._queue:
                self._wake.clear()
                await self._wake.wait()
            fill = heapq.heappop(self._queue)
            if fill.done.cancelled():
                continue
            try:
                rows = await self._fill(fill)
            except UnknownSymbol as error:
                self._give_up(fill, error)
            except RestError as error:
                self.last_error = str(error)
                log.warning("%s %s: %s", fill.symbol, fill.interval.name, error)
                heapq.heappush(self._queue, fill)
                wait_s = error.retry_after_s if isinstance(error, RateLimited) else delay_s
                self.current = f"waiting {wait_s:.0f} s: {error}"
                await asyncio.sleep(wait_s)
                delay_s = min(delay_s * 2, RETRY_CAP_S)
            else:
                delay_s = RETRY_FIRST_S
                self.last_error = ""
                if not fill.done.done():
                    fill.done.set_result(rows)
            finally:
                self.current = ""

    def _give_up(self, fill: Fill, error: RestError) -> None:
        self.last_error = str(error)
        if not fill.done.done():
            fill.done.set_exception(error)
            fill.done.exception()

    async def _fill(self, fill: Fill) -> int:
        name = fill.interval.name
        end_ms = min(fill.end_ms, fill.interval.floor(self._now_ms()))
        ranges = await asyncio.to_thread(
            self._store.reader.missing, fill.symbol, name, fill.start_ms, end_ms
        )
        if fill.is_gap and ranges:
            await self._note_gaps(fill, ranges)
        wanted = sum(_count(fill.interval, start, end) for start, end in ranges)
        fetched = 0
        for start_ms, end_range_ms in ranges:
            fetched += await self._fill_range(fill, start_ms, end_range_ms, fetched, wanted)
        self._reload(fill)
        return fetched

    async def _fill_range(
        self, fill: Fill, start_ms: int, end_ms: int, already: int, wanted: int
    ) -> int:
        name = fill.interval.name
        fetched = 0
        self._tell(fill, already, wanted)
        async for page in self._rest.history(fill.symbol, name, start_ms, end_ms, background=False):
            closed = [candle for candle in page if candle.closed]
            if closed:
                future = self._collector.store(closed, fill.symbol, name, Source.REST)
                await asyncio.wrap_future(future)
                fetched += len(closed)
                self.rows_fetched += len(closed)
                self._tell(fill, already + fetched, wanted)
        return fetched

    def _tell(self, fill: Fill, fetched: int, wanted: int) -> None:
        self.current = f"{fill.symbol} {fill.interval.name}: {fetched:,} of {wanted:,} candles"
        if fill.progress is not None:
            fill.progress(self.current)

    async def _note_gaps(self, fill: Fill, ranges: list[tuple[int, int]]) -> None:
        symbol, name = fill.symbol, fill.interval.name
        for start_ms, end_ms in ranges:
            await asyncio.wrap_future(
                self._store.writer.run(
                    lambda connection, a=start_ms, b=end_ms: gaps.record_missing(  # type: ignore[misc]
                        connection, symbol, name, a, b, wall_ms()
                    )
                )
            )

    def _reload(self, fill: Fill) -> None:
        series = self._board.series.get((fill.symbol, fill.interval.name))
        if series is None:
            return
        rows = self._store.reader.candles(
            fill.symbol, fill.interval.name, start_ms=fill.start_ms, end_ms=fill.end_ms
        )
        series.merge(rows, self._board.next_revision())


def _count(interval: Interval, start_ms: int, end_ms: int) -> int:
    return max(1, (end_ms - start_ms) // interval.length_ms)
