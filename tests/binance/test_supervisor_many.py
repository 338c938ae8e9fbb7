"""The supervisor with all markets: spreading, confirmation, renewal without loss, refusals."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager

import pytest

from engine.binance.events import TradeEvent
from engine.binance.stream_types import Lag, StreamLimits
from engine.binance.subscribing import Subscribing
from engine.binance.supervisor import StreamSupervisor

QUICK = {
    "frames_per_s": 100.0, "backoff_first_s": 0.01, "backoff_cap_s": 0.05, "close_timeout_s": 0.5,
    "overlap_s": 0.05, "connect_timeout_s": 2.0,
}  # fmt: skip
ALL = [f"coin{number:04d}usdt@kline_1m" for number in range(1416)]


class Owner:
    """A supervisor and what it reported."""

    def __init__(self, url, **options):
        self.events = []
        self.gaps = []
        self.raw = []
        tap = options.pop("tap", False)
        self.supervisor = StreamSupervisor(
            url,
            on_event=lambda stream, event, at_ns: self.events.append((stream, event)),
            on_gap=lambda streams, reason: self.gaps.append((streams, reason)),
            on_bad=lambda reason, raw: None,
            on_raw=(lambda at_ns, text: self.raw.append((at_ns, text))) if tap else None,
            limits=StreamLimits(**{**QUICK, **options}),
        )

    @property
    def state(self):
        return self.supervisor.state

    @property
    def stats(self):
        return self.supervisor.stats


@asynccontextmanager
async def running(owner, *streams):
    owner.supervisor.want(streams)
    task = asyncio.create_task(owner.supervisor.run())
    try:
        yield owner
    finally:
        async with asyncio.timeout(60):
            await owner.supervisor.close()
            await task


async def test_all_markets_are_confirmed_inside_the_limits(stream_server, kit):
    async with running(Owner(stream_server.url), *ALL) as owner:
        await kit.until(lambda: owner.stats.streams == len(ALL))
        assert owner.state.connection == "live"
        peers = stream_server.peers
        assert [len(peer.streams) for peer in peers] == [177] * 8
        assert stream_server.attempts == 8
        frames = [text for peer in peers for _, text in peer.frames]
        assert max(len(text.encode()) for text in frames) <= 4000
        assert len(frames) == 16
        told = [name for streams, _ in owner.gaps for name in streams]
        assert sorted(told) == ALL, "each stream is told once, when its frame was confirmed"
        assert len(owner.gaps) == 16


async def test_state_is_live_only_when_the_last_frame_is_confirmed(stream_server, kit):
    stream_server.hold_after = 10
    owner = Owner(stream_server.url)
    async with running(owner, *ALL):
        await kit.until(lambda: stream_server.answered == 10)
        await kit.until(lambda: len(owner.gaps) == 10)
        assert owner.state.connection == "connecting"
        confirmed = owner.stats.streams
        assert 0 < confirmed < len(ALL)
        assert owner.state.note == f"Subscribing: {confirmed:,} of 1,416 streams."
        stream_server.release.set()
        await kit.until(lambda: owner.state.connection == "live")
        assert owner.stats.streams == owner.stats.wanted == len(ALL)


async def test_a_few_streams_more_do_not_end_being_live(stream_server, kit):
    async with running(Owner(stream_server.url), *ALL[:300]) as owner:
        await kit.until(lambda: owner.state.connection == "live")
        stream_server.answer_delay_s = 0.2
        owner.supervisor.want([*ALL[:300], "btcusdt@trade"])
        seen = set()

        def done():
            seen.add(owner.state.connection)
            return owner.stats.streams == 301

        await kit.until(done)
        assert seen == {"live"}


async def test_a_stream_that_is_long_in_coming_is_no_matter_to_the_others(
    stream_server, kit, monkeypatch
):
    monkeypatch.setattr("engine.binance.supervisor._GRACE_S", 0.0)
    async with running(Owner(stream_server.url), *ALL[:3]) as owner:
        await kit.until(lambda: owner.state.connection == "live")
        stream_server.hold_after = stream_server.answered
        owner.supervisor.want([*ALL[:3], "btcusdt@kline_1h"])
        asked = "btcusdt@kline_1h"
        await kit.until(lambda: any(asked in text for p in stream_server.peers
                                    for _, text in p.frames))  # fmt: skip
        assert owner.state.connection == "live"
        assert owner.supervisor.standing(ALL[0]).connection == "live"
        assert owner.supervisor.standing(asked).connection == "connecting"
        stream_server.release.set()
        await kit.until(lambda: owner.supervisor.standing(asked).connection == "live")


async def test_a_stream_that_flowed_and_has_to_be_asked_for_again_is_told(stream_server, kit):
    async with running(Owner(stream_server.url), *ALL[:3]) as owner:
        await kit.until(lambda: owner.state.connection == "live")
        stream_server.hold_after = stream_server.answered
        await stream_server.peers[0].socket.close()
        await kit.until(lambda: owner.state.note.startswith("Subscribing: "))
        assert owner.state.connection == "connecting"
        assert owner.supervisor.standing(ALL[0]).connection == "connecting"
        stream_server.release.set()
        await kit.until(lambda: owner.state.connection == "live")


async def test_a_lost_connection_is_no_matter_to_streams_on_others(stream_server, kit):
    owner = Owner(
        stream_server.url, streams_per_connection=2, backoff_first_s=30.0, backoff_cap_s=60.0
    )
    async with running(owner, *ALL[:4]):
        await kit.until(lambda: owner.state.connection == "live")
        lost, kept = stream_server.peers
        of_lost, of_kept = next(iter(lost.streams)), next(iter(kept.streams))
        await lost.socket.close()
        await kit.until(lambda: owner.state.connection == "stale")
        assert owner.supervisor.standing(of_kept).connection == "live"
        assert owner.supervisor.standing(of_lost).connection == "connecting"
        assert owner.supervisor.standing("nobody@trade").connection == "connecting"


async def test_one_silent_connection_among_many_is_told(stream_server, kit):
    owner = Owner(stream_server.url, streams_per_connection=100, stale_s=0.3)
    async with running(owner, *ALL[:300]):
        await kit.until(lambda: owner.stats.streams == 300)

        async def speak():
            while True:
                for peer in stream_server.peers[:2]:
                    name = next(iter(peer.streams))
                    await peer.send(name, kit.kline(1795000020000))
                await asyncio.sleep(0.02)

        task = asyncio.create_task(speak())
        await kit.until(lambda: owner.state.connection == "stale")
        assert owner.state.note == "No message for more than 0.3 s on 1 of 3 connections."
        task.cancel()


async def test_renewals_of_many_connections_lose_nothing(stream_server, kit):
    """Each stream's messages are numbered by the exchange; every number must arrive."""
    names = [f"coin{number:02d}usdt@trade" for number in range(24)]
    sent = dict.fromkeys(names, 0)
    # Subscribing takes far longer than old and new overlap.
    slow = {"frame_bytes": 80, "frames_per_s": 15.0, "overlap_s": 0.15}
    owner = Owner(stream_server.url, streams_per_connection=6, renew_s=0.3, **slow)
    async with running(owner, *names):
        await kit.until(lambda: owner.stats.streams == len(names))

        async def market():
            while True:
                for name in names:
                    sent[name] += 1
                    data = kit.trade(sent[name], name.partition("@")[0].upper())
                    for peer in stream_server.open_peers:
                        if name in peer.streams:
                            await peer.send(name, data)
                await asyncio.sleep(0.002)

        task = asyncio.create_task(market())
        await kit.until(lambda: owner.stats.renewals >= 8)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await kit.until(lambda: numbers(owner, names[-1])[-1] >= sent[names[-1]] - 1)
        for name in names:
            got = set(numbers(owner, name))
            # The cancelled market may have been in the middle of the last round.
            assert set(range(1, sent[name])) <= got
        assert owner.stats.reconnects == 0
        told = [name for streams, _ in owner.gaps for name in streams]
        assert sorted(told) == names, "an overlap leaves no gap"
        assert owner.stats.connections <= 12, "old, present and next ones"


