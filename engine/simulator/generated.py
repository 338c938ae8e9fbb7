"""The generated market as a source: history of any stretch at once, trades and books live."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from engine.market.candle import Candle
from engine.market.interval import DAY_MS, INTERVALS, MINUTE_MS
from engine.market.trade import Trade
from engine.simulator.candles import join
from engine.simulator.generated_feed import Feed
from engine.simulator.listings import DEFAULT_NAMES, list_markets
from engine.simulator.market_model import Cache, CommonFactor, DayPlan, MarketModel, day_of
from engine.simulator.market_trades import (
    HOUR_MS,
    CandleColumns,
    HourTrades,
    aggregate,
    make_hour,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.market.interval import Interval
    from engine.market.symbol import SymbolInfo
    from engine.simulator.exchange import Exchange
    from engine.simulator.market_model import Integers

_MOST_DAYS = 400
_MOST_PLANS = 256
_MOST_HOURS = 96
_TURN_S = 0.04
_CHURN_S = 0.1


class GeneratedMarket:
    """An invented market that is a pure function of (seed, symbol, time).

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
        self._plans: Cache[DayPlan] = Cache(max(_MOST_PLANS, 2 * len(self.models)))
        self._hours: Cache[HourTrades] = Cache(max(_MOST_HOURS, 3 * len(self.models)))
        self._minutes: Cache[Integers] = Cache(max(_MOST_DAYS, 3 * len(self.models)) * 24)

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
            return self._seconds(symbol, first_ms, last_ms)
        return self._candles(symbol, interval, first_ms, interval.next(last_ms))

    def recent_trades(self, symbol: str, limit: int) -> list[Trade]:
        """Return the trades just before the minute of the start."""
        end_ms = self.start_ms // MINUTE_MS * MINUTE_MS
        trades: list[Trade] = []
        hour_ms = end_ms // HOUR_MS * HOUR_MS
        while len(trades) < limit and hour_ms > end_ms - DAY_MS:
            hour = self.hour(symbol, hour_ms)
            stop = int(np.searchsorted(hour.times_ms, end_ms - hour_ms))
            begin = max(0, stop - (limit - len(trades)))
            trades[:0] = self.trades(symbol, hour, begin, stop)
            hour_ms -= HOUR_MS
        return trades

    def trades(self, symbol: str, hour: HourTrades, begin: int, stop: int) -> list[Trade]:
        """Return trades `begin` to `stop` (exclusive) of an hour as values."""
        listing = self._model(symbol).listing
        price_scale, quantity_scale = 10**listing.price_decimals, 10**listing.quantity_decimals
        columns = (
            (hour.times_ms[begin:stop] + hour.start_ms).tolist(),
            hour.prices[begin:stop].tolist(),
            hour.quantities[begin:stop].tolist(),
            hour.buys[begin:stop].tolist(),
        )
        return [
            Trade(number, time_ms, price / price_scale, quantity / quantity_scale, not buy)
            for number, (time_ms, price, quantity, buy) in enumerate(
                zip(*columns, strict=True), hour.first_id + begin
            )
        ]

    def hour(self, symbol: str, start_ms: int) -> HourTrades:
        """Return the trades of the hour that starts at `start_ms`."""
        return self._hours.get((symbol, start_ms), lambda: self._make_hour(symbol, start_ms))

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

    def _make_hour(self, symbol: str, start_ms: int) -> HourTrades:
        day = day_of(start_ms)
        plan = self._plans.get((symbol, day), lambda: self._model(symbol).plan(day))
        return make_hour(self._model(symbol).listing, self.seed, plan, start_ms)

    def _hour_minutes(self, symbol: str, start_ms: int) -> Integers:
        def make() -> Integers:
            return np.stack(aggregate(self._make_hour(symbol, start_ms), MINUTE_MS, None))

        return self._minutes.get((symbol, start_ms), make)

    def _candles(self, symbol: str, interval: Interval, first_ms: int, end_ms: int) -> list[Candle]:
        hours = range(first_ms // HOUR_MS * HOUR_MS, end_ms, HOUR_MS)
        table = np.concatenate([self._hour_minutes(symbol, hour) for hour in hours], axis=1)
        skip = (first_ms - hours.start) // MINUTE_MS
        stop = skip + (end_ms - first_ms) // MINUTE_MS
        columns = CandleColumns(*table[:, skip:stop])
        minutes = self._rows(symbol, columns, first_ms, MINUTE_MS)
        if interval.length_ms == MINUTE_MS:
            return minutes
        return _resampled(minutes, interval)

    def _seconds(self, symbol: str, first_ms: int, last_ms: int) -> list[Candle]:
        rows: list[Candle] = []
        for hour_ms in range(first_ms // HOUR_MS * HOUR_MS, last_ms + 1, HOUR_MS):
            before = int(self.hour(symbol, hour_ms - HOUR_MS).prices[-1])
            columns = aggregate(self.hour(symbol, hour_ms), 1000, before)
            rows += self._rows(symbol, columns, hour_ms, 1000)
        return [row for row in rows if first_ms <= row.open_time_ms <= last_ms]

    def _rows(
        self, symbol: str, columns: CandleColumns, first_ms: int, unit_ms: int
    ) -> list[Candle]:
        listing = self._model(symbol).listing
        prices = 10**listing.price_decimals
        quantities = 10**listing.quantity_decimals
        scales = (
            prices,
            prices,
            prices,
            prices,
            quantities,
            prices * quantities,
            1,
            quantities,
            prices * quantities,
        )
        opens, highs, lows, closes, volumes, quotes, counts, buys, buy_quotes = (
            (column / scale if scale > 1 else column).tolist()
            for column, scale in zip(columns, scales, strict=True)
        )
        return [
            Candle(
                first_ms + index * unit_ms,
                opens[index],
                highs[index],
                lows[index],
                closes[index],
                volumes[index],
                round(quotes[index], 8),
                int(counts[index]),
                buys[index],
                round(buy_quotes[index], 8),
            )
            for index in range(len(opens))
        ]


def _resampled(minutes: list[Candle], interval: Interval) -> list[Candle]:
    rows: list[Candle] = []
    first = 0
    while first < len(minutes):
        open_time_ms = minutes[first].open_time_ms
        count = (interval.next(open_time_ms) - open_time_ms) // MINUTE_MS
        rows.append(join(open_time_ms, minutes[first : first + count]))
        first += count
    return rows
