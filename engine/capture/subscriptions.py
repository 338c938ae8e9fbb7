"""Which streams the engine wants: the watchlist's, those its viewers look at, and the models'."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.binance.book_feed import BookFeed
from engine.binance.rest import RestError
from engine.capture.series import MAX_CANDLES
from engine.market.interval import parse_interval
from engine.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from engine.binance.rest import RestClient
    from engine.binance.supervisor import StreamSupervisor
    from engine.capture.board import Board
    from engine.capture.collector import Collector
    from engine.capture.history import HistoryKeeper

log = logging.getLogger(__name__)

LINGER_S = 10.0
REFRESH_EVERY_S = 2.0
CHART_ROWS = 1_000


@dataclass(frozen=True)
class Lease:
    """What one viewer looks at; without an interval it wants the book alone."""

    symbol: str
    interval: str | None


class Subscriptions:
    """Turns watchlist, leases and models into the supervisor's wanted set, and opens books.

    Args:
        model_series: Tells the (symbol, interval) pairs whose models score every candle.
        looks_at_all: Whether trades and depth of the whole watchlist are wanted, viewers or not.
    """

    def __init__(
        self,
        board: Board,
        collector: Collector,
        supervisor: StreamSupervisor,
        rest: RestClient,
        history: HistoryKeeper,
        model_series: Callable[[], Iterable[tuple[str, str]]],
        *,
        looks_at_all: bool = False,
    ) -> None:
        self._board = board
        self._collector = collector
        self._supervisor = supervisor
        self._rest = rest
        self._history = history
        self._model_series = model_series
        self._looks_at_all = looks_at_all
        self._leases: dict[int, Lease] = {}
        self._last_used: dict[str, float] = {}
        self._loading: dict[tuple[str, str, str], asyncio.Task[None]] = {}

    def lease(self, viewer: int, lease: Lease) -> None:
        """Take what `viewer` looks at now; streams that this needs are opened at once."""
        if self._leases.get(viewer) == lease:
            return
        self._leases[viewer] = lease
        if lease.interval is not None:
            self.open_series(lease.symbol, lease.interval)
        self.refresh()

    def release(self, viewer: int) -> None:
        """Forget a viewer; its streams are dropped after a while."""
        self._leases.pop(viewer, None)

    def refresh(self) -> None:
        """Work out the wanted set and tell the supervisor."""
        now = time.monotonic()
        wanted = set(self._watchlist_streams()) | set(self._model_streams())
        leased = set(self._lease_streams())
        for stream in leased:
            self._last_used[stream] = now
        for stream, used in list(self._last_used.items()):
            if stream in leased or now - used < LINGER_S:
                wanted.add(stream)
            else:
                del self._last_used[stream]
        self._supervisor.want(wanted)
        self._drop_series(wanted)
        self._open_books({stream.partition("@")[0] for stream in wanted if "@depth" in stream})

    def open_series(self, symbol: str, interval: str) -> None:
        """Load a series from the store and ask for the history that a chart shows."""
        key = (symbol, interval)
        if key in self._board.series:
            return
        series = self._history.load(symbol, interval)
        series.set_note("loading history", self._board.next_revision())
        self._load("open", symbol, interval, self._open(symbol, interval))

    def load_older(self, symbol: str, interval: str) -> None:
        """Fetch the page of candles before the oldest in memory, unless that runs already."""
        series = self._board.series.get((symbol, interval))
        if series is None or series.is_oldest or series.first_open_time_ms is None:
            return
        if len(series.candles) >= MAX_CANDLES:
            series.set_note(series.note, self._board.next_revision(), is_oldest=True)
            return
        work = self._extend(symbol, interval, series.first_open_time_ms)
        self._load("older", symbol, interval, work)

    async def run(self) -> None:
        """Drop streams that nobody has looked at for a while; runs for ever."""
        while True:
            await asyncio.sleep(REFRESH_EVERY_S)
            self.refresh()

    async def close(self) -> None:
        """Give up what is being loaded, and close all books."""
        for task in self._loading.values():
            task.cancel()
        await asyncio.gather(*self._loading.values(), return_exceptions=True)
        for feed in self._collector.books.values():
            await feed.close()
        self._collector.books.clear()

    def _load(
        self, what: str, symbol: str, interval: str, work: Coroutine[None, None, None]
    ) -> None:
        key = (what, symbol, interval)
        if key in self._loading:
            work.close()
            return
        task = asyncio.ensure_future(work)
        self._loading[key] = task
        task.add_done_callback(lambda _: self._loading.pop(key, None))
        task.add_done_callback(_log_failure)

    async def _open(self, symbol: str, interval: str) -> None:
        def tell(note: str) -> None:
            self._note(symbol, interval, note)

        try:
            await self._history.ensure(
                symbol, interval, CHART_ROWS, tell, priority=0, keeps_trying=True
            )
        except (RestError, StoreError) as error:
            tell(str(error))
        else:
            tell("")

    async def _extend(self, symbol: str, interval: str, first_ms: int) -> None:
        start_ms = parse_interval(interval).back(first_ms, CHART_ROWS)
        try:
            await self._history.request(symbol, interval, start_ms, priority=0)
            await self._history.reload(symbol, interval, more=CHART_ROWS)
        except (RestError, StoreError) as error:
            self._note(symbol, interval, str(error))
            return
        series = self._board.series.get((symbol, interval))
        if series is None:
            return
        is_oldest = series.first_open_time_ms == first_ms
        series.set_note("", self._board.next_revision(), is_oldest=is_oldest)

    def _note(self, symbol: str, interval: str, note: str) -> None:
        series = self._board.series.get((symbol, interval))
        if series is not None and series.note != note:
            series.set_note(note, self._board.next_revision())

    def _drop_series(self, wanted: set[str]) -> None:
        for symbol, interval in list(self._board.series):
            if f"{symbol.lower()}@kline_{interval}" not in wanted:
                del self._board.series[symbol, interval]

    def _watchlist_streams(self) -> Iterable[str]:
        for symbol in self._board.watchlist:
            name = symbol.lower()
            yield f"{name}@kline_1m"
            yield f"{name}@ticker"
            if self._looks_at_all:
                yield f"{name}@trade"
                yield f"{name}@depth@100ms"

    def _model_streams(self) -> Iterable[str]:
        for symbol, interval in self._model_series():
            yield f"{symbol.lower()}@kline_{interval}"

    def _lease_streams(self) -> Iterable[str]:
        for lease in self._leases.values():
            name = lease.symbol.lower()
            yield f"{name}@depth@100ms"
            if lease.interval is not None:
                yield f"{name}@kline_{lease.interval}"
                yield f"{name}@ticker"
                yield f"{name}@trade"

    def _open_books(self, names: set[str]) -> None:
        books = self._collector.books
        wanted = {name.upper() for name in names}
        for symbol in wanted - books.keys():
            books[symbol] = BookFeed(self._rest, symbol, self._board.book_changed)
        for symbol in books.keys() - wanted:
            feed = books.pop(symbol)
            task = asyncio.ensure_future(feed.close())
            task.add_done_callback(_log_failure)


def _log_failure(task: asyncio.Future[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("a book or a series failed: %s", task.exception())