def numbers(owner, name):
    return [e.trade.trade_id for stream, e in owner.events if stream == name] or [0]


@pytest.mark.parametrize("nested", [False, True])
async def test_one_refused_name_keeps_no_other_from_flowing(stream_server, kit, nested):
    stream_server.refuse_stream = ALL[33]
    stream_server.nested_errors = nested
    async with running(Owner(stream_server.url), *ALL[:170]) as owner:
        await kit.until(lambda: owner.stats.streams == 169)
        await kit.until(lambda: owner.state.connection == "live")
        assert "The exchange refused some streams: Invalid request" in owner.state.note
        assert ALL[33] not in set().union(*(streams for streams, _ in owner.gaps))
        refusals = owner.stats.refused
        assert 2 <= refusals <= 9
        frames = len(stream_server.peers[0].frames)
        await asyncio.sleep(0.1)
        assert len(stream_server.peers[0].frames) == frames, "it waits before it asks again"


def test_an_exchange_that_refuses_everything_is_not_asked_for_ever():
    subscribing = Subscribing(4000)
    asked = 0
    while (command := subscribing.next_command(ALL[:170])) is not None:
        asked += 1
        assert asked < 200
        subscribing.answered(answer(command.id, "Too many subscriptions"))
    assert asked < 40
    assert subscribing.missing(ALL[:170]) == 0, "what was refused is told otherwise"
    assert subscribing.retry_in_s(ALL[:170]) > 50


