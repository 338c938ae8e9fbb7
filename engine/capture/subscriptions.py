"""Which streams the engine wants: the watchlist's, those its viewers look at, and the models'."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.binance.book_feed import BookFeed
from engine.binance.rest import RestError
from engine.market.interval import parse_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from engine.binance.rest import RestClient
    from engine.binance.supervisor import StreamSupervisor
    from engine.capture.board import Board
    from engine.capture.collector import Collector
    from engine.capture.history import HistoryKeeper
    from engine.store import Store

log = logging.getLogger(__name__)

LINGER_S = 10.0
CHART_ROWS = 1_000
SERIES_IN_MEMORY = 1_500


@dataclass(frozen=True)
class Lease:
    """What one viewer looks at."""

    symbol: str
    interval: str


class Subscriptions:
    """Turns watchlist, leases and models into the supervisor's wanted set, and opens books.

    Args:
        model_series: Tells the (symbol, interval) pairs whose models score every candle.
        looks_at_all: Whether trades and depth of the whole watchlist are wanted, viewers or not.
    """

    def __init__(
        self,
        board: Board,
        store: Store,
        collector: Collector,
        supervisor: StreamSupervisor,
        rest: RestClient,
        history: HistoryKeeper,
        model_series: Callable[[], Iterable[tuple[str, str]]],
        *,
        looks_at_all: bool = False,
    ) -> None:
        self._board = board
        self._store = store
        self._collector = collector
        self._supervisor = supervisor
        self._rest = rest
        self._history = history
        self._model_series = model_series
        self._looks_at_all = looks_at_all
        self._leases: dict[int, Lease] = {}
        self._last_used: dict[str, float] = {}
        self._older: dict[tuple[str, str], asyncio.Future[int]] = {}

    def lease(self, viewer: int, lease: Lease) -> None:
        """Take what `viewer` looks at now; streams that this needs are opened at once."""
        if self._leases.get(viewer) == lease:
            return
        self._leases[viewer] = lease
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
        series = self._board.series_of(symbol, interval)
        stored = self._store.reader.candles(symbol, interval, limit=SERIES_IN_MEMORY)
        revision = self._board.next_revision()
        series.merge(stored, revision)
        series.set_note("loading history", revision)
        task = asyncio.ensure_future(self._history.ensure(symbol, interval, CHART_ROWS, priority=0))
        task.add_done_callback(lambda done: self._opened(symbol, interval, done))

    def load_older(self, symbol: str, interval: str) -> None:
        """Fetch the page of candles before the oldest in memory, unless that runs already."""
        key = (symbol, interval)
        series = self._board.series.get(key)
        if series is None or series.is_oldest or key in self._older:
            return
        first = series.first_open_time_ms
        if first is None:
            return
        start = parse_interval(interval).back(first, CHART_ROWS)
        future = self._history.request(symbol, interval, start, first, priority=0)
        self._older[key] = future
        future.add_done_callback(lambda _: self._older_loaded(key, first))

    async def run(self) -> None:
        """Drop streams that nobody has looked at for a while; runs for ever."""
        while True:
            await asyncio.sleep(2.0)
            self.refresh()

    async def close(self) -> None:
        """Close all books."""
        for feed in self._collector.books.values():
            await feed.close()
        self._collector.books.clear()

    def _opened(self, symbol: str, interval: str, done: asyncio.Future[int]) -> None:
        if done.cancelled():
            return
        error = done.exception()
        note = str(error) if isinstance(error, RestError) else ""
        series = self._board.series_of(symbol, interval)
        series.set_note(note, self._board.next_revision())

    def _older_loaded(self, key: tuple[str, str], first_before: int) -> None:
        self._older.pop(key, None)
        series = self._board.series[key]
        if series.first_open_time_ms == first_before:
            series.set_note(series.note, self._board.next_revision(), is_oldest=True)

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
            yield f"{name}@kline_{lease.interval}"
            yield f"{name}@ticker"
            yield f"{name}@trade"
            yield f"{name}@depth@100ms"

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
        log.error("a book did not close: %s", task.exception())
