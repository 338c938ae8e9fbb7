"""Made-up trades that add up to a given candle.

A kline file tells what a minute's trades came to, not the trades themselves. These functions
invent a path open → (low, high | high, low) → close in whole ticks and whole quantity steps, so
that open, high, low, close, volume and number of trades are met exactly, and the quote volume
exactly as well wherever the candle has a handful of trades or more.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from engine.market.candle import Candle

_EDGE = 0.002  # of the candle's length, before the first and after the last trade
_NOISE = 0.06  # of the candle's height
_FINEST_STEP = 8
_PASSES = 3
UNKNOWN_COUNT = 60  # trades for a candle whose file does not tell


class Fill(NamedTuple):
    """One made-up trade.

    Attributes:
        offset_ms: Time since the candle's open time.
        price: In the quote asset.
        quantity: In the base asset.
        buyer_is_maker: By the tick rule: a falling price is a taker who sold.
        trades: How many of the candle's trades it stands for.
    """

    offset_ms: int
    price: float
    quantity: float
    buyer_is_maker: bool
    trades: int


def derive_fills(
    candle: Candle,
    length_ms: int,
    *,
    price_decimals: int,
    quantity_decimals: int,
    at_most: int,
) -> list[Fill]:
    """Return made-up trades that add up to `candle`, in the order of time.

    The same candle always gives the same trades. A candle without volume gives none.

    Args:
        candle: A closed candle.
        length_ms: Its length.
        price_decimals: Decimals of the price tick.
        quantity_decimals: Decimals of the quantity step; a candle whose own volume has more, or
            is too small for its trades in such steps, gets a finer step.
        at_most: Upper limit of the number of trades; where the candle has more, each stands for
            several (`Fill.trades` always adds up to the candle's count). Open, low, high and
            close come in any case, so it may be exceeded by up to three.
    """
    opened, high, low, close = (
        _units(value, price_decimals)
        for value in (candle.open, candle.high, candle.low, candle.close)
    )
    anchors = _anchors(opened, high, low, close)
    known = UNKNOWN_COUNT if candle.trades is None else max(candle.trades, 1)
    count = max(len(anchors), min(known, at_most))
    step, volume = _steps(candle.volume, quantity_decimals, count)
    if volume == 0:
        return []
    count = max(len(anchors), min(count, volume))
    quote = _units(candle.quote_volume or 0.0, price_decimals + step)
    rng = np.random.default_rng(candle.open_time_ms)
    if count == len(anchors):
        quantities = _balance(anchors, volume, quote)
        moments = np.linspace(_EDGE, 1 - _EDGE, count).tolist()
        points = list(zip(moments, anchors, quantities, strict=True))
    else:
        points = _path(rng, anchors, (low, high), (count, volume, quote))
    return _fills(points, length_ms, price_decimals, step, candle.trades)


def _units(value: float, decimals: int) -> int:
    """Return `value` in units of 10^-decimals, rounded from its shortest decimal text."""
    return int(Decimal(repr(value)).scaleb(decimals).to_integral_value())


def _steps(volume: float, decimals: int, count: int) -> tuple[int, int]:
    """Return the decimals of a quantity step that suits `volume`, and the volume in such steps."""
    exponent = Decimal(repr(volume)).normalize().as_tuple().exponent
    needed = -exponent if isinstance(exponent, int) else 0
    decimals = min(max(decimals, needed), _FINEST_STEP)
    while decimals < _FINEST_STEP and _units(volume, decimals) < count:
        decimals += 1
    return decimals, _units(volume, decimals)


def _anchors(opened: int, high: int, low: int, close: int) -> list[int]:
    """Return the prices that must occur, in order, without repeating an extreme needlessly."""
    middle = [low, high] if close >= opened else [high, low]
    prices = [opened, *(price for price in middle if price not in (opened, close))]
    if close != opened or len(prices) > 1:
        prices.append(close)
    return prices


def _balance(prices: list[int], volume: int, quote: int) -> list[int]:
    """Split `volume` over fixed prices so that the products come as near to `quote` as may be."""
    quantities = [1] * len(prices)
    rest = max(volume - len(prices), 0)
    low, high = prices.index(min(prices)), prices.index(max(prices))
    wanted = quote - sum(prices) - rest * prices[low]
    height = prices[high] - prices[low]
    upper = min(max(round(wanted / height), 0), rest) if height else 0
    quantities[high] += upper
    quantities[low] += rest - upper
    return quantities


_Point = tuple[float, int, int]


def _path(
    rng: np.random.Generator,
    anchors: list[int],
    bounds: tuple[int, int],
    totals: tuple[int, int, int],
) -> list[_Point]:
    """Return (moment 0..1, price, quantity) of each trade; anchors have one quantity step each."""
    count, volume, quote = totals
    free = count - len(anchors)
    rest, wanted = volume - len(anchors), quote - sum(anchors)
    inner = sorted(rng.uniform(0.15, 0.85, max(len(anchors) - 2, 0)).tolist())
    moments = [_EDGE, *inner, 1 - _EDGE][: len(anchors)]
    quantities = _quantities(rng, free, rest)
    times = np.sort(rng.uniform(_EDGE, 1 - _EDGE, free))
    noise = rng.normal(0.0, _NOISE * (bounds[1] - bounds[0]), free)
    guide = np.interp(times, moments, anchors) if len(anchors) > 1 else np.full(free, anchors[0])
    prices = _fit(np.clip(guide + noise, *bounds), quantities, bounds, wanted)
    points = list(zip(times.tolist(), prices, quantities, strict=True))
    return sorted([*zip(moments, anchors, [1] * len(anchors), strict=True), *points])


def _quantities(rng: np.random.Generator, count: int, total: int) -> list[int]:
    """Split `total` into `count` parts of one or more; some are 1, 2, 4 … where there is room.

    The small powers of two let `_fit` meet any quote volume by shifting them a tick or two.
    """
    ladder: list[int] = []
    while len(ladder) < count // 2 and (2 << len(ladder)) <= (total - count) // 3:
        ladder.append(1 << len(ladder))
    others = count - len(ladder)
    spare = total - sum(ladder) - others
    weights = rng.exponential(1.0, others)
    bounds = np.floor(np.cumsum(weights) / weights.sum() * spare + 0.5).astype(np.int64).tolist()
    bounds[-1] = spare
    parts = ladder + [1 + upper - lower for lower, upper in pairwise([0, *bounds])]
    return [parts[index] for index in rng.permutation(count).tolist()]


def _fit(
    guide: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    quantities: list[int],
    bounds: tuple[int, int],
    wanted: int,
) -> list[int]:
    """Move prices inside `bounds` until the sum of price times quantity is `wanted`."""
    low, high = bounds
    total = sum(quantities)
    mean = float(np.dot(guide, np.array(quantities, dtype=np.float64))) / total
    target = min(max(wanted / total, low), high)
    end = high if target > mean else low
    if end != mean:
        guide = guide + (target - mean) / (end - mean) * (end - guide)
    prices = [min(max(price, low), high) for price in np.rint(guide).astype(np.int64).tolist()]
    left = wanted - sum(p * q for p, q in zip(prices, quantities, strict=True))
    order = sorted(range(len(prices)), key=quantities.__getitem__, reverse=True)
    for _ in range(_PASSES):
        for index in order:
            if not left:
                return prices
            shift = round(left / quantities[index])
            shift = min(max(shift, low - prices[index]), high - prices[index])
            prices[index] += shift
            left -= shift * quantities[index]
    return prices


def _fills(
    points: list[_Point], length_ms: int, price_decimals: int, step: int, trades: int | None
) -> list[Fill]:
    share, more = divmod(len(points) if trades is None else max(trades, len(points)), len(points))
    price_unit, step_unit = 10**price_decimals, 10**step
    fills: list[Fill] = []
    previous, selling = points[0][1], False
    for index, (moment, price, quantity) in enumerate(points):
        selling = price < previous if price != previous else selling
        previous = price
        fills.append(
            Fill(
                int(moment * length_ms),
                price / price_unit,
                quantity / step_unit,
                selling,
                share + (index < more),
            )
        )
    return fills
