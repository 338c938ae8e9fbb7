"""Round steps and labels of the chart's axes: pure functions."""

from __future__ import annotations

from math import ceil, floor, isfinite, log10, remainder
from typing import TYPE_CHECKING, NamedTuple

from tui.widgets import formats

if TYPE_CHECKING:
    from collections.abc import Sequence

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

_STEPS = (
    *(SECOND_MS * n for n in (1, 5, 10, 15, 30)),
    *(MINUTE_MS * n for n in (1, 5, 10, 15, 30)),
    *(HOUR_MS * n for n in (1, 2, 4, 6, 12)),
    *(DAY_MS * n for n in (1, 2, 7)),
)
_LARGEST_POWER = 308
_MONTH_STEPS = (1, 3, 6, 12, 24, 60, 120)
# The first Monday after the epoch, which weeks count from.
_MONDAY_MS = 4 * DAY_MS


class Tick(NamedTuple):
    """A label at a row or column."""

    position: int
    label: str


def nice_step(least: float, smallest: float) -> float:
    """Return the smallest 1, 2, 2.5 or 5 times a power of ten that is `least` or more.

    Args:
        least: A positive number.
        smallest: What the step must be a whole multiple of, such as the price's last place; 0 for
            anything.
    """
    if not isfinite(least) or least <= 0:
        return smallest or 1.0
    least = max(least, smallest)
    power = floor(log10(least))
    for exponent in (power, power + 1):
        base = 10.0 ** min(exponent, _LARGEST_POWER)
        for factor in (1.0, 2.0, 2.5, 5.0):
            step = factor * base
            if step < least * (1 - 1e-9) or step == 0.0 or not isfinite(step):
                continue
            if not smallest or _is_whole(step / smallest):
                return step
    return least


def _is_whole(ratio: float) -> bool:
    return ratio > 1e9 or abs(remainder(ratio, 1.0)) < 1e-6


def price_ticks(low: float, high: float, count: int, decimals: int) -> list[float]:
    """Return at most `count` round prices within [low, high], ascending."""
    span = high - low
    if count < 1 or not isfinite(span) or span <= 0:
        return []
    step = nice_step(span / count, 10.0 ** -max(0, min(decimals, 12)))
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    if last - first > 4 * count:
        return []
    return [index * step for index in range(first, last + 1)][:count]


def time_ticks(
    times_ms: Sequence[int], columns: Sequence[int], span_ms: int, cells: int, width: int
) -> list[Tick]:
    """Return labels at round UTC times for candles, from left to right, without overlap.

    Args:
        times_ms: Open times of the candles, ascending.
        columns: Column of each candle.
        span_ms: Time that one candle covers.
        cells: Columns a candle takes.
        width: Columns there are; a label that would not fit is left out.
    """
    least_ms = 9 / max(1, cells) * max(1, span_ms)
    step_ms = next((step for step in _STEPS if step >= least_ms), None)
    months = 0
    if step_ms is None:
        need = least_ms / (30.4 * DAY_MS)
        months = next((count for count in _MONTH_STEPS if count >= need), _MONTH_STEPS[-1])
    ticks: list[Tick] = []
    free = 0
    for time_ms, column in zip(times_ms, columns, strict=True):
        if step_ms is not None:
            label = _clock_label(time_ms, span_ms, step_ms)
        else:
            label = _month_label(time_ms, span_ms, months)
        if label and column >= free and column + len(label) < width:
            ticks.append(Tick(column, label))
            free = column + len(label) + 3
    return ticks


def _clock_label(time_ms: int, span_ms: int, step_ms: int) -> str:
    offset = _MONDAY_MS if step_ms == 7 * DAY_MS else 0
    round_ms = offset - (offset - time_ms) // step_ms * step_ms
    if not time_ms <= round_ms < time_ms + max(1, span_ms):
        return ""
    if round_ms % DAY_MS == 0:
        return formats.day(round_ms)
    return formats.clock(round_ms) if step_ms < MINUTE_MS else formats.minute(round_ms)


def _month_label(time_ms: int, span_ms: int, months: int) -> str:
    last_ms = time_ms + max(1, span_ms) - 1
    index = formats.month_index(last_ms)
    before = formats.month_index(time_ms - 1)
    if index is None or before is None or index == before:
        return ""
    round_index = index // months * months
    if round_index <= before:
        return ""
    return formats.month_name(round_index)
