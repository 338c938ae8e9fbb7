"""The screens about capture: gaps, coverage, and the way from a gap into the chart."""

import msgspec
import pytest

from engine.market.capture_figures import (
    BackfillProgress,
    DayQuality,
    DiskState,
    GapRow,
    MarketCoverage,
)
from engine.service.client import EngineProblem
from engine.service.contract import Coverage, CoverageRequest, Gaps, GapsRequest, RetryGaps

HOUR_MS = 3_600_000


def gap(desk, minutes_ago=90, **changes):
    from_ms = (desk.NOW_MS - minutes_ago * 60_000) // 60_000 * 60_000
    row = GapRow(
        "BTCUSDT",
        "1m",
        from_ms,
        from_ms + 5 * 60_000,
        5,
        "open",
        "no connection: it was reset",
        2,
        "HTTP 503",
        from_ms + 65_000,
        desk.WALL_MS,
    )
    return msgspec.structs.replace(row, **changes)


def coverage_row(symbol="BTCUSDT", **changes):
    row = MarketCoverage(
        symbol, "1m", "TRADING", 1440, 1435, 1400, 3, 1, (*([1.0] * 10), 0.5, *([1.0] * 13))
    )
    return msgspec.structs.replace(row, **changes)


def engine_with(desk, *, gaps=(), rows=(), section=None):
    def whole(view):
        return desk.full_frame(
            view.focused or "BTCUSDT", view.interval, storage=section or desk.storage()
        )

    engine = desk.FakeEngine(whole)
    engine.answers[GapsRequest] = Gaps(len(gaps), {"open": 5, "filled": 1_203}, tuple(gaps))
    engine.answers[CoverageRequest] = Coverage(
        desk.NOW_MS // HOUR_MS * HOUR_MS - 23 * HOUR_MS, len(rows), tuple(rows)
    )
    return engine


async def test_gaps_are_walked_filtered_and_asked_for_again(desk):
    engine = engine_with(desk, gaps=[gap(desk), gap(desk, 300, state="exchange_hole", reason="")])
    app = desk.make_app(engine)
    async with app.run_test(size=(160, 48)) as pilot:
        await desk.until(pilot, lambda: "candles" in desk.screen_text(app))
        await pilot.press("4", "g")
        await desk.until(pilot, lambda: "no connection: it was reset" in desk.screen_text(app))
        text = desk.screen_text(app)
        assert "HTTP 503" in text
        assert "1,203 filled" in text
        assert "not known" in text
        assert engine.asked_for(GapsRequest)[-1] == GapsRequest("", (), limit=200)
        await pilot.press("f")
        await desk.until(pilot, lambda: engine.asked_for(GapsRequest)[-1].states == ("open",))
        await pilot.press("r")
        await desk.until(pilot, lambda: engine.asked_for(RetryGaps) == [RetryGaps("")])
        await pilot.press("escape")
        await desk.until(pilot, lambda: app.screen is app.dashboard)


async def test_enter_on_a_gap_shows_its_time_in_the_chart(desk):
    row = gap(desk, 90, symbol="ETHUSDT")
    engine = engine_with(desk, gaps=[row])
    app = desk.make_app(engine)
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.press("4", "g")
        await desk.until(pilot, lambda: "no connection" in desk.screen_text(app))
        await pilot.press("enter")
        await desk.until(pilot, lambda: app.screen is app.dashboard)
        await desk.until(pilot, lambda: "ETHUSDT 1m 2026-11-22 20:1" in desk.screen_text(app))
        chart = app.dashboard.desk.chart.chart
        assert app.dashboard.desk.focused_name == "chart"
        assert not chart.is_live
        assert chart.readout().time_ms == row.from_ms


async def test_coverage_lists_the_worst_narrows_by_letters_and_leads_to_gaps(desk):
    rows = [coverage_row(), coverage_row("币安人生USDT", stored=1440, holes=0, status="BREAK")]
    engine = engine_with(desk, rows=rows, gaps=[gap(desk)])
    app = desk.make_app(engine)
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press("4", "c")
        await desk.until(pilot, lambda: "99.65 %" in desk.screen_text(app))
        text = desk.screen_text(app)
        assert "币安人生USDT" in text
        assert "100 %" in text
        assert "break" in text
        await pilot.press("b", "t", "tab")
        await desk.until(pilot, lambda: engine.asked_for(CoverageRequest)[-1].query == "BT")
        assert not engine.asked_for(CoverageRequest)[-1].worst_first
        await pilot.press("f2")
        await desk.until(pilot, lambda: engine.asked_for(CoverageRequest)[-1].hours == 48)
        await pilot.press("enter")
        await desk.until(pilot, lambda: "gaps of BTCUSDT" in desk.screen_text(app))
        assert engine.asked_for(GapsRequest)[-1].symbol == "BTCUSDT"


