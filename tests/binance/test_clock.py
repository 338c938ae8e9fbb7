"""The exchange's clock between its messages."""

from __future__ import annotations

import math
import random

import pytest

from engine.binance.clock import ExchangeClock


class Local:
    def __init__(self):
        self.at_s = 1000.0

    def __call__(self):
        return self.at_s


@pytest.fixture
def local():
    return Local()


START_MS = 1_795_000_000_000


def feed(clock, local, seconds, *, speed=1.0, latency_s=0.05, jitter_s=0.0, offset_ms=START_MS):
    """Let events come ten a second, `latency_s` after they happened."""
    chance = random.Random(1)
    for _ in range(int(seconds * 10)):
        local.at_s += 0.1
        late_s = latency_s + chance.random() * jitter_s
        clock.observe(int(offset_ms + speed * 1000 * (local.at_s - late_s)))


@pytest.mark.parametrize("speed", [1.0, 20.0, 600.0])
def test_time_runs_on_between_events_at_the_speed_of_the_exchange(local, speed):
    clock = ExchangeClock(speed, monotonic_s=local)
    feed(clock, local, 10, speed=speed, latency_s=0.0)
    for _ in range(5):
        local.at_s += 1.0
        assert clock.now_ms() == pytest.approx(START_MS + speed * 1000 * local.at_s, abs=2)


def test_local_wall_clock_plays_no_part(local):
    clock = ExchangeClock(monotonic_s=local)
    feed(clock, local, 5, offset_ms=123_000)
    assert clock.now_ms() == pytest.approx(123_000 + local.at_s * 1000, abs=60)


def test_one_wild_event_does_not_move_it(local):
    clock = ExchangeClock(monotonic_s=local)
    feed(clock, local, 10)
    before = clock.now_ms()
    local.at_s += 1.0
    clock.observe(START_MS * 2)
    assert clock.now_ms() - before == pytest.approx(1000, abs=10)


def test_it_never_runs_backwards(local):
    clock = ExchangeClock(20.0, monotonic_s=local)
    chance = random.Random(3)
    last = 0
    for _ in range(500):
        local.at_s += chance.random() * 0.2
        clock.observe(int(START_MS + 20_000 * (local.at_s - chance.random() * 0.3)))
        now = clock.now_ms()
        assert now >= last
        last = now


def test_a_small_step_back_is_waited_out(local):
    clock = ExchangeClock(monotonic_s=local)
    feed(clock, local, 10)
    last = clock.now_ms()
    for _ in range(40):
        feed(clock, local, 1, offset_ms=START_MS - 3000)
        assert clock.now_ms() >= last
        last = clock.now_ms()
    assert last == pytest.approx(START_MS - 3000 + local.at_s * 1000, abs=100)


def test_a_wrong_first_message_is_forgotten(local):
    clock = ExchangeClock(monotonic_s=local)
    clock.observe(START_MS * 3)
    assert clock.now_ms() > START_MS * 2
    for _ in range(60):
        feed(clock, local, 1)
        clock.now_ms()
    assert clock.now_ms() == pytest.approx(START_MS + local.at_s * 1000, abs=100)


def test_a_stalled_exchange_pulls_the_clock_back_into_step(local):
    clock = ExchangeClock(600.0, monotonic_s=local)
    feed(clock, local, 10, speed=600.0, latency_s=0.0)
    behind_ms = START_MS - 600_000
    feed(clock, local, 40, speed=600.0, latency_s=0.0, offset_ms=behind_ms)
    local.at_s += 0.3
    assert clock.now_ms() == pytest.approx(behind_ms + 600_000 * local.at_s, abs=600)


def test_answers_of_the_time_endpoint_serve_before_events(local):
    clock = ExchangeClock(monotonic_s=local)
    assert not clock.is_set
    clock.observe_answer(START_MS, local.at_s, local.at_s + 0.2)
    local.at_s += 5.1
    assert clock.is_set
    assert clock.now_ms() == pytest.approx(START_MS + 5000, abs=1)


def test_latency_is_what_events_need_beyond_the_offset(local):
    clock = ExchangeClock(monotonic_s=local)
    assert clock.latency_ms is None
    clock.observe_answer(int(START_MS + local.at_s * 1000), local.at_s, local.at_s)
    feed(clock, local, 10, latency_s=0.08, jitter_s=0.04)
    assert clock.latency_ms == pytest.approx(100, abs=8)


def test_latency_is_told_in_local_time_at_any_speed(local):
    clock = ExchangeClock(20.0, monotonic_s=local)
    clock.observe_answer(int(START_MS + local.at_s * 20_000), local.at_s, local.at_s)
    feed(clock, local, 5, speed=20.0, latency_s=0.05)
    assert clock.latency_ms == pytest.approx(50, abs=3)


def test_without_a_speed_it_follows_the_newest_event(local):
    clock = ExchangeClock(math.inf, monotonic_s=local)
    clock.observe(START_MS + 5)
    clock.observe(START_MS)
    local.at_s += 100
    assert clock.now_ms() == START_MS + 5
    assert clock.latency_ms is None


def test_the_walls_offset_and_latencies_are_those_of_the_machines_pace_only(local, monkeypatch):
    wall_ms = START_MS - 1273
    monkeypatch.setattr("engine.binance.clock.time.time", lambda: wall_ms / 1000)
    for speed, expected in ((1.0, -1273.0), (60.0, None), (math.inf, None)):
        clock = ExchangeClock(speed, monotonic_s=local)
        seen = []
        clock.on_latency = seen.append
        assert clock.wall_offset_ms is None
        clock.observe_answer(START_MS, local.at_s, local.at_s)
        clock.observe(START_MS - 40)
        assert clock.wall_offset_ms == (None if expected is None else pytest.approx(expected))
        assert seen == ([] if expected is None else [pytest.approx(40.0)])


def test_a_replay_at_the_machines_pace_has_latencies_and_no_offset(local):
    clock = ExchangeClock(is_present=False, monotonic_s=local)
    seen = []
    clock.on_latency = seen.append
    clock.observe_answer(START_MS, local.at_s, local.at_s)
    clock.observe(START_MS - 40)
    assert clock.wall_offset_ms is None
    assert seen == [pytest.approx(40.0)]


def test_a_replay_at_full_speed_remembers_where_it_began():
    clock = ExchangeClock(math.inf)
    assert clock.first_ms is None
    clock.observe(START_MS)
    clock.observe(START_MS + 600_000)
    assert (clock.first_ms, clock.now_ms()) == (START_MS, START_MS + 600_000)
    clock = ExchangeClock()
    clock.observe(START_MS)
    assert clock.first_ms is None


@pytest.mark.parametrize("speed", [1.0, 60.0, math.inf])
def test_after_the_last_event_it_stands_still(local, speed):
    clock = ExchangeClock(speed, monotonic_s=local)
    clock.observe(START_MS)
    local.at_s += 1.0
    clock.stop(START_MS + 500)
    local.at_s += 100.0
    clock.observe(START_MS + 400)
    clock.observe_answer(START_MS + 500, local.at_s, local.at_s)
    assert clock.now_ms() == START_MS + 500


def test_without_a_last_time_it_stops_where_it_is(local):
    clock = ExchangeClock(60.0, monotonic_s=local)
    clock.stop()
    assert not clock.is_set
    clock.observe(START_MS)
    local.at_s += 1.0
    clock.stop()
    local.at_s += 1.0
    assert clock.now_ms() == START_MS + 60_000
