"""The first questions to an engine, asked while the terminal is still being imported.

A thread with a plain socket does it: there is no event loop yet, and the engine, another process,
answers meanwhile.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING

import msgspec

from engine import __version__
from engine.service.contract import (
    MAX_MESSAGE_BYTES,
    PROTOCOL,
    Answer,
    Frame,
    Hello,
    Pull,
    Request,
    View,
    Welcome,
    decode_answer,
    encode,
)
from engine.service.framing import LENGTH_BYTES, read_exactly

if TYPE_CHECKING:
    from pathlib import Path

ANSWER_TIMEOUT_S = 5.0


class Answered(msgspec.Struct, frozen=True):
    """What an engine answered.

    Attributes:
        connection: The connection, on which nothing else was asked yet.
        welcome: Its first words.
        view: What was pulled; where no symbol was named, the engine's pick.
        frame: The answer.
    """

    connection: socket.socket
    welcome: Welcome
    view: View
    frame: Frame


class EarlyPull:
    """Says hello and pulls once, in a thread; whatever goes wrong is left to a later connection.

    Args:
        connection: A connected socket; it is closed where there is no whole answer.
        view: What to pull; an empty symbol stands for the engine's pick.
    """

    def __init__(self, connection: socket.socket, view: View) -> None:
        self._connection = connection
        self._view = view
        self._answered: Answered | None = None
        self._thread = threading.Thread(target=self._run, name="early pull", daemon=True)
        self._thread.start()

    async def take(self) -> Answered | None:
        """Return the answer once it is there, or None; the connection is the caller's then."""
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)
        answered, self._answered = self._answered, None
        return answered

    def _run(self) -> None:
        try:
            self._connection.settimeout(ANSWER_TIMEOUT_S)
            self._answered = self._ask()
        except (OSError, msgspec.MsgspecError):
            self._answered = None
        if self._answered is None:
            self._connection.close()

    def _ask(self) -> Answered | None:
        welcome = self._exchange(Hello(version=__version__, owner=False))
        if not isinstance(welcome, Welcome):
            return None
        if (welcome.version, welcome.protocol) != (__version__, PROTOCOL):
            return None
        view = self._view
        if not view.focused:
            view = msgspec.structs.replace(view, focused=welcome.focused)
        frame = self._exchange(Pull(view, 0))
        return (
            Answered(self._connection, welcome, view, frame) if isinstance(frame, Frame) else None
        )

    def _exchange(self, request: Request) -> Answer:
        self._connection.sendall(encode(request))
        length = int.from_bytes(read_exactly(self._connection, LENGTH_BYTES), "big")
        if length > MAX_MESSAGE_BYTES:
            raise OSError(f"a message of {length} bytes")
        return decode_answer(read_exactly(self._connection, length))


def connected(socket_path: Path, timeout_s: float = 1.0) -> socket.socket | None:
    """Return a connection to who listens on `socket_path`, or None where nobody does."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        connection.connect(str(socket_path))
    except OSError:
        connection.close()
        return None
    return connection
