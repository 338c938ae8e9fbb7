"""What the command palette offers, and which of it matches what was typed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from engine.market.interval import INTERVALS
from tui.actions import ACTIONS, DESK, shown_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.market.symbol import SymbolInfo
    from tui.actions import Action

CommandKind = Literal["action", "focus", "interval", "theme"]
QUIT: Final = "desk.quit"
DETACH: Final = "desk.detach"
_WORD: Final = re.compile(r"[^\W_]+")


class Command(msgspec.Struct, frozen=True):
    """One line of the palette.

    Attributes:
        kind: What `argument` names.
        argument: Id of an action, a symbol, an interval or a theme.
        title: What it does.
        keys: How it is had without the palette; empty where no key does it.
        also: Further words by which it is found.
    """

    kind: CommandKind
    argument: str
    title: str
    keys: str = ""
    also: str = ""

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return f"{self.kind} {self.argument}"


def commands(symbols: Iterable[str], themes: Iterable[str]) -> list[Command]:
    """Return all there are: actions, the watchlist's `symbols`, intervals and `themes`."""
    return [
        *(of_action(action) for action in ACTIONS if action.palette),
        *(focus(symbol) for symbol in symbols),
        *(Command("interval", name, f"interval {name}") for name in INTERVALS),
        *(Command("theme", name, f"theme {name}") for name in sorted(themes)),
    ]


def of_action(action: Action) -> Command:
    """Return the command that does what `action`'s keys do."""
    place = "" if action.context == DESK else f"{action.context}: "
    keys = ", ".join(shown_key(key) for key in action.keys)
    return Command("action", action.id, f"{place}{action.description}", keys, action.label)


def focus(symbol: str, also: str = "") -> Command:
    """Return the command that shows `symbol` in every pane."""
    return Command("focus", symbol, f"focus {symbol}", also=also)


def focus_found(found: Iterable[SymbolInfo]) -> list[Command]:
    """Return commands for markets of the exchange, which base and quote asset find, too."""
    return [focus(info.name, f"{info.base} {info.quote}") for info in found]


def matching(query: str, offered: Sequence[Command]) -> list[Command]:
    """Return what matches `query`, the best first; all of `offered` for an empty one.

    Each word of the query must begin a word of the command, in any order. What leaves the program
    comes last, and quitting is never the first: what lets the engine go on stands before it.
    """
    words = _words(query)
    ranked = [
        (rank, index, command)
        for index, command in enumerate(offered)
        if (rank := _rank(words, command)) is not None
    ]
    ranked.sort(key=lambda item: (_leaves(item[2]), item[0], item[1]))
    hits = [command for _, _, command in ranked]
    if hits and hits[0].argument == QUIT:
        hits[:0] = [command for command in offered if command.argument == DETACH]
    return hits


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _rank(words: Sequence[str], command: Command) -> int | None:
    """Return how well it matches (0 best); None when it does not."""
    label, title = _words(command.also), _words(command.title)
    if not all(any(one.startswith(word) for one in (*label, *title)) for word in words):
        return None
    if not words:
        return 0
    if any(one.startswith(words[0]) for one in (*label[:1], *title[:1])):
        return 0
    return 1


def _leaves(command: Command) -> int:
    return {DETACH: 1, QUIT: 2}.get(command.argument, 0)
