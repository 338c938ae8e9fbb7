"""One WebSocket connection to the exchange."""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from yarl import URL

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
YIELD_AFTER_MESSAGES = 500
# A half-dead TCP connection shows within 1.5 times this; data count as life too.
HEARTBEAT_S = 30.0

_TEXT, _BINARY = aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY

logger = logging.getLogger(__name__)

FrameHandler = Callable[[bytes | str, int], None]


class StreamConnection:
    """An open WebSocket whose frames go to a callback, in order, in the loop that reads them."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self._websocket = websocket

    @classmethod
    async def open(
        cls, session: aiohttp.ClientSession, url: URL, *, timeout_s: float, close_timeout_s: float
    ) -> StreamConnection:
        """Connect to `url`; closing waits `close_timeout_s` for the peer's part.

        Raises:
            TimeoutError: after `timeout_s` wall seconds.
            aiohttp.ClientError: when the connection or its handshake fails.
            OSError: on failures below HTTP.
        """
        options: dict[str, Any] = {
            "max_msg_size": MAX_MESSAGE_BYTES,
            "autoping": True,
            "heartbeat": HEARTBEAT_S,
            "compress": 0,
            "timeout": aiohttp.ClientWSTimeout(ws_close=close_timeout_s),
        }
        if "decode_text" in inspect.signature(session.ws_connect).parameters:
            options["decode_text"] = False
        async with asyncio.timeout(timeout_s):
            return cls(await session.ws_connect(url, **options))

    async def read(self, on_frame: FrameHandler) -> str:
        """Hand each frame with its receipt (wall clock, epoch ns) to `on_frame` until the end.

        Everything that arrived before the end is delivered. The loop gets its turn at least every
        500 messages.

        Returns:
            Why the connection ended, in words.
        """
        receive, now_ns, text, binary = self._websocket.receive, time.time_ns, _TEXT, _BINARY
        left = YIELD_AFTER_MESSAGES
        while True:
            message = await receive()
            kind = message.type
            if kind is not text and kind is not binary:
                return self._ending(message)
            on_frame(message.data, now_ns())
            left -= 1
            if not left:
                left = YIELD_AFTER_MESSAGES
                await asyncio.sleep(0)

    def _ending(self, message: aiohttp.WSMessage) -> str:
        if message.type is aiohttp.WSMsgType.ERROR:
            return f"the connection broke: {message.data}"
        code = self._websocket.close_code
        if code is None or code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE:
            return "the connection was cut"
        detail = f" ({message.extra})" if message.extra else ""
        return f"the exchange closed the connection with code {code}{detail}"

    async def send(self, text: str) -> None:
        """Send one text frame.

        Raises:
            ConnectionError: when the connection is gone.
        """
        try:
            await self._websocket.send_str(text)
        except (aiohttp.ClientError, RuntimeError) as error:
            raise ConnectionError(str(error)) from error

    async def close(self, timeout_s: float) -> None:
        """Close in order, and cut a connection that does not close within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._websocket.close()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            logger.info("A stream connection did not close in order (%r); it is cut.", error)
            self._abort()

    def _abort(self) -> None:
        raw = self._websocket.get_extra_info("socket")
        if raw is None:
            return
        try:
            raw.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            logger.debug("The socket was gone already: %r", error)
