"""The command palette: words and prefixes match, and nothing else does anything."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from engine.market.symbol import SymbolInfo
from engine.service import contract
from engine.service.client import EngineProblem
from tui.actions import ACTIONS
from tui.commands import QUIT, commands, focus_found, matching

OFFERED = commands(["BTCUSDT", "ETHUSDT"], ["nord", "textual-dark"])
WORDS = sorted({word for one in OFFERED for word in one.title.lower().split()})


def titles(query: str) -> list[str]:
    return [command.title for command in matching(query, OFFERED)]


def test_every_action_that_has_a_place_in_it_is_offered_before_anything_is_typed():
    offered = {command.argument for command in matching("", OFFERED)}
    assert {action.id for action in ACTIONS if action.palette} <= offered


def test_letters_scattered_over_a_title_are_no_match():
    assert titles("alert") == []
    assert titles("tm") == []


def test_words_match_by_their_beginnings_in_any_order():
    assert titles("nord")[0] == "theme nord"
    assert titles("eth")[0] == "focus ETHUSDT"
    assert titles("eth foc")[0] == "focus ETHUSDT"
    assert titles("train")[0] == "train a model on the focused symbol and interval"
    assert titles("retr")[0] == "train a model on the focused symbol and interval"
    assert titles("theme nrd") == []


def test_a_market_is_found_by_its_base_and_quote_asset():
    found = focus_found([SymbolInfo("1000SATSTRY", "1000SATS", "TRY", "TRADING")])
    assert [command.argument for command in matching("try", found)] == ["1000SATSTRY"]


@given(
    st.lists(st.sampled_from(WORDS), max_size=2),
    st.text(string.ascii_lowercase + " ", max_size=4),
    st.integers(1, 8),
)
def test_quitting_is_never_the_first_hit(words, letters, length):
    for query in (letters, " ".join(words), " ".join(word[:length] for word in words), "quit"):
        hits = matching(query, OFFERED)
        assert not hits or hits[0].argument != QUIT, query


async def opened(desk, app, pilot):
    await desk.until(pilot, lambda: app.model.state.status is not None)
    await pilot.press("ctrl+p")
    await desk.until(pilot, lambda: "shorter candle interval" in desk.screen_text(app))


async def test_enter_on_no_hit_does_nothing_and_says_so(desk):
    engine = desk.FakeEngine()
    app = desk.make_app(engine)
    async with app.run_test(size=(120, 30)) as pilot:
        await opened(desk, app, pilot)
        await pilot.press(*"alert", "enter")
        await desk.until(pilot, lambda: 'No command matches "alert"' in desk.screen_text(app))
        assert app.is_running
        assert app.screen is not app.dashboard
    assert not engine.asked_for(contract.Goodbye)


async def test_enter_does_what_stands_under_the_cursor(desk):
    engine = desk.FakeEngine()
    app = desk.make_app(engine)
    async with app.run_test(size=(120, 30)) as pilot:
        await opened(desk, app, pilot)
        await pilot.press(*"interval 1h", "enter")
        await desk.until(pilot, lambda: engine.views[-1].interval == "1h")
        assert app.screen is app.dashboard
        await pilot.press("colon", *"group next larger", "enter")
        await desk.until(pilot, lambda: engine.views[-1].ladder_step > 0)
        assert app.dashboard.desk.focused_name == "book"


async def test_markets_of_the_exchange_are_offered_besides_those_watched(desk):
    engine = desk.FakeEngine()
    engine.found = (SymbolInfo("PEPEUSDT", "PEPE", "USDT", "TRADING"),)
    app = desk.make_app(engine)
    async with app.run_test(size=(120, 30)) as pilot:
        await opened(desk, app, pilot)
        await pilot.press(*"focus pepe")
        await desk.until(pilot, lambda: "focus PEPEUSDT" in desk.screen_text(app))
        await pilot.press("enter")
        await desk.until(pilot, lambda: engine.views[-1].focused == "PEPEUSDT")


async def test_what_the_engine_can_not_look_up_is_said_until_it_can(desk):
    async def refuse(query, limit=50):
        raise EngineProblem("The exchange does not answer.")

    app = desk.make_app(desk.FakeEngine())
    app.search = refuse
    async with app.run_test(size=(120, 30)) as pilot:
        await opened(desk, app, pilot)
        await pilot.press(*"pe")
        await desk.until(pilot, lambda: "exchange does not answer" in desk.screen_text(app))
        del app.search
        await pilot.press("p")
        await desk.until(pilot, lambda: "exchange does not answer" not in desk.screen_text(app))


async def test_pages_of_markets_are_turned_while_typing(desk):
    engine = desk.FakeEngine()
    engine.found = tuple(SymbolInfo(f"A{at}USDT", f"A{at}", "USDT", "TRADING") for at in range(90))
    app = desk.make_app(engine)
    async with app.run_test(size=(120, 30)) as pilot:
        await desk.until(pilot, lambda: app.model.state.status is not None)
        await pilot.press("slash", *"a")
        await desk.until(pilot, lambda: "A9USDT" in desk.screen_text(app))
        await pilot.press("pagedown", "enter")
        await desk.until(pilot, lambda: app.screen is app.dashboard)
        await desk.until(pilot, lambda: engine.views[-1].focused.startswith("A"))
    assert int(engine.views[-1].focused[1:-4]) > 9
