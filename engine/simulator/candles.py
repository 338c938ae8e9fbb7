"""Candles from trades, longer candles from 1m candles, and a compact list of closed ones."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from itertools import groupby
from typing import TYPE_CHECKING

from engine.market.candle import Candle

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.market.interval import Interval
    from engine.market.trade import Trade

_E8 = 10**8
_E16 = 10**16


class OpenCandle:
    """One candle that trades still change; amounts are exact integers (1e-8 base, 1e-16 quote)."""

    __slots__ = (
        "_buy_e8",
        "_buy_quote_e16",
        "_knows_sides",
        "_quote_e16",
        "_volume_e8",
        "close",
        "high",
        "low",
        "open",
        "open_time_ms",
        "trades",
    )

    def __init__(self, open_time_ms: int, price: float, *, knows_sides: bool = True) -> None:
        self._knows_sides = knows_sides
        self.open_time_ms = open_time_ms
        self.open = self.high = self.low = self.close = price
        self.trades = 0
        self._volume_e8 = self._quote_e16 = self._buy_e8 = self._buy_quote_e16 = 0

    def add(self, trade: Trade, count: int = 1) -> None:
        """Count one trade in, which stands for `count` trades."""
        price = trade.price
        if not self.trades:
            self.open = self.high = self.low = price
        elif price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.close = price
        self.trades += count
        quantity_e8 = round(trade.quantity * _E8)
        quote_e16 = quantity_e8 * round(price * _E8)
        self._volume_e8 += quantity_e8
        self._quote_e16 += quote_e16
        if not trade.buyer_is_maker:
            self._buy_e8 += quantity_e8
            self._buy_quote_e16 += quote_e16

    def candle(self, *, closed: bool) -> Candle:
        """Return it as a value; amounts rounded to 8 places."""
        return Candle(
            self.open_time_ms,
            self.open,
            self.high,
            self.low,
            self.close,
            self._volume_e8 / _E8,
            round(self._quote_e16 / _E16, 8),
            self.trades,
            self._buy_e8 / _E8 if self._knows_sides else None,
            round(self._buy_quote_e16 / _E16, 8) if self._knows_sides else None,
            closed,
        )


def join(open_time_ms: int, candles: Sequence[Candle], *, closed: bool = True) -> Candle:
    """Make one candle of consecutive shorter ones; amounts are `round(math.fsum(...), 8)`."""
    counts = [candle.trades for candle in candles]
    return Candle(
        open_time_ms,
        candles[0].open,
        max(candle.high for candle in candles),
        min(candle.low for candle in candles),
        candles[-1].close,
        round(math.fsum(candle.volume for candle in candles), 8),
        round(math.fsum(candle.quote_volume or 0.0 for candle in candles), 8),
        None if None in counts else sum(count or 0 for count in counts),
        _optional_sum(candle.taker_buy_volume for candle in candles),
        _optional_sum(candle.taker_buy_quote_volume for candle in candles),
        closed,
    )


def resample(candles: Iterable[Candle], interval: Interval) -> list[Candle]:
    """Return candles of `interval` from ascending shorter ones on a grid that divides it."""
    return [
        join(open_time_ms, list(group))
        for open_time_ms, group in groupby(
            candles, lambda candle: interval.floor(candle.open_time_ms)
        )
    ]


def _optional_sum(values: Iterable[float | None]) -> float | None:
    known = []
    for value in values:
        if value is None:
            return None
        known.append(value)
    return round(math.fsum(known), 8)


class ExactSum:
    """A sum that equals `math.fsum` of all that was added, however it was added.

    It keeps the non-overlapping partial sums of Shewchuk, "Adaptive Precision Floating-Point
    Arithmetic", 1997.
    """

    __slots__ = ("_partials",)

    def __init__(self) -> None:
        self._partials: list[float] = []

    @classmethod
    def of(cls, numerator: int, denominator: int) -> ExactSum:
        """Return the exact value of a fraction whose denominator is a power of two."""
        parts: list[float] = []
        while numerator:
            part = numerator / denominator
            parts.append(part)
            over, under = part.as_integer_ratio()
            numerator -= over * denominator // under
        total = cls()
        total._partials = parts[::-1]
        return total

    def add(self, value: float) -> None:
        """Add `value` without rounding."""
        kept = []
        for partial in self._partials:
            big, small = (value, partial) if abs(value) >= abs(partial) else (partial, value)
            value = big + small
            rest = small - (value - big)
            if rest:
                kept.append(rest)
        kept.append(value)
        self._partials = kept

    def copy(self) -> ExactSum:
        """Return an independent copy."""
        other = ExactSum()
        other._partials = list(self._partials)
        return other

    def plus(self, value: float) -> float:
        """Return the sum with `value`, correctly rounded, and do not keep it."""
        return math.fsum([*self._partials, value])


class OpenBucket:
    """The closed 1m candles of a longer interval that is still open, ready for the open minute."""

    __slots__ = ("_first", "_high", "_low", "_sums", "open_time_ms")

    def __init__(self, open_time_ms: int) -> None:
        self.open_time_ms = open_time_ms
        self._first: float | None = None
        self._high = -math.inf
        self._low = math.inf
        self._sums: list[ExactSum | None] = [ExactSum() for _ in range(5)]

    @classmethod
    def of(
        cls,
        open_time_ms: int,
        first: float,
        high: float,
        low: float,
        sums: Sequence[tuple[int, int]],
    ) -> OpenBucket:
        """Return a bucket of candles that are known by their sums.

        Args:
            open_time_ms: Open time of the first.
            first: Its open price.
            high: Highest price.
            low: Lowest price.
            sums: Fractions over powers of two: volume, quote volume, trades, taker buy volume and
                taker buy quote volume.
        """
        bucket = cls(open_time_ms)
        bucket._first, bucket._high, bucket._low = first, high, low
        bucket._sums = [ExactSum.of(*fraction) for fraction in sums]
        return bucket

    @property
    def is_empty(self) -> bool:
        """Whether no candle was counted in."""
        return self._first is None

    def add(self, candle: Candle) -> None:
        """Count one closed candle in; an unknown amount makes the sum unknown."""
        if self._first is None:
            self._first = candle.open
        self._high = max(self._high, candle.high)
        self._low = min(self._low, candle.low)
        for index, value in enumerate(_amounts(candle)):
            total = self._sums[index]
            if total is None or value is None:
                self._sums[index] = None
            elif value:
                total.add(value)

    def copy(self, open_time_ms: int | None = None) -> OpenBucket:
        """Return an independent copy, which may bear another open time."""
        other = OpenBucket(self.open_time_ms if open_time_ms is None else open_time_ms)
        other._first, other._high, other._low = self._first, self._high, self._low
        other._sums = [None if total is None else total.copy() for total in self._sums]
        return other

    def closed(self) -> Candle | None:
        """Return all that was counted in as a closed candle, None for nothing; it has no close.

        Its close is NaN, since a bucket keeps sums and extremes only.
        """
        if self._first is None:
            return None
        volume, quote, trades, buy, buy_quote = (
            None if total is None else round(total.plus(0.0), 8) for total in self._sums
        )
        return Candle(
            self.open_time_ms,
            self._first,
            self._high,
            self._low,
            math.nan,
            volume or 0.0,
            quote or 0.0,
            None if trades is None else int(trades),
            buy,
            buy_quote,
        )

    def with_minute(self, minute: Candle, *, closed: bool) -> Candle:
        """Return the candle with `minute` as its newest part."""
        volume, quote, trades, buy, buy_quote = (
            None if total is None or value is None else round(total.plus(value), 8)
            for total, value in zip(self._sums, _amounts(minute), strict=True)
        )
        return Candle(
            self.open_time_ms,
            minute.open if self._first is None else self._first,
            max(self._high, minute.high),
            min(self._low, minute.low),
            minute.close,
            volume or 0.0,
            quote or 0.0,
            None if trades is None else int(trades),
            buy,
            buy_quote,
            closed,
        )


def _amounts(candle: Candle) -> tuple[float | None, ...]:
    return (
        candle.volume,
        candle.quote_volume,
        candle.trades,
        candle.taker_buy_volume,
        candle.taker_buy_quote_volume,
    )


class CandleList:
    """Closed candles of one market in columns, 80 bytes each; unknown amounts are kept as NaN."""

    __slots__ = ("_times", "_values")

    def __init__(self) -> None:
        self._times = array("q")
        self._values = array("d")

    def __len__(self) -> int:
        return len(self._times)

    def append(self, candle: Candle) -> None:
        """Add the next candle."""
        self._times.append(candle.open_time_ms)
        self._values.extend(
            math.nan if value is None else value
            for value in (
                candle.open,
                candle.high,
                candle.low,
                candle.close,
                candle.volume,
                candle.quote_volume,
                candle.trades,
                candle.taker_buy_volume,
                candle.taker_buy_quote_volume,
            )
        )

    def between(self, start_ms: int, end_ms: int) -> list[Candle]:
        """Return those with `start_ms <= open_time_ms < end_ms`."""
        first, last = bisect_left(self._times, start_ms), bisect_left(self._times, end_ms)
        return [self._at(index) for index in range(first, last)]

    def _at(self, index: int) -> Candle:
        o, h, low, c, v, q, n, tv, tq = self._values[index * 9 : index * 9 + 9]
        return Candle(
            self._times[index],
            o,
            h,
            low,
            c,
            v,
            q,
            None if math.isnan(n) else int(n),
            None if math.isnan(tv) else tv,
            None if math.isnan(tq) else tq,
        )
