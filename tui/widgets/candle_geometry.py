"""Where candles lie on a grid of cells: pure functions, no drawing.

A cell has an upper and a lower half, so a plot of `rows` rows has `2 * rows` half rows; half row 0
is the topmost.
"""

from __future__ import annotations

from itertools import pairwise
from math import ceil, floor, fsum, isfinite
from typing import TYPE_CHECKING, Literal, NamedTuple

from tui.widgets.chart_axes import nice_step

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EMPTY, WICK, BODY = 0, 1, 2
_PADDING = 0.04
_SNAP_DIVISIONS = 40


class Bar(NamedTuple):
    """One candle: open time in epoch ms, prices (quote asset), volume (base asset)."""

    time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    closed: bool = True


class Mark(NamedTuple):
    """A forecast at the candle that opens at `time_ms`."""

    time_ms: int
    is_up: bool
    state: Literal["waiting", "hit", "miss", "tie", "void"] = "waiting"


class PriceScale(NamedTuple):
    """Prices from `low` (bottom edge) to `high` (top edge) over `rows` rows."""

    low: float
    high: float
    rows: int

    def half_row(self, price: float) -> int:
        """Return the half row that `price` falls in; prices outside go to the nearest edge."""
        halves = 2 * self.rows
        # Halved before subtracting, so that no finite price overflows.
        span = self.high / 2 - self.low / 2
        if span <= 0:
            return halves // 2
        position = (self.high / 2 - price / 2) / span * halves
        return max(0, min(halves - 1, floor(position)))

    def row(self, price: float) -> int:
        """Return the row that `price` falls in."""
        return self.half_row(price) // 2


class CandleShape(NamedTuple):
    """Half rows of a candle, each inclusive: `top` <= `body_top` <= `body_bottom` <= `bottom`."""

    top: int
    body_top: int
    body_bottom: int
    bottom: int

    def state(self, half_row: int) -> int:
        """Return EMPTY, WICK or BODY for one half row."""
        if half_row < self.top or half_row > self.bottom:
            return EMPTY
        return BODY if self.body_top <= half_row <= self.body_bottom else WICK


def candle_shape(bar: Bar, scale: PriceScale) -> CandleShape:
    """Return the half rows of `bar`; a body is at least one half row high.

    High and low are taken as the extremes of all four prices, so a broken candle stays a candle.
    """
    prices = (bar.open, bar.high, bar.low, bar.close)
    return CandleShape(
        scale.half_row(max(prices)),
        scale.half_row(max(bar.open, bar.close)),
        scale.half_row(min(bar.open, bar.close)),
        scale.half_row(min(prices)),
    )


def fit_scale(bars: Sequence[Bar], rows: int, decimals: int) -> PriceScale:
    """Return a scale that holds all bars with a margin.

    Its ends are snapped outwards to round numbers, so that a price that creeps does not move the
    whole picture at each tick.
    """
    if not bars:
        return PriceScale(0.0, 1.0, rows)
    low = min(min(bar[1:5]) for bar in bars)
    high = max(max(bar[1:5]) for bar in bars)
    span = high - low
    if not isfinite(span):
        return PriceScale(low, high, rows)
    tick = 10.0 ** -max(0, min(decimals, 12))
    span = max(span, tick * 4, abs(high) * 1e-9)
    step = nice_step(span / _SNAP_DIVISIONS, 0.0)
    steps_down, steps_up = (low - span * _PADDING) / step, (high + span * _PADDING) / step
    if not (isfinite(steps_down) and isfinite(steps_up)):
        return PriceScale(low, high, rows)
    bottom, top = floor(steps_down) * step, ceil(steps_up) * step
    if low >= 0:
        bottom = max(0.0, bottom)
    if not (isfinite(bottom) and isfinite(top)) or bottom >= top:
        return PriceScale(low, high, rows)
    return PriceScale(min(bottom, low), max(top, high), rows)


def bar_step_ms(bars: Sequence[Bar]) -> int:
    """Return the time between neighbouring bars (the smallest one seen; a minute for one bar)."""
    steps = [
        later.time_ms - earlier.time_ms
        for earlier, later in pairwise(bars)
        if later.time_ms > earlier.time_ms
    ]
    return min(steps, default=60_000)


def join_bars(bars: Sequence[Bar], step_ms: int, size: int) -> list[Bar]:
    """Join bars that fall into the same span of `size * step_ms`, aligned to the epoch.

    A joined bar is the true candle of its members: first open, highest high, lowest low, last
    close, summed volume; closed when its last member is.
    """
    if size <= 1:
        return list(bars)
    span = max(1, step_ms) * size
    joined: list[Bar] = []
    group: list[Bar] = []
    current: int | None = None
    for bar in bars:
        key = bar.time_ms // span
        if key != current:
            if group:
                joined.append(_join(group))
            group, current = [], key
        group.append(bar)
    if group:
        joined.append(_join(group))
    return joined


def _join(group: list[Bar]) -> Bar:
    times, opens, highs, lows, closes, volumes, closed = zip(*group, strict=True)
    return Bar(times[0], opens[0], max(highs), min(lows), closes[-1], sum(volumes), closed[-1])


def moving_average(
    values: Sequence[float], length: int, at: Iterable[int] | None = None
) -> list[float | None]:
    """Return the mean of a value and the `length - 1` before it; None while there are fewer.

    Each mean is the correctly rounded sum of its own values (math.fsum), so it does not depend on
    where the series begins.

    Args:
        values: Such as closes, oldest first.
        length: Values in a mean.
        at: Indices to give means for; all without it.
    """
    return [
        _mean(values[index + 1 - length : index + 1]) if index + 1 >= length else None
        for index in (range(len(values)) if at is None else at)
    ]


def _mean(values: Sequence[float]) -> float:
    try:
        return fsum(values) / len(values)
    except OverflowError:
        return fsum(value / len(values) for value in values)


def average_rows(
    values: Sequence[float | None], scale: PriceScale, cells: int, first_x: int, width: int
) -> list[int | None]:
    """Return the row of an average for each of `width` columns, interpolated between candles.

    Args:
        values: One average for each candle.
        scale: The price scale; averages outside it have no row.
        cells: Columns a candle, its body in the middle of them (see `body_column`).
        first_x: Column where the first candle's cells begin.
        width: Columns of the plot.
    """
    rows: list[int | None] = [None] * width
    middle = body_column(cells)
    low, high, row_of = scale.low, scale.high, scale.row
    previous: float | None = None
    for index, value in enumerate(values):
        if value is None:
            previous = None
            continue
        x = first_x + index * cells + middle
        for back in range(cells if previous is not None else 1):
            price = value if not back else value + ((previous or 0.0) - value) * back / cells
            if low <= price <= high and 0 <= x - back < width:
                rows[x - back] = row_of(price)
        previous = value
    return rows


def body_column(cells: int) -> int:
    """Return which of a candle's `cells` columns, from 0, holds its wick."""
    return (cells - 1) // 2


def volume_eighths(volume: float, largest: float, rows: int) -> int:
    """Return the height of a volume column in eighths of a cell; any volume shows one at least."""
    if volume <= 0 or largest <= 0 or rows <= 0 or not isfinite(volume):
        return 0
    return max(1, min(rows * 8, round(volume / largest * rows * 8)))
