"""One WebSocket connection: frames out in one write per turn, commands in under their limits."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
import time
from collections import deque
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode, WSMsgType, web

from engine.simulator.commands import InvalidStream, check_names, refuse
from engine.simulator.hub import binary_frame, close_frame, text_frame

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from engine.simulator.exchange import Exchange
    from engine.simulator.limits import Limits


class Connection:
    """The server's end of one WebSocket connection.

    Args:
        exchange: Whose streams it can listen to, and whose faults concern it.
        limits: Pings, age, sizes.
        request: The HTTP request that opens it.
        respond: Answers a client's message, by `send_raw`.
        most_messages_per_s: Client messages (pings and pongs too) per second.
        combined: See below.
        in_microseconds: See below.

    Attributes:
        combined: Whether payloads are wrapped as `{"stream":...,"data":...}`.
        in_microseconds: Whether the times in payloads are microseconds.
        streams: The streams it listens to, in the order of subscription.
    """

    def __init__(
        self,
        exchange: Exchange,
        limits: Limits,
        request: web.Request,
        respond: Callable[[Connection, bytes], Awaitable[None]],
        *,
        most_messages_per_s: float = math.inf,
        combined: bool = False,
        in_microseconds: bool = False,
    ) -> None:
        assert request.transport is not None
        self.combined = combined
        self.in_microseconds = in_microseconds
        self.streams: dict[str, None] = {}
        self._exchange = exchange
        self._limits = limits
        self._request = request
        self._respond = respond
        self._most_messages_per_s = most_messages_per_s
        self._transport = request.transport
        self._socket = web.WebSocketResponse(
            compress=False,
            autoping=False,
            timeout=1.0,
            max_msg_size=limits.largest_command_bytes * 64,
        )
        self._frames: list[bytes] = []
        self._size = 0
        self._scheduled: asyncio.Handle | None = None
        self._last_pong_s = time.monotonic()
        self._commands: deque[float] = deque()
        self._close_code: int | None = None
        self._unread = 0
        self._is_mute = False

    # -- out -----------------------------------------------------------------------------------

    @property
    def backlog_bytes(self) -> int:
        """Bytes that wait here because the other side does not read."""
        return self._size + self._transport.get_write_buffer_size()

    def send(self, frame: bytes) -> None:
        """Queue one ready frame; all frames of one turn of the event loop go in one write."""
        if self._is_mute:
            return
        self._frames.append(frame)
        self._size += len(frame)
        if self._close_code is not None:
            self._close_when_full()
        elif self._scheduled is None:
            self._scheduled = asyncio.get_running_loop().call_soon(self._flush)

    def abort(self) -> None:
        """Cut the connection at once, without a close frame."""
        self._leave()
        self._transport.abort()

    def send_raw(self, content: str | bytes, *, as_text: bool = False) -> None:
        """Queue a frame with any content: text as a text frame, bytes as a binary one."""
        if isinstance(content, str):
            self.send(text_frame(content.encode(errors="surrogatepass")))
        elif as_text:
            self.send(text_frame(content))
        else:
            self.send(binary_frame(content))

    def close_after(self, code: int, frames: int) -> None:
        """Hold the next `frames` frames back, then send them and a close frame in one write."""
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        self._close_code, self._unread = code, frames
        self._close_when_full()

    def _close_when_full(self) -> None:
        if len(self._frames) < self._unread or self._close_code is None:
            return
        data = b"".join([*self._frames, close_frame(self._close_code)])
        self._close_code, self._is_mute = None, True
        # The hub that brought the last frame is still walking through its listeners.
        asyncio.get_running_loop().call_soon(self._leave)
        if not self._transport.is_closing():
            self._transport.write(data)

    def reset_mid_frame(self) -> None:
        """Send the first half of a frame, then reset the TCP connection."""
        frame = text_frame(b'{"e":"trade","E":1,"s":"' + b"X" * 100)
        self._leave()
        self._transport.write(frame[: len(frame) // 2])
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _leave(self) -> None:
        self._exchange.faults.connections.discard(self)
        for stream in self.streams:
            self._exchange.hub.unsubscribe(self, stream)
        self.streams.clear()
        self._frames.clear()
        self._size = 0
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None

    def _flush(self) -> None:
        self._scheduled = None
        if self._transport.is_closing():
            self._frames.clear()
            self._size = 0
            return
        if self.backlog_bytes > self._limits.most_backlog_bytes and not math.isinf(
            self._exchange.clock.speed
        ):
            self.abort()
            return
        stalled_s = self._exchange.faults.stalled_s
        if stalled_s:
            loop = asyncio.get_running_loop()
            self._scheduled = loop.call_later(stalled_s, self._flush)
            return
        data = b"".join(self._frames)
        self._frames.clear()
        self._size = 0
        self._transport.write(data)

    # -- in ------------------------------------------------------------------------------------

    async def serve(self, streams: list[str]) -> web.WebSocketResponse:
        """Run the connection until one side ends it."""
        await self._socket.prepare(self._request)
        self._exchange.faults.connections.add(self)
        pinger = asyncio.create_task(self._ping())
        end = asyncio.get_running_loop().call_later(
            self._limits.life_s, self.close_after, WSCloseCode.GOING_AWAY, 0
        )
        try:
            try:
                check_names(streams)
            except InvalidStream as error:
                refuse(self, error)
            else:
                await self.subscribe(streams)
            await self._read()
        finally:
            pinger.cancel()
            end.cancel()
            self._leave()
        return self._socket

    async def subscribe(self, streams: list[str]) -> None:
        """Listen to `streams`, all from one moment on.

        The history of long open candles is fetched before, in a worker thread.
        """
        for stream in streams:
            await self._exchange.warm(stream)
        for stream in streams:
            self.streams[stream] = None
            self._exchange.hub.subscribe(self, stream)

    def unsubscribe(self, stream: str) -> None:
        """Stop listening to `stream`."""
        self.streams.pop(stream, None)
        self._exchange.hub.unsubscribe(self, stream)

    async def _read(self) -> None:
        async for message in self._socket:
            if not self._is_within_rate():
                await self._socket.close(
                    code=WSCloseCode.POLICY_VIOLATION, message=b"Too many requests"
                )
                return
            if message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                self._last_pong_s = time.monotonic()
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                data = message.data
                text = data.encode() if isinstance(data, str) else bytes(data)
                if len(text) <= self._limits.largest_command_bytes:
                    await self._respond(self, text)

    def _is_within_rate(self) -> bool:
        now_s = time.monotonic()
        times = self._commands
        times.append(now_s)
        while times[0] <= now_s - 1.0:
            times.popleft()
        return len(times) <= self._most_messages_per_s

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self._limits.ping_s)
            if time.monotonic() - self._last_pong_s > self._limits.pong_s + self._limits.ping_s:
                self.abort()
                return
            with contextlib.suppress(ConnectionError):  # the reader notices that it is gone
                await self._socket.ping(str(int(time.time() * 1000)).encode())
