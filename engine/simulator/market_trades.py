"""Trades of one hour of a generated market: orders that add up to what its minutes say."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from engine.market.interval import MINUTE_MS
from engine.simulator.day_minutes import SIZE_SPREAD, SMALLEST, CandleColumns
from engine.simulator.order_ids import fills_of, first_trade

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from engine.simulator.day_minutes import DayMinutes

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Bools = NDArray[np.bool_]

HOUR_MS = 3_600_000
_MINUTES = 60
_SECONDS = 60
_BURSTINESS = 0.5
_WANDER = 0.5


class HourTrades(NamedTuple):
    """All trades of one hour, in time order, and the quotes at which they were made.

    Attributes:
        start_ms: First millisecond of the hour.
        first_id: Id of the first trade; the others follow by one.
        times_ms: Milliseconds since `start_ms` (int64, one per trade).
        prices: In ticks.
        quantities: In quantity steps.
        buys: Whether the taker bought.
        bids: Best bid at the trade, in ticks.
        asks: Best ask at the trade, in ticks.
    """

    start_ms: int
    first_id: int
    times_ms: Integers
    prices: Integers
    quantities: Integers
    buys: Bools
    bids: Integers
    asks: Integers


class _Orders(NamedTuple):
    times_ms: Integers
    quantities: Integers
    buys: Bools
    bids: Integers
    spreads: Integers


def make_hour(rng: np.random.Generator, day: DayMinutes, start_ms: int) -> HourTrades:
    """Make the hour that starts at `start_ms` (epoch ms) as its day has it.

    Takers buy at the ask and sell at the bid. Orders come in bursts, each in a millisecond of its
    own; some have several fills.
    """
    first = start_ms // MINUTE_MS % 1440
    minutes = [
        _minute(rng, day, first + index, index * MINUTE_MS)
        for index in range(_MINUTES)
        if day.orders[first + index]
    ]
    orders = _Orders(*(np.concatenate(columns) for columns in zip(*minutes, strict=True)))
    first_order = int(day.first_orders[first])
    fills = fills_of(first_order + np.arange(len(orders.times_ms)))
    whole, rest = np.divmod(orders.quantities, fills)
    place = np.arange(int(fills.sum())) - np.repeat(np.cumsum(fills) - fills, fills)
    quantities = np.repeat(whole, fills) + (place < np.repeat(rest, fills))
    bids, asks = np.repeat(orders.bids, fills), np.repeat(orders.bids + orders.spreads, fills)
    buys = np.repeat(orders.buys, fills)
    return HourTrades(
        start_ms,
        first_trade(first_order),
        np.repeat(orders.times_ms, fills),
        np.where(buys, asks, bids),
        quantities,
        buys,
        bids,
        asks,
    )


def quotes(
    times_ms: Sequence[int], bids: Sequence[int], asks: Sequence[int], offset_ms: int, place: int
) -> tuple[int, int]:
    """Return best bid and ask at `offset_ms`: between two trades the bid moves straight.

    Args:
        times_ms: Of the hour's trades, since its start.
        bids: Best bids at the trades.
        asks: Best asks at the trades.
        offset_ms: Milliseconds since the hour's start.
        place: How many trades were made up to then.
    """
    if not place:
        return bids[0], asks[0]
    bid, spread = bids[place - 1], asks[place - 1] - bids[place - 1]
    if place < len(bids):
        before_ms = times_ms[place - 1]
        share = (offset_ms - before_ms) / max(times_ms[place] - before_ms, 1)
        bid += round((bids[place] - bid) * share)
    return bid, bid + spread


def aggregate(hour: HourTrades, unit_ms: int, previous_close: int) -> CandleColumns:
    """Return the candles of `unit_ms` (a divisor of an hour) that the trades add up to.

    A unit without trades is flat at the close before it; at the hour's start that is
    `previous_close` (ticks).
    """
    units = HOUR_MS // unit_ms
    counts = np.bincount(hour.times_ms // unit_ms, minlength=units).astype(np.int64)
    filled = np.flatnonzero(counts)
    ends = np.cumsum(counts)[filled]
    starts = ends - counts[filled]
    amounts = hour.prices * hour.quantities
    opens, closes = hour.prices[starts], hour.prices[ends - 1]
    place = np.searchsorted(filled, np.arange(units), side="right") - 1
    flat = np.where(place >= 0, closes[np.maximum(place, 0)], previous_close)

    def spread(values: Integers) -> Integers:
        column = flat.copy()
        column[filled] = values
        return column

    def total(values: Integers) -> Integers:
        column = np.zeros(units, np.int64)
        column[filled] = np.add.reduceat(values, starts)
        return column

    return CandleColumns(
        spread(opens),
        spread(np.maximum.reduceat(hour.prices, starts)),
        spread(np.minimum.reduceat(hour.prices, starts)),
        spread(closes),
        total(hour.quantities),
        total(amounts),
        counts,
        total(hour.quantities * hour.buys),
        total(amounts * hour.buys),
    )


def _minute(rng: np.random.Generator, day: DayMinutes, minute: int, offset_ms: int) -> _Orders:
    """Make one minute's orders: the first of each pair, the middle one, the twins, the wicks."""
    count = int(day.orders[minute])
    spread = int(day.spreads[minute])
    begin, end = int(day.bids[minute]), int(day.bids[minute + 1])
    high, low, mid = day.singles[:, minute].tolist()
    bids = _path(rng, day, minute, has_wicks=bool(high))
    buys, sizes = _pairs(rng, day, minute)
    is_buy = bool(day.is_buy[minute])
    middle = [begin + end >> 1] if mid else []
    bids = np.concatenate((bids, np.array(middle, np.int64), begin + end - bids[::-1]))
    buys = np.concatenate((buys, np.array([is_buy] * len(middle), bool), buys[::-1]))
    sizes = np.concatenate((sizes, np.array([mid] * len(middle), np.int64), sizes[::-1]))
    if high:
        last = len(bids) - 1
        places = [min(int(find(bids)) + 1, last) for find in (np.argmax, np.argmin)]
        top = int(day.candles.high[minute]) - spread
        bids = np.insert(bids, places, [top, int(day.candles.low[minute])])
        buys = np.insert(buys, places, [True, False])
        sizes = np.insert(sizes, places, [high, low])
    times_ms = offset_ms + _times(rng, count)
    return _Orders(times_ms, sizes, buys, bids, np.full(count, spread, np.int64))


