"""The pace follows the link: slow writes step it down, a quick link brings it back."""

from __future__ import annotations

import io

from tui.pace import LinkMeter, MeteredFile, Pacer


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


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
