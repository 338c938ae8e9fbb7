"""One candle (kline) as a value."""

from __future__ import annotations

import math

import msgspec


class Candle(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Open, high, low, close and volumes of one interval of one symbol.

    Attributes:
        open_time_ms: First millisecond of the interval (UTC epoch), the candle's key.
        open: First price, in the quote asset; `high`, `low` and `close` likewise.
        volume: Traded amount in the base asset.
        quote_volume: Traded amount in the quote asset; None where the source does not tell.
        trades: Number of trades; None where the source does not tell.
        taker_buy_volume: Base amount bought by takers; None where the source does not tell.
        taker_buy_quote_volume: Quote amount bought by takers; None where the source does not tell.
        closed: False while the interval still runs on exchange time.
        complete: False for one made of shorter candles of which the exchange has not all.
    """

    open_time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float | None
    trades: int | None = None
    taker_buy_volume: float | None = None
    taker_buy_quote_volume: float | None = None
    closed: bool = True
    complete: bool = True


def fault_of(candle: Candle) -> str | None:
    """Say in words why `candle` can not be true, or None when nothing speaks against it."""
    prices = (candle.open, candle.high, candle.low, candle.close)
    optional = (
        candle.quote_volume,
        candle.taker_buy_volume,
        candle.taker_buy_quote_volume,
    )
    known = [value for value in optional if value is not None]
    if not all(math.isfinite(value) for value in (*prices, candle.volume, *known)):
        return "a value is not a finite number"
    if min(prices) <= 0:
        return "a price is zero or negative"
    if candle.low > min(candle.open, candle.close) or candle.high < max(candle.open, candle.close):
        return "open or close lies outside low and high"
    if min(candle.volume, *known, 0.0) < 0 or (candle.trades or 0) < 0:
        return "a volume or count is negative"
    return None
