"""Garbage is collected when nobody waits, and repainting leaves next to none."""

from __future__ import annotations

import asyncio
import gc

import pytest
from rich.style import Style
from textual.color import Color
from textual.filter import Monochrome

from tui.garbage import FULL_FIRST, LONG_QUIET_S, MIDDLE_EVERY, QUIET_S, Garbage
from tui.quiet import Quiet
from tui.widgets.line_widget import to_strip


class Clock:
    """A clock that stands still."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def collected(monkeypatch):
    """Name the generations that were collected."""
    generations = []
    monkeypatch.setattr(gc, "collect", lambda generation=2: generations.append(generation))
    monkeypatch.setattr(gc, "get_count", lambda: (10, 0, 0))
    monkeypatch.setattr(gc, "freeze", lambda: None)
    return generations


def test_nothing_is_collected_while_a_key_waits(clock, collected):
    quiet = Quiet(clock)
    garbage = Garbage(quiet)
    quiet.touched()
    assert garbage.round() is None
    clock.now_s += 2 * QUIET_S
    assert garbage.round() == 0
    assert collected == [0]


def test_too_much_waits_for_no_quiet_moment(clock, collected, monkeypatch):
    quiet = Quiet(clock)
    quiet.touched()
    monkeypatch.setattr(gc, "get_count", lambda: (1_000_000, 0, 0))
    assert Garbage(quiet).round() == 0
    assert collected == [0]


def test_long_collections_wait_for_a_long_quiet(clock, collected):
    quiet = Quiet(clock)
    garbage = Garbage(quiet)
    for _ in range(MIDDLE_EVERY):
        quiet.touched()
        clock.now_s += 2 * QUIET_S
        garbage.round()
    assert set(collected) == {0}
    clock.now_s += LONG_QUIET_S
    assert garbage.round() == 2
    assert [garbage.round() for _ in range(MIDDLE_EVERY)].count(1) == 1
    assert FULL_FIRST < MIDDLE_EVERY


async def test_python_collects_again_when_the_terminal_leaves(clock):
    task = asyncio.ensure_future(Garbage(Quiet(clock)).run())
    await asyncio.sleep(0)
    assert not gc.isenabled()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


async def test_quiet_ends_with_a_key(clock):
    quiet = Quiet(clock)
    waiting = asyncio.ensure_future(quiet.key())
    await asyncio.sleep(0)
    assert not waiting.done()
    quiet.touched()
    await waiting
    assert quiet.lasts_s == 0.0
    clock.now_s += 3.0
    await quiet.wait(3.0)


def test_a_strip_that_nobody_shows_is_freed_without_a_collection():
    grey = Monochrome()
    gc.collect()
    gc.disable()
    try:
        for strip in (
            to_strip((("abc", Style()), ("def", Style(bold=True))), 8, Style()),
            to_strip((("abcdefghijk", Style()),), 8, Style()),
        ):
            assert strip.divide([8]) == [strip]
            assert [part.text for part in strip.divide([3, 8])] == [strip.text[:3], strip.text[3:]]
            crop = strip.crop(1, 5)
            assert crop.divide([4])[0].text == strip.text[1:5]
            painted = strip.apply_filter(grey, Color(0, 0, 0))
            assert painted is strip.apply_filter(grey, Color(0, 0, 0))
            assert painted.divide([8])[0].text == strip.text
        del strip, crop, painted
        assert gc.collect() == 0
    finally:
        gc.enable()
