"""Messages: a line of their own, the newest with a count, errors until they are seen."""

from __future__ import annotations

from engine.service import contract
from engine.service.client import EngineProblem
from tui.messages import KEPT, SHOWN_MS, Message, Messages, message_line
from tui.widgets.glyphs import glyphs
from tui.widgets.line_widget import line_text, line_width
from tui.widgets.palette import palettes


def test_the_newest_stands_with_a_count_of_the_others():
    messages = Messages()
    messages.add(Message(1_000, "info", "one"))
    messages.add(Message(2_000, "warning", "two"))
    assert messages.current(2_000) == (Message(2_000, "warning", "two"), 1)
    assert messages.current(1_000 + SHOWN_MS) == (Message(2_000, "warning", "two"), 0)
    assert messages.current(2_000 + SHOWN_MS) is None


def test_errors_stay_until_they_are_seen():
    messages = Messages()
    messages.add(Message(0, "error", "the disk is full"))
    messages.add(Message(1_000, "info", "one"))
    assert messages.current(10**9) == (Message(0, "error", "the disk is full"), 0)
    messages.see()
    assert messages.current(10**9) is None


def test_the_same_words_count_once():
    messages = Messages()
    messages.add(Message(0, "info", "again"))
    messages.add(Message(500, "info", "again"))
    assert messages.current(600) == (Message(500, "info", "again"), 0)


def test_errors_that_nobody_sees_for_days_stay_bounded():
    messages = Messages()
    for at in range(3 * KEPT):
        messages.add(Message(at, "error", f"fault {at}"))
    last = 3 * KEPT - 1
    assert messages.current(10**9) == (Message(last, "error", f"fault {last}"), KEPT - 1)


def test_a_line_fits_its_width_and_says_how_to_read_the_rest():
    error = Message(0, "error", "what went wrong is told in more words than there is room for")
    for width in (40, 60, 200):
        line = message_line(error, 2, width, palettes(), glyphs())
        assert line_width(line) == width
        assert "+2 more  n reads all  Esc seen" in line_text(line)
    alone = message_line(error, 0, 200, palettes(), glyphs())
    assert "reads all" not in line_text(alone)


async def live(desk, app, pilot):
    await desk.until(pilot, lambda: app.model.link.is_up and app.model.state.status is not None)


async def test_a_message_covers_nothing_but_the_keys(desk):
    engine, clock = desk.FakeEngine(), desk.Clock()
    engine.answers[contract.Cancel] = EngineProblem("No training job runs.")
    app = desk.make_app(engine, clock)
    async with app.run_test(size=(120, 30)) as pilot:
        await live(desk, app, pilot)
        await desk.until(pilot, lambda: "q quit" in desk.screen_text(app))
        await pilot.pause(0.3)
        before = desk.screen_text(app).splitlines()
        await pilot.press("x")
        await desk.until(pilot, lambda: "No training job runs." in desk.screen_text(app))
        during = desk.screen_text(app).splitlines()
        assert during[:-1] == before[:-1]
        clock.now_ms += SHOWN_MS
        app._draw_foot()
        await desk.until(pilot, lambda: "q quit" in desk.screen_text(app))


async def test_an_error_is_seen_by_escape_or_in_the_notices(desk):
    engine = desk.FakeEngine()
    app = desk.make_app(engine)
    async with app.run_test(size=(120, 30)) as pilot:
        await live(desk, app, pilot)
        app.say("The store can not be written.", "error")
        await desk.until(pilot, lambda: "Esc seen" in desk.screen_text(app))
        await pilot.press("escape")
        await desk.until(pilot, lambda: "q quit" in desk.screen_text(app))
        app.say("The store can not be written, again.", "error")
        await pilot.press("n")
        await desk.until(pilot, lambda: "error    The store can not" in desk.screen_text(app))
        await pilot.press("escape")
        await desk.until(pilot, lambda: "q quit" in desk.screen_text(app))


async def test_what_is_said_on_another_screen_stands_at_its_foot(desk):
    engine = desk.FakeEngine()
    engine.answers[contract.RetryGaps] = contract.Done("3 gaps are asked for again.")
    engine.answers[contract.GapsRequest] = contract.Gaps(0, {}, ())
    app = desk.make_app(engine)
    async with app.run_test(size=(100, 30)) as pilot:
        await live(desk, app, pilot)
        await pilot.press("4", "g")
        await desk.until(pilot, lambda: "gaps of all markets" in desk.screen_text(app))
        await pilot.press("r")
        await desk.until(
            pilot, lambda: "3 gaps are asked" in desk.screen_text(app).splitlines()[-1]
        )
