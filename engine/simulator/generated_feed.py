"""The live part of the generated market: trades and book moves in time order."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from typing import TYPE_CHECKING

from engine.market.interval import MINUTE_MS
from engine.simulator.generated_book import GeneratedBook
from engine.simulator.market_trades import HOUR_MS, quotes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.market.trade import Trade
    from engine.simulator.exchange import Exchange
    from engine.simulator.generated import GeneratedMarket
    from engine.simulator.listings import Listing

_AHEAD_MS = HOUR_MS // 2


class _Hour:
    """One hour of one market as lists, which are quick to walk through."""

    def __init__(self, market: GeneratedMarket, symbol: str, start_ms: int) -> None:
        hour = market.past.hour(symbol, start_ms)
        self.start_ms = start_ms
        self.times_ms: list[int] = hour.times_ms.tolist()
        self.trades: list[Trade] = market.past.trades(symbol, hour, 0, len(self.times_ms))
        self.prices: list[int] = hour.prices.tolist()
        self.quantities: list[int] = hour.quantities.tolist()
        self.bids: list[int] = hour.bids.tolist()
        self.asks: list[int] = hour.asks.tolist()

    def quotes(self, offset_ms: int) -> tuple[int, int]:
        """Return best bid and ask in ticks."""
        place = bisect_right(self.times_ms, offset_ms)
        return quotes(self.times_ms, self.bids, self.asks, offset_ms, place)


class _Walk:
    """How far one market has been emitted."""

    def __init__(self, symbol: str, book: GeneratedBook) -> None:
        self.symbol = symbol
        self.book = book
        self.quotes = (0, 0)
        self.hour: _Hour | None = None
        self.place = 0
        self.ready: dict[int, _Hour] = {}


class Feed:
    """Gives an exchange the generated market's events up to any time.

    Args:
        market: Where trades and quotes come from.
        exchange: Who gets them.
        listings: The markets.
    """

    def __init__(
        self, market: GeneratedMarket, exchange: Exchange, listings: Sequence[Listing]
    ) -> None:
        self._market = market
        self._exchange = exchange
        self._walks = {
            listing.info.name: _Walk(listing.info.name, GeneratedBook(listing, market.seed))
            for listing in listings
        }
        self._done_ms = market.start_ms // MINUTE_MS * MINUTE_MS

    def start(self) -> None:
        """Build the books and emit what the start's minute holds before the start."""
        for walk in self._walks.values():
            self._place(walk)
        self.emit_until(self._market.start_ms)

    def add(self, listing: Listing) -> None:
        """Emit one more market, from what has been emitted of the others on."""
        walk = _Walk(listing.info.name, GeneratedBook(listing, self._market.seed))
        self._place(walk)
        self._walks[walk.symbol] = walk

    def _place(self, walk: _Walk) -> None:
        hour = self._enter(walk, self._done_ms)
        walk.place = bisect_right(hour.times_ms, self._done_ms - hour.start_ms - 1)
        walk.quotes = hour.quotes(self._done_ms - hour.start_ms)
        walk.book.fill(*walk.quotes)
        bids, asks = walk.book.changes()
        state = self._exchange.states[walk.symbol]
        self._exchange.load_book(walk.symbol, state.book.last_update_id, bids, asks)

    async def prefetch(self, now_ms: int) -> None:
        """Make in a worker thread the hours that are needed soon."""
        for at_ms in (now_ms, now_ms + _AHEAD_MS):
            hour_ms = at_ms // HOUR_MS * HOUR_MS
            for walk in list(self._walks.values()):
                current = walk.hour
                if hour_ms in walk.ready or (current and current.start_ms >= hour_ms):
                    continue
                walk.ready[hour_ms] = await asyncio.to_thread(
                    _Hour, self._market, walk.symbol, hour_ms
                )

    def emit_until(self, time_ms: int) -> None:
        """Emit everything up to `time_ms`, minute by minute over all markets."""
        while self._done_ms < time_ms:
            end_ms = min(time_ms, self._done_ms // MINUTE_MS * MINUTE_MS + MINUTE_MS)
            for walk in self._walks.values():
                self._emit(walk, self._done_ms, end_ms)
            self._exchange.advance(end_ms)
            self._done_ms = end_ms

    def churn(self) -> None:
        """Let makers change levels behind the best ones, where anybody looks."""
        for walk in self._walks.values():
            if self._exchange.wants_book(walk.symbol):
                walk.book.churn()
                self._move(walk, walk.quotes)

    def settle(self, symbol: str) -> None:
        """Bring the book of a market to which nobody listens up to what has been emitted."""
        walk = self._walks[symbol]
        hour = self._enter(walk, self._done_ms - 1)
        self._move(walk, hour.quotes(min(self._done_ms - hour.start_ms, HOUR_MS - 1)))

    def _emit(self, walk: _Walk, from_ms: int, end_ms: int) -> None:
        """Emit the events of `[from_ms, end_ms)`, which lie in one minute."""
        hour = self._enter(walk, from_ms)
        exchange, symbol = self._exchange, walk.symbol
        limit_ms = end_ms - hour.start_ms
        times_ms, place = hour.times_ms, walk.place
        if not exchange.wants_book(symbol):
            while place < len(times_ms) and times_ms[place] < limit_ms:
                exchange.trade(symbol, hour.trades[place])
                place += 1
            walk.place = place
            return
        while place < len(times_ms) and times_ms[place] < limit_ms:
            quotes = (hour.bids[place], hour.asks[place])
            if quotes != walk.quotes:
                self._move(walk, quotes)
            trade = hour.trades[place]
            exchange.trade(symbol, trade)
            walk.book.take(
                hour.prices[place], hour.quantities[place], is_buy=not trade.buyer_is_maker
            )
            self._tell(walk)
            place += 1
        walk.place = place
        self._move(walk, hour.quotes(min(limit_ms, HOUR_MS - 1)))

    def _move(self, walk: _Walk, quotes: tuple[int, int]) -> None:
        walk.quotes = quotes
        walk.book.follow(*quotes)
        self._tell(walk)

    def _tell(self, walk: _Walk) -> None:
        bids, asks = walk.book.changes()
        if bids or asks:
            self._exchange.depth(walk.symbol, bids, asks)

    def _enter(self, walk: _Walk, time_ms: int) -> _Hour:
        hour_ms = time_ms // HOUR_MS * HOUR_MS
        hour = walk.hour
        if hour is None or hour.start_ms != hour_ms:
            hour = walk.ready.pop(hour_ms, None) or _Hour(self._market, walk.symbol, hour_ms)
            walk.ready = {start: kept for start, kept in walk.ready.items() if start > hour_ms}
            walk.hour, walk.place = hour, 0
        return hour
