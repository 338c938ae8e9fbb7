"""The frame around a pane: its number, its title, and who has the keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec
from rich.style import Style
from textual.events import DescendantBlur, DescendantFocus
from textual.geometry import Region
from textual.widget import Widget

from tui.cells import Cell, Line, fit, width_of
from tui.pane_names import PANE_NAMES, PANE_TITLES
from tui.widgets.line_widget import changed_span, is_decorated, painted_lines, to_strip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.events import Blur, Focus
    from textual.message import Message
    from textual.strip import Strip

    from tui.model import DeskModel

_PLAIN = Style()


class Box(msgspec.Struct, frozen=True):
    """Characters of a frame."""

    top_left: str
    top_right: str
    bottom_left: str
    bottom_right: str
    across: str
    down: str


BOXES = {
    (False, False): Box("┌", "┐", "└", "┘", "─", "│"),
    (False, True): Box("┏", "┓", "┗", "┛", "━", "┃"),
    (True, False): Box("+", "+", "+", "+", "-", "|"),
    (True, True): Box("#", "#", "#", "#", "=", "#"),
}


class Pane(Widget, can_focus=True, can_focus_children=False):
    """A numbered frame with one body inside; subclasses turn sections into widget calls.

    Attributes:
        NAME: Which pane it is (`tui.actions.PANE_NAMES`).
        SECTIONS: Sections of a frame whose change makes it draw.
        LEAST_S: Seconds between two drawings of what the engine sent; keys are answered at once.
        OFFSET_S: How much later than others its drawings come, so that not all fall together.
    """

    NAME: ClassVar[str] = ""
    SECTIONS: ClassVar[frozenset[str]] = frozenset()
    LEAST_S: ClassVar[float] = 0.25
    OFFSET_S: ClassVar[float] = 0.0
    DEFAULT_CSS = """
    Pane { layout: vertical; overflow: hidden hidden; }
    Pane > .body { margin: 1; width: 1fr; height: 1fr; }
    """

    def __init__(self, model: DeskModel) -> None:
        super().__init__(id=f"pane-{self.NAME}")
        self.model = model
        self._title: Line = ()
        self._left: tuple[Cell, ...] = ()
        self._right: tuple[Cell, ...] = ()
        self._foot: Line = ()
        self._sides: tuple[tuple[int, str, Style, Style], Strip] | None = None

    @property
    def number(self) -> int:
        """The key that focuses this pane."""
        return PANE_NAMES.index(self.NAME) + 1

    @property
    def inner_width(self) -> int:
        """Columns inside the frame."""
        return max(0, self.size.width - 2)

    @property
    def inner_height(self) -> int:
        """Rows inside the frame."""
        return max(0, self.size.height - 2)

    def draw(self) -> None:
        """Draw all of it from the model."""
        raise NotImplementedError

    def tick(self) -> None:
        """Draw what changes with the clock alone; called once a second while visible."""

    def figure(self) -> Cell:
        """Return the pane's most telling figure, for its tab."""
        return ("", _PLAIN)

    def set_title(self, left: Sequence[Cell] = (), right: Sequence[Cell] = ()) -> None:
        """Put `left` behind the pane's name and `right` at the other end of the top line."""
        self._left, self._right = tuple(left), tuple(right)
        self._retitle()

    def has_room_for(self, left: Sequence[Cell], right: Sequence[Cell]) -> bool:
        """Return whether both stand whole in the top line."""
        name = len(f"{self.number} {PANE_TITLES[self.NAME]} ")
        return name + width_of(left) + width_of(right) + 8 <= self.size.width

    def set_foot(self, cells: Sequence[Cell] = ()) -> None:
        """Put `cells` into the bottom line; none takes them away."""
        foot = tuple(cells)
        if foot != self._foot:
            self._foot = foot
            self.refresh(Region(0, self.size.height - 1, self.size.width, 1))

    def _foot_line(self, frame: Style) -> Line:
        box, width = self._box(), self.size.width
        cells: Line = ((f"{box.bottom_left}{box.across}", frame),)
        if self._foot and width_of(self._foot) + 6 <= width:
            cells = (*cells, (" ", frame), *self._foot, (" ", frame))
        rule = box.across * max(0, width - width_of(cells) - 1)
        return (*cells, (f"{rule}{box.bottom_right}", frame))

    def _retitle(self) -> None:
        after = self._title_line()
        before, self._title = self._title, after
        span = changed_span(before, after)
        if span is not None:
            self.refresh(Region(span[0], 0, span[1] - span[0], 1))

    def _title_line(self) -> Line:
        palette, box = self.model.palette, self._box()
        frame = palette.frame_focus if self.has_focus else palette.frame
        name_style = palette.bright if self.has_focus else palette.text
        width = self.size.width
        start: tuple[Cell, ...] = (
            (box.top_left, frame),
            (f"{self.number} ", palette.bright),
            (PANE_TITLES[self.NAME], name_style),
            (" ", frame),
        )
        end: tuple[Cell, ...] = ((box.top_right, frame),)
        room = width - width_of(start) - width_of(end)
        right = self._right
        if right and width_of(right) + 4 <= room:
            end = ((" ", frame), *right, (f" {box.across}", frame), *end)
            room = width - width_of(start) - width_of(end)
        left = fit(((" ", _PLAIN), *self._left, (" ", _PLAIN)), room) if self._left else ()
        rule = box.across * max(0, room - width_of(left))
        return (*start, *left, (rule, frame), *end)

    def _box(self) -> Box:
        return BOXES[self.model.glyphs.is_ascii, self.has_focus]

    def _frame_changed(self) -> None:
        width, height = self.size
        self._title = self._title_line()
        self.refresh(
            Region(0, 0, width, 1),
            Region(0, height - 1, width, 1),
            Region(0, 0, 1, height),
            Region(width - 1, 0, 1, height),
        )

    def watch_has_focus(self, has_focus: bool) -> None:
        """Make the frame heavy, or light again."""
        super().watch_has_focus(has_focus)
        if self.is_mounted:
            self._frame_changed()

    def on_focus(self, event: Focus) -> None:
        """Take the focus without painting more than the frame."""
        event.prevent_default()
        self.has_focus = True
        self._tell_parent(DescendantFocus(self))

    def on_blur(self, event: Blur) -> None:
        """Give the focus away without painting more than the frame."""
        event.prevent_default()
        self.has_focus = False
        self._tell_parent(DescendantBlur(self))

    def _tell_parent(self, message: Message) -> None:
        if self.parent is not None:
            self.parent.post_message(message)

    def on_resize(self) -> None:
        """Fit title and content to the room there is."""
        self.draw()
        self._retitle()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the rows of `crop` without the detour through styles that it does not have."""
        return super().render_lines(crop) if is_decorated(self) else painted_lines(self, crop)

    def render_line(self, y: int) -> Strip:
        """Return row `y` of the frame; the body lies over its inside."""
        base = self.visual_style.rich_style
        width, height = self.size
        frame = self.model.palette.frame_focus if self.has_focus else self.model.palette.frame
        if y == 0:
            if not self._title:
                self._title = self._title_line()
            return to_strip(self._title, width, base)
        if y == height - 1:
            return to_strip(self._foot_line(frame), width, base)
        key = (width, self._box().down, frame, base)
        if self._sides is None or self._sides[0] != key:
            down = self._box().down
            cells = ((down, frame), (" " * max(0, width - 2), _PLAIN), (down, frame))
            self._sides = (key, to_strip(cells, width, base))
        return self._sides[1]
