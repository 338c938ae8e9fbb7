"""The terminal against a scripted engine: what it shows, and what its keys ask for."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from engine.market.candle import Candle
from engine.market.capture_figures import MarketCoverage
from engine.market.symbol import SymbolInfo
from engine.service import contract
from engine.service.client import EngineMismatch, EngineProblem
from tui.cells import width_of

FULL = (160, 48)


@pytest.fixture
def engine(desk):
    return desk.FakeEngine()


@pytest.fixture
def clock(desk):
    return desk.Clock()


@pytest.fixture
def app(desk, engine, clock):
    return desk.make_app(engine, clock)


async def live(desk, app, pilot):
    await desk.until(pilot, lambda: app.model.link.is_up and app.model.state.status is not None)


def said(app) -> str:
    return " | ".join(message.text for message in app.model.messages.unseen)


async def test_the_first_frame_is_painted_before_there_is_a_connection(desk, engine, clock):
    gate = asyncio.Event()

    async def connect():
        await gate.wait()
        return await engine.connect()

    engine_connect, engine.connect = engine.connect, connect
    app = desk.make_app(engine, clock)
    engine.connect = engine_connect
    async with app.run_test(size=FULL) as pilot:
        await pilot.pause()
        text = desk.screen_text(app)
        assert "connecting to the engine…" in text
        assert "1 tickers" in text
        gate.set()
        await live(desk, app, pilot)
        assert "connecting" not in desk.screen_text(app)


async def test_every_pane_shows_what_the_engine_tells(desk, app):
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await desk.until(pilot, lambda: "logistic 52.9" in desk.screen_text(app))
        text = desk.screen_text(app)
    for part in (
        "84,212.50 ▼ 0.37%",
        "2 order book",
        "spread 0.40",
        "BTCUSDT 1m O 84,119.73",
        "1,204,331",
        "3 filled",
        "hit 53.1 % [45.9, 60.2] of 912",
        "could be chance; 9,300 more outcomes will tell",
        "known in 4:53",
        "21:48:06.830",
        "buy ",
        "buy and Δ of 1 min",
        "v12 · 2 h old",
    ):
        assert part in text, part


async def test_deltas_change_what_is_drawn(desk, app, engine):
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        last = desk.candles()[-1]
        changed = Candle(
            last.open_time_ms, last.open, 85_000.0, last.low, 84_999.99, 9.0, 9.0, closed=False
        )
        row = msgspec.structs.replace(desk.tickers().rows[0], last=84_999.99)
        engine.frames.append(
            contract.Frame(
                revision=2,
                tickers=contract.TickersSection(desk.tickers().order, (row,)),
                chart=desk.chart(reset=False, candles=(changed,)),
            )
        )
        await desk.until(pilot, lambda: "C 84,999.99" in desk.screen_text(app))
        await desk.until(pilot, lambda: "▸● BTCUSDT  84,999.99" in desk.screen_text(app))


async def test_enter_on_a_ticker_makes_it_the_focus_everywhere(desk, app, engine):
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await pilot.press("1", "down", "enter")
        await desk.until(pilot, lambda: engine.views[-1].focused == "ETHUSDT")
        await desk.until(pilot, lambda: "ETHUSDT 1m O" in desk.screen_text(app))
        text = desk.screen_text(app)
        assert "5 forecast  ETHUSDT 1m" in text
        assert "BTCUSDT 1m" not in text


async def test_data_of_the_symbol_before_are_never_shown_as_the_new_ones(desk, app, engine):
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await desk.until(pilot, lambda: "spread 0.40" in desk.screen_text(app))
        engine.whole = lambda view: contract.Frame(revision=5)
        await pilot.press("1", "down", "enter")
        await desk.until(pilot, lambda: engine.views[-1].focused == "ETHUSDT")
        text = desk.screen_text(app)
        assert "spread 0.40" not in text
        assert "hit 53.1 %" not in text
        assert "waiting for the engine" in text


async def test_interval_keys_change_the_view_and_stop_at_the_ends(desk, app, engine):
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await pilot.press("]")
        await desk.until(pilot, lambda: engine.views[-1].interval == "3m")
        await pilot.press("[", "[", "[", "[")
        await desk.until(pilot, lambda: engine.views[-1].interval == "1s")


async def test_zooming_out_asks_for_more_candles(desk, app, engine):
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        before = engine.views[-1].bars
        for _ in range(8):
            await pilot.press("minus")
        await desk.until(pilot, lambda: engine.views[-1].bars > before)


async def test_panning_left_asks_for_older_candles_until_the_oldest_is_there(desk, app, engine):
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        before = engine.views[-1].bars
        for _ in range(30):
            await pilot.press("pageup")
        await desk.until(pilot, lambda: engine.views[-1].bars > before)
        await desk.until(pilot, lambda: "0: live edge" in desk.screen_text(app))
        await pilot.press("0")
        await desk.until(pilot, lambda: "0: live edge" not in desk.screen_text(app))


async def test_the_crosshair_reads_out_another_candle(desk, app):
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await pilot.press("h", "h", "h")
        await desk.until(pilot, lambda: "2026-11-22 21:4" in desk.screen_text(app))
        await pilot.press("escape")
        await desk.until(pilot, lambda: "BTCUSDT 1m O" in desk.screen_text(app))


async def test_t_trains_the_focused_symbol_and_says_so(desk, app, engine):
    engine.answers[contract.Retrain] = contract.Done("Training BTCUSDT 1m.")
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await pilot.press("t")
        await desk.until(pilot, lambda: engine.asked_for(contract.Retrain))
        assert engine.asked_for(contract.Retrain) == [contract.Retrain("BTCUSDT", "1m")]
        assert len(engine.clients) == 2  # the engine may ask the exchange: pulling goes on
        await desk.until(pilot, lambda: "Training BTCUSDT 1m." in said(app))


async def test_t_says_so_when_a_job_runs_already(desk, app, engine):
    engine.whole = lambda view: desk.full_frame(forecast=desk.forecast(job=desk.job()))
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await pilot.press("t")
        await desk.until(pilot, lambda: "runs already" in said(app))
        assert not engine.asked_for(contract.Retrain)


async def test_x_cancels_and_a_refusal_is_told(desk, app, engine):
    engine.answers[contract.Cancel] = EngineProblem("No training job runs.")
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await pilot.press("x")
        await desk.until(pilot, lambda: "No training job runs." in said(app))
        assert engine.asked_for(contract.Cancel)


@pytest.mark.parametrize(("key", "detach"), [("q", False), ("ctrl+c", False), ("d", True)])
async def test_leaving_says_goodbye(desk, app, engine, key, detach):
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await pilot.press(key)
        await desk.until(pilot, lambda: not app.is_running)
    assert engine.asked_for(contract.Goodbye) == [contract.Goodbye(detach=detach)]
    assert all(client.is_closed for client in engine.clients)


async def test_delete_takes_a_symbol_off_the_watchlist(desk, app, engine):
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await pilot.press("1", "j", "u")
        await desk.until(pilot, lambda: engine.asked_for(contract.Unwatch))
        assert engine.asked_for(contract.Unwatch) == [contract.Unwatch("ETHUSDT")]


async def test_slash_finds_a_market_and_watches_or_focuses_it(desk, app, engine):
    engine.found = (
        SymbolInfo("PEPEUSDT", "PEPE", "USDT", "TRADING", "0.0001"),
        SymbolInfo("PEOPLEUSDT", "PEOPLE", "USDT", "BREAK"),
    )
    engine.found_tickers = (contract.TickerRow("PEPEUSDT", last=0.0123, change_percent=4.5),)
    async with app.run_test(size=(100, 30)) as pilot:
        await live(desk, app, pilot)
        await pilot.press("slash")
        await desk.until(pilot, lambda: "PEOPLEUSDT" in desk.screen_text(app))
        assert "0.0123" in desk.screen_text(app)
        assert "4.50 %" in desk.screen_text(app)
        await pilot.press("q", "backspace", "p", "e", "p", "e")
        await desk.until(pilot, lambda: "PEOPLEUSDT" not in desk.screen_text(app))
        await pilot.press("ctrl+a")
        await desk.until(pilot, lambda: engine.asked_for(contract.Watch))
        assert engine.asked_for(contract.Watch) == [contract.Watch("PEPEUSDT")]
        await pilot.press("enter")
        await desk.until(pilot, lambda: engine.views[-1].focused == "PEPEUSDT")
        assert app.screen is app.dashboard


async def test_sorting_keeps_the_cursor_on_its_symbol(desk, app):
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await pilot.press("1", "j", "s", "s", "s")
        tickers = app.dashboard.desk.tickers
        assert tickers.sort_key == "change"
        assert tickers.order[0] == "LTCUSDT"
        assert tickers.table.cursor_key == "ETHUSDT"
        await pilot.press("S")
        assert tickers.order[0] == "DOTUSDT"


async def test_g_groups_the_book_and_a_new_focus_forgets_it(desk, app, engine):
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await pilot.press("2", "g", "g")
        await desk.until(pilot, lambda: engine.views[-1].ladder_step == pytest.approx(0.1))
        await desk.until(pilot, lambda: "2 order book  step 0.1 " in desk.screen_text(app))
        app.focus_symbol("ETHUSDT")
        await desk.until(pilot, lambda: engine.views[-1].ladder_step == 0.0)


async def test_space_freezes_drawing_but_not_the_state(desk, app, engine):
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await pilot.press("space")
        row = msgspec.structs.replace(desk.tickers().rows[0], last=1.0)
        engine.frames.append(
            contract.Frame(
                revision=2, tickers=contract.TickersSection(desk.tickers().order, (row,))
            )
        )
        await desk.until(pilot, lambda: app.model.state.tickers["BTCUSDT"].last == 1.0)
        text = desk.screen_text(app)
        assert "FROZEN" in text
        assert "▸● BTCUSDT  84,212.50" in text
        await pilot.press("space")
        await desk.until(pilot, lambda: "▸● BTCUSDT       1.00" in desk.screen_text(app))
        assert "FROZEN" not in desk.screen_text(app)


async def test_numbers_focus_maximise_and_go_back(desk, app):
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await pilot.press("2")
        assert "┏2 order book" in desk.screen_text(app)
        await pilot.press("2")
        await desk.until(pilot, lambda: "┌3 chart" not in desk.screen_text(app))
        assert " 1 tickers " in desk.screen_text(app)
        await pilot.press("escape")
        await desk.until(pilot, lambda: "┌3 chart" in desk.screen_text(app))


async def test_tab_goes_round_all_panes(desk, app):
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        seen = []
        for _ in range(6):
            seen.append(app.dashboard.desk.focused_name)
            assert app.focused is app.dashboard.desk.focused_pane
            await pilot.press("tab")
        assert seen == ["chart", "storage", "forecast", "trades", "tickers", "book"]
        await pilot.press("shift+tab")
        assert app.dashboard.desk.focused_name == "book"


async def test_in_a_medium_terminal_focus_swaps_storage_in(desk, app):
    async with app.run_test(size=(120, 30)) as pilot:
        await live(desk, app, pilot)
        await desk.until(pilot, lambda: "5 forecast  BTCUSDT" in desk.screen_text(app))
        await pilot.press("4")
        await desk.until(pilot, lambda: "┏4 storage" in desk.screen_text(app))
        assert "5 forecast  BTCUSDT" not in desk.screen_text(app)
        assert "5 forecast p↑ 49%" in desk.screen_text(app)


async def test_a_small_terminal_shows_one_pane_and_figures_of_the_others(desk, app):
    async with app.run_test(size=(80, 24)) as pilot:
        await live(desk, app, pilot)
        await pilot.press("4")
        await desk.until(pilot, lambda: "┏4 storage" in desk.screen_text(app))
        tabs = desk.screen_text(app).splitlines()[1]
        for part in ("84,212.50 ▼0.37%", "spread 0.40", "4 storage", "p↑ 49%", "buy 63%"):
            assert part in tabs


async def test_a_terminal_that_grows_again_gets_its_desk_back(desk, app):
    async with app.run_test(size=(59, 15)) as pilot:
        await live(desk, app, pilot)
        assert "terminal too small: needs 60x16, is 59x15" in desk.screen_text(app)
        await pilot.resize_terminal(120, 30)
        await desk.until(pilot, lambda: "3 chart  BTCUSDT" in desk.screen_text(app))
        assert "too small" not in desk.screen_text(app)


async def test_a_lost_engine_is_told_dimmed_and_found_again(desk, app, engine):
    app.link._reconnect_s = 0.02
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        engine.gone = desk.EngineGone("The engine is gone; `klinetop` starts it again.")
        await desk.until(pilot, lambda: engine.refusals > 1)
        text = desk.screen_text(app)
        assert "○ engine gone" in text
        assert "Since 21:48:07 UTC: The engine is gone" in text
        assert app.dashboard.desk.has_class("-stale")
        assert "84,212.50" in text
        engine.gone = None
        await desk.until(pilot, lambda: app.model.link.is_up)
        await desk.until(pilot, lambda: "● live" in desk.screen_text(app))
        assert not app.dashboard.desk.has_class("-stale")


async def test_an_engine_of_another_version_is_told(desk, app, engine):
    engine.gone = EngineMismatch("The running engine is of version 9; `klinetop stop` stops it.")
    async with app.run_test(size=FULL) as pilot:
        await desk.until(pilot, lambda: "version 9" in desk.screen_text(app))
        assert "other version" in desk.screen_text(app)


async def test_keys_without_an_engine_give_a_sentence(desk, app, engine):
    engine.gone = desk.EngineGone("No engine runs for this data directory.")
    async with app.run_test(size=FULL) as pilot:
        await desk.until(pilot, lambda: app.model.link.kind == "gone")
        await pilot.press("x")
        await desk.until(pilot, lambda: "no engine to ask" in said(app))
        await pilot.press("t")
        await desk.until(pilot, lambda: "no symbol to train on" in said(app))


async def test_notices_are_said_and_stay_in_the_log(desk, app, engine, clock):
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        engine.frames.append(
            contract.Frame(
                revision=2,
                notices=(
                    contract.Notice(clock.now_ms + 1, "warning", "Model v12 was not promoted."),
                    contract.Notice(clock.now_ms - 99_000, "info", "an old one"),
                ),
            )
        )
        await desk.until(pilot, lambda: "not promoted" in said(app))
        assert "an old one" not in said(app)
        await pilot.press("n")
        await desk.until(pilot, lambda: "an old one" in desk.screen_text(app))


async def test_a_book_that_is_not_synchronised_is_never_shown_as_live(desk, app, engine):
    book = desk.book(state="buffering", reason="fetching a snapshot")
    engine.whole = lambda view: desk.full_frame(book=book)
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await desk.until(pilot, lambda: "buffering" in desk.screen_text(app))
        assert "fetching a snapshot" in desk.screen_text(app)
        assert "synced" not in desk.screen_text(app)


async def test_invented_data_are_labelled(desk, app, engine):
    engine.whole = lambda view: desk.full_frame(
        status=desk.status(source="replay", speed=60.0),
        book=desk.book(made_up=True),
        trades=desk.trades(made_up=True),
    )
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await desk.until(
            pilot, lambda: desk.screen_text(app).count("invented: made of candles") == 2
        )
        assert "2 order book  invented" in desk.screen_text(app)
        assert "6 trades  invented" in desk.screen_text(app)
        assert "2026-11-22 21:48:07 UTC" in desk.screen_text(app)
        assert "REPLAY 60\u00d7" in desk.screen_text(app)


async def test_help_palette_and_back(desk, app):
    async with app.run_test(size=(120, 50)) as pilot:
        await live(desk, app, pilot)
        await pilot.press("question_mark")
        await desk.until(pilot, lambda: "klinetop: keys" in desk.screen_text(app))
        await pilot.press("q")
        await desk.until(pilot, lambda: app.screen is app.dashboard)
        await pilot.press("ctrl+p")
        await desk.until(pilot, lambda: "shorter candle interval" in desk.screen_text(app))
        await pilot.press(*"focus eth")
        await desk.until(pilot, lambda: "focus ETHUSDT" in desk.screen_text(app))
        await pilot.press("enter")
        await pilot.press("enter")
        await desk.until(pilot, lambda: app.model.view.focused == "ETHUSDT")


@pytest.mark.parametrize("size", [(160, 48), (80, 24), (200, 60)])
async def test_help_cuts_no_word_at_the_scrollbar(desk, app, size):
    async with app.run_test(size=size) as pilot:
        await live(desk, app, pilot)
        await pilot.press("question_mark")
        await desk.until(pilot, lambda: "klinetop: keys" in desk.screen_text(app))
        page = app.screen.page
        assert max(map(width_of, page.lines)) <= page.size.width


async def test_a_long_notice_is_folded(desk, app):
    async with app.run_test(size=(80, 24)) as pilot:
        await live(desk, app, pilot)
        words = " ".join(f"word{number}" for number in range(30))
        app.model.state.notices.append(contract.Notice(5, "warning", words))
        await pilot.press("n")
        await desk.until(pilot, lambda: "notices, newest first" in desk.screen_text(app))
        assert all(f"word{number}" in desk.screen_text(app) for number in range(30))


async def test_another_theme_keeps_the_desk(desk, app):
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        dark = app.model.palette
        app.theme = "textual-light"
        await desk.until(pilot, lambda: app.model.palette is not dark)
        await desk.until(pilot, lambda: "3 chart  BTCUSDT" in desk.screen_text(app))
        await pilot.press("2")
        await desk.until(pilot, lambda: "┏2 order book" in desk.screen_text(app))


async def test_nothing_is_painted_when_nothing_changes(desk, app, engine):
    async with app.run_test(size=FULL) as pilot:
        await live(desk, app, pilot)
        await pilot.pause(0.2)
        painted = []
        app.post_display_hook = lambda: painted.append(1)
        pulls = len(engine.views)
        await desk.until(pilot, lambda: len(engine.views) > pulls + 10)
        regions = app.screen._compositor._dirty_regions
        assert not regions
        assert len(painted) <= 2


@pytest.mark.parametrize("screen_key", ["", "question_mark"])
async def test_a_terminal_that_grows_again_gives_the_keyboard_back(desk, app, engine, screen_key):
    async with app.run_test(size=(120, 30)) as pilot:
        await live(desk, app, pilot)
        await pilot.press("1")
        if screen_key:
            await pilot.press(screen_key)
        await pilot.resize_terminal(50, 12)
        if not screen_key:
            await desk.until(pilot, lambda: "too small" in desk.screen_text(app))
        await pilot.resize_terminal(120, 30)
        if screen_key:
            await pilot.press("escape")
        await desk.until(pilot, lambda: app.focused is app.dashboard.desk.focused_pane)
        await desk.until(pilot, lambda: "┏1 tickers" in desk.screen_text(app))
        await pilot.press("down", "enter")
        await desk.until(pilot, lambda: engine.views[-1].focused == "ETHUSDT")


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_a_pane_that_fills_the_screen_uses_its_room(desk, app, engine, size):
    async with app.run_test(size=size) as pilot:
        await live(desk, app, pilot)
        shown = app.dashboard.desk
        if size != (80, 24):
            await pilot.press("z")
        await pilot.press("2")
        await desk.until(pilot, lambda: engine.views[-1].ladder_levels >= size[1] - 8)
        await pilot.press("6")
        columns, rows = size[0] // 40, size[1] - 7
        await desk.until(pilot, lambda: engine.views[-1].tape_length >= columns * rows)
        await desk.until(pilot, lambda: desk.screen_text(app).count("21:4") >= columns * 2)
        await pilot.press("1")
        wanted = ["low-high", "in base"] + ["low to high", "bid", "ask"] * (size[0] > 100)
        await desk.until(pilot, lambda: all(one in desk.screen_text(app) for one in wanted))
        await pilot.press("4")
        await desk.until(pilot, lambda: "quarantined" in desk.screen_text(app))
        await pilot.press("5")
        if size[0] > 110:
            await desk.until(pilot, lambda: "right, of the last 35" in desk.screen_text(app))
        await pilot.press("3")
        await desk.until(pilot, lambda: shown.chart.size.width == size[0])


async def test_storage_strips_stand_in_as_many_columns_as_fit(desk):
    worst = tuple(
        MarketCoverage(f"M{number:02}USDT", "1m", "TRADING", 1440, 1400, 1400, 0, 0, (1.0,) * 24)
        for number in range(40)
    )
    engine = desk.FakeEngine(lambda view: desk.full_frame(storage=desk.storage(worst=worst)))
    app = desk.make_app(engine)
    async with app.run_test(size=(160, 40)) as pilot:
        await live(desk, app, pilot)
        await pilot.press("4", "4")
        await desk.until(pilot, lambda: "M39USDT" in desk.screen_text(app))
        assert "M00USDT" in desk.screen_text(app)
