"""The registry: every entry works, stands in the help, and no key has two meanings."""

from __future__ import annotations

from collections import Counter

import pytest

from tui.actions import (
    ACTIONS,
    CONTEXT_TITLES,
    DESK,
    PANE_NAMES,
    bindings,
    footer,
    of_context,
    shown_key,
)
from tui.screens.help import help_lines
from tui.screens.legend import legend_lines
from tui.widgets.glyphs import glyphs
from tui.widgets.line_widget import line_text, line_width


def test_each_key_has_one_meaning_in_each_context():
    everywhere = [key for action in of_context(DESK) for key in action.keys]
    for context in (DESK, *PANE_NAMES):
        own = [] if context == DESK else [key for one in of_context(context) for key in one.keys]
        twice = [key for key, count in Counter(everywhere + own).items() if count > 1]
        assert not twice, f"{context}: {twice}"


def test_ids_are_unique_and_name_their_context():
    ids = [action.id for action in ACTIONS]
    assert len(ids) == len(set(ids))
    assert all(action.id.startswith(f"{action.context}.") for action in ACTIONS)
    assert {action.context for action in ACTIONS} <= set(CONTEXT_TITLES)


def test_keys_that_terminals_or_multiplexers_eat_are_not_used():
    keys = {key for action in ACTIONS for key in action.keys}
    assert not keys & {"ctrl+b", "ctrl+a", "f11"}
    assert not [key for key in keys if key.startswith("alt+")]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.id)
def test_each_action_has_a_handler(desk, action):
    app = desk.make_app(desk.FakeEngine())
    owner = app.dashboard if action.context == DESK else app.dashboard.desk.panes[action.context]
    name = action.handler.partition("(")[0]
    if name.startswith("app."):
        owner, name = app, name.removeprefix("app.")
    assert callable(getattr(owner, f"action_{name}", None)), action.handler


@pytest.mark.parametrize("width", [80, 200])
def test_help_holds_every_action_with_its_keys(desk, width):
    model = desk.make_app(desk.FakeEngine()).model
    page = [line_text(line) for line in help_lines(model, width)]
    for action in ACTIONS:
        keys = "  ".join(shown_key(key) for key in action.keys)
        assert any(keys in line and action.description in line for line in page), action.id


def test_bindings_hold_every_key():
    bound = {binding.key for context in (DESK, *PANE_NAMES) for binding in bindings(context)}
    assert bound == {key for action in ACTIONS for key in action.keys}


def test_footer_begins_with_the_panes_own_keys_and_joins_neighbours():
    entries = footer("tickers")
    assert entries[0] == ("Enter", "focus")
    assert ("[ ]", "interval") in entries
    assert ("q", "quit") in entries


def test_shown_keys_are_what_people_press():
    assert [shown_key(key) for key in ("slash", "ctrl+p", "q", "plus")] == ["/", "Ctrl+P", "q", "+"]


@pytest.mark.parametrize("is_ascii", [False, True])
def test_help_explains_every_mark(desk, is_ascii):
    model = desk.make_app(desk.FakeEngine()).model
    model.glyphs = signs = glyphs(is_ascii)
    page = "\n".join(line_text(line) for line in legend_lines(model, 80))
    marks = (
        *(signs.up, signs.down, signs.flat, signs.up_hollow, signs.down_hollow, signs.cursor),
        *(signs.pointer, signs.dot, signs.hollow_dot, signs.hit, signs.miss, signs.tie),
        *(signs.levels, signs.full, signs.track, signs.dash, signs.middot, signs.tick),
        *(
            signs.sort_up,
            signs.sort_down,
            "delta" if is_ascii else "Δ",
            "p(up)" if is_ascii else "p↑",
        ),
    )
    words = ("bps", "Brier", "beside", "[46, 60]", "step", "mid", "MA10", "synced", "invented",
             "captured", "by stream", "holes", "weight", "p50/95/99", "unseen", "coin toss",
             "DEMO", "REPLAY", "SIM", "on the watchlist")  # fmt: skip
    for part in (*marks, *words):
        assert part in page, part
    assert not is_ascii or page.isascii()


@pytest.mark.parametrize("width", [60, 80, 120, 160, 200])
def test_the_help_page_fits_its_width(desk, width):
    model = desk.make_app(desk.FakeEngine()).model
    assert max(line_width(line) for line in help_lines(model, width)) <= max(width, 80)
