"""The one registry of keys: bindings, footer, help and the command palette are made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from textual.binding import Binding

from tui.pane_names import PANE_NAMES, PANE_TITLES

if TYPE_CHECKING:
    from collections.abc import Iterable

DESK: Final = "desk"
CONTEXT_TITLES: Final = {DESK: "everywhere", **PANE_TITLES}


class Action(msgspec.Struct, frozen=True):
    """One thing a key does.

    Attributes:
        id: Unique name, such as `desk.retrain`; a user's key map refers to it.
        keys: Textual's names of the keys, the one to show first.
        label: A word or two for the footer.
        description: What it does, for help and palette.
        context: `desk` for everywhere, else the pane that must have the focus.
        handler: Textual action of the app (context `desk`) or of the pane.
        footer: Whether the footer shows it.
        palette: Whether the command palette offers it.
    """

    id: str
    keys: tuple[str, ...]
    label: str
    description: str
    context: str
    handler: str
    footer: bool = False
    palette: bool = True


def _pane_actions() -> Iterable[Action]:
    for number, name in enumerate(PANE_NAMES, start=1):
        yield Action(
            f"desk.pane_{name}",
            (str(number),),
            PANE_TITLES[name],
            f"go to the {PANE_TITLES[name]} pane; again: it fills the screen",
            DESK,
            f"focus_pane('{name}')",
        )


ACTIONS: Final[tuple[Action, ...]] = (
    *_pane_actions(),
    Action("desk.next_pane", ("tab",), "next", "go to the next pane", DESK, "next_pane(1)"),
    Action(
        "desk.previous_pane", ("shift+tab",), "back", "go to the pane before", DESK, "next_pane(-1)"
    ),
    Action(
        "desk.maximise", ("z",), "maximise", "let the pane fill the screen, or go back", DESK,
        "maximise",
    ),
    Action(
        "desk.restore", ("escape",), "back", "go back from a pane that fills the screen", DESK,
        "restore", palette=False,
    ),
    Action("desk.live_edge", ("0",), "live", "go back to the newest candle", DESK, "live_edge"),
    Action(
        "desk.retrain", ("t",), "retrain", "train a model on the focused symbol and interval",
        DESK, "app.retrain", footer=True,
    ),
    Action("desk.cancel", ("x",), "cancel", "cancel the training job", DESK, "app.cancel_training"),
    Action(
        "desk.find", ("slash",), "find", "find a market, focus it or put it on the watchlist",
        DESK, "app.find_symbol", footer=True,
    ),
    Action(
        "desk.interval_shorter", ("left_square_bracket",), "interval", "shorter candle interval",
        DESK, "app.interval(-1)", footer=True,
    ),
    Action(
        "desk.interval_longer", ("right_square_bracket",), "interval", "longer candle interval",
        DESK, "app.interval(1)", footer=True,
    ),
    Action(
        "desk.zoom_in", ("plus", "equals_sign"), "zoom", "show fewer, wider candles", DESK,
        "zoom(1)", footer=True,
    ),
    Action(
        "desk.zoom_out", ("minus",), "zoom", "show more candles", DESK, "zoom(-1)", footer=True
    ),
    Action(
        "desk.freeze", ("space",), "freeze",
        "hold the screen still, or let it go on",
        DESK, "freeze", footer=True,
    ),
    Action("desk.repaint", ("ctrl+l",), "repaint", "paint the screen anew", DESK, "app.repaint"),
    Action("desk.notices", ("n",), "notices", "read what has happened", DESK, "app.notices"),
    Action("desk.help", ("question_mark", "f1"), "help", "show all keys", DESK, "app.help",
           footer=True),
    Action(
        "desk.palette", ("ctrl+p", "colon"), "palette", "search all commands, markets and themes",
        DESK, "app.palette", palette=False,
    ),
    Action(
        "desk.detach", ("d",), "detach", "close the terminal and let the engine go on", DESK,
        "app.leave(True)",
    ),
    Action(
        "desk.quit", ("q", "ctrl+c", "ctrl+q"), "quit",
        "close the terminal; an engine that it started stops", DESK, "app.leave(False)",
        footer=True,
    ),
    # --- tickers
    Action(
        "tickers.choose", ("enter",), "focus", "show this symbol in every pane", "tickers",
        "choose", footer=True, palette=False,
    ),
    Action(
        "tickers.down", ("down", "j"), "down", "next symbol", "tickers", "cursor_down",
        palette=False,
    ),
    Action(
        "tickers.up", ("up", "k"), "up", "symbol before", "tickers", "cursor_up", palette=False
    ),
    Action("tickers.first", ("home", "g"), "first", "first symbol", "tickers", "cursor_first",
           palette=False),
    Action("tickers.last", ("end", "G"), "last", "last symbol", "tickers", "cursor_last",
           palette=False),
    Action("tickers.page_down", ("pagedown",), "page down", "one page down", "tickers",
           "page_down", palette=False),
    Action("tickers.page_up", ("pageup",), "page up", "one page up", "tickers", "page_up",
           palette=False),
    Action("tickers.sort", ("s",), "sort", "sort by the next column", "tickers", "sort",
           footer=True),
    Action("tickers.reverse", ("S",), "reverse", "sort the other way round", "tickers", "reverse",
           footer=True),
    Action("tickers.unwatch", ("delete", "u"), "remove", "take this symbol off the watchlist",
           "tickers", "unwatch", footer=True),
    # --- order book
    Action("book.group", ("g",), "group", "group prices by the next larger step", "book",
           "group(1)", footer=True),
    Action("book.ungroup", ("G",), "ungroup", "group prices by the next smaller step", "book",
           "group(-1)", footer=True),
    # --- storage
    Action("storage.gaps", ("g",), "gaps", "walk the gaps: what is missing, and why", "storage",
           "app.gaps", footer=True),
    Action("storage.coverage", ("c",), "coverage", "coverage of every market, hour by hour",
           "storage", "app.coverage", footer=True),
    # --- chart
    Action("chart.older", ("h", "left"), "crosshair", "move the crosshair to older candles",
           "chart", "crosshair(-1)", footer=True, palette=False),
    Action("chart.newer", ("l", "right"), "crosshair", "move the crosshair to newer candles",
           "chart", "crosshair(1)", footer=True, palette=False),
    Action("chart.pan_older", ("pageup", "H"), "pan", "show older candles", "chart", "pan(-1)",
           footer=True),
    Action("chart.pan_newer", ("pagedown", "L"), "pan", "show newer candles", "chart", "pan(1)",
           footer=True),
    Action("chart.closer", ("up", "k"), "closer", "show fewer, wider candles", "chart",
           "closer(1)", palette=False),
    Action("chart.wider", ("down", "j"), "wider", "show more candles", "chart", "closer(-1)",
           palette=False),
    Action("chart.edge", ("end",), "live", "go back to the newest candle", "chart", "edge",
           palette=False),
)  # fmt: skip

_BY_ID: Final = {action.id: action for action in ACTIONS}
SHOWN_KEYS: Final = {
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "plus": "+",
    "equals_sign": "=",
    "minus": "-",
    "slash": "/",
    "question_mark": "?",
    "colon": ":",
    "space": "space",
    "enter": "Enter",
    "escape": "Esc",
    "tab": "Tab",
    "shift+tab": "Shift+Tab",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "home": "Home",
    "end": "End",
    "delete": "Del",
    "f1": "F1",
    "up": "Up",
    "down": "Down",
    "left": "Left",
    "right": "Right",
}


def shown_key(key: str) -> str:
    """Return how `key` is written for people: `slash` is `/`, `ctrl+p` is `Ctrl+P`."""
    if key in SHOWN_KEYS:
        return SHOWN_KEYS[key]
    modifier, plus, letter = key.rpartition("+")
    return f"{modifier.capitalize()}+{letter.upper()}" if plus else key


def of_context(context: str) -> tuple[Action, ...]:
    """Return the actions of one context, in the registry's order."""
    return tuple(action for action in ACTIONS if action.context == context)


