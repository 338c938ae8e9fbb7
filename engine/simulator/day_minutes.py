"""The minutes of one generated day: what the orders of each add up to, before they are made.

An order's mirror image makes a minute's amounts known without its orders. Of the orders of a
minute all but three at most come in pairs: one in the first half of the minute, its twin of the
same side and size in the second half, and their prices lie at equal distances below and above the
middle of the way that the best bid goes from one minute to the next. So a pair of size q is worth
q times twice that middle, whatever its prices. The other orders are the two that make the high
and the low, and one in the middle of an odd number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from engine.simulator.order_ids import MOST_FILLS, first_trades

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.simulator.listings import Listing

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

SIZE_SPREAD = 1.3
SMALLEST = MOST_FILLS
_MINUTES = 1440
_LOWEST_BID = 16
_FEWEST_WITH_WICKS = 5
_WIDE_SPREAD = 0.35


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


class DayMinutes(NamedTuple):
    """One day of one market by minute (1,440 rows unless said otherwise).

    Attributes:
        bids: Best bid in ticks at 1,441 minute boundaries.
        spreads: Best ask minus best bid in ticks.
        deviations: Standard deviation of the minute's move in ticks.
        orders: Takers' orders; at least one in the first minute of each hour.
        first_orders: Number of the first of them.
        is_buy: Whether the first and the last order buy.
        buy_pairs: Pairs of orders that buy.
        sell_pairs: Pairs of orders that sell.
        buy_half: Sum of the sizes of one half of the buying pairs, in steps.
        sell_half: The same of the selling ones.
        singles: Sizes of the orders at the high, at the low and in the middle (3 rows of 1,440);
            0 for one that is not there.
        candles: What the orders add up to.
    """

    bids: Integers
    spreads: Integers
    deviations: Floats
    orders: Integers
    first_orders: Integers
    is_buy: NDArray[np.bool_]
    buy_pairs: Integers
    sell_pairs: Integers
    buy_half: Integers
    sell_half: Integers
    singles: Integers
    candles: CandleColumns


def make_minutes(
    listing: Listing,
    rng: np.random.Generator,
    log_prices: Floats,
    volatilities: Floats,
    orders: Integers,
    first_order: int,
) -> DayMinutes:
    """Decide the minutes of one day.

    Highs and lows beyond a minute's ends are distributed like those of a Brownian bridge
    (Karatzas and Shreve, "Brownian Motion and Stochastic Calculus", problem 2.8.12).

    Args:
        listing: The market's character.
        rng: Used up in a fixed order.
        log_prices: Log of the price at 1,441 minute boundaries.
        volatilities: Standard deviation of each minute's log return.
        orders: Orders of each minute.
        first_order: Number of the day's first order.
    """
    normals = rng.standard_normal((7, _MINUTES))
    uniforms = rng.random((4, _MINUTES))
    prices = np.exp(log_prices) * 10**listing.price_decimals
    bids = np.maximum(np.floor(prices), _LOWEST_BID).astype(np.int64)
    deviations = volatilities * prices[:-1]
    spreads = 1 + sum((uniforms[0] < _WIDE_SPREAD**n).astype(np.int64) for n in (1, 2, 3))
    moves = np.diff(bids)
    chance = np.clip(0.5 + 0.12 * np.tanh(moves / deviations) + 0.1 * normals[0], 0.05, 0.95)
    is_buy = uniforms[1] < chance

    wicks = orders >= _FEWEST_WITH_WICKS
    paired = orders - 2 * wicks
    pairs = paired // 2
    buy_pairs = _buying(pairs, chance, is_buy, wicks, normals[1])
    sell_pairs = pairs - buy_pairs
    median = listing.trade_notional / listing.price * 10**listing.quantity_decimals
    singles = np.maximum(np.rint(median * np.exp(SIZE_SPREAD * normals[4:7])), SMALLEST)
    is_there = np.stack((wicks, wicks, paired % 2 == 1))

    first_orders = first_order + np.concatenate(([0], np.cumsum(orders)))
    halves = (_half(median, buy_pairs, normals[2]), _half(median, sell_pairs, normals[3]))
    day = DayMinutes(
        bids,
        spreads,
        deviations,
        orders,
        first_orders[:-1],
        is_buy,
        buy_pairs,
        sell_pairs,
        *halves,
        (singles * is_there).astype(np.int64),
        CandleColumns(*[orders] * 9),
    )
    room = deviations * (1 - 0.6 / np.sqrt(np.maximum(orders, 1)))
    up, down = (
        ((np.sqrt(moves**2 - 2 * room**2 * np.log1p(-uniforms[n])) - np.abs(moves)) / 2).astype(
            np.int64
        )
        for n in (2, 3)
    )
    trades = np.diff(first_trades(first_orders))
    return day._replace(candles=_candles(day, wicks, up, down, trades))


def middle(day: DayMinutes) -> Integers:
    """Return the price in ticks of the order in the middle of each minute."""
    return (day.bids[:-1] + day.bids[1:]) // 2 + day.is_buy * day.spreads


def _buying(
    pairs: Integers,
    chance: Floats,
    is_buy: NDArray[np.bool_],
    wicks: NDArray[np.bool_],
    normals: Floats,
) -> Integers:
    """Return how many pairs buy: all or none where there are few, as the first one does."""
    inner = np.maximum(pairs - 1, 0)
    drawn = np.rint(inner * chance + np.sqrt(inner * chance * (1 - chance)) * normals)
    several = np.clip(drawn, 0, inner).astype(np.int64) + (is_buy & (pairs > 0))
    return np.where(wicks, several, pairs * is_buy)


def _half(median: float, pairs: Integers, normals: Floats) -> Integers:
    """Return the sum of so many lognormal sizes, drawn from a lognormal of its moments."""
    mean = median * np.exp(SIZE_SPREAD**2 / 2)
    variance = np.log1p((np.exp(SIZE_SPREAD**2) - 1) / np.maximum(pairs, 1))
    drawn = np.rint(mean * pairs * np.exp(np.sqrt(variance) * normals - variance / 2))
    half: Integers = np.maximum(drawn, SMALLEST * pairs).astype(np.int64)
    return half


def _candles(
    day: DayMinutes,
    wicks: NDArray[np.bool_],
    up: Integers,
    down: Integers,
    trades: Integers,
) -> CandleColumns:
    begin, end = day.bids[:-1], day.bids[1:]
    buys, above = day.is_buy.astype(np.int64), day.is_buy * day.spreads
    centre = middle(day)
    alone = day.buy_pairs + day.sell_pairs == 0
    opens, closes = (np.where(alone, centre, bids + above) for bids in (begin, end))
    highs = np.where(wicks, np.maximum(begin, end) + day.spreads + up, np.maximum(opens, closes))
    lows = np.where(wicks, np.maximum(np.minimum(begin, end) - down, 1), np.minimum(opens, closes))
    filled = np.maximum.accumulate(np.where(day.orders > 0, np.arange(_MINUTES), 0))
    before = closes[filled]
    opens, highs, lows, closes = (
        np.where(day.orders > 0, column, before) for column in (opens, highs, lows, closes)
    )
    high_size, low_size, mid_size = day.singles
    buy_volume = 2 * day.buy_half + high_size + buys * mid_size
    sell_volume = 2 * day.sell_half + low_size + (1 - buys) * mid_size
    way = begin + end
    buy_quote = (
        day.buy_half * (way + 2 * day.spreads) + high_size * highs + buys * mid_size * centre
    )
    sell_quote = day.sell_half * way + low_size * lows + (1 - buys) * mid_size * centre
    return CandleColumns(
        opens,
        highs,
        lows,
        closes,
        buy_volume + sell_volume,
        buy_quote + sell_quote,
        trades,
        buy_volume,
        buy_quote,
    )
