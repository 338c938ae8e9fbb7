"""Trades of one hour of a generated market, and the candles that follow from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from engine.simulator.market_model import generator

if TYPE_CHECKING:
    from engine.simulator.listings import Listing
    from engine.simulator.market_model import DayPlan, Floats, Integers

HOUR_MS = 3_600_000
_MINUTES = 60
_SECONDS = 3600
_BURSTINESS = 0.5
_FILLS = 0.25
_SIZE_SPREAD = 1.3
_WIDE_SPREAD = 0.35
_WIDEST = 4


class HourTrades(NamedTuple):
    """All trades of one hour, in time order, and the quotes between them.

    Attributes:
        start_ms: First millisecond of the hour.
        first_id: Id of the first trade; the others follow by one.
        times_ms: Milliseconds since `start_ms` (int64, one per trade).
        prices: In ticks.
        quantities: In quantity steps.
        buys: Whether the taker bought.
        bids: Best bid at the trade, in ticks.
        asks: Best ask at the trade, in ticks.
        mids: Mid price at 3,601 second boundaries, in ticks (float).
        spreads: Spread in ticks, by second (3,600).
    """

    start_ms: int
    first_id: int
    times_ms: Integers
    prices: Integers
    quantities: Integers
    buys: np.ndarray[tuple[int], np.dtype[np.bool_]]
    bids: Integers
    asks: Integers
    mids: Floats
    spreads: Integers


class CandleColumns(NamedTuple):
    """Candles on a regular grid, in columns: prices in ticks, amounts in steps and tick steps."""

    open: Integers
    high: Integers
    low: Integers
    close: Integers
    volume: Integers
    quote_volume: Integers
    trades: Integers
    taker_buy_volume: Integers
    taker_buy_quote_volume: Integers


def make_hour(listing: Listing, seed: int, plan: DayPlan, start_ms: int) -> HourTrades:
    """Make the hour that starts at `start_ms` (epoch ms), by the plan of its day.

    The mid price is a Brownian bridge on seconds between the plan's minute boundaries. Takers
    buy at the ask and sell at the bid; orders come in bursts, a quarter of the trades are
    further fills of the order before.
    """
    rng = generator(seed, listing.info.name, "hour", start_ms // HOUR_MS)
    first = start_ms // 60_000 % 1440
    minutes = slice(first, first + _MINUTES)
    counts = plan.counts[minutes]
    moves = _bridge(rng, plan, first)
    scale = 10**listing.price_decimals
    mids = np.maximum(np.exp(moves) * scale, 2.0 + _WIDEST)
    wide = rng.geometric(1 - _WIDE_SPREAD, _SECONDS)
    spreads = np.minimum(wide, _WIDEST).astype(np.int64)

    times_ms, heads = _times(rng, counts)
    seconds = times_ms // 1000
    bids, asks = quotes(mids, spreads, times_ms)
    buys = (rng.random(len(times_ms)) < _buy_chance(rng, mids)[seconds])[heads]
    prices = np.where(buys, asks, bids)
    median = listing.trade_notional / listing.price * 10**listing.quantity_decimals
    sizes = rng.lognormal(np.log(median), _SIZE_SPREAD, len(times_ms))
    quantities = np.maximum(np.rint(sizes), 1).astype(np.int64)
    return HourTrades(
        start_ms,
        int(plan.first_ids[first]),
        times_ms,
        prices,
        quantities,
        buys,
        bids,
        asks,
        mids,
        spreads,
    )


def quotes(mids: Floats, spreads: Integers, times_ms: Integers) -> tuple[Integers, Integers]:
    """Return best bid and ask in ticks at `times_ms` (milliseconds since the hour's start)."""
    seconds = times_ms // 1000
    share = times_ms % 1000 / 1000
    mid = mids[seconds] * (1 - share) + mids[seconds + 1] * share
    spread = spreads[seconds]
    bids = np.floor(mid - (spread - 1) / 2).astype(np.int64)
    return bids, bids + spread


def aggregate(hour: HourTrades, unit_ms: int, previous_close: int | None) -> CandleColumns:
    """Return the candles of `unit_ms` (a divisor of an hour) that the trades add up to.

    A unit without trades is flat at the close before it; at the hour's start that is
    `previous_close` (ticks), or the first trade's price when that is None.
    """
    units = HOUR_MS // unit_ms
    counts = np.bincount(hour.times_ms // unit_ms, minlength=units).astype(np.int64)
    filled = np.flatnonzero(counts)
    ends = np.cumsum(counts)[filled]
    starts = ends - counts[filled]
    amounts = hour.prices * hour.quantities
    opens, closes = hour.prices[starts], hour.prices[ends - 1]
    before = int(opens[0]) if previous_close is None else previous_close
    place = np.searchsorted(filled, np.arange(units), side="right") - 1
    flat = np.where(place >= 0, closes[np.maximum(place, 0)], before)

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


def _bridge(rng: np.random.Generator, plan: DayPlan, first: int) -> Floats:
    boundaries = plan.log_prices[first : first + _MINUTES + 1]
    steps = rng.standard_normal((_MINUTES, 60))
    steps *= plan.volatilities[first : first + _MINUTES, None] / np.sqrt(60)
    walk = np.cumsum(steps, axis=1)
    share = np.arange(1, 61) / 60
    walk += share * (np.diff(boundaries)[:, None] - walk[:, -1:])
    inside = boundaries[:-1, None] + walk
    return np.concatenate((boundaries[:1], inside.ravel()))


def _times(rng: np.random.Generator, counts: Integers) -> tuple[Integers, Integers]:
    weights = rng.gamma(_BURSTINESS, size=(_MINUTES, 60)) + 1e-9
    per_second = rng.multinomial(counts, weights / weights.sum(axis=1, keepdims=True)).ravel()
    total = int(counts.sum())
    seconds = np.repeat(np.arange(_SECONDS, dtype=np.int64), per_second)
    times_ms = np.sort(seconds * 1000 + rng.integers(0, 1000, total))
    minutes = times_ms // 60_000
    is_head = rng.random(total) >= _FILLS
    is_head[0] = True
    is_head[1:] |= minutes[1:] != minutes[:-1]
    heads = np.maximum.accumulate(np.where(is_head, np.arange(total), 0))
    return times_ms[heads], heads


def _buy_chance(rng: np.random.Generator, mids: Floats) -> Floats:
    moves = np.diff(mids)
    spread = float(moves.std()) or 1.0
    mood = np.repeat(rng.normal(0.0, 0.12, _MINUTES), 60)
    chance: Floats = np.clip(0.5 + 0.12 * np.tanh(moves / spread) + mood, 0.05, 0.95)
    return chance
