"""Screens that were built ahead show what fresh ones would."""

from __future__ import annotations

import pytest

from engine.service.contract import CoverageRequest, GapsRequest, Search
from tests.tui.test_capture_screens import engine_with, gap

NAMES = {"help", "palette", "find", "gaps", "coverage", "notices"}


@pytest.fixture
def app(desk):
    app = desk.make_app(engine_with(desk, gaps=[gap(desk)]))
    app.spares.idle_s = app.spares.between_s = 0.0
    return app


@pytest.mark.parametrize(
    ("keys", "name", "text"),
    [
        (["question_mark"], "help", "klinetop: keys"),
        (["ctrl+p"], "palette", "train a model"),
        (["slash"], "find", "find a market"),
        (["4", "g"], "gaps", "no connection"),
        (["4", "c"], "coverage", "coverage of the last"),
        (["n"], "notices", "notices, newest first"),
    ],
)
async def test_a_key_opens_the_screen_that_was_built_ahead(desk, app, keys, name, text):
    async with app.run_test(size=(120, 30)) as pilot:
        await desk.until(pilot, lambda: set(app.spares.ready) == NAMES)
        spare = app.spares.ready[name]
        await pilot.press(*keys)
        await desk.until(pilot, lambda: text in desk.screen_text(app))
        assert app.screen is spare
        await pilot.press("escape")
        await desk.until(pilot, lambda: set(app.spares.ready) == NAMES)
        assert app.screen is app.dashboard
        assert app.spares.ready[name] is not spare


async def test_nothing_is_asked_for_screens_that_nobody_opened(desk, app):
    engine = app.link._connect.__self__
    async with app.run_test(size=(120, 30)) as pilot:
        await desk.until(pilot, lambda: set(app.spares.ready) == NAMES)
        asked = [kind for kind in (Search, GapsRequest, CoverageRequest) if engine.asked_for(kind)]
        assert asked == []


async def test_a_spare_knows_the_watchlist_of_now(desk, app):
    async with app.run_test(size=(120, 30)) as pilot:
        await desk.until(pilot, lambda: set(app.spares.ready) == NAMES)
        app.model.state.order = (*app.model.state.order, "PEPEUSDT")
        await pilot.press("ctrl+p", *"pepe")
        await desk.until(pilot, lambda: "focus PEPEUSDT" in desk.screen_text(app))


async def test_a_spare_fits_the_size_that_the_terminal_has_got(desk, app):
    async with app.run_test(size=(120, 30)) as pilot:
        await desk.until(pilot, lambda: set(app.spares.ready) == NAMES)
        await pilot.resize_terminal(90, 24)
        await pilot.press("question_mark")
        await desk.until(pilot, lambda: "klinetop: keys" in desk.screen_text(app))
        assert app.screen.size == (90, 24)
        assert "Esc back" in desk.screen_text(app).split("\n")[-1]


async def test_another_theme_builds_them_anew(desk, app):
    async with app.run_test(size=(120, 30)) as pilot:
        await desk.until(pilot, lambda: set(app.spares.ready) == NAMES)
        before = dict(app.spares.ready)
        app.theme = "textual-light"
        await desk.until(
            pilot,
            lambda: (
                set(app.spares.ready) == NAMES and not before.items() & app.spares.ready.items()
            ),
        )
        await pilot.press("question_mark")
        await desk.until(pilot, lambda: "klinetop: keys" in desk.screen_text(app))
        assert app.screen.styles.background.brightness > 0.5


async def test_the_dashboard_is_painted_once_when_it_comes_back(desk, app, monkeypatch):
    async with app.run_test(size=(120, 30)) as pilot:
        await desk.until(pilot, lambda: set(app.spares.ready) == NAMES)
        await pilot.press("question_mark")
        await desk.until(pilot, lambda: "klinetop: keys" in desk.screen_text(app))
        help_screen = app.screen
        compositor = app.dashboard._compositor
        painted = []
        render = compositor.render_full_update

        def render_full_update(**options):
            painted.append(app.screen)
            return render(**options)

        monkeypatch.setattr(compositor, "render_full_update", render_full_update)
        await pilot.press("escape")
        await desk.until(pilot, lambda: not help_screen.is_attached)
        await pilot.pause()
        assert painted == [app.dashboard]