async def test_a_refusal_stands_where_the_rows_would(desk):
    engine = engine_with(desk)
    engine.answers[CoverageRequest] = EngineProblem("The database can not be read.")
    app = desk.make_app(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4", "c")
        await desk.until(pilot, lambda: "The database can not be read." in desk.screen_text(app))


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (
            {"progress": BackfillProgress("X 1m", 12_000, 1_200_000, 3_400, 349, 12)},
            ("12.0 k of 1.20 M", "3.40 k/s", "5:49 left", "filling"),
        ),
        (
            {"progress": BackfillProgress("", 1, 2, 0, None, 1, "banned for 93 s")},
            ("banned for 93 s",),
        ),
        (
            {
                "quality": DayQuality(
                    12, 12, 17_280, 17_279, 17_000, 3, 1_273.0, (41.0, 90.0, 300.0)
                )
            },
            ("99.99 %", "98.37 %", "3 more in holes", "41 / 90 / 300 ms", "+1,273 ms"),
        ),
        ({"disk": DiskState(150_000_000, "floor", "only candles")}, ("150 MB free", "disk full")),
        ({"disk": DiskState(5_000_000_000, "gone", "gone")}, ("file deleted",)),
        ({"disk": DiskState(5_000_000_000, "damaged", "damaged")}, ("damaged",)),
        ({"recording": "12 MB in 20261122T21.gz"}, ("12 MB in 20261122T21.gz",)),
        ({"worst": (coverage_row("ETHBTC"),)}, ("ETHBTC", "99.65 %")),
    ],
)
async def test_the_storage_pane_shows_how_capture_stands(desk, part, words):
    app = desk.make_app(engine_with(desk, section=desk.storage(**part)))
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.press("4", "z")
        for word in words:
            await desk.until(pilot, lambda word=word: word in desk.screen_text(app))


async def test_two_columns_of_counters_hold_whole_figures_only(desk):
    section = desk.storage(
        quality=DayQuality(12, 12, 17_280, 17_280, 17_000, 1),
        gaps={"open": 0, "filled": 9, "exchange_hole": 1},
        disk=DiskState(75_000_000_000, "fine", ""),
        messages_per_s=12_345.0,
    )
    app = desk.make_app(engine_with(desk, section=section))
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press("4")
        await desk.until(pilot, lambda: "1 hole " in desk.screen_text(app))
        text = desk.screen_text(app)
        right = text.partition("weight")[2].splitlines()[0]
        assert "…" not in right
        assert "75 GB free" in text
        assert "12,345 msg/s" in text
        assert "1 holes" not in text


async def test_the_storage_pane_says_one_thing_about_what_is_complete(desk):
    sections = {
        "being counted": desk.storage(coverage=()),
        "nothing expected yet": desk.storage(coverage=(None,) * 24),
        "incomplete": desk.storage(coverage=(None,) * 24, gaps={"open": 1}),
    }
    for words, section in sections.items():
        text = await _shown(desk, section)
        assert words in text
        assert "complete" not in text.replace("incomplete", "")


async def _shown(desk, section):
    app = desk.make_app(engine_with(desk, section=section))
    async with app.run_test(size=(160, 48)) as pilot:
        await desk.until(pilot, lambda: "candles" in desk.screen_text(app))
        return desk.screen_text(app)


async def test_tasks_that_were_begun_anew_stand_in_the_storage_pane(desk):
    section = desk.storage(failures={"report": 2, "quality": 1})
    app = desk.make_app(engine_with(desk, section=section))
    async with app.run_test(size=(160, 48)) as pilot:
        await desk.until(pilot, lambda: "report 2x" in desk.screen_text(app))
        assert "quality 1x" in desk.screen_text(app)


async def test_coverage_before_the_first_count_says_so(desk):
    engine = engine_with(desk)
    engine.answers[CoverageRequest] = Coverage(0, 0, ())
    app = desk.make_app(engine)
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press("4", "c")
        await desk.until(pilot, lambda: "first count" in desk.screen_text(app))
        assert "1970" not in desk.screen_text(app)