def answer(command_id, error=None):
    from engine.binance.events import CommandAnswer

    return CommandAnswer(command_id, error)


def test_a_refusal_is_forgotten_once_the_name_is_taken():
    subscribing = Subscribing(4000)
    command = subscribing.next_command(["a@trade"])
    subscribing.answered(answer(command.id, "Invalid request"))
    assert subscribing.refusal == "Invalid request"
    subscribing._refused_until_s["a@trade"] = time.monotonic() - 1
    command = subscribing.next_command(["a@trade"])
    assert subscribing.answered(answer(command.id)) == ("a@trade",)
    assert subscribing.refusal == ""


def test_a_refusal_is_forgotten_with_the_name_that_nobody_wants_any_more():
    subscribing = Subscribing(4000)
    command = subscribing.next_command(["gone@trade"])
    subscribing.answered(answer(command.id, "Invalid request"))
    assert subscribing.next_command([]) is None
    assert subscribing.refusal == ""
    assert subscribing.next_command(["gone@trade"]) is not None, "a new wish is asked for at once"


async def test_raw_frames_are_tapped_without_the_answers_to_commands(stream_server, kit):
    owner = Owner(stream_server.url, tap=True)
    async with running(owner, "btcusdt@trade", "btcusdt@kline_1m"):
        await kit.until(lambda: owner.stats.streams == 2)
        peer = stream_server.peers[0]
        texts = [
            kit.combined("btcusdt@trade", kit.trade(1)),
            kit.combined("btcusdt@trade", kit.trade(2))[:-3],
            json.dumps([kit.kline(1795000020000)]),
            '{"e":"somethingNew","E":1}',
        ]
        before_ns = time.time_ns()
        for text in texts:
            await peer.text(text)
        await kit.until(lambda: len(owner.raw) == len(texts))
        assert [text for _, text in owner.raw] == texts
        assert all(before_ns <= at_ns <= time.time_ns() for at_ns, _ in owner.raw)


async def test_asking_for_the_same_streams_again_changes_nothing(stream_server, kit):
    async with running(Owner(stream_server.url), *ALL) as owner:
        await kit.until(lambda: owner.stats.streams == len(ALL))
        frames = sum(len(peer.frames) for peer in stream_server.peers)
        slots = list(owner.supervisor._slots)
        owner.supervisor.want(list(reversed(ALL)))
        await asyncio.sleep(0.05)
        assert sum(len(peer.frames) for peer in stream_server.peers) == frames
        assert list(owner.supervisor._slots) == slots


async def test_a_connection_that_ends_takes_only_its_own_streams_along(stream_server, kit):
    owner = Owner(stream_server.url, streams_per_connection=100)
    async with running(owner, *ALL[:300]):
        await kit.until(lambda: owner.stats.streams == 300)
        lost = set(stream_server.peers[1].streams)
        mark = len(owner.gaps)
        kit.cut(stream_server.peers[1])
        await kit.until(lambda: owner.stats.reconnects == 1 and owner.stats.streams == 300)
        assert set().union(*(streams for streams, _ in owner.gaps[mark:])) == lost
        assert all(reason.startswith("reconnected") for _, reason in owner.gaps[mark:])
        assert len(stream_server.open_peers) == 3


async def test_the_lag_of_a_blocked_loop_is_told(stream_server, kit):
    async with running(Owner(stream_server.url), "btcusdt@trade") as owner:
        await kit.until(lambda: owner.stats.streams == 1)
        time.sleep(0.6)  # noqa: ASYNC251 - the blocked loop that is told
        await kit.until(lambda: owner.stats.lag_ms >= 300)


def test_the_worst_lag_is_forgotten_after_its_window():
    lag = Lag(window_s=0.05)
    lag.sample(0.5)
    lag.sample(0.1)
    assert lag.worst_ms == 500
    time.sleep(0.06)
    lag.sample(0.02)
    assert lag.worst_ms == 20


async def test_trades_keep_their_type_on_the_quick_way(stream_server, kit):
    async with running(Owner(stream_server.url), "btcusdt@trade") as owner:
        await kit.until(lambda: owner.stats.streams == 1)
        await stream_server.peers[0].send("btcusdt@trade", kit.trade(7))
        await kit.until(lambda: owner.events)
        assert type(owner.events[0][1]) is TradeEvent
