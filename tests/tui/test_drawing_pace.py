"""Panes are drawn at their pace; a key's answer at once; nothing for panes out of sight."""

from __future__ import annotations

import asyncio
from itertools import count

import msgspec
import pytest

from engine.service.contract import Frame, View
from tui.link import EngineLink
from tui.pace import LinkMeter, Pace, Pacer

FULL = (160, 48)


@pytest.fixture
def drawn(monkeypatch):
    """Count the drawings of each pane, and let the panes' clocks stand still."""

    def install(app):
        counts = dict.fromkeys(app.dashboard.desk.panes, 0)
        now = {"s": 100.0}
        desk = app.dashboard.desk
        desk._paces = {name: Pace(pane.LEAST_S, pane.OFFSET_S, clock=lambda: now["s"])
                       for name, pane in desk.panes.items()}  # fmt: skip
        app.dashboard._second = Pace(3600.0, clock=lambda: 100.0)
        app.dashboard._second.take()
        for name, pane in desk.panes.items():

            def draw(name=name, original=pane.draw):
                counts[name] += 1
                original()

            monkeypatch.setattr(pane, "draw", draw)
        return counts, now

    return install


def frames(desk, symbol: str = "BTCUSDT"):
    """Yield frames in which everything has changed."""
    for revision in count(2):
        rows = [
            msgspec.structs.replace(row, last=(row.last or 1) + revision)
            for row in desk.tickers().rows
        ]
        yield desk.full_frame(
            symbol,
            revision=revision,
            tickers=msgspec.structs.replace(desk.tickers(), rows=tuple(rows)),
            book=desk.book(symbol, last_update_id=revision),
            chart=msgspec.structs.replace(desk.chart(symbol), reset=False),
            trades=msgspec.structs.replace(desk.trades(symbol), reset=False),
        )


async def started(desk, pilot, app):
    await desk.until(pilot, lambda: app.model.state.revision)
    await desk.until(pilot, lambda: "synced" in desk.screen_text(app))


def deliver(app, frame):
    app.received(frame, app.model.view)


async def test_ten_frames_within_a_beat_draw_each_pane_once(desk, drawn):
    app = desk.make_app(desk.FakeEngine())
    async with app.run_test(size=FULL) as pilot:
        await started(desk, pilot, app)
        counts, _ = drawn(app)
        source = frames(desk)
        for _ in range(10):
            deliver(app, next(source))
        assert set(counts.values()) == {1}


async def test_what_waited_is_drawn_with_a_later_frame_though_that_is_empty(desk, drawn):
    app = desk.make_app(desk.FakeEngine())
    async with app.run_test(size=FULL) as pilot:
        await started(desk, pilot, app)
        counts, now = drawn(app)
        source = frames(desk)
        deliver(app, next(source))
        deliver(app, next(source))
        empty = msgspec.structs.replace(next(source), **dict.fromkeys(
            ("status", "tickers", "book", "chart", "trades", "storage", "forecast")
        ))  # fmt: skip
        now["s"] += 0.25
        deliver(app, empty)
        assert (counts["book"], counts["trades"]) == (2, 2)
        assert (counts["chart"], counts["tickers"]) == (2, 1)
        now["s"] += 0.75
        deliver(app, empty)
        assert set(counts.values()) == {2}
        now["s"] += 5
        deliver(app, empty)
        assert set(counts.values()) == {2}


async def test_the_answer_to_a_key_does_not_wait_for_the_beat(desk, drawn):
    app = desk.make_app(desk.FakeEngine())
    async with app.run_test(size=FULL) as pilot:
        await started(desk, pilot, app)
        counts, _ = drawn(app)
        source = frames(desk)
        deliver(app, next(source))
        deliver(app, next(source))
        assert counts["book"] == 1
        asked_before = app.model.view
        app.change_view(ladder_step=0.1)
        # What was asked for before the key is not its answer.
        app.received(next(source), asked_before)
        before = counts["book"]
        deliver(app, next(source))
        assert counts["book"] == before + 1
        deliver(app, next(source))
        assert counts["book"] == before + 1


async def test_another_interval_is_drawn_when_it_comes_however_late(desk, drawn):
    app = desk.make_app(desk.FakeEngine())
    async with app.run_test(size=FULL) as pilot:
        await started(desk, pilot, app)
        counts, _ = drawn(app)
        app.change_view(interval="5m")
        source = frames(desk)
        deliver(app, next(source))
        before = counts["chart"]
        chart = desk.chart("BTCUSDT", "5m")
        assert chart.reset
        deliver(app, desk.full_frame("BTCUSDT", "5m", revision=99, chart=chart))
        assert counts["chart"] == before + 1


async def test_nothing_is_drawn_for_panes_out_of_sight(desk, drawn):
    app = desk.make_app(desk.FakeEngine())
    async with app.run_test(size=FULL) as pilot:
        await started(desk, pilot, app)
        await pilot.press("2", "2")
        await desk.until(pilot, lambda: app.dashboard.desk.is_maximised)
        counts, _ = drawn(app)
        deliver(app, next(frames(desk)))
        assert {name for name, times in counts.items() if times} == {"book"}


