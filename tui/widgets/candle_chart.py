"""A candle chart with volume, moving averages, axes, crosshair and forecast marks."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from tui.widgets.candle_geometry import Bar, Mark
from tui.widgets.chart_painter import ChartPainter, Column
from tui.widgets.chart_scene import Scene, build_scene
from tui.widgets.chart_view import ChartView
from tui.widgets.line_widget import Line, PaintedWidget

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from textual import events

    from tui.widgets.glyphs import Glyphs
    from tui.widgets.line_widget import WidgetOptions
    from tui.widgets.palette import Palette

__all__ = ["Bar", "CandleChart", "Mark"]


class CandleChart(PaintedWidget, can_focus=True):
    """Candles; keys zoom, pan and move the crosshair."""

    class NeedsOlder(Message):
        """The view came near the oldest bar it has; sent once for each oldest bar."""

        def __init__(self, chart: CandleChart, oldest_ms: int | None, bars: int) -> None:
            super().__init__()
            self.chart = chart
            self.oldest_ms = oldest_ms
            self.bars = bars
            """How many bars in all the view would like to have up to the live edge."""

        @property
        def control(self) -> CandleChart:
            """The chart."""
            return self.chart

    class Moved(Message):
        """Crosshair, zoom or view changed by the user; `readout()` may tell another candle."""

        def __init__(self, chart: CandleChart) -> None:
            super().__init__()
            self.chart = chart

        @property
        def control(self) -> CandleChart:
            """The chart."""
            return self.chart

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("plus,equals_sign", "zoom_in", "Zoom in", id="chart.zoom_in"),
        Binding("minus", "zoom_out", "Zoom out", id="chart.zoom_out"),
        Binding("left,h", "crosshair_left", "Crosshair left", id="chart.crosshair_left"),
        Binding("right,l", "crosshair_right", "Crosshair right", id="chart.crosshair_right"),
        Binding("pageup,ctrl+left", "pan_left", "Back in time", id="chart.pan_left"),
        Binding("pagedown,ctrl+right", "pan_right", "Forward", id="chart.pan_right"),
        Binding("home", "oldest", "Oldest", id="chart.oldest"),
        Binding("end,0", "live_edge", "Now", id="chart.live_edge"),
        Binding("escape", "crosshair_off", "No crosshair", id="chart.crosshair_off", show=False),
    ]

    def __init__(self, palette: Palette, glyphs: Glyphs, **options: Unpack[WidgetOptions]) -> None:
        super().__init__(palette, glyphs, **options)
        self._painter = ChartPainter(palette, glyphs)
        self._view = ChartView()
        self._bars: tuple[Bar, ...] = ()
        self._marks: tuple[Mark, ...] = ()
        self._decimals = 2
        self._note = ""
        self._scene: Scene | None = None
        self._columns: list[Column] = []
        self._asked_older: tuple[int, int] | None = None

    def show(
        self,
        bars: Sequence[Bar],
        decimals: int,
        *,
        marks: Sequence[Mark] = (),
        note: str = "",
    ) -> None:
        """Show candles.

        Args:
            bars: In order of time, the newest last (it may be open). Bars before the visible range
                warm the moving averages up.
            decimals: Places of prices.
            marks: Forecasts by candle.
            note: Centred when there are no bars, else a small remark.
        """
        bars, marks = tuple(bars), tuple(marks)
        shown = (self._bars, self._marks, self._decimals, self._note)
        if self._lines and shown == (bars, marks, decimals, note):
            return
        self._bars, self._marks = bars, marks
        self._decimals, self._note = decimals, note
        self.draw()

    def reset_view(self) -> None:
        """Go to the live edge, without crosshair (call it for another symbol or interval)."""
        self._asked_older = None
        if self._view.live_edge():
            self.draw()

    @property
    def zoom_index(self) -> int:
        """The step of the zoom; setting it takes the nearest one there is."""
        return self._view.zoom_index

    @zoom_index.setter
    def zoom_index(self, index: int) -> None:
        self._view.zoom_by(index - self._view.zoom_index)

    @property
    def bars_wanted(self) -> int:
        """How many of the newest bars fill the view at this size and zoom, with warm-up."""
        return self._view.wanted(self._bars, max(1, self.size.width))

    @property
    def is_live(self) -> bool:
        """Whether the view follows the newest candle."""
        return self._view.end_ms is None

    @property
    def has_crosshair(self) -> bool:
        """Whether the crosshair is in sight."""
        return self._scene is not None and self._scene.crosshair is not None

    def readout(self) -> Bar | None:
        """Return the candle under the crosshair, else the newest one, None without bars."""
        scene = self._scene
        if scene is not None and scene.crosshair is not None:
            return scene.bars[scene.crosshair]
        return self._bars[-1] if self._bars else None

    def draw(self) -> None:
        """Paint what changed since the last time."""
        width, height = self.size
        if not width or not height:
            return
        if not self._bars:
            self._scene = None
            self.set_lines(self._empty(width, height))
            return
        old, scene = (
            self._scene,
            build_scene(self._bars, self._view, (width, height), self._decimals, self._marks),
        )
        self._scene = scene
        if old is not None and len(self._lines) == height and scene.same_frame(old):
            self._paint_changes(old, scene)
        else:
            self._paint_all(scene)
        self._ask_older(scene)

    def _empty(self, width: int, height: int) -> list[Line]:
        words = self._note.split()
        rows: list[str] = []
        for word in words:
            if rows and len(rows[-1]) + 1 + len(word) <= width - 2:
                rows[-1] += f" {word}"
            else:
                rows.append(word)
        rows = rows[:height]
        blank: Line = ()
        top = (height - len(rows)) // 2
        lines: list[Line] = [((row.center(width).rstrip(), self.palette.text),) for row in rows]
        return [blank] * top + lines + [blank] * (height - top - len(rows))

    def _paint_all(self, scene: Scene) -> None:
        painter, layout = self._painter, scene.layout
        self._columns = [painter.column(scene, x) for x in range(layout.plot_width)]
        lines: list[Line] = []
        if layout.header:
            lines.append(painter.header(scene, self._note))
        lines += [
            painter.row(scene, self._columns, y)
            for y in range(layout.plot_rows + layout.volume_rows)
        ]
        if layout.time_rows:
            lines.append(painter.time_axis(scene))
        self.set_lines(lines[: layout.height])

    def _paint_changes(self, old: Scene, scene: Scene) -> None:
        painter, layout = self._painter, scene.layout
        rows = _axis_rows(old) ^ _axis_rows(scene)
        if old.last_price != scene.last_price or old.crosshair != scene.crosshair:
            rows |= _axis_rows(scene)
        for x in _changed_columns(old, scene):
            before = self._columns[x]
            after = self._columns[x] = painter.column(scene, x)
            rows.update(y for y, cell in enumerate(after) if cell != before[y])
        for y in rows:
            if y < layout.plot_rows + layout.volume_rows:
                self.set_line(layout.header + y, painter.row(scene, self._columns, y))
        if layout.header:
            self.set_line(0, painter.header(scene, self._note))
        if layout.time_rows:
            self.set_line(layout.height - 1, painter.time_axis(scene))

    def _ask_older(self, scene: Scene) -> None:
        wanted = self.bars_wanted
        oldest_ms = self._bars[0].time_ms
        if len(self._bars) >= wanted or not scene.bars:
            return
        if (
            self._asked_older is None
            or self._asked_older[0] != oldest_ms
            or (wanted > self._asked_older[1])
        ):
            self._asked_older = (oldest_ms, wanted)
            self.post_message(self.NeedsOlder(self, oldest_ms, wanted))

    def _plot_width(self) -> int:
        return self._scene.layout.plot_width if self._scene else max(1, self.size.width)

    def _moved(self, changed: bool) -> None:
        if changed:
            self.draw()
            self.post_message(self.Moved(self))

    def action_zoom_in(self) -> None:
        """Give each candle more room."""
        self._moved(self._view.zoom_by(1))

    def action_zoom_out(self) -> None:
        """Show more candles; beyond one column each, several are joined to one."""
        self._moved(self._view.zoom_by(-1))

    def action_pan_left(self) -> None:
        """Go back by a quarter of the view."""
        self._pan(-1)

    def action_pan_right(self) -> None:
        """Go forward by a quarter of the view."""
        self._pan(1)

    def _pan(self, direction: int) -> None:
        width = self._plot_width()
        step = max(1, self._view.slots(width) // 4)
        self._moved(self._view.pan(self._bars, width, direction * step))

    def action_oldest(self) -> None:
        """Go to the oldest candles there are."""
        self._moved(self._view.pan(self._bars, self._plot_width(), -len(self._bars)))

    def action_live_edge(self) -> None:
        """Follow the newest candle again, without crosshair."""
        self._moved(self._view.live_edge())

    def go_to(self, time_ms: int, step_ms: int) -> None:
        """Show the time `time_ms` in the middle, with the crosshair on its candle.

        Args:
            time_ms: An open time (epoch ms).
            step_ms: Length of a candle.
        """
        self._view.go_to(time_ms, step_ms, self._plot_width())
        self._moved(changed=True)

    def action_crosshair_left(self) -> None:
        """Move the crosshair to the candle before, or show it."""
        self._moved(self._view.move_crosshair(self._bars, self._plot_width(), -1))

    def action_crosshair_right(self) -> None:
        """Move the crosshair to the candle after, or show it."""
        self._moved(self._view.move_crosshair(self._bars, self._plot_width(), 1))

    def action_crosshair_off(self) -> None:
        """Take the crosshair away."""
        changed = self._view.crosshair_ms is not None
        self._view.crosshair_ms = None
        self._moved(changed)

    def on_click(self, event: events.Click) -> None:
        """Set the crosshair to the candle under the pointer."""
        offset = event.get_content_offset(self)
        if offset is None or self._scene is None:
            return
        slot = self._scene.slot_at(offset.x)
        if slot is not None:
            event.stop()
            self._view.crosshair_ms = self._scene.bars[slot].time_ms
            self._moved(changed=True)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Zoom in."""
        event.stop()
        event.prevent_default()
        self.action_zoom_in()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Zoom out."""
        event.stop()
        event.prevent_default()
        self.action_zoom_out()


def _axis_rows(scene: Scene) -> set[int]:
    """Return the rows of the price axis that carry the last price or the crosshair's close."""
    rows: set[int] = set()
    if scene.last_price is not None:
        rows.add(scene.scale.row(scene.last_price))
    if scene.crosshair is not None:
        rows.add(scene.scale.row(scene.bars[scene.crosshair].close))
    return rows


def _changed_columns(old: Scene, scene: Scene) -> set[int]:
    """Return the columns that differ between two scenes of the same frame."""
    width, cells = scene.layout.plot_width, scene.zoom.cells
    slots = {
        slot
        for slot, (before, after) in enumerate(zip(old.bars, scene.bars, strict=True))
        if before != after
    }
    if old.marks != scene.marks:
        slots |= {slot for slot, mark in enumerate(scene.marks) if mark != old.marks[slot]}
    if old.crosshair != scene.crosshair:
        slots |= {slot for slot in (old.crosshair, scene.crosshair) if slot is not None}
    columns = {scene.first_x + slot * cells + offset for slot in slots for offset in range(cells)}
    for before, after in zip(old.average_rows, scene.average_rows, strict=True):
        if before != after:
            for x in range(width):
                if before[x] != after[x]:
                    columns |= {x, x + 1}
    return {x for x in columns if 0 <= x < width}
