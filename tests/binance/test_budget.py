"""Weights, the turn of the minute, and the gate; the clock is the test's."""

from __future__ import annotations

import asyncio

import pytest

from engine.binance.budget import TURN_MARGIN_S, RateLimited, WeightBudget


class Clock:
    """A wall clock that only sleeping moves."""

    def __init__(self, at_s=600.0 + TURN_MARGIN_S):
        self.at_s = at_s
        self.slept = []

    def wall_s(self):
        return self.at_s

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.at_s += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock():
    return Clock()


def budget(clock, limit=1000, **options):
    return WeightBudget(limit, wall_s=clock.wall_s, sleep=clock.sleep, **options)


async def test_weights_add_up_and_start_over_with_the_minute(clock):
    weights = budget(clock)
    for _ in range(3):
        await weights.acquire(20)
    assert weights.used == (60, 1000)
    clock.at_s += 60
    assert weights.used == (0, 1000)


@pytest.mark.parametrize(("background", "fits"), [(False, 16), (True, 10)])
async def test_shares_leave_room_and_the_rest_waits_for_the_turn(clock, background, fits):
    weights = budget(clock)
    for _ in range(fits):
        await weights.acquire(50, background=background)
    assert clock.slept == []
    await weights.acquire(50, background=background)
    assert clock.slept == [60.0]
    assert weights.used[0] == 50


async def test_long_work_leaves_weight_to_the_repair_of_a_minute(clock):
    weights = budget(clock)
    for _ in range(8):
        await weights.acquire(50, background=True, bulk=True)
    for _ in range(2):
        await weights.acquire(50, background=True)
    assert clock.slept == []
    await weights.acquire(50, background=True, bulk=True)
    assert clock.slept == [60.0]
    assert weights.note == ""


async def test_foreground_passes_where_background_waits(clock):
    weights = budget(clock)
    for _ in range(10):
        await weights.acquire(50, background=True)
    await weights.acquire(50)
    assert clock.slept == []


async def test_what_the_exchange_counts_is_believed(clock):
    weights = budget(clock)
    minute = await weights.acquire(2)
    weights.observe({"X-MBX-USED-WEIGHT-1M": "790"}, minute)
    assert weights.used == (790, 1000)
    weights.observe({"X-MBX-USED-WEIGHT-1M": "5"}, minute)
    assert weights.used == (790, 1000), "an answer that was overtaken takes nothing back"
    await weights.acquire(50)
    assert clock.slept == [60.0]
    weights.observe({"X-MBX-USED-WEIGHT-1M": "900"}, minute)
    assert weights.used == (50, 1000), "the count of a minute that is over says nothing"
    weights.observe({}, minute + 1)
    weights.observe({"X-MBX-USED-WEIGHT-1M": "many"}, minute + 1)


async def test_a_request_above_its_share_passes_alone(clock):
    weights = budget(clock, limit=100)
    await weights.acquire(250)
    await weights.acquire(1)
    assert clock.slept == [60.0]


async def test_the_gate_holds_everybody_until_its_term(clock):
    weights = budget(clock)
    weights.block(30.0, "Too many requests.")
    weights.block(10.0, "A shorter one changes nothing.")
    assert weights.blocked_s == 30.0
    passed = []

    async def request(background):
        await weights.acquire(1, background=background)
        passed.append(clock.at_s)

    start_s = clock.at_s
    await asyncio.gather(*(request(index % 2 == 0) for index in range(5)))
    assert len(passed) == 5
    assert min(passed) >= start_s + 30.0


async def test_a_long_ban_is_told_and_not_waited_for(clock):
    weights = budget(clock)
    weights.block(3600.0, "Banned.")
    with pytest.raises(RateLimited, match=r"Banned\. Try again in 3600 s\.") as caught:
        await weights.acquire(1)
    assert caught.value.retry_after_s == 3600.0
    assert clock.slept == []