def action_of(action_id: str) -> Action:
    """Return the action with this id.

    Raises:
        KeyError: when there is none.
    """
    return _BY_ID[action_id]


def bindings(context: str) -> list[Binding]:
    """Return Textual's bindings for one context.

    Ctrl+C and Tab are taken with priority: Textual itself gives them other meanings.
    """
    return [
        Binding(
            key,
            action.handler,
            action.description,
            show=action.footer,
            key_display=shown_key(key),
            id=action.id if len(action.keys) == 1 else f"{action.id}.{index}",
            priority=key in ("ctrl+c", "ctrl+q"),
        )
        for action in of_context(context)
        for index, key in enumerate(action.keys)
    ]


def footer(context: str) -> list[tuple[str, str]]:
    """Return (keys, label) pairs for the footer: the focused pane's, then those of everywhere.

    Neighbours with the same label share one entry: `[ ]` interval.
    """
    chosen = [action for action in ACTIONS if action.footer and action.context == context]
    if context != DESK:
        chosen += [action for action in of_context(DESK) if action.footer]
    entries: list[tuple[str, str]] = []
    for action in chosen:
        key = shown_key(action.keys[0])
        if entries and entries[-1][1] == action.label:
            entries[-1] = (f"{entries[-1][0]} {key}", action.label)
        else:
            entries.append((key, action.label))
    return entries
