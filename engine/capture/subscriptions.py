"""Which streams the engine wants: the captured series', the watchlist's, viewers' and models'."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.binance import stream_names
from engine.binance.book_feed import BookFeed
from engine.binance.rest import RestError
from engine.capture.series import MAX_CANDLES
from engine.market.interval import parse_interval
from engine.store import StoreError
from engine.task_supervisor import log_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from engine.binance.rest import RestClient
    from engine.binance.supervisor import StreamSupervisor
    from engine.capture.board import Board
    from engine.capture.collector import Collector
    from engine.capture.history import HistoryKeeper
    from engine.capture.resampled import Resampler
    from engine.capture.roster import Roster

log = logging.getLogger(__name__)

LINGER_S = 10.0
REFRESH_EVERY_S = 2.0
CHART_ROWS = 1_000
OWN_TICKERS = 50


@dataclass(frozen=True)
class Lease:
    """What one viewer looks at; without an interval it wants the book alone."""

    symbol: str
    interval: str | None


class Subscriptions:
    """Turns roster, leases and models into the supervisor's wanted set, and opens books.

    A series that is captured and that nobody looks at is not in memory. The first markets of the
    watchlist have a ticker stream each; prices of all others come from the one array stream, which
    is wanted only where there are others.

    Args:
        roster: Tells which series are captured.
        model_series: Tells the (symbol, interval) pairs whose models score every candle.
        looks_at_all: Whether trades and depth of the whole watchlist are wanted, viewers or not.
        resampler: Fills charts from stored minutes before the exchange's own candles are there.
    """

    def __init__(
        self,
        board: Board,
        collector: Collector,
        supervisor: StreamSupervisor,
        rest: RestClient,
        history: HistoryKeeper,
        roster: Roster,
        model_series: Callable[[], Iterable[tuple[str, str]]],
        *,
        looks_at_all: bool = False,
        resampler: Resampler | None = None,
    ) -> None:
        self._board = board
        self._collector = collector
        self._supervisor = supervisor
        self._rest = rest
        self._history = history
        self._roster = roster
        self._model_series = model_series
        self._looks_at_all = looks_at_all
        self._resampler = resampler
        self._leases: dict[int, Lease] = {}
        self._last_used: dict[str, float] = {}
        self._loading: dict[tuple[str, str, str], asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._captured: tuple[str, ...] = ()
        self._captured_revision = -1
        self._watched: tuple[str, ...] = ()
        self._watched_key: tuple[int, int] | None = None
        self._in_use: frozenset[str] = frozenset()
        self._told: tuple[object, ...] = ()

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

    @property
    def looked_at(self) -> frozenset[str]:
        """The markets that viewers look at now."""
        return frozenset(lease.symbol for lease in self._leases.values())

    def refresh(self) -> None:
        """Work out the wanted set and tell the supervisor; cheap when nothing changed."""
        now = time.monotonic()
        leased = set(self._lease_streams())
        for stream in leased:
            self._last_used[stream] = now
        for stream, used in list(self._last_used.items()):
            if stream not in leased and now - used >= LINGER_S:
                del self._last_used[stream]
        looked_at = (*self._last_used, *self._model_streams())
        watched, captured = self._watchlist_streams(), self._captured_streams()
        told = (self._captured_revision, self._watched_key, frozenset(looked_at))
        if told != self._told:
            self._told = told
            # What somebody looks at is subscribed to first.
            self._supervisor.want(dict.fromkeys((*looked_at, *watched, *captured)))
            self._in_use = frozenset((*looked_at, *watched))
            self._open_books({name.partition("@")[0] for name in self._in_use if "@depth" in name})
        self._drop_series()

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
        loading = list(self._loading.values())
        for task in loading:
            task.cancel()
        await asyncio.gather(*loading, *self._closing, return_exceptions=True)
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
        task = asyncio.create_task(work, name=f"{what} {symbol} {interval}")
        self._loading[key] = task
        task.add_done_callback(lambda _: self._loading.pop(key, None))
        task.add_done_callback(log_failure)

    async def _open(self, symbol: str, interval: str) -> None:
        def tell(note: str) -> None:
            self._note(symbol, interval, note)

        try:
            if self._resampler is not None:
                await self._resampler.open(symbol, interval)
            await self._history.ensure(
                symbol, interval, CHART_ROWS, tell, priority=0, keeps_trying=True
            )
            self._note_absence(symbol, interval)
        except (RestError, StoreError) as error:
            tell(str(error))
        except Exception as error:
            tell(f"it could not be loaded: {error}")
            raise
        else:
            tell("")

    def _note_absence(self, symbol: str, interval: str) -> None:
        """Tell a series that stays empty because the source has none from one that waits."""
        series = self._board.series.get((symbol, interval))
        if series is not None and not series.candles and self._history.holds(symbol, "1m"):
            words = f"the source has no {interval} candles"
            series.set_absence(words, self._board.next_revision())

    async def _extend(self, symbol: str, interval: str, first_ms: int) -> None:
        start_ms = parse_interval(interval).back(first_ms, CHART_ROWS)
        try:
            if self._resampler is not None:
                await self._resampler.older(symbol, interval, first_ms)
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

    def _drop_series(self) -> None:
        for symbol, interval in list(self._board.series):
            if stream_names.kline(symbol, interval) not in self._in_use:
                del self._board.series[symbol, interval]

    def _captured_streams(self) -> tuple[str, ...]:
        if self._captured_revision != self._roster.revision:
            self._captured_revision = self._roster.revision
            self._captured = tuple(
                stream_names.kline(symbol, interval)
                for symbol, interval in self._roster.ordered_series()
            )
        return self._captured

    def _watchlist_streams(self) -> tuple[str, ...]:
        key = (self._board.watchlist_revision, self._roster.revision)
        if self._watched_key != key:
            self._watched_key = key
            self._watched = tuple(self._streams_of_watchlist())
        return self._watched

    def _streams_of_watchlist(self) -> Iterable[str]:
        captured = set(self._roster.symbols)
        watched = [name for name in self._board.watchlist if name in captured]
        for at, symbol in enumerate(watched):
            yield stream_names.kline(symbol, "1m")
            if at < OWN_TICKERS:
                yield stream_names.ticker(symbol)
            if self._looks_at_all:
                yield stream_names.trade(symbol)
                yield stream_names.depth(symbol)
        if len(self._roster.symbols) > min(len(watched), OWN_TICKERS):
            yield stream_names.ALL_MINI_TICKERS

    def _model_streams(self) -> Iterable[str]:
        for symbol, interval in self._model_series():
            yield stream_names.kline(symbol, interval)

    def _lease_streams(self) -> Iterable[str]:
        for lease in self._leases.values():
            yield stream_names.depth(lease.symbol)
            if lease.interval is not None:
                yield stream_names.kline(lease.symbol, lease.interval)
                yield stream_names.ticker(lease.symbol)
                yield stream_names.trade(lease.symbol)

    def _open_books(self, names: set[str]) -> None:
        books = self._collector.books
        wanted = {name.upper() for name in names}
        for symbol in wanted - books.keys():
            books[symbol] = BookFeed(self._rest, symbol, self._board.book_changed)
        for symbol in books.keys() - wanted:
            feed = books.pop(symbol)
            task = asyncio.create_task(feed.close(), name=f"closing the book of {symbol}")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            task.add_done_callback(log_failure)
