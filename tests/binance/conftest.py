"""A small scripted exchange on loopback: the stream side and the REST side."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import WSMsgType, web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


async def until(condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
    """Wait until `condition()` is true; fail after `timeout_s`."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        await asyncio.sleep(0.005)


class Peer:
    """One connection as the exchange sees it."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket
        self.streams: dict[str, None] = {}
        self.frames: list[tuple[float, str]] = []
        self.is_open = True

    async def send(self, stream: str, data: dict[str, Any]) -> None:
        await self.socket.send_str(combined(stream, data))

    async def text(self, text: str) -> None:
        await self.socket.send_str(text)


def combined(stream: str, data: dict[str, Any]) -> str:
    return json.dumps({"stream": stream, "data": data}, separators=(",", ":"))


def trade(number: int, symbol: str = "BTCUSDT") -> dict[str, Any]:
    return {
        "e": "trade", "E": 1795000000000 + number, "s": symbol, "t": number, "p": "84212.50",
        "q": "0.00120000", "T": 1795000000000 + number, "m": True, "M": True,
    }  # fmt: skip


def kline(open_ms: int, *, closed: bool = False, symbol: str = "BTCUSDT") -> dict[str, Any]:
    return {
        "e": "kline", "E": open_ms + 2000, "s": symbol,
        "k": {
            "t": open_ms, "T": open_ms + 59_999, "s": symbol, "i": "1m", "f": 1, "L": 9,
            "o": "84210.01", "c": "84212.50", "h": "84213.00", "l": "84209.99", "v": "3.415",
            "n": 9, "x": closed, "q": "287583.11", "V": "1.9", "Q": "160001.02", "B": "0",
        },
    }  # fmt: skip


class StreamServer:
    """Answers SUBSCRIBE and its like; tests send what they want through `peers`."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.attempts = 0
        self.refuse_status = 0
        self.refuse_headers: dict[str, str] = {}
        self.refuse_stream = ""
        self.answers = True
        self.answer_delay_s = 0.0
        self.cut_commands = 0
        self.nested_errors = False
        self.answered = 0
        self.hold_after: int | None = None
        self.release = asyncio.Event()
        self.greeting: Callable[[Peer], Any] | None = None
        self.url = ""
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def open_peers(self) -> list[Peer]:
        return [peer for peer in self.peers if peer.is_open]

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/stream", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        assert site._server is not None
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        self.url = f"ws://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        if self._runner is not None:
            for peer in self.open_peers:
                cut(peer)
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.attempts += 1
        if self.refuse_status:
            return web.Response(status=self.refuse_status, headers=self.refuse_headers)
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        peer = Peer(socket)
        self.peers.append(peer)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._command(peer, message.data)
        finally:
            peer.is_open = False
        return socket

    async def _command(self, peer: Peer, text: str) -> None:
        peer.frames.append((time.monotonic(), text))
        command = json.loads(text)
        names = command["params"]
        if not self.answers:
            return
        if self.cut_commands:
            self.cut_commands -= 1
            cut(peer)
            return
        await asyncio.sleep(self.answer_delay_s)
        if self.hold_after is not None and self.answered >= self.hold_after:
            await self.release.wait()
        self.answered += 1
        if self.refuse_stream and self.refuse_stream in names:
            error = {"code": 2, "msg": "Invalid request"}
            told = {"error": error} if self.nested_errors else error
            await peer.text(json.dumps({**told, "id": command["id"]}))
            return
        for name in names:
            if command["method"] == "SUBSCRIBE":
                peer.streams[name] = None
            else:
                peer.streams.pop(name, None)
        await peer.text(json.dumps({"result": None, "id": command["id"]}))
        if self.greeting is not None:
            await self.greeting(peer)


def cut(peer: Peer) -> None:
    """Cut the TCP connection without a closing frame."""
    transport = peer.socket._req.transport if peer.socket._req else None
    if transport is not None:
        transport.abort()


class RestServer:
    """Answers `/api/v3/<path>` with what a test put into `routes`, and keeps the requests."""

    def __init__(self) -> None:
        self.routes: dict[str, Callable[[web.Request], web.Response]] = {}
        self.requests: list[tuple[float, str, dict[str, str]]] = []
        self.counts: dict[str, int] = defaultdict(int)
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        self.requests.append((time.monotonic(), path, dict(request.query)))
        self.counts[path] += 1
        route = self.routes.get(path)
        return route(request) if route else web.Response(status=404, text="<html>")


@asynccontextmanager
async def rest_running() -> AsyncIterator[RestServer]:
    server = RestServer()
    app = web.Application()
    app.router.add_get("/api/v3/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    server.url = f"http://127.0.0.1:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()


@pytest.fixture
async def stream_server() -> AsyncIterator[StreamServer]:
    server = StreamServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def rest_server() -> AsyncIterator[RestServer]:
    async with rest_running() as server:
        yield server


class Kit:
    """Helpers of this file for test modules, which cannot import it."""

    until = staticmethod(until)
    combined = staticmethod(combined)
    trade = staticmethod(trade)
    kline = staticmethod(kline)
    cut = staticmethod(cut)


@pytest.fixture
def kit() -> type[Kit]:
    return Kit
