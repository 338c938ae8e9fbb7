"""The pace follows the link: slow writes step it down, a quick link brings it back."""

from __future__ import annotations

import io

import pytest

from tui.pace import LinkMeter, MeteredFile, Pace, Pacer


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_slow_writes_step_the_rate_down_to_one_a_second():
    clock = Clock()
    pacer = Pacer(10.0, clock=clock)
    rates = []
    for _ in range(3):
        clock.now += 0.1
        pacer.observe(0.09)
        rates.append(pacer.rate)
    assert rates == [4.0, 1.0, 1.0]
    assert pacer.is_slow


def test_a_quick_link_brings_the_rate_back_only_after_a_while():
    clock = Clock()
    pacer = Pacer(10.0, clock=clock)
    clock.now += 0.1
    pacer.observe(0.1)
    for _ in range(4):
        clock.now += 1.0
        pacer.observe(0.0)
    assert pacer.rate == 4.0
    for _ in range(2):
        clock.now += 1.0
        pacer.observe(0.0)
    assert pacer.rate == 10.0
    assert not pacer.is_slow


def test_a_quick_link_is_left_alone():
    clock = Clock()
    pacer = Pacer(10.0, clock=clock)
    for _ in range(50):
        clock.now += 0.1
        pacer.observe(0.004)
    assert pacer.rate == 10.0


def test_a_rate_below_the_slow_steps_never_rises_above_itself():
    clock = Clock()
    pacer = Pacer(2.0, clock=clock)
    clock.now += 0.5
    pacer.observe(0.5)
    assert pacer.rate == 1.0


def test_the_meter_is_clear_once_all_is_flushed():
    meter = LinkMeter()
    file = MeteredFile(io.StringIO(), meter)
    meter.queued += 5
    assert not meter.is_clear
    file.write("12345")
    assert not meter.is_clear
    file.flush()
    assert meter.is_clear
    assert meter.take_busy() >= 0.0
    assert meter.take_busy() == 0.0


def test_it_pulls_no_more_often_than_something_is_drawn(clock):
    pacer = Pacer(10.0, clock=clock)
    assert pacer.interval_s == 0.1
    pacer.least_s = 0.25
    assert pacer.interval_s == 0.25


def test_a_key_makes_it_pull_often_for_a_moment(clock):
    pacer = Pacer(10.0, clock=clock)
    pacer.least_s = 0.5
    pacer.hurry()
    assert pacer.interval_s == 0.1
    clock.now += 1.5
    assert pacer.interval_s == 0.5


def test_it_pulls_once_a_second_while_nothing_arrives(clock):
    pacer = Pacer(10.0, clock=clock)
    clock.now += 4
    assert pacer.interval_s == 1.0
    pacer.hear()
    assert pacer.interval_s == 0.1
    clock.now += 4
    pacer.hurry()
    assert pacer.interval_s == 0.1


def test_a_pace_lets_happen_once_a_beat_and_the_first_at_once(clock):
    pace = Pace(0.5, clock=clock)
    taken = []
    for _ in range(40):
        taken.append(pace.take())
        clock.now += 0.125
    assert taken[0]
    assert sum(taken) in (10, 11)
    clock.now += 60
    assert pace.take()


def test_paces_share_their_beats(clock):
    quick, slow = Pace(0.25, clock=clock), Pace(0.5, clock=clock)
    beats = []
    for _ in range(200):
        clock.now += 0.03
        beats.append((quick.take(), slow.take()))
    assert sum(slow for _, slow in beats) >= 11
    assert all(quick for quick, slow in beats if slow)


def test_a_hurried_pace_lets_the_next_happen(clock):
    pace = Pace(1.0, clock=clock)
    assert [pace.take(), pace.take()] == [True, False]
    pace.hurry()
    assert [pace.take(), pace.take()] == [True, False]