async def test_it_pulls_no_more_often_than_the_shown_panes_are_drawn(desk):
    app = desk.make_app(desk.FakeEngine())
    async with app.run_test(size=FULL) as pilot:
        await started(desk, pilot, app)
        source = frames(desk)
        deliver(app, next(source))
        assert app.link.pacer.least_s == 0.25
        await pilot.press("4", "4")
        await desk.until(pilot, lambda: app.dashboard.desk.is_maximised)
        deliver(app, next(source))
        assert app.link.pacer.least_s == 1.0


async def test_a_lost_stream_changes_the_picture_once(desk):
    """Stale, offline and connecting again follow each other; only words change between them."""
    app = desk.make_app(desk.FakeEngine())
    async with app.run_test(size=FULL) as pilot:
        await started(desk, pilot, app)
        seen = set()
        for revision, state in enumerate(("stale", "connecting", "offline", "connecting"), 2):
            note = f"{state}: the connection was silent."
            status = desk.status(connection=state, connection_note=note, data_age_ms=9e4)
            empty = msgspec.structs.replace(desk.full_frame(revision=revision, status=status),
                                            **dict.fromkeys(("tickers", "book", "chart", "trades",
                                                             "storage", "forecast")))  # fmt: skip
            deliver(app, empty)
            await desk.until(pilot, lambda note=note: note in desk.screen_text(app))
            seen.add((app.dashboard.desk.region, app.dashboard.desk.has_class("-stale")))
        assert len(seen) == 1
        assert seen.pop()[1]


async def test_the_first_connecting_is_no_loss(desk):
    app = desk.make_app(desk.FakeEngine())
    async with app.run_test(size=FULL) as pilot:
        await started(desk, pilot, app)
        status = desk.status(connection="connecting", connection_note="Connecting to the stream.",
                             data_age_ms=None)  # fmt: skip
        deliver(app, desk.full_frame(revision=2, status=status))
        await pilot.pause()
        assert not app.dashboard.desk.has_class("-stale")
        assert not app.dashboard.banner.display


async def test_a_resize_makes_every_cell_unknown(desk):
    paint = "\x1b[2;2H\x1b[31mlast\x1b[0m\x1b[1;1H"
    app = desk.make_app(desk.FakeEngine())
    async with app.run_test(size=FULL) as pilot:
        await started(desk, pilot, app)
        assert app.screen_diff.feed(paint)
        assert app.screen_diff.feed(paint) == ""
        await pilot.resize_terminal(150, 48)
        await desk.until(pilot, lambda: app.size.width == 150)
        assert "last" in app.screen_diff.feed(paint)


class User:
    """Takes frames, for a link without a terminal."""

    def __init__(self) -> None:
        self.view = View(focused="BTCUSDT")
        self.revision = 0

    def welcomed(self, welcome) -> None:
        self.revision = 0

    def received(self, frame, view) -> None:
        self.revision = frame.revision

    def link_changed(self, state) -> None:
        pass


@pytest.mark.parametrize(
    ("news", "interval_s"),
    [("trades", 0.01), ("chart", 0.01), ("book", 0.01), ("status", 1.0), ("old book", 1.0)],
)
async def test_ages_and_counters_do_not_keep_the_pull_quick(desk, news, interval_s):
    now = {"s": 0.0}
    engine, user = desk.FakeEngine(), User()
    pacer = Pacer(100.0, clock=lambda: now["s"])
    link = EngineLink(engine.connect, user, pacer=pacer, meter=LinkMeter(), wall_ms=lambda: 7)
    task = asyncio.create_task(link.run())
    async with asyncio.timeout(60):
        while not user.revision:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        parts = {
            "trades": {"trades": desk.trades()},
            "chart": {"chart": desk.chart()},
            "book": {"book": desk.book(last_update_id=78)},
            "status": {"status": desk.status(), "storage": desk.storage()},
            "old book": {"book": desk.book(age_ms=5000.0)},
        }
        now["s"] += 10
        engine.frames.append(Frame(revision=50, **parts[news]))
        while user.revision != 50:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert pacer.interval_s == interval_s
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_clocks_go_on_with_frames_and_without(desk, monkeypatch):
    app = desk.make_app(desk.FakeEngine())
    async with app.run_test(size=FULL) as pilot:
        await started(desk, pilot, app)
        dashboard, drawn = app.dashboard, []
        monkeypatch.setattr(dashboard, "draw_bars", lambda: drawn.append(1))
        now = {"s": 100.0}
        dashboard._second = Pace(1.0, clock=lambda: now["s"])
        for _ in range(10):
            dashboard.draw_changed(frozenset())
        assert len(drawn) == 1
        # The timer adds nothing while frames come.
        dashboard._tick()
        assert len(drawn) == 1
        now["s"] += 1
        dashboard.draw_changed(frozenset())
        assert len(drawn) == 2
        dashboard._drew_s -= 5
        dashboard._tick()
        assert len(drawn) == 3
