"""Statistics of windows other than the 24 hours: minutes to days that end now."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from engine.market.interval import DAY_MS, MINUTE_MS
from engine.simulator.window import DayTicker

if TYPE_CHECKING:
    from engine.market.candle import Candle
    from engine.simulator.market_state import MarketState

_WINDOW = re.compile(r"([1-9]\d?)([mhd])")
_UNITS = {"m": (MINUTE_MS, 59), "h": (60 * MINUTE_MS, 23), "d": (DAY_MS, 7)}
_NO_TOP = (0.0, 0.0, 0.0, 0.0)


def window_ms(text: str) -> int | None:
    """Return the length of `1m` to `59m`, `1h` to `23h`, `1d` to `7d`; None for anything else."""
    found = _WINDOW.fullmatch(text)
    if found is None:
        return None
    unit_ms, most = _UNITS[found[2]]
    return int(found[1]) * unit_ms if int(found[1]) <= most else None


def window_open_ms(length_ms: int, now_ms: int) -> int:
    """Return when a window begins: on a whole minute, so that it is up to a minute longer."""
    return (now_ms - length_ms) // MINUTE_MS * MINUTE_MS


class RollingWindow:
    """One market's statistics from a minute in the past to now.

    What has closed is summed once a minute. `ticker` may be slow the first time in a minute when
    the window is longer than a day and the source has no sums; then call it in a worker thread.

    Args:
        state: The market.
    """

    def __init__(self, state: MarketState) -> None:
        self._state = state
        self._key = (-1, -1)
        self._closed: Candle | None = None

    def ticker(self, open_ms: int, now_ms: int, close_ms: int | None = None) -> DayTicker | None:
        """Return the statistics, None before the first price is known.

        Args:
            open_ms: First millisecond of the window, on a whole minute.
            now_ms: Exchange time.
            close_ms: What is told as the window's end; `now_ms` without it.
        """
        state = self._state
        if state.minute is None:
            return None
        minute = state.minute.candle(closed=False)
        key = (open_ms, minute.open_time_ms)
        if self._key != key:
            self._closed = state.closed_since(open_ms)
            self._key = key
        closed, last = self._closed, state.last_trade
        told_ms = now_ms if close_ms is None else close_ms
        return DayTicker(
            minute.open if closed is None else closed.open,
            minute.high if closed is None else max(closed.high, minute.high),
            minute.low if closed is None else min(closed.low, minute.low),
            minute.close,
            last.quantity if last else 0.0,
            minute.open if closed is None else closed.open,
            _sum(minute.volume, None if closed is None else closed.volume),
            _sum(minute.quote_volume, None if closed is None else closed.quote_volume),
            int(_sum(minute.trades, None if closed is None else closed.trades)),
            open_ms,
            told_ms,
            last.trade_id if last else -1,
            _NO_TOP,
        )


def _sum(one: float | None, other: float | None) -> float:
    """Add two amounts; what the source does not know counts as nothing."""
    return round((one or 0.0) + (other or 0.0), 8)
