"""What is set by keys comes back in the next run; a broken file harms nobody."""

from __future__ import annotations

import os

import pytest

from engine.market.symbol import SymbolInfo
from engine.service import contract
from tui.remembered import FILE_NAME, NOTHING, Memory, Remembered, first_view

FULL = (160, 48)


async def live(desk, app, pilot):
    await desk.until(pilot, lambda: app.model.link.is_up and app.model.state.status is not None)


def test_what_is_saved_is_loaded_and_the_users_alone(tmp_path):
    kept = Remembered(theme="nord", symbol="ETHUSDT", interval="1h", pane="book", zoom=2, step=0.1)
    Memory(tmp_path).save(kept)
    assert Memory(tmp_path).load() == kept
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_no_file_is_no_problem(tmp_path):
    memory = Memory(tmp_path / "not there yet")
    assert memory.load() == NOTHING
    assert memory.problem == ""


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"zoom": "x"}', '{"interval": "7m"}', '{"pane": "kitchen"}',
     '{"behind": ["stove"]}', '{"sort": "age"}', '{"step": -1}',
     pytest.param('{"x":' + "[" * 5000, id="too deep")],
)  # fmt: skip
def test_a_broken_file_is_told_and_not_used(tmp_path, text):
    (tmp_path / FILE_NAME).write_text(text)
    memory = Memory(tmp_path)
    assert memory.load() == NOTHING
    assert memory.problem.startswith(f"{tmp_path / FILE_NAME} is not used")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_told_and_not_waited_for(tmp_path, make):
    make(tmp_path / FILE_NAME)
    memory = Memory(tmp_path)
    assert memory.load() == NOTHING
    assert memory.problem.startswith(f"{tmp_path / FILE_NAME} is not used")


def test_what_can_not_be_written_is_told_once(tmp_path):
    path = tmp_path / FILE_NAME
    path.mkdir()
    memory = Memory(tmp_path)
    memory.save(Remembered(pane="book"))
    assert "can not be written" in memory.problem
    memory.problem = ""
    memory.save(Remembered(pane="chart"))
    assert memory.problem == ""
    assert list(tmp_path.iterdir()) == [path]
    path.rmdir()
    memory.save(Remembered(pane="trades"))
    path.unlink()
    path.mkdir()
    memory.save(Remembered(pane="book"))
    assert "can not be written" in memory.problem


def test_a_directory_that_is_not_there_is_told(tmp_path):
    memory = Memory(tmp_path / "missing")
    memory.save(Remembered(pane="book"))
    assert "can not be written" in memory.problem


def test_the_command_line_beats_what_was_remembered():
    kept = Remembered(symbol="ETHUSDT", interval="1h")
    assert first_view(kept, ["BTCUSDT"], "1m", ()) == ("ETHUSDT", "1h")
    assert first_view(kept, ["BTCUSDT"], "5m", ("interval",)) == ("ETHUSDT", "5m")
    assert first_view(kept, ["BTCUSDT"], "1m", ("symbols",)) == ("BTCUSDT", "1h")
    assert first_view(NOTHING, ["BTCUSDT"], "5m", ()) == ("", "5m")


async def test_the_next_terminal_begins_where_the_last_one_ended(desk, tmp_path):
    engine = desk.FakeEngine()
    engine.found = (SymbolInfo("ETHUSDT", "ETH", "USDT", "TRADING"),)
    app = desk.make_app(engine, memory=Memory(tmp_path))
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await pilot.press("1", "down", "enter", "s", "s", "minus", "]", "4", "4")
        app.theme = "textual-light"
        await desk.until(pilot, lambda: engine.views[-1].interval == "3m")
        await desk.until(pilot, lambda: app.dashboard.desk.is_maximised)
        zoom = app.dashboard.desk.chart.chart.zoom_index
        await pilot.press("q")
        await desk.until(pilot, lambda: not app.is_running)
    memory = Memory(tmp_path)
    kept = memory.load()
    assert kept.symbol == "ETHUSDT"
    again = desk.make_app(
        engine, memory=memory, kept=kept, focused=kept.symbol, interval=kept.interval
    )
    async with again.run_test(size=FULL) as pilot:
        await live(desk, again, pilot)
        await desk.until(pilot, lambda: "┏4 storage" in desk.screen_text(again))
        shown = again.dashboard.desk
        assert again.theme == "textual-light"
        assert again.model.palette == app.model.palette
        assert engine.views[-1].focused == "ETHUSDT"
        assert engine.views[-1].interval == "3m"
        assert shown.is_maximised
        assert shown.tickers.sort_key == "last"
        assert shown.chart.chart.zoom_index == zoom


async def test_a_kill_loses_no_more_than_a_second(desk, tmp_path):
    app = desk.make_app(desk.FakeEngine(), memory=Memory(tmp_path))
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await pilot.press("2")
        app.on_dashboard_ticked()
        assert Memory(tmp_path).load().pane == "book"


async def test_a_market_that_is_no_more_gives_way_to_the_engines_pick(desk, tmp_path):
    engine = desk.FakeEngine()
    app = desk.make_app(engine, focused="GONEUSDT", memory=Memory(tmp_path))
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await desk.until(pilot, lambda: engine.views[-1].focused == "BTCUSDT")
        await desk.until(
            pilot, lambda: "GONEUSDT is no market here; BTCUSDT is shown." in desk.screen_text(app)
        )


async def test_the_engines_pick_waits_until_the_engine_knows_its_markets(desk, tmp_path):
    engine = desk.FakeEngine()
    engine.whole = lambda view: desk.full_frame(
        view.focused, status=desk.status(engine="connecting")
    )
    app = desk.make_app(engine, focused="GONEUSDT", memory=Memory(tmp_path))
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await pilot.pause(0.05)
        assert engine.views[-1].focused == "GONEUSDT"
        engine.frames.append(contract.Frame(revision=2, status=desk.status(engine="running")))
        await desk.until(pilot, lambda: engine.views[-1].focused == "BTCUSDT")


async def test_a_broken_file_is_said_on_the_screen(desk, tmp_path):
    (tmp_path / FILE_NAME).write_text("{")
    memory = Memory(tmp_path)
    app = desk.make_app(desk.FakeEngine(), memory=memory, kept=memory.load())
    async with app.run_test(size=FULL) as pilot:
        await desk.until(pilot, lambda: "is not used" in desk.screen_text(app))


async def test_another_theme_keeps_what_fills_the_screen(desk):
    app = desk.make_app(desk.FakeEngine())
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await pilot.press("2", "2")
        app.theme = "nord"
        await pilot.pause()
        await desk.until(pilot, lambda: app.dashboard.desk.is_maximised)
        await desk.until(pilot, lambda: "┌3 chart" not in desk.screen_text(app))


async def test_a_start_that_fails_overwrites_nothing(desk, tmp_path):
    Memory(tmp_path).save(Remembered(symbol="ETHUSDT", interval="1h"))
    engine = desk.FakeEngine()
    engine.gone = desk.EngineGone("No engine runs for this data directory.")
    app = desk.make_app(engine, focused="BTCUSD", memory=Memory(tmp_path))
    async with app.run_test(size=FULL) as pilot:
        await desk.until(pilot, lambda: app.model.link.kind == "gone")
        app.on_dashboard_ticked()
        await pilot.press("q")
    assert Memory(tmp_path).load().symbol == "ETHUSDT"
