"""Candles of other time zones: the same lengths on a shifted grid."""

from __future__ import annotations

from engine.market.interval import DAY_MS, INTERVALS, MINUTE_MS, Interval

OTHER_ZONE_MS = 8 * 60 * MINUTE_MS
"""Offset of the one zone whose candles are streamed beside those of UTC."""


class ShiftedInterval(Interval, frozen=True):
    """An interval whose grid is that of another time zone; all times stay epoch ms, UTC.

    Attributes:
        base: The interval of UTC.
        offset_ms: Milliseconds that the zone's clock is ahead of UTC.
    """

    base: Interval
    offset_ms: int

    def floor(self, time_ms: int) -> int:
        """Return the open time of the candle that holds `time_ms`."""
        return self.base.floor(time_ms + self.offset_ms) - self.offset_ms

    def next(self, open_time_ms: int) -> int:
        """Return the open time of the candle after the one that opens at `open_time_ms`."""
        return self.base.next(open_time_ms + self.offset_ms) - self.offset_ms

    def back(self, open_time_ms: int, count: int) -> int:
        """Return the open time `count` candles before `open_time_ms`."""
        return self.base.back(open_time_ms + self.offset_ms, count) - self.offset_ms


def shifted(interval: Interval, offset_ms: int) -> Interval:
    """Return `interval` on the grid of a zone that is `offset_ms` (whole minutes) ahead of UTC.

    It is called `1d@+08:00`; where the grid is that of UTC, `interval` itself is returned.
    """
    is_same = interval.length_ms < DAY_MS and offset_ms % interval.length_ms == 0
    if is_same or not offset_ms:
        return interval
    hours, minutes = divmod(abs(offset_ms) // MINUTE_MS, 60)
    name = f"{interval.name}@{'-' if offset_ms < 0 else '+'}{hours:02d}:{minutes:02d}"
    return ShiftedInterval(name, interval.length_ms, interval, offset_ms)


def told_name(interval: Interval) -> str:
    """Return the name that payloads bear: `1d` in every zone."""
    return interval.base.name if isinstance(interval, ShiftedInterval) else interval.name


def is_made_of(interval: Interval, finest: Interval) -> bool:
    """Tell whether candles of `interval`, on its zone's grid, are whole ones of `finest` joined."""
    if told_name(interval) == "1M" and finest.name in ("3d", "1w"):
        return False
    offset_ms = interval.offset_ms if isinstance(interval, ShiftedInterval) else 0
    return interval.length_ms % finest.length_ms == 0 == offset_ms % finest.length_ms


def streamed_intervals() -> tuple[Interval, ...]:
    """Return the intervals of all kline streams: those of UTC, and others of UTC+8."""
    utc = tuple(INTERVALS.values())
    east = (shifted(interval, OTHER_ZONE_MS) for interval in utc)
    return (*utc, *(interval for interval in east if interval.name not in INTERVALS))
