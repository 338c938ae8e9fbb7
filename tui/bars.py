"""The one-line bars: status, banner, tabs and footer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from tui.actions import footer
from tui.cells import fit, folded, pad, width_of
from tui.messages import message_line
from tui.pane_names import PANE_NAMES, PANE_TITLES
from tui.status import banner, status_line
from tui.widgets.text_lines import TextLines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual import events

    from tui.cells import Cell
    from tui.model import DeskModel

ALWAYS = ("help", "quit")
BANNER_LINES = 2


class Bar(TextLines):
    """A line in the screen's full width."""

    DEFAULT_CSS = """
    Bar { height: 1; width: 1fr; }
    """

    def __init__(self, model: DeskModel, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self.model = model


class StatusBar(Bar):
    """What one looks at first: is this live, how old is it, what is shown, what time is it."""

    def draw(self) -> None:
        """Draw the line."""
        self.show((status_line(self.model, self.size.width),))


class Banner(Bar):
    """What is wrong with the feed, in one line or two; hidden while nothing is."""

    _rows = 1

    def draw(self) -> None:
        """Draw the lines, and show or hide them."""
        line = banner(self.model)
        if self.display != bool(line):
            self.display = bool(line)
        if line:
            width = self.size.width or self.app.size.width
            lines = folded(line, width, BANNER_LINES, self.model.glyphs.ellipsis)
            if len(lines) != self._rows:
                self._rows = len(lines)
                self.styles.height = self._rows
            self.show(lines)


class TabBar(Bar):
    """The panes that are not shown, each with its most telling figure."""

    class Chosen(Message):
        """A click on a tab."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.pane_name = name

    def __init__(self, model: DeskModel, *, id: str) -> None:  # noqa: A002
        super().__init__(model, id=id)
        self._spans: list[tuple[int, int, str]] = []

    def show_tabs(self, names: tuple[str, ...], figures: Mapping[str, Cell], front: str) -> None:
        """Show tabs for `names`, that of `front` marked, as fully as the width allows.

        Names and figures; figures but for `front`, whose data are in sight; names; numbers.
        """
        for style in ("all", "figures", "names", "numbers"):
            parts = [(name, self._tab(name, figures.get(name), name == front, style))
                     for name in names]  # fmt: skip
            if sum(width_of(cells) + 1 for _, cells in parts) <= self.size.width + 1:
                break
        line: list[Cell] = []
        self._spans = []
        for name, cells in parts:
            if line:
                line.append((self.model.glyphs.bar, self.model.palette.dim))
            start = width_of(line)
            line.extend(cells)
            self._spans.append((start, width_of(line), name))
        self.show((fit(line, self.size.width, self.model.glyphs.ellipsis),))

    def on_click(self, event: events.Click) -> None:
        """Tell which tab was clicked."""
        for start, end, name in self._spans:
            if start <= event.x < end:
                self.post_message(self.Chosen(name))

    def _tab(self, name: str, figure: Cell | None, is_front: bool, style: str) -> tuple[Cell, ...]:
        palette = self.model.palette
        number = PANE_NAMES.index(name) + 1
        short = PANE_TITLES[name].split(" ")[-1]
        label: Cell = (f" {number} {short} ", palette.last_price if is_front else palette.dim)
        if style == "names" or (style == "numbers" and is_front):
            return (label,)
        if style == "numbers":
            return ((f" {number} ", palette.dim),)
        if figure is None or not figure[0] or (style == "figures" and is_front):
            return (label,)
        told: Cell = (f"{figure[0]} ", figure[1])
        if style == "figures":
            return ((f" {number} ", palette.dim), figure)
        return (label, (" ", palette.text), told) if is_front else (label, told)


class FooterBar(Bar):
    """What there is to say, else the keys of the focused pane and those that work everywhere."""

    def __init__(self, model: DeskModel, *, id: str) -> None:  # noqa: A002
        super().__init__(model, id=id)
        self._pane_name = "chart"

    def show_context(self, context: str) -> None:
        """Show the keys of another pane."""
        self._pane_name = context
        self.draw()

    def on_click(self) -> None:
        """Take the message as seen."""
        self.model.messages.see()
        self.draw()

    def draw(self) -> None:
        """Draw the newest message, or as many keys as fit; help and quit always do."""
        said = self.model.messages.current(self.model.wall_ms())
        if said is not None:
            line = message_line(*said, self.size.width, self.model.palette, self.model.glyphs)
            self.show((line,))
            return
        entries = [("1-6", "pane"), *footer(self._pane_name)]
        last = [entry for entry in entries if entry[1] in ALWAYS]
        first = [entry for entry in entries if entry[1] not in ALWAYS]
        while first and self._width([*first, *last]) > self.size.width:
            first.pop()
        cells: list[Cell] = [pad(1)]
        for key, label in [*first, *last]:
            cells.append((key, self.model.palette.bright))
            cells.append((f" {label}  ", self.model.palette.dim))
        self.show((tuple(cells),))

    @staticmethod
    def _width(entries: list[tuple[str, str]]) -> int:
        return 1 + sum(len(key) + len(label) + 3 for key, label in entries)
