"""Which candles a chart shows: zoom, the end of the view and the crosshair. Pure state, no drawing.

The view remembers times, not indices, so a new candle moves neither a view into history nor the
crosshair.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tui.widgets.candle_geometry import Bar, bar_step_ms, join_bars

if TYPE_CHECKING:
    from collections.abc import Sequence

WARM_UP = 30
"""Bars before the visible ones that the longest moving average needs."""


class Zoom(NamedTuple):
    """`join` candles drawn as one that takes `cells` columns."""

    join: int
    cells: int


ZOOMS = (Zoom(8, 1), Zoom(4, 1), Zoom(2, 1), *(Zoom(1, cells) for cells in (1, 2, 3, 4, 6)))
DEFAULT_ZOOM = ZOOMS.index(Zoom(1, 2))


class Window(NamedTuple):
    """The part of the bars that is in sight.

    Attributes:
        bars: What is drawn, one a slot, joined where the zoom says so.
        end: One past the index of the last visible bar among all.
        step_ms: Time between bars before joining.
        lasts: For each drawn bar, the index of its last member among all bars.
    """

    bars: list[Bar]
    end: int
    step_ms: int
    lasts: list[int]

    def newest(self, slots: int) -> Window:
        """Return the newest `slots` drawn bars of it."""
        return Window(self.bars[-slots:], self.end, self.step_ms, self.lasts[-slots:])


class ChartView(msgspec.Struct):
    """Zoom, end and crosshair.

    Attributes:
        zoom_index: Index into `ZOOMS`.
        end_ms: Open time of the last visible bar; None follows the live edge.
        crosshair_ms: Open time of the bar under the crosshair, None without it.
    """

    zoom_index: int = DEFAULT_ZOOM
    end_ms: int | None = None
    crosshair_ms: int | None = None

    @property
    def zoom(self) -> Zoom:
        """The zoom now."""
        return ZOOMS[self.zoom_index]

    def zoom_by(self, steps: int) -> bool:
        """Zoom in (positive) or out; return whether that changed anything."""
        index = max(0, min(len(ZOOMS) - 1, self.zoom_index + steps))
        changed = index != self.zoom_index
        self.zoom_index = index
        return changed

    def slots(self, width: int) -> int:
        """Return how many drawn candles fit `width` columns, with one column of margin."""
        return max(1, (width - 1) // self.zoom.cells)

    def end_index(self, bars: Sequence[Bar]) -> int:
        """Return one past the index of the last visible bar."""
        if self.end_ms is None:
            return len(bars)
        return max(min(1, len(bars)), bisect_right(bars, self.end_ms, key=lambda bar: bar.time_ms))

    def window(self, bars: Sequence[Bar], width: int) -> Window:
        """Return what is in sight of `bars` in a plot `width` columns wide."""
        slots, join = self.slots(width), self.zoom.join
        end = self.end_index(bars)
        step_ms = bar_step_ms(bars[max(0, end - slots - 1) : end])
        if join == 1:
            start = max(0, end - slots)
            return Window(list(bars[start:end]), end, step_ms, list(range(start, end)))
        rough = max(0, end - (slots + 1) * join)
        span = step_ms * join
        # A group that the view cuts would be a false candle: take all of its members.
        while end < len(bars) and bars[end].time_ms // span == bars[end - 1].time_ms // span:
            end += 1
        while rough > 0 and bars[rough - 1].time_ms // span == bars[rough].time_ms // span:
            rough -= 1
        joined = join_bars(bars[rough:end], step_ms, join)[-slots:]
        lasts = [
            index
            for index in range(rough, end)
            if index + 1 == end or bars[index + 1].time_ms // span != bars[index].time_ms // span
        ][-slots:]
        return Window(joined, end, step_ms, lasts)

    def pan(self, bars: Sequence[Bar], width: int, steps: int) -> bool:
        """Move by `steps` drawn candles, to the left when negative; return whether it moved."""
        if not bars:
            return False
        join = self.zoom.join
        before = self.end_index(bars)
        least = min(len(bars), self.slots(width) * join)
        after = max(least, min(len(bars), before + steps * join))
        self.end_ms = None if after >= len(bars) else bars[after - 1].time_ms
        return after != before

    def live_edge(self) -> bool:
        """Follow the newest candle again, without crosshair; return whether that changed it."""
        changed = self.end_ms is not None or self.crosshair_ms is not None
        self.end_ms = None
        self.crosshair_ms = None
        return changed

    def go_to(self, time_ms: int, step_ms: int, width: int) -> None:
        """Put the crosshair on `time_ms` and that time into the middle of the view."""
        self.crosshair_ms = time_ms
        self.end_ms = time_ms + self.slots(width) // 2 * self.zoom.join * step_ms

    def move_crosshair(self, bars: Sequence[Bar], width: int, steps: int) -> bool:
        """Move the crosshair by drawn candles, panning at the edges; return whether it moved.

        Without a crosshair it appears at the newest visible candle.
        """
        window = self.window(bars, width)
        if not window.bars:
            return False
        slot = self.crosshair_slot(window)
        if slot is None:
            self.crosshair_ms = window.bars[-1].time_ms
            return True
        target = slot + steps
        if not 0 <= target < len(window.bars):
            beyond = target if target < 0 else target - len(window.bars) + 1
            self.pan(bars, width, beyond)
            window = self.window(bars, width)
            target = 0 if beyond < 0 else len(window.bars) - 1
        moved = window.bars[target].time_ms != self.crosshair_ms
        self.crosshair_ms = window.bars[target].time_ms
        return moved

    def crosshair_slot(self, window: Window) -> int | None:
        """Return the slot under the crosshair, None when there is none in sight."""
        if self.crosshair_ms is None or not window.bars:
            return None
        slot = bisect_right(window.bars, self.crosshair_ms, key=lambda bar: bar.time_ms) - 1
        last_ms = window.bars[-1].time_ms + window.step_ms * self.zoom.join
        return slot if slot >= 0 and self.crosshair_ms < last_ms else None

    def wanted(self, bars: Sequence[Bar], width: int) -> int:
        """Return how many of the newest bars fill the view, those for averages included."""
        behind = len(bars) - self.end_index(bars)
        return behind + (self.slots(width) + 1) * self.zoom.join + WARM_UP
