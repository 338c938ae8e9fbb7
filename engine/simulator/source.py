"""What the simulated exchange asks of its source: history before the start, events after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.market.candle import Candle
    from engine.market.interval import Interval
    from engine.market.symbol import SymbolInfo
    from engine.market.trade import Trade
    from engine.simulator.candles import OpenBucket
    from engine.simulator.exchange import Exchange

TRADES = "trades"
BOOK = "book"


class Source(Protocol):
    """A market that the simulated exchange serves: generated, recorded, or from a kline file.

    History is what lies before `start_ms`; what follows is given to the exchange by `run`.
    """

    @property
    def start_ms(self) -> int:
        """Exchange time at which the live part begins (UTC epoch ms)."""
        ...

    @property
    def made_up(self) -> frozenset[str]:
        """What does not come from a real market: any of `TRADES` and `BOOK`.

        A generated market says nothing here (all of it is invented alike); a kline file whose
        trades and book are derived from its candles says both. With made-up trades taker volumes
        are unknown, and a candle closes only if the source gave it by `Exchange.candle`.
        """
        ...

    @property
    def recorded_streams(self) -> frozenset[str]:
        """Streams that the source sends itself (`Exchange.verbatim`), so that none is derived.

        By the names that `streams.canonical` gives.
        """
        ...

    @property
    def whole_from_ms(self) -> int:
        """Candles that open before this time, and that `history` does not give, are cut.

        They are never streamed, closed or served (a recording starts in mid-minute).
        """
        ...

    @property
    def finest(self) -> Interval:
        """The shortest interval this source has; shorter ones stay empty and silent."""
        ...

    def symbols(self) -> Sequence[SymbolInfo]:
        """Return the markets, the busiest first."""
        ...

    def history(
        self, symbol: str, interval: Interval, start_ms: int | None, end_ms: int, limit: int
    ) -> list[Candle]:
        """Return closed candles of the time before `self.start_ms`, ascending.

        It may be called in a worker thread. Candles that end after `self.start_ms` are not asked
        for: the exchange makes them from the 1m candles before and the trades after.

        Args:
            symbol: One of `symbols()`.
            interval: Any interval; without candles of it (and without finer ones to make them
                of) the answer is empty.
            start_ms: First open time wanted; None for the newest `limit` candles before `end_ms`.
            end_ms: Open times stop before this one (exclusive), at most `self.start_ms`.
            limit: Most candles to return: the oldest from `start_ms` on, or the newest.
        """
        ...

    def recent_trades(self, symbol: str, limit: int) -> list[Trade]:
        """Return up to `limit` trades from just before `self.start_ms`, oldest first."""
        ...

    async def run(self, exchange: Exchange) -> None:
        """Feed `exchange` as its clock passes; return when there is nothing left.

        Per event call `exchange.trade`, `exchange.depth`, ...; after all events up to a time, call
        `exchange.advance(time_ms)`, which closes the candles that are over.
        """
        ...


@runtime_checkable
class StartsEarly(Protocol):
    """A source that gives the exchange something before the first request is answered."""

    def start(self, exchange: Exchange) -> None:
        """Bring `exchange` up to `start_ms`: its book, and the start's minute so far.

        It is called once per exchange, in a worker thread, before `run`.
        """
        ...


@runtime_checkable
class TellsNotes(Protocol):
    """A source of which a user should know something before it plays."""

    @property
    def notes(self) -> Sequence[str]:
        """Sentences, such as that a file is cut off."""
        ...


@runtime_checkable
class ListsLater(Protocol):
    """A source that can list further markets while it runs."""

    def list_symbol(self, exchange: Exchange, info: SymbolInfo) -> SymbolInfo:
        """Return the market called `info.name` as this source can make it.

        Raises:
            ValueError: for a name that can not be a market.
        """
        ...

    def start_symbol(self, exchange: Exchange, symbol: str) -> None:
        """Feed the market from now on; the exchange has its state by then."""
        ...


@runtime_checkable
class SumsPast(Protocol):
    """A source that can tell what a long stretch of its past adds up to at once."""

    def bucket(self, symbol: str, start_ms: int, end_ms: int) -> OpenBucket | None:
        """Return the sum of the 1m candles that open in [start_ms, end_ms).

        None when the market has none there. It may be called in a worker thread.
        """
        ...


@runtime_checkable
class KeepsTrades(Protocol):
    """A source that can tell any trade it has ever made; its ids follow by one.

    All of it may be called in worker threads.
    """

    def trades_from(self, symbol: str, start_ms: int, end_ms: int, limit: int) -> list[Trade]:
        """Return the oldest trades with times in [start_ms, end_ms), at most `limit`."""
        ...

    def time_of_trade(self, symbol: str, trade_id: int) -> int:
        """Return a time (epoch ms) at or before trade `trade_id`, by less than an hour."""
        ...

    def aggregate_id(self, symbol: str, trade_id: int) -> int:
        """Return the id of the aggregate trade that `trade_id` is part of."""
        ...

    def first_of_aggregate(self, symbol: str, aggregate_id: int) -> int:
        """Return the id of the first trade of an aggregate trade."""
        ...
