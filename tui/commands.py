"""What the command palette offers: the registry's actions, markets, intervals and themes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Provider

from engine.market.interval import INTERVALS
from engine.service.client import EngineGone, EngineMismatch, EngineProblem
from tui.actions import ACTIONS, DESK, shown_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from textual.command import Hits

    from tui.actions import Action
    from tui.app import KlinetopApp

SEARCH_LETTERS = 2
FOUND_MAX = 12


class KlinetopCommands(Provider):
    """Commands of the dashboard."""

    @property
    def terminal(self) -> KlinetopApp:
        """The app."""
        return cast("KlinetopApp", self.app)

    async def discover(self) -> Hits:
        """Offer the registry's actions before anything is typed."""
        for action in ACTIONS:
            if action.palette:
                yield DiscoveryHit(_title(action), partial(self._run, action))

    async def search(self, query: str) -> Hits:
        """Offer what matches: commands first, then markets that the engine finds."""
        matcher = self.matcher(query)
        for title, run in self._commands():
            score = matcher.match(title)
            if score > 0:
                yield Hit(score, matcher.highlight(title), run)
        word = query.rsplit(" ", maxsplit=1)[-1]
        if len(word) < SEARCH_LETTERS:
            return
        known = set(self.terminal.model.state.order)
        for symbol in await self._found(word):
            if symbol not in known:
                title = f"focus {symbol}"
                yield Hit(
                    max(matcher.match(title), 0.01),
                    matcher.highlight(title),
                    partial(self.terminal.focus_symbol, symbol),
                )

    def _commands(self) -> Iterator[tuple[str, Callable[[], object]]]:
        terminal = self.terminal
        for action in ACTIONS:
            if action.palette:
                yield _title(action), partial(self._run, action)
        for symbol in terminal.model.state.order:
            yield f"focus {symbol}", partial(terminal.focus_symbol, symbol)
        for name in INTERVALS:
            yield f"interval {name}", partial(terminal.set_interval_name, name)
        for theme in sorted(terminal.available_themes):
            yield f"theme {theme}", partial(setattr, terminal, "theme", theme)

    async def _found(self, word: str) -> list[str]:
        try:
            found = await self.terminal.search(word.upper(), FOUND_MAX)
        except (EngineGone, EngineMismatch, EngineProblem, OSError) as error:
            self.terminal.say(str(error), "warning")
            return []
        return [info.name for info in found.symbols]

    async def _run(self, action: Action) -> None:
        desk = self.terminal.dashboard.desk
        if action.context == DESK:
            await self.terminal.run_action(action.handler, self.terminal.dashboard)
        else:
            self.terminal.dashboard.show_pane(action.context)
            await self.terminal.run_action(action.handler, desk.panes[action.context])


def _title(action: Action) -> str:
    keys = ", ".join(shown_key(key) for key in action.keys)
    place = "" if action.context == DESK else f"{action.context}: "
    return f"{place}{action.description}  ({keys})"
