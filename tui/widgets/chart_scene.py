"""Everything a candle chart needs to know before it paints: sizes, scale, rows of averages, ticks.

A scene is a plain value. Comparing two of them tells which columns must be painted again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tui.widgets import formats
from tui.widgets.candle_geometry import (
    Bar,
    Mark,
    PriceScale,
    average_rows,
    body_column,
    fit_scale,
    moving_average,
)
from tui.widgets.chart_axes import Tick, price_ticks, time_ticks
from tui.widgets.chart_view import WARM_UP, Zoom

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui.widgets.chart_view import ChartView, Window

AVERAGES = (10, 20, 30)
_MINIMUM_PLOT = 8


class Layout(NamedTuple):
    """Cells for each part; the price axis stands at the right."""

    width: int
    height: int
    header: int
    plot_rows: int
    volume_rows: int
    time_rows: int
    plot_width: int
    axis_width: int


def lay_out(width: int, height: int, label_width: int) -> Layout:
    """Return the sizes of all parts; those that a small chart has no room for get none."""
    header = 1 if height >= 8 else 0
    time_rows = 1 if height >= 4 else 0
    volume_rows = next(
        (rows for least, rows in ((32, 5), (24, 4), (16, 3), (10, 2), (7, 1)) if height >= least), 0
    )
    axis_width = label_width + 1
    if width - axis_width < _MINIMUM_PLOT:
        axis_width = 0
    plot_rows = max(1, height - header - time_rows - volume_rows)
    return Layout(
        width,
        height,
        header,
        plot_rows,
        volume_rows,
        time_rows,
        max(1, width - axis_width),
        axis_width,
    )


class Scene(msgspec.Struct, frozen=True):
    """One picture of a chart.

    Attributes:
        layout: Sizes.
        zoom: Candles joined, columns a candle.
        scale: The price scale.
        bars: Drawn candles, oldest first; the first one's cells begin at column `first_x`.
        first_x: See `bars`; negative when a candle is wider than the plot.
        span_ms: Time that one drawn candle covers.
        marks: The mark of each drawn candle, None without one.
        largest_volume: The volume that fills the volume strip.
        average_rows: For each average, the row of its line in each column.
        average_values: For each average, its value at the crosshair or at the newest candle.
        price_ticks: Labels of the price axis by row.
        time_ticks: Labels of the time axis by column.
        last_price: Close of the newest candle there is, in sight or not; None without one.
        crosshair: Slot under the crosshair, None without it.
        is_live: Whether the newest candle is in sight.
        decimals: Places of prices.
    """

    layout: Layout
    zoom: Zoom
    scale: PriceScale
    bars: list[Bar]
    first_x: int
    span_ms: int
    marks: list[Mark | None]
    largest_volume: float
    average_rows: tuple[list[int | None], ...]
    average_values: tuple[float | None, ...]
    price_ticks: list[Tick]
    time_ticks: list[Tick]
    last_price: float | None
    crosshair: int | None
    is_live: bool
    decimals: int

    @property
    def middle(self) -> int:
        """Which of a candle's columns holds its wick."""
        return body_column(self.zoom.cells)

    def column(self, slot: int) -> int:
        """Return the column of the wick of the candle in `slot`."""
        return self.first_x + slot * self.zoom.cells + self.middle

    def slot_at(self, x: int) -> int | None:
        """Return the slot that column `x` belongs to, None where there is no candle."""
        slot = (x - self.first_x) // self.zoom.cells
        return slot if 0 <= slot < len(self.bars) and x < self.layout.plot_width else None

    def same_frame(self, other: Scene) -> bool:
        """Whether columns of both scenes mean the same, so that they can be compared one by one."""
        return (
            self.layout == other.layout
            and self.zoom == other.zoom
            and self.scale == other.scale
            and self.first_x == other.first_x
            and self.largest_volume == other.largest_volume
            and self.price_ticks == other.price_ticks
            and self.time_ticks == other.time_ticks
            and len(self.bars) == len(other.bars)
        )


def build_scene(
    bars: Sequence[Bar],
    view: ChartView,
    size: tuple[int, int],
    decimals: int,
    marks: Sequence[Mark] = (),
) -> Scene:
    """Return the picture of `bars` in a widget of `size` (width, height), at least 1 by 1."""
    width, height = size
    newest = bars[-1].close if bars else None
    window = view.window(bars, width)
    layout = lay_out(width, height, _label_width(window.bars, newest, decimals))
    window = window.newest(view.slots(layout.plot_width))
    scale = fit_scale(window.bars, layout.plot_rows, decimals)
    join, cells = view.zoom
    margin = 1 if layout.plot_width > cells else 0
    first_x = layout.plot_width - margin - len(window.bars) * cells
    crosshair = view.crosshair_slot(window)
    averages = _averages(bars, window)
    columns = [first_x + slot * cells + body_column(cells) for slot in range(len(window.bars))]
    span_ms = window.step_ms * join
    return Scene(
        layout=layout,
        zoom=view.zoom,
        scale=scale,
        bars=window.bars,
        first_x=first_x,
        span_ms=span_ms,
        marks=_marks_by_slot(window.bars, marks, span_ms),
        largest_volume=max((bar.volume for bar in window.bars), default=0.0),
        average_rows=tuple(
            average_rows(values, scale, cells, first_x, layout.plot_width) for values in averages
        ),
        average_values=tuple(
            (values[-1 if crosshair is None else crosshair] if values else None)
            for values in averages
        ),
        price_ticks=_price_ticks(scale, layout, decimals),
        time_ticks=time_ticks(
            [bar.time_ms for bar in window.bars], columns, span_ms, cells, layout.width
        ),
        last_price=newest,
        crosshair=crosshair,
        is_live=window.end == len(bars),
        decimals=decimals,
    )


def _label_width(bars: Sequence[Bar], newest: float | None, decimals: int) -> int:
    """Width of the widest price label; `bars` may be some more than are drawn."""
    if not bars or newest is None:
        return 0
    low = min(bar.low for bar in bars)
    high = max(bar.high for bar in bars)
    # The scale ends a little beyond the data, which may take one more digit.
    edge = high + (high / 2 - low / 2) * 0.2
    return max(len(formats.price(value, decimals)) for value in (edge, low, newest))


def _price_ticks(scale: PriceScale, layout: Layout, decimals: int) -> list[Tick]:
    if not layout.axis_width:
        return []
    ticks: list[Tick] = []
    for price in price_ticks(scale.low, scale.high, max(1, layout.plot_rows // 4), decimals):
        label = formats.price(price, decimals)
        if len(label) < layout.axis_width:
            ticks.append(Tick(scale.row(price), label))
    return ticks


def _averages(bars: Sequence[Bar], window: Window) -> list[list[float | None]]:
    """Return each moving average at each drawn candle, over candles that are not joined."""
    if not window.lasts:
        return [[] for _ in AVERAGES]
    lead = max(0, window.lasts[0] - WARM_UP)
    closes = [bar.close for bar in bars[lead : window.end]]
    lasts = [last - lead for last in window.lasts]
    return [moving_average(closes, length, lasts) for length in AVERAGES]


def _marks_by_slot(bars: Sequence[Bar], marks: Sequence[Mark], span_ms: int) -> list[Mark | None]:
    found: list[Mark | None] = [None] * len(bars)
    if not marks or not bars:
        return found
    slots = {bar.time_ms // span_ms: slot for slot, bar in enumerate(bars)}
    for mark in marks:
        slot = slots.get(mark.time_ms // span_ms)
        if slot is not None:
            found[slot] = mark
    return found