def _path(rng: np.random.Generator, day: DayMinutes, minute: int, *, has_wicks: bool) -> Integers:
    """Return the best bid at the first order of each pair: from the minute's begin to half way."""
    count = int(day.buy_pairs[minute] + day.sell_pairs[minute])
    if not count:
        return np.zeros(0, np.int64)
    begin, end = int(day.bids[minute]), int(day.bids[minute + 1])
    share = np.arange(count) / count
    walk = np.cumsum(rng.standard_normal(count)) * float(day.deviations[minute]) * _WANDER
    walk = (walk - walk[0] - share * (walk[-1] - walk[0])) / np.sqrt(count)
    low, high = min(begin, end), max(begin, end)
    if has_wicks:
        low = int(day.candles.low[minute])
        high = int(day.candles.high[minute] - day.spreads[minute])
        low, high = max(low, begin + end - high), min(high, begin + end - low)
    way = np.rint(begin + (end - begin) / 2 * share + walk)
    bids: Integers = np.clip(way, low, high).astype(np.int64)
    bids[0] = begin
    return bids


def _pairs(rng: np.random.Generator, day: DayMinutes, minute: int) -> tuple[Bools, Integers]:
    """Return sides and sizes of the first order of each pair."""
    buying, selling = int(day.buy_pairs[minute]), int(day.sell_pairs[minute])
    count = buying + selling
    if not count:
        return np.zeros(0, bool), np.zeros(0, np.int64)
    is_buy = bool(day.is_buy[minute])
    buys = np.full(count, is_buy)
    inner = np.arange(count - 1) < buying - is_buy
    buys[1:] = inner[rng.permutation(count - 1)]
    weights = rng.lognormal(0.0, SIZE_SPREAD, count)
    sizes = np.empty(count, np.int64)
    sizes[buys] = _shares(weights[buys], int(day.buy_half[minute]))
    sizes[~buys] = _shares(weights[~buys], int(day.sell_half[minute]))
    return buys, sizes


def _shares(weights: Floats, total: int) -> Integers:
    """Return whole parts of `total` in proportion to `weights`, none below `SMALLEST`."""
    if not len(weights):
        return np.zeros(0, np.int64)
    rest = total - SMALLEST * len(weights)
    places = np.floor(np.cumsum(weights) / weights.sum() * rest).astype(np.int64)
    places[-1] = rest
    shares: Integers = SMALLEST + np.diff(np.minimum(places, rest), prepend=0)
    return shares


def _times(rng: np.random.Generator, count: int) -> Integers:
    """Return times of orders in a minute: in bursts, no two in the same millisecond."""
    seconds = np.concatenate(([0.0], np.cumsum(rng.gamma(_BURSTINESS, size=_SECONDS) + 1e-9)))
    drawn = np.sort(rng.random(count)) * seconds[-1]
    times = np.interp(drawn, seconds, np.arange(_SECONDS + 1)) / _SECONDS * (MINUTE_MS - count)
    unique: Integers = np.floor(times).astype(np.int64) + np.arange(count)
    return unique
