"""All keys, from the registry, and a legend of all marks."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from tui.actions import CONTEXT_TITLES, of_context, shown_key
from tui.cells import pad, width_of
from tui.screens.foot import FootScreen
from tui.screens.legend import legend_lines
from tui.widgets.text_lines import TextLines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from tui.cells import Line
    from tui.model import DeskModel

KEYS_WIDTH = 22
LEGEND_LEAST = 64
SCROLLBAR = 1


def help_lines(model: DeskModel, width: int) -> list[Line]:
    """Return the help page: every key, and every mark beside or beneath them, in `width` cells."""
    keys = _key_lines(model)
    left = max(map(width_of, keys)) + 2
    if width - left < LEGEND_LEAST:
        return [*_key_lines(model, " (marks and colours beneath)"), *legend_lines(model, width)]
    marks = [((" marks and colours", model.palette.bright),), *legend_lines(model, width - left)]
    count = max(len(keys), len(marks))
    pairs = zip([*keys, *[()] * (count - len(keys))], [*marks, *[()] * (count - len(marks))],
                strict=True)  # fmt: skip
    return [(*key, pad(left - width_of(key)), *mark) for key, mark in pairs]


def _key_lines(model: DeskModel, beneath: str = "") -> list[Line]:
    palette = model.palette
    lines: list[Line] = [((" klinetop: keys", palette.bright), (beneath, palette.dim))]
    for context, title in CONTEXT_TITLES.items():
        actions = of_context(context)
        if not actions:
            continue
        lines += [(), ((f" {title}", palette.bright),)]
        for action in actions:
            keys = "  ".join(shown_key(key) for key in action.keys)
            lines.append(
                ((f"   {keys:<{KEYS_WIDTH}}", palette.bright), (action.description, palette.text))
            )
    return lines


class HelpScreen(FootScreen, inherit_bindings=False):
    """The help page; it scrolls where the terminal is too low for it."""

    DEFAULT_CSS = f"""
    HelpScreen VerticalScroll {{
        scrollbar-size-vertical: {SCROLLBAR};
        scrollbar-gutter: stable;
    }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,f1", "back", "back"),
        Binding("down,j", "scroll(1)", show=False),
        Binding("up,k", "scroll(-1)", show=False),
        Binding("pagedown,space", "scroll(10)", show=False),
        Binding("pageup", "scroll(-10)", show=False),
    ]

    def __init__(self, model: DeskModel) -> None:
        super().__init__(model)
        self.page = TextLines()
        self._scroll = VerticalScroll(self.page, can_focus=False)

    def compose(self) -> ComposeResult:
        """Hold the page."""
        yield self._scroll
        yield self.foot

    def keys(self) -> Sequence[tuple[str, str]]:
        """Return the keys of this screen."""
        return (("Up Down PgUp PgDn", "scroll"), ("Esc", "back"))

    def on_mount(self) -> None:
        """Write the page."""
        self.draw_foot()
        self.write_page()

    def on_resize(self) -> None:
        """Fit the page to the width."""
        self.write_page()

    def write_page(self) -> None:
        """Write all lines."""
        lines = self.lines()
        self.page.styles.height = len(lines)
        self.page.show(lines)

    def lines(self) -> list[Line]:
        """Return the page."""
        return help_lines(self.model, self.page_width)

    @property
    def page_width(self) -> int:
        """Cells of a line, beside the scrollbar."""
        return (self.size.width or self.app.size.width) - SCROLLBAR

    def action_scroll(self, by: int) -> None:
        """Scroll by `by` lines."""
        self._scroll.scroll_relative(y=by, animate=False)
