"""What the supervisor says of single connections: why a stream does not flow, what was lost."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from engine.binance.stream_types import StreamLimits
from engine.binance.supervisor import StreamSupervisor

QUICK = {
    "frames_per_s": 100.0, "backoff_first_s": 0.01, "backoff_cap_s": 0.05, "close_timeout_s": 0.5,
    "overlap_s": 0.05, "streams_per_connection": 1,
}  # fmt: skip
FIRST, SECOND = "btcusdt@kline_1m", "ltcusdt@kline_1m"


@asynccontextmanager
async def watched(url, sessions, *streams, **options):
    supervisor = StreamSupervisor(
        url,
        on_event=lambda *_: None,
        on_gap=lambda *_: None,
        on_bad=lambda *_: None,
        on_session=lambda *told: sessions.append(told),
        limits=StreamLimits(**{**QUICK, **options}),
    )
    supervisor.want(streams)
    task = asyncio.create_task(supervisor.run())
    try:
        yield supervisor
    finally:
        async with asyncio.timeout(60):
            await supervisor.close()
            await task


def peer_of(server, stream):
    return next(peer for peer in server.open_peers if stream in peer.streams)


async def test_one_lost_connection_troubles_its_own_streams_only(stream_server, kit):
    sessions = []
    async with watched(stream_server.url, sessions, FIRST, SECOND) as supervisor:
        await kit.until(lambda: supervisor.stats.streams == 2)
        assert supervisor.trouble(FIRST) == supervisor.trouble(SECOND) == ""
        assert sorted(sessions) == [
            ("connect", 1, "first connection"),
            ("connect", 2, "first connection"),
        ]
        sessions.clear()
        stream_server.refuse_status = 503
        await peer_of(stream_server, SECOND).socket.close(code=1001)
        await kit.until(lambda: "HTTP 503" in supervisor.trouble(SECOND))
        assert supervisor.trouble(FIRST) == ""
        assert supervisor.trouble("ethusdt@kline_1m") == "", "nobody wants it"
        lost = "the exchange closed the connection with code 1001"
        assert sessions == [("disconnect", 2, lost)]
        stream_server.refuse_status = 0
        await kit.until(lambda: supervisor.trouble(SECOND) == "")
        await kit.until(lambda: supervisor.stats.streams == 2)
        assert sessions == [("disconnect", 2, lost), ("connect", 2, f"after: {lost}")]


async def test_a_connection_in_silence_troubles_its_streams_for_a_while(stream_server, kit):
    sessions = []
    async with watched(stream_server.url, sessions, FIRST, SECOND, stale_s=0.5) as supervisor:
        await kit.until(lambda: supervisor.stats.streams == 2)
        speaker = peer_of(stream_server, FIRST)

        async def silent():
            await speaker.send(FIRST, kit.kline(1_795_000_020_000))
            await asyncio.sleep(0.02)
            return supervisor.trouble(SECOND)

        while not (trouble := await silent()):
            pass
        assert trouble == "no message came for more than 0.5 s"
        assert supervisor.trouble(FIRST) == ""
        await peer_of(stream_server, SECOND).send(SECOND, kit.kline(1_795_000_020_000))
        assert supervisor.trouble(SECOND) == trouble, "it has just been silent"
        await kit.until(lambda: supervisor.trouble(SECOND, within_s=0.05) == "")
        assert [event for event, *_ in sessions] == ["connect", "connect"]


async def test_a_connection_that_is_replaced_in_time_is_not_lost(stream_server, kit):
    sessions = []

    async def greet(peer):
        await peer.send(FIRST, kit.kline(1_795_000_020_000))

    stream_server.greeting = greet
    async with watched(stream_server.url, sessions, FIRST, renew_s=0.1) as supervisor:
        await kit.until(lambda: supervisor.stats.renewals >= 2)
    assert sessions == [("connect", 1, "first connection")]


async def test_a_handshake_that_is_redirected_names_where_to(stream_server, kit):
    stream_server.refuse_status = 307
    stream_server.refuse_headers = {"Location": "ws://blocked.invalid/stream"}
    async with watched(stream_server.url, [], FIRST) as supervisor:
        host = stream_server.url.removeprefix("ws://")
        said = f"{host} does not answer itself but redirects to blocked.invalid (HTTP 307)"
        await kit.until(lambda: said in supervisor.trouble(FIRST))
        stream_server.refuse_status = 0
        await kit.until(lambda: supervisor.trouble(FIRST) == "")
