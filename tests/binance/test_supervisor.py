"""The supervisor against a scripted exchange on a real socket."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from engine.binance.events import KlineEvent, TradeEvent
from engine.binance.stream_types import AttemptLimiter, StreamLimits, full_jitter_s
from engine.binance.supervisor import StreamSupervisor

QUICK = {
    "frames_per_s": 200.0, "backoff_first_s": 0.01, "backoff_cap_s": 0.05, "close_timeout_s": 0.5,
    "overlap_s": 0.1, "connect_timeout_s": 2.0,
}  # fmt: skip


class Owner:
    """Collects what a supervisor reports."""

    def __init__(self, url, **limits):
        self.events = []
        self.gaps = []
        self.bad = []
        self.supervisor = StreamSupervisor(
            url,
            on_event=lambda stream, event, at_ns: self.events.append((stream, event, at_ns)),
            on_gap=lambda streams, reason: self.gaps.append((streams, reason)),
            on_bad=lambda reason, raw: self.bad.append((reason, raw)),
            limits=StreamLimits(**{**QUICK, **limits}),
        )

    @property
    def state(self):
        return self.supervisor.state

    @property
    def stats(self):
        return self.supervisor.stats

    def trade_ids(self):
        return [event.trade.trade_id for _, event, _ in self.events if type(event) is TradeEvent]


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


async def test_events_arrive_decoded_with_receipt_time(stream_server, kit):
    async with running(Owner(stream_server.url), "btcusdt@trade") as owner:
        await kit.until(lambda: owner.stats.streams == 1)
        assert owner.gaps == [(frozenset({"btcusdt@trade"}), "newly subscribed")]
        await stream_server.peers[0].send("btcusdt@trade", kit.trade(7))
        await kit.until(lambda: owner.events)
        stream, event, receipt_ns = owner.events[0]
        assert stream == "btcusdt@trade"
        assert event.trade.trade_id == 7
        assert owner.state.connection == "live"
        assert owner.stats.last_message_wall_ms == receipt_ns // 1_000_000
        assert (owner.stats.connections, owner.stats.reconnects) == (1, 0)


async def test_streams_are_spread_over_connections_in_small_frames(stream_server, kit):
    names = [f"coin{i:04d}usdt@kline_1m" for i in range(450)]
    async with running(Owner(stream_server.url), *names) as owner:
        await kit.until(lambda: owner.stats.streams == 450)
        assert sorted(len(peer.streams) for peer in stream_server.peers) == [150, 150, 150]
        assert set().union(*(peer.streams for peer in stream_server.peers)) == set(names)
        frames = [text for peer in stream_server.peers for _, text in peer.frames]
        assert max(len(text) for text in frames) <= 4000
        assert len(frames) <= 7, "a frame carries as much as fits"


async def test_commands_keep_their_pace(stream_server, kit):
    names = [f"coin{i:04d}usdt@depth@100ms" for i in range(90)]
    owner = Owner(stream_server.url, frames_per_s=20.0, frame_bytes=500)
    async with running(owner, *names):
        await kit.until(lambda: owner.stats.streams == 90)
        times = [at_s for at_s, _ in stream_server.peers[0].frames]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert len(gaps) > 3
        assert (times[-1] - times[0]) / len(gaps) >= 0.045


async def test_wanted_set_is_followed_live(stream_server, kit):
    async with running(Owner(stream_server.url), "a@trade", "b@trade") as owner:
        await kit.until(lambda: owner.stats.streams == 2)
        owner.supervisor.want(["b@trade", "c@trade"])
        peer = stream_server.peers[0]
        await kit.until(lambda: set(peer.streams) == {"b@trade", "c@trade"})
        frames = len(peer.frames)
        owner.supervisor.want(["c@trade", "b@trade"])
        await asyncio.sleep(0.05)
        assert len(peer.frames) == frames, "an unchanged set costs no command"
        owner.supervisor.want([])
        await kit.until(lambda: not stream_server.open_peers)
        owner.supervisor.want(["d@trade"])
        await kit.until(lambda: owner.stats.streams == 1)
        assert owner.gaps[-1][0] == {"d@trade"}


async def test_lost_connection_is_replaced_and_the_gap_reported(stream_server, kit):
    names = {"btcusdt@trade", "btcusdt@depth@100ms"}
    async with running(Owner(stream_server.url), *names) as owner:
        await kit.until(lambda: owner.stats.streams == 2)
        kit.cut(stream_server.peers[0])
        await kit.until(lambda: len(owner.gaps) == 2)
        streams, reason = owner.gaps[1]
        assert streams == names
        assert reason.startswith("reconnected after ")
        assert owner.stats.reconnects == 1
        await stream_server.peers[1].send("btcusdt@trade", kit.trade(1))
        await kit.until(lambda: owner.trade_ids() == [1])


async def test_outage_of_many_attempts_says_why_and_heals(stream_server, kit):
    async with running(Owner(stream_server.url), "btcusdt@trade") as owner:
        await kit.until(lambda: owner.stats.streams == 1)
        await stream_server.stop()
        await kit.until(lambda: owner.stats.failed_attempts >= 8)
        assert owner.state.connection == "offline"
        assert f"127.0.0.1:{stream_server.port} refused the connection" in owner.state.note
        await stream_server.start()
        await kit.until(lambda: owner.state.connection == "live")
        assert owner.gaps[-1][0] == {"btcusdt@trade"}


@pytest.mark.parametrize("status", [403, 451])
async def test_blocked_region_names_hosts_and_settings(stream_server, kit, status):
    stream_server.refuse_status = status
    async with running(Owner(stream_server.url), "btcusdt@trade") as owner:
        await kit.until(lambda: owner.state.connection == "offline")
        for word in (str(status), "rest_url", "stream_url", "data-stream.binance.vision"):
            assert word in owner.state.note


async def test_silent_connection_is_given_up(stream_server, kit):
    owner = Owner(stream_server.url, silence_s=0.3)
    async with running(owner, "btcusdt@kline_1m"):
        await kit.until(lambda: len(owner.gaps) == 2)
        assert owner.stats.reconnects == 1
        assert "silent" in owner.gaps[1][1]


async def test_silence_of_streams_that_may_be_quiet_is_no_fault(stream_server, kit):
    owner = Owner(stream_server.url, silence_s=0.1, stale_s=0.2)
    async with running(owner, "btcusdt@trade"):
        await kit.until(lambda: owner.state.connection == "stale")
        assert "no message" in owner.state.note
        assert owner.stats.reconnects == 0
        await stream_server.peers[0].send("btcusdt@trade", kit.trade(1))
        await kit.until(lambda: owner.state.connection == "live")


async def test_bad_frames_are_counted_and_the_stream_goes_on(stream_server, kit):
    async with running(Owner(stream_server.url), "btcusdt@trade") as owner:
        await kit.until(lambda: owner.stats.streams == 1)
        peer = stream_server.peers[0]
        good = kit.combined("btcusdt@trade", kit.trade(1))
        for text in (good[:-3], "NaN", "", good.replace('"84212.50"', '"NaN"'), "[" * 5000):
            await peer.text(text)
        await peer.socket.send_bytes(b'{"stream":"\xff\xfe"}')
        await peer.text('{"e":"somethingNew","E":1}')
        await peer.text(good)
        await kit.until(lambda: owner.events)
        assert owner.stats.bad == len(owner.bad) == 6
        assert owner.stats.unknown == 1
        assert owner.stats.reconnects == 0
        assert owner.bad[0][1] == good[:-3]


async def test_large_message_is_no_reason_to_reconnect(stream_server, kit):
    async with running(Owner(stream_server.url), "btcusdt@depth@100ms") as owner:
        await kit.until(lambda: owner.stats.streams == 1)
        levels = [[f"{price}.00000000", "1.00000000"] for price in range(80_000)]
        message = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": 1, "u": 2, "b": levels, "a": []}
        await stream_server.peers[0].send("btcusdt@depth@100ms", message)
        await kit.until(lambda: owner.events)
        assert owner.stats.bytes > 2 * 1024 * 1024
        assert len(owner.events[0][1].bids) == 80_000


async def test_handler_that_raises_does_not_end_the_stream(stream_server, kit, caplog):
    owner = Owner(stream_server.url)
    seen = []

    def fail(stream, event, at_ns):
        seen.append(event)
        raise KeyError("a bug")

    owner.supervisor._handlers = (fail, *owner.supervisor._handlers[1:])
    with caplog.at_level(logging.ERROR):
        async with running(owner, "btcusdt@trade"):
            await kit.until(lambda: owner.stats.streams == 1)
            for number in range(3):
                await stream_server.peers[0].send("btcusdt@trade", kit.trade(number))
            await kit.until(lambda: len(seen) == 3)
            assert owner.stats.handler_failures == 3
    assert "A stream handler failed." in caplog.text


async def glued(peer, kit, numbers):
    """Send trades in as few TCP writes as possible."""
    writer = peer.socket._writer
    frames = b""
    for number in numbers:
        payload = kit.combined("btcusdt@trade", kit.trade(number)).encode()
        frames += b"\x81\x7e" + len(payload).to_bytes(2, "big") + payload
    writer.transport.write(frames)


async def test_glued_burst_is_delivered_whole_while_the_loop_gets_its_turns(stream_server, kit):
    async with running(Owner(stream_server.url), "btcusdt@trade") as owner:
        await kit.until(lambda: owner.stats.streams == 1)
        turns = []

        async def other_work():
            while len(owner.events) < 5000:
                turns.append(len(owner.events))
                await asyncio.sleep(0)

        task = asyncio.create_task(other_work())
        await glued(stream_server.peers[0], kit, range(5000))
        await kit.until(lambda: len(owner.events) == 5000)
        await task
        assert owner.trade_ids() == list(range(5000))
        steps = [after - before for before, after in pairwise(turns)]
        assert max(steps, default=0) <= 500


async def test_stalled_loop_loses_nothing(stream_server, kit):
    import time

    async with running(Owner(stream_server.url), "btcusdt@trade") as owner:
        await kit.until(lambda: owner.stats.streams == 1)
        await glued(stream_server.peers[0], kit, range(1000))
        time.sleep(0.5)  # noqa: ASYNC251 - the stall that is tested
        await glued(stream_server.peers[0], kit, range(1000, 2000))
        await kit.until(lambda: len(owner.events) == 2000)
        assert owner.trade_ids() == list(range(2000))
        assert owner.stats.reconnects == 0


async def test_frames_before_a_close_are_all_read(stream_server, kit):
    async with running(Owner(stream_server.url), "btcusdt@trade") as owner:
        await kit.until(lambda: owner.stats.streams == 1)
        peer = stream_server.peers[0]
        await glued(peer, kit, range(50))
        await peer.socket.close(code=1001, message=b"maintenance")
        await kit.until(lambda: owner.stats.reconnects == 1)
        assert owner.trade_ids() == list(range(50))
        await kit.until(lambda: len(owner.gaps) == 2)
        assert "1001" in owner.gaps[1][1]


@pytest.mark.parametrize("answer_delay_s", [0.0, 0.4])
async def test_shutdown_announcement_overlaps_and_loses_nothing(stream_server, kit, answer_delay_s):
    """Every open connection gets every trade, as of the exchange; ids must come without a hole."""
    async with running(Owner(stream_server.url), "btcusdt@trade", "btcusdt@kline_1m") as owner:
        await kit.until(lambda: owner.stats.streams == 2)
        stream_server.answer_delay_s = answer_delay_s
        sent = 0

        async def market():
            nonlocal sent
            while True:
                sent += 1
                for peer in stream_server.open_peers:
                    if "btcusdt@trade" in peer.streams:
                        await peer.send("btcusdt@trade", kit.trade(sent))
                await asyncio.sleep(0.002)

        task = asyncio.create_task(market())
        await kit.until(lambda: len(owner.events) > 20)
        await stream_server.peers[0].text('{"e":"serverShutdown","E":1795000000000}')
        await kit.until(lambda: owner.stats.renewals == 1)
        await kit.until(lambda: not stream_server.peers[0].is_open)
        mark = sent
        await kit.until(lambda: sent > mark + 20)
        task.cancel()
        await kit.until(lambda: max(owner.trade_ids()) == sent)
        assert set(owner.trade_ids()) == set(range(1, sent + 1))
        assert owner.stats.reconnects == 0
        assert len(owner.gaps) == 1, "an overlap leaves no gap"
        assert len(stream_server.open_peers) == 1


async def test_successors_that_die_early_leave_the_old_connection_at_work(stream_server, kit):
    async with running(Owner(stream_server.url), "btcusdt@trade") as owner:
        await kit.until(lambda: owner.stats.streams == 1)
        first = stream_server.peers[0]
        stream_server.cut_commands = 2
        await first.text('{"e":"serverShutdown","E":1795000000000}')
        await kit.until(lambda: len(stream_server.peers) == 4)
        await first.send("btcusdt@trade", kit.trade(1))
        await kit.until(lambda: owner.trade_ids() == [1])
        await kit.until(lambda: stream_server.peers[3].streams)
        assert owner.stats.renewals == 0
        await stream_server.peers[3].send("btcusdt@trade", kit.trade(2))
        await kit.until(lambda: owner.stats.renewals == 1)
        await kit.until(lambda: not first.is_open)
        assert len(owner.gaps) == 1
        assert owner.stats.reconnects == 0


async def test_announced_shutdown_that_cuts_at_once_is_a_gap(stream_server, kit):
    async with running(Owner(stream_server.url), "btcusdt@trade") as owner:
        await kit.until(lambda: owner.stats.streams == 1)
        peer = stream_server.peers[0]
        await peer.send("!serverShutdown", {"e": "serverShutdown", "E": 1795000000000})
        kit.cut(peer)
        await kit.until(lambda: len(owner.gaps) == 2)
        assert owner.gaps[1][0] == {"btcusdt@trade"}
        assert owner.gaps[1][1].startswith("reconnected after ")


async def test_connections_are_renewed_before_they_grow_old(stream_server, kit):
    async def greet(peer):
        await peer.send("btcusdt@kline_1m", kit.kline(1795000020000))

    stream_server.greeting = greet
    owner = Owner(stream_server.url, renew_s=0.2, overlap_s=0.02)
    async with running(owner, "btcusdt@kline_1m"):
        await kit.until(lambda: owner.stats.renewals >= 3)
        assert owner.stats.reconnects == 0
        assert len(owner.gaps) == 1
        assert type(owner.events[0][1]) is KlineEvent


async def test_old_connection_stays_while_no_successor_can_be_had(stream_server, kit):
    owner = Owner(stream_server.url)
    async with running(owner, "btcusdt@trade"):
        await kit.until(lambda: owner.stats.streams == 1)
        peer = stream_server.peers[0]
        stream_server.refuse_status = 503
        await peer.text('{"e":"serverShutdown","E":1795000000000}')
        await kit.until(lambda: owner.stats.failed_attempts >= 3)
        await peer.send("btcusdt@trade", kit.trade(5))
        await kit.until(lambda: owner.trade_ids() == [5])
        assert owner.state.connection == "live"


async def test_unanswered_subscription_leads_to_a_new_connection(stream_server, kit):
    stream_server.answers = False
    owner = Owner(stream_server.url, answer_timeout_s=0.2)
    async with running(owner, "btcusdt@trade"):
        await kit.until(lambda: stream_server.attempts >= 2)
        assert owner.stats.streams == 0
        stream_server.answers = True
        await kit.until(lambda: owner.stats.streams == 1)


async def test_refused_subscription_is_told(stream_server, kit):
    stream_server.refuse_stream = "bad@trade"
    async with running(Owner(stream_server.url), "bad@trade") as owner:
        await kit.until(lambda: owner.stats.refused == 1)
        assert "Invalid request" in owner.state.note
        assert len(stream_server.peers[0].frames) == 1, "it is not asked again at once"


async def test_finish_reads_to_the_end_and_reconnects_no_more(stream_server, kit):
    async with running(Owner(stream_server.url), "btcusdt@trade") as owner:
        await kit.until(lambda: owner.stats.streams == 1)
        peer = stream_server.peers[0]
        await glued(peer, kit, range(100))
        owner.supervisor.finish("The replay has ended.")
        await peer.socket.close()
        await kit.until(lambda: owner.stats.connections == 0)
        assert owner.trade_ids() == list(range(100))
        assert (owner.state.connection, owner.state.note) == ("ended", "The replay has ended.")
        await asyncio.sleep(0.1)
        assert stream_server.attempts == 1


async def test_close_does_not_wait_for_a_peer_that_never_answers(kit):
    async def deaf(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        import base64
        import hashlib

        key = next(
            line.split(b": ")[1]
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key")
        )
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )
        await writer.drain()
        try:
            while await reader.read(4096):
                pass
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    owner = Owner(f"ws://127.0.0.1:{port}", close_timeout_s=0.2)
    async with server, running(owner, "btcusdt@trade"):
        await kit.until(lambda: owner.stats.connections == 1)
    assert owner.stats.connections == 0


async def test_messages_per_second_counts_the_last_second(stream_server, kit):
    async with running(Owner(stream_server.url), "btcusdt@trade") as owner:
        await kit.until(lambda: owner.stats.streams == 1)
        await glued(stream_server.peers[0], kit, range(300))
        await kit.until(lambda: owner.stats.messages_per_s > 100)
        await kit.until(lambda: owner.stats.messages_per_s == 0)


async def test_attempts_are_limited_in_a_sliding_window():
    limiter = AttemptLimiter(3, 0.2)
    loop = asyncio.get_running_loop()
    times = []
    for _ in range(7):
        await limiter.acquire()
        times.append(loop.time())
    for first, fourth in zip(times, times[3:], strict=False):
        assert fourth - first >= 0.199


def test_jitter_stays_below_its_cap():
    for failures in (0, 1, 5, 60, 10_000):
        bound = min(10.0, 0.25 * 2.0 ** min(failures, 30))
        assert all(0 <= full_jitter_s(failures, 0.25, 10.0) <= bound for _ in range(50))


def test_limits_refuse_what_the_exchange_refuses():
    with pytest.raises(ValueError, match="1024"):
        StreamLimits(streams_per_connection=1025)


async def test_commands_are_what_the_documentation_says(stream_server, kit):
    async with running(Owner(stream_server.url), "btcusdt@trade") as owner:
        await kit.until(lambda: owner.stats.streams == 1)
        command = json.loads(stream_server.peers[0].frames[0][1])
        assert command == {"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1}
