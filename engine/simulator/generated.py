"""The generated market as a source: history of any stretch at once, trades and books live."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from engine.market.interval import DAY_MS, INTERVALS, MINUTE_MS
from engine.simulator.generated_feed import Feed
from engine.simulator.generated_past import GeneratedPast
from engine.simulator.listings import DEFAULT_NAMES, list_markets
from engine.simulator.market_model import CommonFactor, MarketModel, day_of
from engine.simulator.order_ids import MOST_FILLS, first_trade, order_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.market.candle import Candle
    from engine.market.interval import Interval
    from engine.market.symbol import SymbolInfo
    from engine.market.trade import Trade
    from engine.simulator.candles import OpenBucket
    from engine.simulator.exchange import Exchange

EDITION = 2
_TURN_S = 0.04
_CHURN_S = 0.1


class GeneratedMarket:
    """An invented market that is a pure function of (seed, symbol, time) in each `EDITION`.

    The same seed gives the same trades and candles at any speed, in any process and however
    often it is started again; another number of markets or another start changes nothing.
    Candles are what the trades add up to.

    Args:
        seed: Any whole number from 0.
        symbols: Names, or how many of the usual ones.
        start_ms: Exchange time of the start (UTC epoch ms); now without it.
        activity: Multiplies the number of trades (it makes another market).
        history_days: Whole days before the start that history holds.

    Raises:
        UnknownMarket: for a name that can not be a market.
        OutOfRange: for a start outside 2010 to 2059.
    """

    made_up: frozenset[str] = frozenset()
    recorded_streams: frozenset[str] = frozenset()
    whole_from_ms = 0
    finest = INTERVALS["1s"]

    def __init__(
        self,
        seed: int = 7,
        symbols: Sequence[str] | int = DEFAULT_NAMES,
        *,
        start_ms: int | None = None,
        activity: float = 1.0,
        history_days: int = 90,
    ) -> None:
        self.seed = seed
        self.start_ms = int(time.time() * 1000) if start_ms is None else start_ms
        day_of(self.start_ms - (history_days + 1) * DAY_MS)
        day_of(self.start_ms)
        self._listed_ms = self.start_ms // DAY_MS * DAY_MS - history_days * DAY_MS
        common = CommonFactor(seed)
        self.models = {
            listing.info.name: MarketModel(listing, common, activity)
            for listing in list_markets(symbols)
        }
        self._listed: dict[str, MarketModel] = {}
        self._common, self._activity = common, activity
        self._feeds: dict[Exchange, Feed] = {}
        self.past = GeneratedPast(seed, self._model, len(self.models))

    def symbols(self) -> list[SymbolInfo]:
        """Return the markets."""
        return [model.listing.info for model in self.models.values()]

    # -- history -------------------------------------------------------------------------------

    def history(
        self, symbol: str, interval: Interval, start_ms: int | None, end_ms: int, limit: int
    ) -> list[Candle]:
        """Return closed candles before the start (see `Source.history`)."""
        first_ms = self._listed_ms
        if interval.floor(first_ms) < first_ms:
            first_ms = interval.next(interval.floor(first_ms))
        if end_ms <= first_ms or limit < 1:
            return []
        last_ms = interval.floor(end_ms - 1)
        if start_ms is None:
            first_ms = max(first_ms, interval.back(last_ms, limit - 1))
        else:
            floor_ms = interval.floor(start_ms)
            wanted_ms = floor_ms if floor_ms == start_ms else interval.next(floor_ms)
            first_ms = max(first_ms, wanted_ms)
            last_ms = min(last_ms, interval.back(first_ms, -(limit - 1)))
        if first_ms > last_ms:
            return []
        if interval.length_ms < MINUTE_MS:
            return self.past.seconds(symbol, first_ms, last_ms)
        end_ms = interval.next(last_ms)
        if interval.length_ms == MINUTE_MS:
            return self.past.minutes(symbol, first_ms, end_ms)
        return self.past.candles(symbol, interval, first_ms, end_ms)

    def bucket(self, symbol: str, start_ms: int, end_ms: int) -> OpenBucket | None:
        """Return what was traded in a stretch of the past (see `SumsPast`)."""
        start_ms = max(start_ms, self._listed_ms)
        return self.past.bucket(symbol, start_ms, end_ms) if start_ms < end_ms else None

    def recent_trades(self, symbol: str, limit: int) -> list[Trade]:
        """Return the trades just before the minute of the start, from an order's first on."""
        end_ms = self.start_ms // MINUTE_MS * MINUTE_MS
        trades = self.past.trades_before(symbol, end_ms, limit)
        whole = [n for n, trade in enumerate(trades[:MOST_FILLS]) if _is_first(trade)]
        return trades[whole[0] :] if whole else trades

    def trades_from(self, symbol: str, start_ms: int, end_ms: int, limit: int) -> list[Trade]:
        """Return the oldest trades in [start_ms, end_ms) (see `KeepsTrades`)."""
        return self.past.trades_from(symbol, max(start_ms, self._listed_ms), end_ms, limit)

    def time_of_trade(self, symbol: str, trade_id: int) -> int:
        """Return the minute in which trade `trade_id` is made (see `KeepsTrades`)."""
        return self.past.time_of(symbol, trade_id)

    def aggregate_id(self, symbol: str, trade_id: int) -> int:  # noqa: ARG002
        """Return the id of the aggregate trade that `trade_id` is part of."""
        return order_of(trade_id)

    def first_of_aggregate(self, symbol: str, aggregate_id: int) -> int:  # noqa: ARG002
        """Return the id of the first trade of an aggregate trade."""
        return first_trade(max(aggregate_id, 1))

    # -- live ----------------------------------------------------------------------------------

    def start(self, exchange: Exchange) -> None:
        """Build the books and emit what the start's minute holds before the start."""
        feed = Feed(self, exchange, [model.listing for model in self.models.values()])
        feed.start()
        exchange.catch_up = lambda: feed.emit_until(exchange.clock.now_ms())
        exchange.settle_book = feed.settle
        self._feeds[exchange] = feed

    async def run(self, exchange: Exchange) -> None:
        """Emit trades and books as the exchange's clock passes, for ever."""
        try:
            await self._run(exchange, self._feeds[exchange])
        finally:
            del self._feeds[exchange]

    def list_symbol(self, exchange: Exchange, info: SymbolInfo) -> SymbolInfo:  # noqa: ARG002
        """Return the market called `info.name` with that status (see `ListsLater`).

        Raises:
            UnknownMarket: for a name that can not be a market.
        """
        if info.name not in self.models and info.name not in self._listed:
            (listing,) = list_markets([info.name])
            self._listed[info.name] = MarketModel(listing, self._common, self._activity)
        model = self._model(info.name)
        return replace(model.listing.info, status=info.status)

    def start_symbol(self, exchange: Exchange, symbol: str) -> None:
        """Emit a listed market's trades and book from now on."""
        self._feeds[exchange].add(self._model(symbol).listing)

    async def _run(self, exchange: Exchange, feed: Feed) -> None:
        churn_s = time.monotonic()
        while True:
            now_ms = exchange.clock.now_ms()
            feed.emit_until(now_ms)
            if time.monotonic() >= churn_s and exchange.clock.is_running:
                churn_s = time.monotonic() + _CHURN_S
                feed.churn()
            await feed.prefetch(now_ms)
            if math.isinf(exchange.clock.speed):
                await exchange.room()
                await exchange.clock.sleep_until(now_ms + MINUTE_MS)
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(_TURN_S)

    # -- making --------------------------------------------------------------------------------

    def _model(self, symbol: str) -> MarketModel:
        return self.models.get(symbol) or self._listed[symbol]


def _is_first(trade: Trade) -> bool:
    return first_trade(order_of(trade.trade_id)) == trade.trade_id
