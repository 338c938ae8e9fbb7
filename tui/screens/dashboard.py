"""The dashboard: bars, desk, and the keys that work everywhere on it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from textual.message import Message
from textual.reactive import Reactive
from textual.screen import Screen

from tui.actions import DESK, bindings
from tui.arrange import MIN_HEIGHT, MIN_WIDTH, has_tabs, layout_kind
from tui.bars import Banner, FooterBar, StatusBar, TabBar
from tui.desk import Desk
from tui.pace import Pace
from tui.pane_names import PANE_NAMES
from tui.panes.pane import Pane
from tui.remembered import NOTHING, Remembered
from tui.widgets.line_widget import blank_lines, is_decorated
from tui.widgets.text_lines import TextLines

if TYPE_CHECKING:
    from textual import events
    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.geometry import Region
    from textual.strip import Strip
    from textual.widget import Widget

    from tui.cells import Line
    from tui.model import DeskModel

TICK_S = 1.0


class Dashboard(Screen[None], inherit_bindings=False):
    """The main screen. It draws from the model and owns no data."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(DESK)]
    AUTO_FOCUS = ""
    ESCAPE_TO_MINIMIZE = False

    # Textual would paint the whole screen anew; what has the focus paints itself.
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    class Ticked(Message):
        """A second has passed."""

    class Laid(Message):
        """Panes have got other sizes; the view may want more or fewer levels and candles."""

    def __init__(self, model: DeskModel, kept: Remembered = NOTHING) -> None:
        super().__init__()
        self.model = model
        self._second = Pace(TICK_S)
        self._drew_s = 0.0
        self._build(kept)

    def _build(self, kept: Remembered) -> None:
        model = self.model
        self.desk = Desk(model, kept)
        self.status = StatusBar(model, id="status")
        self.banner = Banner(model, id="banner")
        self.banner.display = False
        self.tabs = TabBar(model, id="tabs")
        self.footer = FooterBar(model, id="footer")
        self.too_small = TextLines(id="too-small")
        self.too_small.display = False

    def compose(self) -> ComposeResult:
        """Stack the bars and the desk."""
        yield self.status
        yield self.banner
        yield self.tabs
        yield self.desk
        yield self.footer
        yield self.too_small

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the ground beneath bars and desk, one strip for all rows."""
        if is_decorated(self):
            return super().render_lines(crop)
        return blank_lines(self, crop)

    def on_mount(self) -> None:
        """Lay out for the terminal's size and begin to count."""
        self._begin()
        self.set_interval(TICK_S, self._tick)

    async def rebuild(self) -> None:
        """Make all widgets anew, as after a change of colours."""
        self._build(self.desk.kept())
        await self.recompose()
        self._begin()
        self.draw_all()

    def _begin(self) -> None:
        self._lay_out()
        self.desk.focus_pane(self.desk.focused_name)
        self.footer.show_context(self.desk.focused_name)

    def on_resize(self, event: events.Resize) -> None:
        """Choose the layout for the new size."""
        del event
        self._lay_out()
        self.call_after_refresh(self.draw_all)

    def on_screen_resume(self) -> None:
        """Catch up with what came while another screen was on top."""
        self.call_after_refresh(self._refocus)
        self.call_after_refresh(self.draw_all)

    # --- drawing

    @property
    def is_drawing(self) -> bool:
        """Whether panes are to be drawn: they are in sight and not frozen."""
        return self.is_current and self.model.frozen_since_wall_ms is None

    @property
    def least_s(self) -> float:
        """Seconds between two changes that would be drawn."""
        return self.desk.least_s if self.is_drawing else TICK_S

    def draw_all(self) -> None:
        """Draw everything that is in sight."""
        self.draw_bars()
        if self.model.frozen_since_wall_ms is None:
            self.desk.draw_visible()

    def draw_foot(self) -> None:
        """Draw the last line: what there is to say, or the keys."""
        if not self.too_small.display:
            self.footer.draw()

    def draw_bars(self) -> None:
        """Draw status, banner, tabs and the last line."""
        if not self.is_current or not self.is_mounted:
            return
        if self.too_small.display:
            return
        self.status.draw()
        self.banner.draw()
        self.desk.set_class(self.model.is_stale, "-stale")
        self._draw_tabs()
        self.footer.draw()

    def draw_changed(self, sections: frozenset[str]) -> None:
        """Draw what depends on `sections`, and once a second what depends on the clock."""
        self._drew_s = time.monotonic()
        if self.is_drawing:
            self.desk.draw_changed(sections)
        if self._second.take():
            self._draw_clocks()

    def _draw_tabs(self) -> None:
        plan = self.desk.plan
        if self.tabs.display and self.model.frozen_since_wall_ms is None:
            figures = {name: self.desk.panes[name].figure() for name in plan.tabs}
            self.tabs.show_tabs(plan.tabs, figures, self.desk.focused_name)

    def _tick(self) -> None:
        """Let the clocks go on where no frames come."""
        self.post_message(self.Ticked())
        if time.monotonic() - self._drew_s > 1.5 * TICK_S:
            self._draw_clocks()

    def _draw_clocks(self) -> None:
        self.draw_bars()
        if self.is_drawing:
            self.desk.tick()

    def _lay_out(self) -> None:
        kind = layout_kind(self.app.size)
        too_small = kind == "too small"
        self.too_small.display = too_small
        for widget in (self.status, self.desk, self.footer):
            widget.display = not too_small
        if too_small:
            self.banner.display = False
            self.too_small.show(self._too_small_note())
        self.tabs.display = has_tabs(kind, maximised=self.desk.is_maximised)
        self.desk.set_kind(kind)
        self.call_after_refresh(self._laid)

    def _refocus(self) -> None:
        """Give the keyboard back to its pane: what is hidden loses it."""
        if self.is_current and not self.too_small.display and self.focused is None:
            self.desk.focus_pane(self.desk.focused_name)

    def _laid(self) -> None:
        self._refocus()
        self.draw_bars()
        self.post_message(self.Laid())

    def _too_small_note(self) -> list[Line]:
        width, height = self.app.size
        text = f"terminal too small: needs {MIN_WIDTH}x{MIN_HEIGHT}, is {width}x{height}"
        room = max(1, width - 2)
        parts = [text[at : at + room] for at in range(0, len(text), room)]
        return [((f" {part}", self.model.palette.warn),) for part in parts]

    # --- keys

    def action_focus_pane(self, name: str) -> None:
        """Go to a pane; when it has the keyboard already it fills the screen, or goes back."""
        if name == self.desk.focused_name:
            self.action_maximise()
        else:
            self.show_pane(name)

    def action_next_pane(self, by: int) -> None:
        """Go to the next pane (or the one before); where there is no tab line, shown ones only."""
        names = PANE_NAMES
        at = names.index(self.desk.focused_name)
        self.show_pane(names[(at + by) % len(names)])

    def action_maximise(self) -> None:
        """Let the focused pane fill the screen, or go back."""
        self.desk.maximise(maximised=not self.desk.is_maximised)
        self._lay_out()

    def action_restore(self) -> None:
        """Go back from a pane that fills the screen; else take away the crosshair.

        Messages count as seen.
        """
        self.model.messages.see()
        self.draw_foot()
        if self.desk.is_maximised:
            self.action_maximise()
        else:
            self.desk.chart.live_edge()

    def action_zoom(self, by: int) -> None:
        """Zoom the chart."""
        self.desk.chart.zoom(by)

    def action_live_edge(self) -> None:
        """Bring the chart back to the newest candle."""
        self.desk.chart.live_edge()

    def action_freeze(self) -> None:
        """Stop drawing, or go on."""
        frozen = self.model.frozen_since_wall_ms is not None
        self.model.frozen_since_wall_ms = None if frozen else self.model.wall_ms()
        self.draw_all()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Follow a click on a pane."""
        if isinstance(event.widget, Pane) and self.desk.focused_name != event.widget.NAME:
            self.show_pane(event.widget.NAME)

    def on_tab_bar_chosen(self, message: TabBar.Chosen) -> None:
        """Follow a click on a tab."""
        self.show_pane(message.pane_name)

    def show_pane(self, name: str) -> None:
        """Give the pane `name` the keyboard."""
        self.desk.focus_pane(name)
        self.call_after_refresh(self.post_message, self.Laid())
        self.footer.show_context(name)
        self._draw_tabs()
