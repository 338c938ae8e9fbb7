"""The rolling 24-hour statistics of one market."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from engine.market.interval import DAY_MS, MINUTE_MS

if TYPE_CHECKING:
    from engine.market.candle import Candle

_MINUTES = DAY_MS // MINUTE_MS


class DayTicker(NamedTuple):
    """The statistics behind `24hrTicker` and `ticker/24hr`; prices in quote, times in epoch ms."""

    open: float
    high: float
    low: float
    last: float
    last_quantity: float
    previous_close: float
    volume: float
    quote_volume: float
    trades: int
    open_time_ms: int
    close_time_ms: int
    last_id: int
    top: tuple[float, float, float, float]

    @property
    def change(self) -> float:
        """Last price minus the window's open."""
        return self.last - self.open

    @property
    def change_percent(self) -> float:
        """Change in percent of the open."""
        return (self.last / self.open - 1) * 100 if self.open else 0.0

    @property
    def average(self) -> float:
        """Volume-weighted average price."""
        return self.quote_volume / self.volume if self.volume else self.last

    @property
    def first_id(self) -> int:
        """First trade id of the window; ids are consecutive."""
        return self.last_id - self.trades + 1 if self.trades else -1


class _Closed(NamedTuple):
    open: float | None
    high: float
    low: float
    volume: float
    quote_volume: float
    trades: int
    previous_close: float


class DayWindow:
    """The last 1,441 closed minutes; 1,439 and the open minute are the 24-hour window.

    The window moves by whole minutes, as the exchange's longer rolling windows do.

    Args:
        length_ms: Length of the candles; more than a minute where the source has nothing finer.
    """

    def __init__(self, length_ms: int = MINUTE_MS) -> None:
        self._length_ms = length_ms
        self._minutes: deque[Candle] = deque(maxlen=_MINUTES + 1)
        self._closed: _Closed | None = None

    def append(self, minute: Candle) -> None:
        """Add the next closed minute; the oldest one leaves."""
        self._minutes.append(minute)
        self._closed = None

    def last(self, count: int) -> list[Candle]:
        """Return the newest `count` closed minutes, oldest first."""
        minutes = self._minutes
        return [minutes[index] for index in range(max(0, len(minutes) - count), len(minutes))]

    def since(self, start_ms: int) -> list[Candle] | None:
        """Return the closed minutes from `start_ms` on, None when they are not all here."""
        minutes = self._minutes
        if not minutes or minutes[0].open_time_ms > start_ms:
            return None
        return [minute for minute in minutes if minute.open_time_ms >= start_ms]

    def ticker(
        self,
        minute: Candle,
        now_ms: int,
        *,
        last_quantity: float,
        last_id: int,
        top: tuple[float, float, float, float],
    ) -> DayTicker:
        """Return the statistics with `minute` as the open minute."""
        closed = self._closed
        if closed is None:
            closed = self._closed = self._sum(minute)
        return DayTicker(
            minute.open if closed.open is None else closed.open,
            max(closed.high, minute.high),
            min(closed.low, minute.low),
            minute.close,
            last_quantity,
            closed.previous_close,
            round(closed.volume + minute.volume, 8),
            round(closed.quote_volume + (minute.quote_volume or 0.0), 8),
            closed.trades + (minute.trades or 0),
            now_ms - DAY_MS,
            now_ms,
            last_id,
            top,
        )

    def _sum(self, minute: Candle) -> _Closed:
        oldest_ms = minute.open_time_ms - DAY_MS + self._length_ms
        inside = [candle for candle in self._minutes if candle.open_time_ms >= oldest_ms]
        before = len(self._minutes) - len(inside)
        if not inside:
            return _Closed(None, -math.inf, math.inf, 0.0, 0.0, 0, minute.open)
        return _Closed(
            inside[0].open,
            max(candle.high for candle in inside),
            min(candle.low for candle in inside),
            math.fsum(candle.volume for candle in inside),
            math.fsum(candle.quote_volume or 0.0 for candle in inside),
            sum(candle.trades or 0 for candle in inside),
            self._minutes[before - 1].close if before else inside[0].open,
        )
