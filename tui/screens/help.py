"""All keys, from the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from tui.actions import CONTEXT_TITLES, of_context, shown_key
from tui.screens.foot import FootScreen
from tui.widgets.text_lines import TextLines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from tui.cells import Line
    from tui.model import DeskModel

KEYS_WIDTH = 22
COLUMN_WIDTH = 72


def help_lines(model: DeskModel) -> list[Line]:
    """Return the help page: every action of every context with its keys."""
    palette = model.palette
    lines: list[Line] = [
        ((" klinetop: keys", palette.bright),),
    ]
    for context, title in CONTEXT_TITLES.items():
        actions = of_context(context)
        if not actions:
            continue
        lines += [(), ((f" {title}", palette.accent),)]
        for action in actions:
            keys = "  ".join(shown_key(key) for key in action.keys)
            lines.append(
                ((f"   {keys:<{KEYS_WIDTH}}", palette.bright), (action.description, palette.text))
            )
    lines += [
        (),
        ((" forecasts", palette.accent),),
        (("   Short-term direction is close to a coin toss. Trust a model only as far as its",
          palette.text),),
        (("   hit rate, with its interval, stands above the baselines beside it.", palette.text),),
    ]  # fmt: skip
    return lines


class HelpScreen(FootScreen, inherit_bindings=False):
    """The help page; it scrolls where the terminal is too low for it."""

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
        lines = self.lines()
        self.page.styles.height = len(lines)
        self.page.show(lines)

    def lines(self) -> list[Line]:
        """Return the page."""
        return help_lines(self.model)

    def action_scroll(self, by: int) -> None:
        """Scroll by `by` lines."""
        self._scroll.scroll_relative(y=by, animate=False)
