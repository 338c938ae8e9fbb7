"""What the tickers pane tells of the focused market, and the forecast pane of a training job."""

from __future__ import annotations

import msgspec
import pytest

from engine.market.forecast import TrackRecord
from engine.service import contract

FULL, MEDIUM = (160, 48), (120, 30)
NOTE = "No model for BTCUSDT 1m yet: press t to train one."


def app_for(desk, **changes):
    def whole(view):
        return desk.full_frame(view.focused or "BTCUSDT", view.interval, **changes)

    return desk.make_app(desk.FakeEngine(whole))


async def shown(desk, app, pilot, text):
    await desk.until(pilot, lambda: text in desk.screen_text(app))
    return desk.screen_text(app)


async def test_the_focused_market_stands_below_a_short_watchlist(desk):
    app = app_for(desk)
    async with app.run_test(size=FULL) as pilot:
        text = await shown(desk, app, pilot, "in quote")
        assert "high     85,896.75" in text
        assert "low      82,528.25" in text
        assert "bps 0.00" in text
        await pilot.press("1", "down", "enter")
        text = await shown(desk, app, pilot, "high     4,183.30")
        assert "bps 0.02" in text


async def test_rows_of_the_watchlist_come_before_the_focused_market(desk):
    app = app_for(desk)
    async with app.run_test(size=MEDIUM) as pilot:
        text = await shown(desk, app, pilot, "1 tickers")
        assert "in quote" not in text


async def test_a_market_without_figures_shows_dashes(desk):
    row = contract.TickerRow("BTCUSDT")
    app = app_for(desk, tickers=contract.TickersSection(("BTCUSDT",), (row,)))
    async with app.run_test(size=FULL) as pilot:
        text = await shown(desk, app, pilot, "in quote -")
        assert "spread -" in text


@pytest.mark.parametrize("state", ["queued", "fetching", "training", "evaluating"])
async def test_nobody_is_told_to_press_t_while_that_training_runs(desk, state):
    section = desk.forecast(**desk.NO_MODEL, note=NOTE, job=desk.job(state))
    app = app_for(desk, forecast=section)
    async with app.run_test(size=FULL) as pilot:
        text = await shown(desk, app, pilot, "The first model of BTCUSDT 1m is being made")
        assert "press t" not in text
        assert "t  trains" not in text


async def test_training_of_another_market_leaves_the_call_to_press_t(desk):
    job = desk.job(symbol="ETHUSDT")
    app = app_for(desk, forecast=desk.forecast(**desk.NO_MODEL, note=NOTE, job=job))
    async with app.run_test(size=FULL) as pilot:
        text = await shown(desk, app, pilot, "press t to train one")
        assert "training ETHUSDT 1m" in text


async def test_how_a_job_of_another_market_ended_is_not_told_here(desk):
    job = desk.job("failed", interval="1M", message="There are too few candles.")
    app = app_for(desk, forecast=desk.forecast(job=job))
    async with app.run_test(size=FULL) as pilot:
        text = await shown(desk, app, pilot, "hit 53.1 %")
        assert "too few candles" not in text


async def test_a_job_that_has_not_begun_a_network_says_what_it_does(desk):
    job = desk.job(seed_index=0, epoch=0, loss=(), val_loss=(), message="Reading candles.")
    app = app_for(desk, forecast=desk.forecast(job=job))
    async with app.run_test(size=FULL) as pilot:
        text = await shown(desk, app, pilot, "Reading candles.")
        assert "network 0/" not in text


async def test_grouping_leaves_the_true_spread(desk):
    book = msgspec.structs.replace(
        desk.book(), bids=((84_210.0, 1.0),), asks=((84_220.0, 1.0),), best=(84_212.5, 84_212.9)
    )
    app = app_for(desk, book=book)
    async with app.run_test(size=FULL) as pilot:
        await shown(desk, app, pilot, "spread 0.40")


async def test_another_theme_keeps_the_sorting(desk):
    app = app_for(desk)
    async with app.run_test(size=FULL) as pilot:
        await shown(desk, app, pilot, "in quote")
        await pilot.press("1", "s", "s", "s")
        await shown(desk, app, pilot, "by change")
        before = app.dashboard.desk.tickers
        app.theme = "textual-light"
        await desk.until(pilot, lambda: app.dashboard.desk.tickers is not before)
        await desk.until(pilot, lambda: app.dashboard.desk.tickers.order == before.order)
        assert app.dashboard.desk.tickers.sort_key == "change"


RECORD = TrackRecord(
    resolved=500,
    hit_rate=0.99,
    low=0.97,
    high=1.0,
    baselines={"majority": 0.99},
    brier=0.01,
    needed=None,
    ties=480,
    rival="majority",
    rival_rate=0.99,
    standing="rivalled",
)


async def test_ties_are_counted_beside_every_hit_rate(desk):
    model = msgspec.structs.replace(desk.forecast().model, ties=1_204)
    section = desk.forecast(model=model, record=RECORD)
    app = app_for(desk, forecast=section)
    async with app.run_test(size=FULL) as pilot:
        text = await shown(desk, app, pilot, "better than a coin, not than majority (99.0 %)")
        assert "is higher, if it changes" in text
        assert "of 3,912 · 1,204 ties" in text
        assert "of 500 · 480 ties" in text
        assert "could be chance" not in text


async def test_a_record_of_ties_alone_says_so(desk):
    nothing = TrackRecord(0, None, None, None, {}, None, 9, ties=1)
    app = app_for(desk, forecast=desk.forecast(record=nothing))
    async with app.run_test(size=FULL) as pilot:
        text = await shown(desk, app, pilot, "no outcome known yet · 1 tie")
        assert "is higher, if" not in text
