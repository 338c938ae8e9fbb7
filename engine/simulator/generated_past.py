"""Any stretch of a generated market at once: candles of every length, and trades."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.market.interval import DAY_MS, MINUTE_MS
from engine.market.trade import Trade
from engine.simulator.candle_sums import (
    CandleSums,
    bucket_of,
    candles_of,
    grouped,
    joined,
    part_of,
    sums_of,
)
from engine.simulator.market_model import Cache, day_of, generator
from engine.simulator.market_trades import HOUR_MS, HourTrades, aggregate, make_hour
from engine.simulator.order_ids import order_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.market.candle import Candle
    from engine.market.interval import Interval
    from engine.simulator.candles import OpenBucket
    from engine.simulator.day_minutes import DayMinutes
    from engine.simulator.market_model import MarketModel

_MOST_DAYS = 48
_MOST_HOURS = 24
_MOST_SUMS = 4096
_HOUR_STARTS = np.arange(0, 1440, 60)
_FIRST_TRADE_MS = 14_611 * DAY_MS


class GeneratedPast:
    """What was traded when, made as it is asked for; it may be used in worker threads.

    Args:
        seed: Of the market.
        model_of: Returns the model of a symbol.
        markets: How many there are, for the size of what is kept.
    """

    def __init__(self, seed: int, model_of: Callable[[str], MarketModel], markets: int) -> None:
        self._seed = seed
        self._model_of = model_of
        self._days: Cache[DayMinutes] = Cache(_MOST_DAYS)
        self._hours: Cache[HourTrades] = Cache(max(_MOST_HOURS, 2 * markets))
        self._sums: Cache[CandleSums] = Cache(_MOST_SUMS)

    # -- trades ----------------------------------------------------------------------------------

    def hour(self, symbol: str, start_ms: int) -> HourTrades:
        """Return the trades of the hour that starts at `start_ms`."""

        def make() -> HourTrades:
            rng = generator(self._seed, symbol, "hour", start_ms // HOUR_MS)
            return make_hour(rng, self._day(symbol, day_of(start_ms)), start_ms)

        return self._hours.get((symbol, start_ms), make)

    def trades(self, symbol: str, hour: HourTrades, begin: int, stop: int) -> list[Trade]:
        """Return trades `begin` to `stop` (exclusive) of an hour as values."""
        listing = self._model_of(symbol).listing
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

    def trades_before(self, symbol: str, end_ms: int, limit: int) -> list[Trade]:
        """Return up to `limit` trades of the day before `end_ms`, oldest first."""
        trades: list[Trade] = []
        hour_ms = (end_ms - 1) // HOUR_MS * HOUR_MS
        while len(trades) < limit and hour_ms > end_ms - DAY_MS:
            hour = self.hour(symbol, hour_ms)
            stop = int(np.searchsorted(hour.times_ms, end_ms - hour_ms))
            begin = max(0, stop - (limit - len(trades)))
            trades[:0] = self.trades(symbol, hour, begin, stop)
            hour_ms -= HOUR_MS
        return trades

    def trades_from(self, symbol: str, start_ms: int, end_ms: int, limit: int) -> list[Trade]:
        """Return the oldest trades with times in [start_ms, end_ms), at most `limit`."""
        trades: list[Trade] = []
        hour_ms = start_ms // HOUR_MS * HOUR_MS
        while len(trades) < limit and hour_ms < end_ms:
            hour = self.hour(symbol, hour_ms)
            begin, stop = np.searchsorted(hour.times_ms, (start_ms - hour_ms, end_ms - hour_ms))
            stop = min(int(stop), int(begin) + limit - len(trades))
            trades += self.trades(symbol, hour, int(begin), stop)
            hour_ms += HOUR_MS
        return trades

    def time_of(self, symbol: str, trade_id: int) -> int:
        """Return the start (epoch ms) of the minute in which a trade is made."""
        if trade_id < 1:
            return _FIRST_TRADE_MS
        order = order_of(trade_id)
        day = self._model_of(symbol).day_of_order(order)
        if day * DAY_MS < _FIRST_TRADE_MS:
            return _FIRST_TRADE_MS
        minutes = self._day(symbol, day).first_orders
        return day * DAY_MS + int(np.searchsorted(minutes, order, "right") - 1) * MINUTE_MS

    # -- candles ---------------------------------------------------------------------------------

    def minutes(self, symbol: str, first_ms: int, end_ms: int) -> list[Candle]:
        """Return the 1m candles that open in [first_ms, end_ms), two whole minutes."""
        times_ms = range(first_ms, end_ms, MINUTE_MS)
        return self._values(symbol, self._minute_sums(symbol, first_ms, end_ms), times_ms)

    def candles(self, symbol: str, interval: Interval, first_ms: int, end_ms: int) -> list[Candle]:
        """Return the candles of more than a minute that open in [first_ms, end_ms)."""
        opens_ms = [first_ms]
        while (next_ms := interval.next(opens_ms[-1])) < end_ms:
            opens_ms.append(next_ms)
        end_ms = interval.next(opens_ms[-1])
        unit_ms = _unit_ms(interval, first_ms)
        sums = self._sums_by(symbol, unit_ms, first_ms, end_ms)
        starts = [(open_ms - first_ms) // unit_ms for open_ms in opens_ms]
        return self._values(symbol, grouped(sums, starts), opens_ms)

    def bucket(self, symbol: str, first_ms: int, end_ms: int) -> OpenBucket:
        """Return what is traded in [first_ms, end_ms), two whole minutes."""
        hour_ms = min(-(-first_ms // HOUR_MS) * HOUR_MS, end_ms)
        last_ms = max(end_ms // HOUR_MS * HOUR_MS, hour_ms)
        parts = [
            part
            for part in (
                self._minute_sums(symbol, first_ms, hour_ms),
                self._hour_sums(symbol, hour_ms, last_ms),
                self._minute_sums(symbol, last_ms, end_ms),
            )
            if len(part.trades)
        ]
        whole = joined([grouped(part, [0]) for part in parts])
        return bucket_of(whole, first_ms, self._model_of(symbol).listing)

    def seconds(self, symbol: str, first_ms: int, last_ms: int) -> list[Candle]:
        """Return the 1s candles that open from `first_ms` to `last_ms`."""
        rows: list[Candle] = []
        for hour_ms in range(first_ms // HOUR_MS * HOUR_MS, last_ms + 1, HOUR_MS):
            before = int(self.hour(symbol, hour_ms - HOUR_MS).prices[-1])
            columns = aggregate(self.hour(symbol, hour_ms), 1000, before)
            times_ms = range(hour_ms, hour_ms + HOUR_MS, 1000)
            rows += self._values(symbol, sums_of(columns, self._model_of(symbol).listing), times_ms)
        return [row for row in rows if first_ms <= row.open_time_ms <= last_ms]

    # -- making ----------------------------------------------------------------------------------

    def _values(self, symbol: str, sums: CandleSums, times_ms: range | list[int]) -> list[Candle]:
        return candles_of(sums, times_ms, self._model_of(symbol).listing)

    def _day(self, symbol: str, day: int) -> DayMinutes:
        return self._days.get((symbol, day), lambda: self._model_of(symbol).minutes(day))

    def _sums_by(self, symbol: str, unit_ms: int, first_ms: int, end_ms: int) -> CandleSums:
        if unit_ms == HOUR_MS:
            return self._hour_sums(symbol, first_ms, end_ms)
        minutes = self._minute_sums(symbol, first_ms, end_ms)
        if unit_ms == MINUTE_MS:
            return minutes
        return grouped(
            minutes, np.arange(0, (end_ms - first_ms) // MINUTE_MS, unit_ms // MINUTE_MS)
        )

    def _minute_sums(self, symbol: str, first_ms: int, end_ms: int) -> CandleSums:
        listing = self._model_of(symbol).listing
        parts = [
            part_of(
                sums_of(self._day(symbol, day).candles, listing),
                max(first_ms - day * DAY_MS, 0) // MINUTE_MS,
                min(end_ms - day * DAY_MS, DAY_MS) // MINUTE_MS,
            )
            for day in range(first_ms // DAY_MS, max(-(-end_ms // DAY_MS), first_ms // DAY_MS + 1))
        ]
        return joined(parts)

    def _hour_sums(self, symbol: str, first_ms: int, end_ms: int) -> CandleSums:
        first_day = first_ms // DAY_MS
        days = range(first_day, max(-(-end_ms // DAY_MS), first_day + 1))
        table = joined([self._day_sums(symbol, day) for day in days])
        begin = first_ms // HOUR_MS - first_day * 24
        return part_of(table, begin, begin + (end_ms - first_ms) // HOUR_MS)

    def _day_sums(self, symbol: str, day: int) -> CandleSums:
        def make() -> CandleSums:
            model = self._model_of(symbol)
            return grouped(sums_of(model.minutes(day).candles, model.listing), _HOUR_STARTS)

        return self._sums.get((symbol, day), make)


def _unit_ms(interval: Interval, first_ms: int) -> int:
    """Return the length of the pieces that candles are joined of, at most 2,048 to each."""
    if first_ms % HOUR_MS == 0 and interval.length_ms >= HOUR_MS:
        return HOUR_MS
    return MINUTE_MS if interval.length_ms <= DAY_MS else DAY_MS
