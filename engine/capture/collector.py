"""From decoded stream events to the board and, for closed candles, to the store."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from engine.binance.events import (
    BookTickerEvent,
    DepthEvent,
    KlineEvent,
    MiniTickerEvent,
    TickerEvent,
    TradeEvent,
)
from engine.market.interval import parse_interval
from engine.store import PutResult, Source, WriteRefused
from engine.store.errors import QueueFull

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from concurrent.futures import Future

    from engine.binance.book_feed import BookFeed
    from engine.binance.clock import ExchangeClock
    from engine.binance.events import Event
    from engine.capture.board import Board
    from engine.market.candle import Candle
    from engine.store import Writer

    Closed = tuple[str, str, Candle]  # symbol, interval

log = logging.getLogger(__name__)


class Collector:
    """Takes every stream event of the engine.

    Args:
        board: What viewers look at.
        writer: Where closed candles go.
        clock: Exchange clock, fed with event times.
        on_stored: Called on the loop with (symbol, interval, open_time_ms) after the COMMIT of a
            closed candle, or of a page of them for the newest.
        on_hole: Called with (symbol, interval, from_ms, to_ms, why) when a closed candle shows that
            earlier ones were never seen, or when one that was pushed could not be stored.
        on_page: Called with (symbol, interval, first and last open time) after the COMMIT of a page
            of candles.

    Attributes:
        books: The books that depth events go to.
        closed_seen: Closed candles pushed, each counted once.
        store_failures: Candles that the store failed to write; what it did not take because too
            many waited stands in the writer's own counter.
    """

    def __init__(
        self,
        board: Board,
        writer: Writer,
        clock: ExchangeClock,
        loop: asyncio.AbstractEventLoop,
        *,
        on_stored: Callable[[str, str, int], None],
        on_hole: Callable[[str, str, int, int, str], None],
        on_page: Callable[[str, str, int, int], None] = lambda *_: None,
    ) -> None:
        self._board = board
        self._writer = writer
        self._clock = clock
        self._loop = loop
        self._on_stored = on_stored
        self._on_hole = on_hole
        self._on_page = on_page
        self._last_closed: dict[tuple[str, str], Candle] = {}
        self.books: dict[str, BookFeed] = {}
        self._closed: list[Closed] = []
        self._takers: dict[type, Callable[[Any, int], None]] = {
            KlineEvent: self._on_kline,
            DepthEvent: self._on_depth,
            TradeEvent: self._on_trade,
            TickerEvent: self._on_ticker,
            MiniTickerEvent: self._on_mini_ticker,
            BookTickerEvent: self._on_book_ticker,
        }
        self.closed_seen = 0
        self.store_failures = 0

    def on_event(self, stream: str, event: Event, receipt_wall_ns: int) -> None:
        """Take one decoded event; never blocks."""
        take = self._takers.get(type(event))
        if take is None:
            log.debug("no use for an event of stream %s", stream)
            return
        take(event, receipt_wall_ns // 1_000_000)

    def forget_continuity(self, symbol: str, interval: str) -> None:
        """Stop expecting the next candle, since a refill from the last stored one is on its way."""
        self._last_closed.pop((symbol, interval), None)

    # --- kinds of events ------------------------------------------------------------------------

    def _on_kline(self, event: KlineEvent, _: int) -> None:
        symbol, interval, candle = event.symbol, event.interval, event.candle
        self._clock.observe(event.event_time_ms)
        self._board.set_candle(symbol, interval, candle)
        if candle.closed and self._last_closed.get((symbol, interval)) != candle:
            self._on_closed(symbol, interval, candle)

    def _on_depth(self, event: DepthEvent, receipt_ms: int) -> None:
        feed = self.books.get(event.symbol)
        if feed is not None:
            feed.feed(event, receipt_ms)

    def _on_trade(self, event: TradeEvent, _: int) -> None:
        self._clock.observe(event.event_time_ms)
        self._board.add_trade(event.symbol, event.trade)

    def _on_ticker(self, event: TickerEvent, _: int) -> None:
        self._clock.observe(event.event_time_ms)
        self._board.set_ticker(event.ticker, event.bid, event.ask)

    def _on_mini_ticker(self, event: MiniTickerEvent, _: int) -> None:
        self._board.set_ticker(event.ticker, None, None)

    def _on_book_ticker(self, event: BookTickerEvent, _: int) -> None:
        board = self._board.symbol(event.symbol)
        board.bid, board.ask = event.bid, event.ask
        board.ticker_revision = self._board.next_revision()

    # --- closed candles -------------------------------------------------------------------------

    def _on_closed(self, symbol: str, interval: str, candle: Candle) -> None:
        self.closed_seen += 1
        self._check_continuity(symbol, interval, candle)
        if not self._closed:
            self._loop.call_soon(self._hand_over)
        self._closed.append((symbol, interval, candle))

    def _hand_over(self) -> None:
        """Hand all candles that closed in this turn of the loop to the writer at once."""
        closed, self._closed = self._closed, []
        future = self._writer.put_closed(closed, Source.STREAM)

        def committed(done: Future[list[PutResult]]) -> None:
            error = done.exception()
            results = [] if error is not None else done.result()
            self._tell(self._closed_stored, closed, results, error)

        future.add_done_callback(committed)

    def _closed_stored(
        self, closed: list[Closed], results: list[PutResult], error: BaseException | None
    ) -> None:
        if error is not None and len(closed) > 1 and not isinstance(error, WriteRefused):
            # One of them fails all: each is tried on its own.
            for symbol, interval, candle in closed:
                self.store([candle], symbol, interval, Source.STREAM)
            return
        if error is not None:
            log.error("%d closed candles were not stored: %s", len(closed), error)
            results = [PutResult()] * len(closed)
        for (symbol, interval, candle), result in zip(closed, results, strict=True):
            times = [candle.open_time_ms]
            self._stored(symbol, interval, times, Source.STREAM, error, result.quarantined)

    def _tell(self, handler: Callable[..., None], *arguments: object) -> None:
        """Call `handler` on the loop, from the writer's thread."""
        try:
            self._loop.call_soon_threadsafe(handler, *arguments)
        except RuntimeError:
            log.info("the engine was gone before the commit of candles")

    def store(
        self, candles: list[Candle], symbol: str, interval: str, source: Source
    ) -> Future[PutResult]:
        """Hand closed candles to the writer; `on_stored` follows for each after the commit."""
        future = self._writer.put_candles(symbol, interval, candles, source)
        times = [candle.open_time_ms for candle in candles]

        def committed(done: Future[PutResult]) -> None:
            error = done.exception()
            if error is not None:
                log.error("%s %s: candles were not stored: %s", symbol, interval, error)
            refused = 0 if error is not None else done.result().quarantined
            self._tell(self._stored, symbol, interval, times, source, error, refused)

        future.add_done_callback(committed)
        return future

    def _stored(
        self,
        symbol: str,
        interval: str,
        times: list[int],
        source: Source,
        error: BaseException | None,
        refused: int,
    ) -> None:
        if error is not None and not isinstance(error, QueueFull):
            self.store_failures += len(times)
        if source is Source.STREAM and (error is not None or refused):
            # A page of REST is fetched again by whoever asked for it.
            self._last_closed.pop((symbol, interval), None)
            fault = error or "it can not be true; the table quarantine holds it"
            why = f"could not be stored: {fault}"
            end_ms = parse_interval(interval).next(times[-1])
            self._on_hole(symbol, interval, times[0], end_ms, why)
        elif error is None:
            self._on_stored(symbol, interval, times[-1])
            if len(times) > 1:
                self._on_page(symbol, interval, times[0], times[-1])

    def _check_continuity(self, symbol: str, interval: str, candle: Candle) -> None:
        key = (symbol, interval)
        last = self._last_closed.get(key)
        if last is None or candle.open_time_ms >= last.open_time_ms:
            self._last_closed[key] = candle
        if last is None:
            return
        expected = parse_interval(interval).next(last.open_time_ms)
        if candle.open_time_ms > expected:
            self._on_hole(symbol, interval, expected, candle.open_time_ms, "")


def wall_ms() -> int:
    """Wall clock in epoch milliseconds."""
    return time.time_ns() // 1_000_000
