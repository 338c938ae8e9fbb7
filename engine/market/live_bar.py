"""The candle of a longer interval while its minutes come in, without going over them again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from engine.market.candle import Candle
from engine.market.resample import MINUTE, VOLUME_DECIMALS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.market.interval import Interval

_STEP_MS = MINUTE.length_ms


class ExactSum:
    """A running sum that rounds once, at the end, as `math.fsum` over all addends does.

    It keeps partial sums that do not overlap (Shewchuk, "Adaptive Precision Floating-Point
    Arithmetic", 1997), which is what `fsum` does inside. An unknown addend makes it unknown.
    """

    __slots__ = ("_partials", "is_known")

    def __init__(self) -> None:
        self._partials: list[float] = []
        self.is_known = True

    def add(self, value: float | None) -> None:
        """Add `value`; None is an unknown amount."""
        if value is None:
            self.is_known = False
            return
        kept = []
        for partial in self._partials:
            high, low = (value, partial) if abs(value) >= abs(partial) else (partial, value)
            value = high + low
            error = low - (value - high)
            if error:
                kept.append(error)
        kept.append(value)
        self._partials = kept

    def with_one(self, value: float | None) -> float | None:
        """Return the sum and `value`, rounded to 8 places; None when a part is unknown."""
        if value is None or not self.is_known:
            return None
        return round(math.fsum([*self._partials, value]), VOLUME_DECIMALS)


class LiveBar:
    """One bucket of closed 1m candles, to which the open minute is joined on every look.

    It gives what `resample` makes of the same candles. Minutes may come in any order, and the same
    one again changes nothing. It closes without the minutes that the exchange does not have
    (`excuse`), and is not complete then.

    Args:
        interval: One that 1m candles fill.
        open_time_ms: The bucket's open time (epoch ms).
    """

    def __init__(self, interval: Interval, open_time_ms: int) -> None:
        self.open_time_ms = open_time_ms
        self.end_ms = interval.next(open_time_ms)
        self._times: set[int] = set()
        self._absent: set[int] = set()
        self._first: Candle | None = None
        self._last: Candle | None = None
        self._high = -math.inf
        self._low = math.inf
        self._trades: int | None = 0
        self._sums = tuple(ExactSum() for _ in range(4))

    @property
    def minutes(self) -> int:
        """Closed minutes in it."""
        return len(self._times)

    def lacks_before(self, time_ms: int) -> bool:
        """Tell whether a minute of this bucket that closed before `time_ms` is not in it."""
        span_ms = min(time_ms, self.end_ms) - self.open_time_ms
        absent = sum(1 for absent_ms in self._absent if absent_ms < time_ms)
        return (len(self._times) + absent) * MINUTE.length_ms < span_ms

    def excuse(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Note minutes [from_ms, to_ms) that the exchange itself does not have."""
        for from_ms, to_ms in ranges:
            inside = range(max(from_ms, self.open_time_ms), min(to_ms, self.end_ms), _STEP_MS)
            self._absent.update(inside)
        self._absent -= self._times

    def holds(self, time_ms: int) -> bool:
        """Tell whether the closed minute that opens at `time_ms` is in it."""
        return time_ms in self._times

    def add(self, minute: Candle) -> bool:
        """Join a closed minute of this bucket; False when one of its time was there already."""
        if minute.open_time_ms in self._times:
            return False
        self._times.add(minute.open_time_ms)
        self._absent.discard(minute.open_time_ms)
        if self._first is None or minute.open_time_ms < self._first.open_time_ms:
            self._first = minute
        if self._last is None or minute.open_time_ms > self._last.open_time_ms:
            self._last = minute
        self._high = max(self._high, minute.high)
        self._low = min(self._low, minute.low)
        known = self._trades is not None and minute.trades is not None
        self._trades = (self._trades or 0) + (minute.trades or 0) if known else None
        for total, value in zip(self._sums, _amounts(minute), strict=True):
            total.add(value)
        return True

    def candle(self, minute: Candle | None = None) -> Candle | None:
        """Return the bar as it stands; None without any minute.

        Args:
            minute: The open minute, which counts where its time is not in the bar yet.
        """
        if minute is not None and minute.open_time_ms in self._times:
            minute = None
        first, last = self._first, self._last
        if minute is not None:
            first = minute if first is None else min(first, minute, key=_time_ms)
            last = minute if last is None else max(last, minute, key=_time_ms)
        if first is None or last is None:
            return None
        trades = self._trades
        if minute is not None:
            known = trades is not None and minute.trades is not None
            trades = (trades or 0) + (minute.trades or 0) if known else None
        extra = (0.0, 0.0, 0.0, 0.0) if minute is None else _amounts(minute)
        volume, quote_volume, taker, taker_quote = (
            total.with_one(value) for total, value in zip(self._sums, extra, strict=True)
        )
        return Candle(
            self.open_time_ms,
            first.open,
            self._high if minute is None else max(self._high, minute.high),
            self._low if minute is None else min(self._low, minute.low),
            last.close,
            volume or 0.0,
            quote_volume,
            trades,
            taker,
            taker_quote,
            minute is None and not self.lacks_before(self.end_ms),
            not self._absent,
        )


def _time_ms(candle: Candle) -> int:
    return candle.open_time_ms


def _amounts(
    minute: Candle,
) -> tuple[float, float | None, float | None, float | None]:
    return (
        minute.volume,
        minute.quote_volume,
        minute.taker_buy_volume,
        minute.taker_buy_quote_volume,
    )
