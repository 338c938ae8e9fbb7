"""The candle chart of the focused symbol and interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Literal, cast

from textual.message import Message

from engine.market.interval import parse_interval
from tui.actions import bindings
from tui.cells import width_of
from tui.panes.pane import Pane
from tui.widgets import formats
from tui.widgets.candle_chart import Bar, CandleChart, Mark

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from tui.cells import Cell
    from tui.model import DeskModel

AVERAGES: Final = (10, 20, 30)


class ChartPane(Pane):
    """Pane 3. Its title reads out the newest candle, or the time of that under the crosshair."""

    NAME = "chart"
    SECTIONS = frozenset({"chart", "forecast"})
    LEAST_S = 0.5
    OFFSET_S = 0.25
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("chart")]

    class WantsBars(Message):
        """The chart would like to have this many candles up to the newest one."""

        def __init__(self, bars: int) -> None:
            super().__init__()
            self.bars = bars

    def __init__(self, model: DeskModel) -> None:
        super().__init__(model)
        self._chart = CandleChart(model.palette, model.glyphs, classes="body")
        self._chart.can_focus = False
        self._shown: tuple[str, str] = ("", "")

    def compose(self) -> ComposeResult:
        """Hold the chart."""
        yield self._chart

    @property
    def chart(self) -> CandleChart:
        """The chart inside."""
        return self._chart

    def draw(self) -> None:
        """Draw candles, marks and title."""
        model = self.model
        view, section = model.view, model.state.chart
        focus = (view.focused, view.interval)
        if focus != self._shown:
            self._shown = focus
            self._chart.reset_view()
        if section is None or (section.symbol, section.interval) != focus:
            self._chart.show((), model.price_decimals(), note=model.waiting_note)
            self._show_title()
            return
        bars = [
            Bar(one.open_time_ms, one.open, one.high, one.low, one.close, one.volume, one.closed)
            for one in model.state.series.candles
        ]
        note = section.note or ("" if bars else model.waiting_note)
        self._chart.show(bars, section.price_decimals, marks=self._marks(), note=note)
        self._show_title()

    def figure(self) -> Cell:
        """Return the change of the newest candle."""
        candles = self.model.state.series.candles
        if not candles:
            return (self.model.view.interval, self.model.palette.dim)
        last = candles[-1]
        change = (last.close / last.open - 1.0) * 100.0
        text = formats.percent(change).replace(" ", "")
        return (text, self.model.palette.direction(change))

    # --- keys

    def action_crosshair(self, by: int) -> None:
        """Move the crosshair by one candle."""
        if by < 0:
            self._chart.action_crosshair_left()
        else:
            self._chart.action_crosshair_right()
        self._show_title()

    def action_pan(self, by: int) -> None:
        """Show older or newer candles."""
        if by < 0:
            self._chart.action_pan_left()
        else:
            self._chart.action_pan_right()
        self._show_title()

    def action_closer(self, by: int) -> None:
        """Show fewer, wider candles, or more of them."""
        self.zoom(by)

    def action_edge(self) -> None:
        """Go back to the newest candle."""
        self.live_edge()

    def zoom(self, by: int) -> None:
        """Show fewer, wider candles (`by` above 0), or more of them."""
        if by > 0:
            self._chart.action_zoom_in()
        else:
            self._chart.action_zoom_out()
        self._ask_for_bars()

    def go_to(self, time_ms: int) -> None:
        """Show the time `time_ms` in the middle, as soon as candles of then are here."""
        view = self.model.view
        self._shown = (view.focused, view.interval)
        self._chart.go_to(time_ms, parse_interval(view.interval).length_ms)
        self._ask_for_bars()
        self._show_title()

    def live_edge(self) -> None:
        """Go back to the newest candle, without a crosshair."""
        self._chart.action_crosshair_off()
        self._chart.action_live_edge()
        self._show_title()

    def on_resize(self) -> None:
        """Ask for as many candles as fit, besides drawing."""
        super().on_resize()
        self.call_after_refresh(self._ask_for_bars)

    def on_candle_chart_needs_older(self, message: CandleChart.NeedsOlder) -> None:
        """Ask for older candles unless the oldest are here."""
        message.stop()
        section = self.model.state.chart
        if section is None or not section.is_oldest:
            self.post_message(self.WantsBars(message.bars))

    def on_candle_chart_moved(self, message: CandleChart.Moved) -> None:
        """Read out the candle that is now under the crosshair."""
        message.stop()
        self._show_title()

    # --- drawing

    def _ask_for_bars(self) -> None:
        self.post_message(self.WantsBars(self._chart.bars_wanted))

    def _marks(self) -> list[Mark]:
        forecast, view = self.model.state.forecast, self.model.view
        if forecast is None or (forecast.symbol, forecast.interval) != (
            view.focused,
            view.interval,
        ):
            return []
        return [
            Mark(
                row.open_time_ms,
                row.p_up >= 0.5,
                cast("Literal['waiting', 'hit', 'miss', 'tie', 'void']", row.state),
            )
            for row in forecast.recent
        ]

    def _show_title(self) -> None:
        model, palette = self.model, self.model.palette
        if not model.view.focused:
            self.set_title()
            return
        left: list[Cell] = [(f"{model.view.focused} {model.view.interval}", palette.bright)]
        bar = self._chart.readout()
        right: list[Cell] = []
        if not self._chart.is_live:
            right = [("0: live edge", palette.warn)]
        if bar is not None and self._chart.has_crosshair:
            left.append((f" {formats.stamp(bar.time_ms)}", palette.bright))
        elif bar is not None:
            room = self.inner_width - len("3 chart  ") - width_of(left) - width_of(right) - 4
            left += self._readout(bar, room)
        self.set_title(left, right)

    def _readout(self, bar: Bar, room: int) -> list[Cell]:
        """Return what fits of the candle: close first, then the rest, change, volume."""
        palette, section = self.model.palette, self.model.state.chart
        decimals = section.price_decimals if section is not None else self.model.price_decimals()
        style = palette.direction(bar.close - bar.open)
        change = (bar.close / bar.open - 1.0) * 100.0 if bar.open else None
        texts = {
            "open": ("O ", formats.price(bar.open, decimals), palette.text),
            "high": ("H ", formats.price(bar.high, decimals), palette.text),
            "low": ("L ", formats.price(bar.low, decimals), palette.text),
            "close": ("C ", formats.price(bar.close, decimals), style),
            "change": ("", formats.percent(change), style),
            "volume": ("V ", formats.compact(bar.volume), palette.text),
        }
        wanted = ["close", "open", "high", "low", "change", "volume"]
        kept: set[str] = set()
        for name in wanted:
            size = sum(len(part) for part in texts[name][:2]) + 1
            if size > room:
                break
            kept.add(name)
            room -= size
        cells: list[Cell] = []
        for name, (label, text, text_style) in texts.items():
            if name in kept:
                cells += [(f" {label}", palette.dim), (text, text_style)]
        return cells
