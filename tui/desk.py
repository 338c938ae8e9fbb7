"""The area that the panes share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from textual.containers import Container
from textual.geometry import Offset, Spacing
from textual.layout import Layout, WidgetPlacement

from tui.arrange import SWAPS, LayoutKind, Plan, arrange, swap_in
from tui.pace import Pace
from tui.pane_names import PANE_NAMES
from tui.panes.book import BookPane
from tui.panes.chart import ChartPane
from tui.panes.forecast import ForecastPane
from tui.panes.pane import Pane
from tui.panes.storage import StoragePane
from tui.panes.tickers import TickersPane
from tui.panes.trades import TradesPane
from tui.remembered import NOTHING, Remembered
from tui.widgets.line_widget import blank_lines, is_decorated

if TYPE_CHECKING:
    from textual.geometry import Region, Size
    from textual.layout import ArrangeResult
    from textual.strip import Strip
    from textual.widget import Widget

    from tui.model import DeskModel


FIRST_PANE: Final = "chart"
FIRST_BEHIND: Final = frozenset({"trades", "storage"})


class PlanLayout(Layout):
    """Puts panes where the desk's plan says; those that it leaves out are not shown."""

    name = "plan"

    def arrange(
        self,
        parent: Widget,
        children: list[Widget],
        size: Size,
        greedy: bool = True,  # noqa: ARG002
    ) -> ArrangeResult:
        """Return a placement for each pane of the plan."""
        assert isinstance(parent, Desk)
        regions = parent.plan_for(size).regions
        return [
            WidgetPlacement(regions[child.NAME], Offset(), Spacing(), child)
            for child in children
            if isinstance(child, Pane) and child.NAME in regions
        ]


class Desk(Container):
    """Holds the six panes, which one has the keyboard and which fills the screen."""

    DEFAULT_CSS = """
    Desk { width: 1fr; height: 1fr; overflow: hidden hidden; }
    Desk.-stale { opacity: 55%; }
    """

    def __init__(self, model: DeskModel, kept: Remembered = NOTHING) -> None:
        self.tickers = TickersPane(model)
        self.book = BookPane(model)
        self.chart = ChartPane(model)
        self.storage = StoragePane(model)
        self.forecast = ForecastPane(model)
        self.trades = TradesPane(model)
        self.panes: dict[str, Pane] = {
            pane.NAME: pane
            for pane in (
                self.tickers,
                self.book,
                self.chart,
                self.storage,
                self.forecast,
                self.trades,
            )
        }
        super().__init__(*self.panes.values(), id="desk")
        self.kind: LayoutKind = "full"
        self.focused_name = kept.pane or FIRST_PANE
        self.is_maximised = kept.maximised
        self._behind = _behind(kept)
        self.tickers.sort_as(kept.sort, is_reversed=kept.sort_reversed)
        if kept.zoom is not None:
            self.chart.chart.zoom_index = kept.zoom
        self._layout = PlanLayout()
        self._paces = {name: Pace(pane.LEAST_S, pane.OFFSET_S) for name, pane in self.panes.items()}
        self._waiting: set[str] = set()

    def kept(self) -> Remembered:
        """Return what was set by keys."""
        return Remembered(
            pane=self.focused_name,
            maximised=self.is_maximised,
            behind=tuple(sorted(self._behind)),
            sort=self.tickers.sort_key,
            sort_reversed=self.tickers.is_reversed,
            zoom=self.chart.chart.zoom_index,
        )

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the ground beneath the panes, one strip for all rows."""
        if is_decorated(self):
            return super().render_lines(crop)
        return blank_lines(self, crop)

    @property
    def layout(self) -> Layout:
        """The layout that follows the plan."""
        return self._layout

    @property
    def plan(self) -> Plan:
        """What stands where, at the current size."""
        return self.plan_for(self.size)

    @property
    def focused_pane(self) -> Pane:
        """The pane that has the keyboard."""
        return self.panes[self.focused_name]

    @property
    def visible_panes(self) -> list[Pane]:
        """The panes that are shown, in their order."""
        return [self.panes[name] for name in PANE_NAMES if name in self.plan.regions]

    def plan_for(self, size: Size) -> Plan:
        """Return the plan for a desk of `size`."""
        return arrange(
            self.kind,
            size,
            PANE_NAMES,
            self.focused_name,
            maximised=self.is_maximised,
            behind=self._behind,
        )

    def set_kind(self, kind: LayoutKind) -> None:
        """Take another layout."""
        if kind != self.kind:
            self.kind = kind
            self._rearrange()

    def focus_pane(self, name: str) -> None:
        """Give `name` the keyboard; where it is not shown it comes to the front."""
        if name != self.focused_name:
            before = self.plan
            self.focused_name = name
            self._behind = swap_in(name, self._behind)
            if self.plan != before:
                self._rearrange()
        self.screen.set_focus(self.focused_pane, scroll_visible=False)

    def maximise(self, *, maximised: bool) -> None:
        """Let the focused pane fill the screen, or not."""
        if maximised != self.is_maximised:
            self.is_maximised = maximised
            self._rearrange()

    def _rearrange(self) -> None:
        self._clear_arrangement_cache()
        self.refresh(layout=True)
        self.call_after_refresh(self.draw_visible)

    @property
    def least_s(self) -> float:
        """Seconds between two changes that any shown pane would draw."""
        return min((pane.LEAST_S for pane in self.visible_panes), default=1.0)

    def hurry(self) -> None:
        """Draw the next change at once: it may be the answer to a key."""
        for pace in self._paces.values():
            pace.hurry()

    def draw_visible(self) -> None:
        """Draw every pane that is shown."""
        self._waiting.clear()
        for pane in self.visible_panes:
            pane.draw()

    def draw_changed(self, sections: frozenset[str]) -> None:
        """Draw the shown panes that depend on one of `sections`, each at its pace.

        What has to wait is drawn by a later call, which comes with each frame, empty or not.
        """
        for pane in self.visible_panes:
            if pane.SECTIONS & sections:
                self._waiting.add(pane.NAME)
            if pane.NAME in self._waiting and self._paces[pane.NAME].take():
                self._waiting.discard(pane.NAME)
                pane.draw()

    def tick(self) -> None:
        """Let the shown panes count on."""
        for pane in self.visible_panes:
            pane.tick()


def _behind(kept: Remembered) -> frozenset[str]:
    """Return which pane of each pair stands behind the other."""
    behind = frozenset(kept.behind) & {name for pair in SWAPS for name in pair}
    is_whole = all(len(behind.intersection(pair)) == 1 for pair in SWAPS)
    behind = behind if is_whole else FIRST_BEHIND
    return swap_in(kept.pane, behind) if kept.pane else behind
