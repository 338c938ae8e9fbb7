"""From decoded stream events to the board and, for closed candles, to the store."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from engine.binance.events import (
    BookTickerEvent,
    DepthEvent,
    KlineEvent,
    MiniTickerEvent,
    TickerEvent,
    TradeEvent,
)
from engine.market.interval import parse_interval
from engine.store import Source

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from concurrent.futures import Future

    from engine.binance.book_feed import BookFeed
    from engine.binance.clock import ExchangeClock
    from engine.binance.events import Event
    from engine.capture.board import Board
    from engine.market.candle import Candle
    from engine.store import PutResult, Writer

log = logging.getLogger(__name__)


class Collector:
    """Takes every stream event of the engine.

    Args:
        board: What viewers look at.
        writer: Where closed candles go.
        clock: Exchange clock, fed with event times.
        on_stored: Called on the loop with (symbol, interval, open_time_ms) after the COMMIT of a
            closed candle, or of a page of them for the newest.
        on_hole: Called with (symbol, interval, from_ms, to_ms) when a closed candle shows that
            earlier ones were never seen, or when one that was pushed could not be stored.

    Attributes:
        books: The books that depth events go to.
        closed_seen: Closed candles pushed, each counted once.
        store_failures: Candles that the store did not take.
    """

    def __init__(
        self,
        board: Board,
        writer: Writer,
        clock: ExchangeClock,
        loop: asyncio.AbstractEventLoop,
        *,
        on_stored: Callable[[str, str, int], None],
        on_hole: Callable[[str, str, int, int], None],
    ) -> None:
        self._board = board
        self._writer = writer
        self._clock = clock
        self._loop = loop
        self._on_stored = on_stored
        self._on_hole = on_hole
        self._last_closed: dict[tuple[str, str], Candle] = {}
        self.books: dict[str, BookFeed] = {}
        self.closed_seen = 0
        self.store_failures = 0

    def on_event(self, stream: str, event: Event, receipt_wall_ns: int) -> None:
        """Take one decoded event; never blocks."""
        receipt_ms = receipt_wall_ns // 1_000_000
        if isinstance(event, KlineEvent):
            self._clock.observe(event.event_time_ms)
            self._on_kline(event)
        elif isinstance(event, DepthEvent):
            feed = self.books.get(event.symbol)
            if feed is not None:
                feed.feed(event, receipt_ms)
        elif isinstance(event, TradeEvent):
            self._clock.observe(event.event_time_ms)
            self._board.add_trade(event.symbol, event.trade)
        elif isinstance(event, TickerEvent):
            self._clock.observe(event.event_time_ms)
            self._board.set_ticker(event.ticker, event.bid, event.ask)
        elif isinstance(event, MiniTickerEvent):
            self._board.set_ticker(event.ticker, None, None)
        elif isinstance(event, BookTickerEvent):
            board = self._board.symbol(event.symbol)
            board.bid, board.ask = event.bid, event.ask
            board.ticker_revision = self._board.next_revision()
        else:
            log.debug("no use for an event of stream %s", stream)
            return
        self._board.symbol(event.symbol).last_event_wall_ms = receipt_ms

    def forget_continuity(self, symbol: str, interval: str) -> None:
        """Stop expecting the next candle, since a refill from the last stored one is on its way."""
        self._last_closed.pop((symbol, interval), None)

    def _on_kline(self, event: KlineEvent) -> None:
        self._board.set_candle(event.symbol, event.interval, event.candle)
        key = (event.symbol, event.interval)
        if event.candle.closed and self._last_closed.get(key) != event.candle:
            self.closed_seen += 1
            self._check_continuity(event.symbol, event.interval, event.candle)
            self.store([event.candle], event.symbol, event.interval, Source.STREAM)

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
            try:
                self._loop.call_soon_threadsafe(
                    self._stored, symbol, interval, times, source, error, refused
                )
            except RuntimeError:
                log.info("%s %s: the engine was gone before the commit", symbol, interval)

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
        if error is not None:
            self.store_failures += len(times)
        if source is Source.STREAM and (error is not None or refused):
            # A page of REST is fetched again by whoever asked for it.
            self._last_closed.pop((symbol, interval), None)
            self._on_hole(symbol, interval, times[0], parse_interval(interval).next(times[-1]))
        elif error is None:
            self._on_stored(symbol, interval, times[-1])

    def _check_continuity(self, symbol: str, interval: str, candle: Candle) -> None:
        key = (symbol, interval)
        last = self._last_closed.get(key)
        if last is None or candle.open_time_ms >= last.open_time_ms:
            self._last_closed[key] = candle
        if last is None:
            return
        expected = parse_interval(interval).next(last.open_time_ms)
        if candle.open_time_ms > expected:
            self._on_hole(symbol, interval, expected, candle.open_time_ms)


def wall_ms() -> int:
    """Wall clock in epoch milliseconds."""
    return time.time_ns() // 1_000_000
