"""Whether a candle can be stored, and what of it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from engine.market.candle import fault_of
from engine.market.kline_csv import is_plausible

if TYPE_CHECKING:
    from engine.market.candle import Candle
    from engine.market.interval import Interval

_LATEST_MS = 10**14
_MOST_TRADES = 2**53
_STORED = 10  # all fields but `closed`


def candle_values(candle: Candle) -> tuple[Any, ...]:
    """Return the stored values of `candle` in the order of its fields."""
    return msgspec.structs.astuple(candle)[:_STORED]


def candle_fault(candle: Candle, interval: Interval) -> str | None:
    """Say why `candle` can not be one of `interval`, None when it can."""
    if not is_plausible(candle):
        return fault_of(candle) or "a value can not be true"
    if (candle.trades or 0) > _MOST_TRADES:
        return "the number of trades can not be true"
    return grid_fault(candle.open_time_ms, interval)


def grid_fault(open_time_ms: int, interval: Interval) -> str | None:
    """Say why no candle of `interval` opens at that time, None when one does."""
    if not 0 <= open_time_ms < _LATEST_MS:
        return f"the open time {open_time_ms} is no time in milliseconds"
    off_ms = open_time_ms - interval.floor(open_time_ms)
    if off_ms:
        return f"the open time is {off_ms} ms off the {interval.name} grid"
    return None
