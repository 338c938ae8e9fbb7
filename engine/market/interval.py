"""Candle intervals of Binance spot and their UTC grids.

Names and meaning follow the official kline documentation (2025-11-12): `1m` is a minute and `1M`
a calendar month, so names are case-sensitive. Weeks start on Monday, 00:00 UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

import msgspec

MINUTE_MS = 60_000
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
_MONDAY_MS = 4 * DAY_MS  # 1970-01-05, the first Monday after the epoch

_WRITTEN = re.compile(
    r"(\d{0,5})\s*(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|hourly|d|days?|daily|"
    r"w|wks?|weeks?|weekly|mo|mons?|months?|monthly)"
)
_UNIT_MS = {"s": 1_000, "m": MINUTE_MS, "h": 60 * MINUTE_MS, "d": DAY_MS, "w": WEEK_MS}


class UnknownInterval(ValueError):
    """Raised for an interval name that Binance does not have."""


class Interval(msgspec.Struct, frozen=True):
    """One candle interval.

    Attributes:
        name: Binance's name, such as `1m`.
        length_ms: Nominal length in milliseconds; a month counts as 30 days here, and only
            here: use `floor` and `next` for its real bounds.
    """

    name: str
    length_ms: int

    def floor(self, time_ms: int) -> int:
        """Return the open time of the candle that holds `time_ms` (both epoch ms, UTC)."""
        if self.name == "1M":
            moment = datetime.fromtimestamp(time_ms / 1000, UTC)
            return _month_ms(moment.year, moment.month)
        shift = _MONDAY_MS if self.name == "1w" else 0
        return time_ms - (time_ms - shift) % self.length_ms

    def next(self, open_time_ms: int) -> int:
        """Return the open time of the candle after the one that opens at `open_time_ms`."""
        if self.name == "1M":
            moment = datetime.fromtimestamp(open_time_ms / 1000, UTC)
            year, month = divmod(moment.year * 12 + moment.month, 12)
            return _month_ms(year, month + 1)
        return open_time_ms + self.length_ms

    def close_time(self, open_time_ms: int) -> int:
        """Return the last millisecond of the candle that opens at `open_time_ms`."""
        return self.next(open_time_ms) - 1

    def back(self, open_time_ms: int, count: int) -> int:
        """Return the open time `count` candles before `open_time_ms`."""
        if self.name == "1M":
            moment = datetime.fromtimestamp(open_time_ms / 1000, UTC)
            year, month = divmod(moment.year * 12 + moment.month - 1 - count, 12)
            return _month_ms(year, month + 1)
        return open_time_ms - count * self.length_ms

    def is_aligned(self, open_time_ms: int) -> bool:
        """Tell whether `open_time_ms` lies on this interval's grid."""
        return self.floor(open_time_ms) == open_time_ms


def _month_ms(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1000


INTERVALS: dict[str, Interval] = {
    name: Interval(name, length_ms)
    for name, length_ms in (
        ("1s", 1_000),
        ("1m", MINUTE_MS),
        ("3m", 3 * MINUTE_MS),
        ("5m", 5 * MINUTE_MS),
        ("15m", 15 * MINUTE_MS),
        ("30m", 30 * MINUTE_MS),
        ("1h", 60 * MINUTE_MS),
        ("2h", 120 * MINUTE_MS),
        ("4h", 240 * MINUTE_MS),
        ("6h", 360 * MINUTE_MS),
        ("8h", 480 * MINUTE_MS),
        ("12h", 720 * MINUTE_MS),
        ("1d", DAY_MS),
        ("3d", 3 * DAY_MS),
        ("1w", WEEK_MS),
        ("1M", 30 * DAY_MS),
    )
}


def parse_interval(name: str) -> Interval:
    """Return the interval called `name`.

    Raises:
        UnknownInterval: with a sentence that lists the names there are.
    """
    try:
        return INTERVALS[name]
    except KeyError:
        meant = meant_interval(name)
        hint = f"did you mean {meant}? There are:" if meant else "choose one of:"
        known = " ".join(INTERVALS)
        raise UnknownInterval(f"There is no interval '{name}'; {hint} {known}.") from None


def meant_interval(text: str) -> str | None:
    """Return the interval that `5min`, `60m`, `1H` or `1mo` stands for; None when there is none."""
    found = _WRITTEN.fullmatch(text.strip().lower())
    if found is None:
        return None
    count, unit = int(found[1] or 1), found[2]
    if unit.startswith("mo"):
        return "1M" if count == 1 else None
    length_ms = count * _UNIT_MS[unit[0]]
    return next((one.name for one in INTERVALS.values() if one.length_ms == length_ms), None)
