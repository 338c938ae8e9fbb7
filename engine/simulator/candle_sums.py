"""Sums of many generated candles that equal `math.fsum` over their minutes, made in columns.

An amount of a minute is a float. The exact sum of such floats is kept as whole numbers, split
into three so that each fits 64 bits: units, 2^-40 and 2^-92.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from engine.market.candle import Candle
from engine.simulator.candles import OpenBucket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from engine.simulator.day_minutes import CandleColumns
    from engine.simulator.listings import Listing

    Integers = NDArray[np.int64]

_MIDDLE_BITS, _LOW_BITS = 40, 52
_UNIT = 1 << (_MIDDLE_BITS + _LOW_BITS)
_AMOUNTS = 4  # volume, quote volume and the taker's two


class CandleSums(NamedTuple):
    """Candles side by side.

    Attributes:
        prices: Open, high, low and close in ticks (4 rows).
        trades: Number of trades.
        amounts: Three whole numbers for each of volume, quote volume, taker buy volume and taker
            buy quote volume (12 rows).
    """

    prices: Integers
    trades: Integers
    amounts: Integers


def sums_of(columns: CandleColumns, listing: Listing) -> CandleSums:
    """Return minutes as sums of one each."""
    price, quantity = 10**listing.price_decimals, 10**listing.quantity_decimals
    values = np.stack(
        (
            columns.volume / quantity,
            columns.quote_volume / (price * quantity),
            columns.taker_buy_volume / quantity,
            columns.taker_buy_quote_volume / (price * quantity),
        )
    )
    units = np.floor(values)
    middles = (values - units) * float(1 << _MIDDLE_BITS)
    whole = np.floor(middles)
    lows = (middles - whole) * float(1 << _LOW_BITS)
    amounts = np.stack((units, whole, lows)).astype(np.int64).reshape(3 * _AMOUNTS, -1)
    return CandleSums(np.stack(columns[:4]), columns.trades, amounts)


def grouped(sums: CandleSums, starts: Sequence[int] | Integers) -> CandleSums:
    """Return sums of groups that begin at `starts` (ascending places, at most 2,048 apart)."""
    opens, highs, lows, closes = sums.prices
    ends = np.append(np.asarray(starts[1:], np.int64), len(opens)) - 1
    prices = np.stack(
        (
            opens[np.asarray(starts)],
            np.maximum.reduceat(highs, starts),
            np.minimum.reduceat(lows, starts),
            closes[ends],
        )
    )
    units, middles, low = np.add.reduceat(sums.amounts, starts, axis=1).reshape(3, _AMOUNTS, -1)
    middles += low >> _LOW_BITS
    low &= (1 << _LOW_BITS) - 1
    units += middles >> _MIDDLE_BITS
    middles &= (1 << _MIDDLE_BITS) - 1
    amounts = np.concatenate((units, middles, low))
    return CandleSums(prices, np.add.reduceat(sums.trades, starts), amounts)


def joined(parts: Sequence[CandleSums]) -> CandleSums:
    """Return several stretches as one."""
    prices, trades, amounts = zip(*parts, strict=True)
    return CandleSums(
        np.concatenate(prices, axis=1), np.concatenate(trades), np.concatenate(amounts, axis=1)
    )


def part_of(sums: CandleSums, begin: int, end: int) -> CandleSums:
    """Return candles `begin` to `end` (exclusive)."""
    return CandleSums(sums.prices[:, begin:end], sums.trades[begin:end], sums.amounts[:, begin:end])


def candles_of(sums: CandleSums, open_times_ms: Sequence[int], listing: Listing) -> list[Candle]:
    """Return closed candles as values."""
    price = 10**listing.price_decimals
    opens, highs, lows, closes = (sums.prices / price).tolist()
    trades = sums.trades.tolist()
    amounts = [
        [round(whole / _UNIT, 8) for whole in _whole_numbers(sums, index)]
        for index in range(_AMOUNTS)
    ]
    return [
        Candle(time_ms, *values)
        for time_ms, *values in zip(
            open_times_ms, opens, highs, lows, closes, *amounts[:2], trades, *amounts[2:],
            strict=True,
        )
    ]  # fmt: skip


def bucket_of(sums: CandleSums, open_time_ms: int, listing: Listing) -> OpenBucket:
    """Return all of `sums` as one bucket that goes on from there."""
    total = grouped(sums, [0])
    price = 10**listing.price_decimals
    first, high, low, _ = (total.prices[:, 0] / price).tolist()
    volume, quote, buy, buy_quote = (
        (_whole_numbers(total, index)[0], _UNIT) for index in range(_AMOUNTS)
    )
    trades = (int(total.trades[0]), 1)
    return OpenBucket.of(open_time_ms, first, high, low, [volume, quote, trades, buy, buy_quote])


def _whole_numbers(sums: CandleSums, index: int) -> list[int]:
    units, middles, lows = (sums.amounts[index + n * _AMOUNTS].tolist() for n in range(3))
    return [
        (((unit << _MIDDLE_BITS) + middle) << _LOW_BITS) + low
        for unit, middle, low in zip(units, middles, lows, strict=True)
    ]
