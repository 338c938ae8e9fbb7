"""The engine's door: a Unix-domain socket on which viewers ask and are answered.

Each viewer has one task that reads a request, has the desk answer it, and writes the answer before
it reads on. So a slow viewer slows itself only, and nothing queues up in the engine.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from engine import __version__
from engine.service.contract import (
    MAX_MESSAGE_BYTES,
    PROTOCOL,
    Answer,
    Done,
    Frame,
    Goodbye,
    Hello,
    Problem,
    Pull,
    Request,
    Welcome,
    decode_request,
    encode,
)
from engine.service.framing import MessageTooLarge, read_body
from engine.service.places import private_directory, replace_text

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 1024 * 1024
HELLO_TIMEOUT_S = 5.0
WRITE_TIMEOUT_S = 30.0
GUARD_EVERY_S = 1.0
BACKLOG = 16
_PROBE_TIMEOUT_S = 1.0


class SocketTaken(Exception):
    """Another engine answers on the socket already; the text is a sentence for users."""


@dataclass
class Viewer:
    """One connected viewer.

    Attributes:
        id: Unique within the engine's life.
        owner: Whether it is the terminal that started this engine.
        memory: The desk's own notes about this viewer.
    """

    id: int
    owner: bool
    memory: dict[str, Any] = field(default_factory=dict)


class Desk(Protocol):
    """Who answers the viewers."""

    def welcome(self, hello: Hello) -> Welcome | Problem:
        """Greet or refuse a viewer whose version fits."""
        ...

    def joined(self, viewer: Viewer) -> None:
        """A viewer was welcomed."""
        ...

    def left(self, viewer: Viewer, goodbye: Goodbye | None) -> None:
        """A viewer is gone; `goodbye` is None when it did not say so."""
        ...

    def stops_after(self, viewer: Viewer, goodbye: Goodbye) -> bool:
        """Tell whether the engine stops when this viewer leaves so."""
        ...

    def frame(self, viewer: Viewer, pull: Pull) -> Frame:
        """Return what changed for this viewer."""
        ...

    async def command(self, viewer: Viewer, request: Request) -> Answer:
        """Carry out a command."""
        ...


class ViewerServer:
    """Listens on a Unix socket (mode 0600 in a directory of mode 0700) and serves viewers.

    A socket file that disappears while the engine runs (a runtime directory is removed when its
    user logs out) is made again.

    Args:
        socket_path: Where to listen, at most 103 bytes.
        desk: Who answers.
        pointer: A file that is to hold the socket's path, for viewers whose environment leads them
            to another runtime directory.
        write_timeout_s: How long a viewer may leave an answer unread before it is dropped.

    Attributes:
        dropped: Viewers dropped because they stalled or sent what is no request.
    """

    def __init__(
        self,
        socket_path: Path,
        desk: Desk,
        *,
        pointer: Path | None = None,
        write_timeout_s: float = WRITE_TIMEOUT_S,
    ) -> None:
        self.socket_path = socket_path
        self.dropped = 0
        self._desk = desk
        self._pointer = pointer
        self._write_timeout_s = write_timeout_s
        self._ids = itertools.count(1)
        self._handlers: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._inode = 0

    async def start(self) -> None:
        """Begin to listen; `keep_path` is to run from then on.

        Raises:
            SocketTaken: when an engine answers there already.
            OSError: when the socket can not be made.
        """
        await self._listen()

    async def close(self) -> None:
        """Stop listening, drop all viewers and remove the socket; safe to call twice."""
        if self._server is not None:
            self._server.close()
        handlers = tuple(self._handlers)
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None
            if _inode(self.socket_path) == self._inode:
                self.socket_path.unlink()
            if self._pointer is not None:
                self._pointer.unlink(missing_ok=True)

    # --- the socket ---------------------------------------------------------------------------

    async def _listen(self) -> None:
        private_directory(self.socket_path.parent)
        if _inode(self.socket_path):
            if await _answers(self.socket_path):
                raise SocketTaken(
                    f"Another engine answers on {self.socket_path}; `klinetop stop` stops it."
                )
            self.socket_path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(self.socket_path))
            self.socket_path.chmod(0o600)
            self._server = await asyncio.start_unix_server(
                self._accept, sock=listener, backlog=BACKLOG
            )
        except OSError:
            listener.close()
            raise
        self._inode = _inode(self.socket_path)
        if self._pointer is not None:
            replace_text(self._pointer, str(self.socket_path))

    async def keep_path(self) -> None:
        """Make the socket again when it disappears, for ever."""
        while True:
            await asyncio.sleep(GUARD_EVERY_S)
            if _inode(self.socket_path) == self._inode:
                continue
            log.warning("The socket %s disappeared and is made again.", self.socket_path)
            try:
                old = self._server
                await self._listen()
                if old is not None:
                    old.close()
            except (OSError, SocketTaken) as error:
                log.warning("The socket can not be made: %s", error)

    # --- one viewer ---------------------------------------------------------------------------

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            log.debug("A viewer left without a goodbye.")
        except (TimeoutError, MessageTooLarge, msgspec.DecodeError) as error:
            self.dropped += 1
            log.warning("A viewer was dropped: %s", error or "it stalled")
        except asyncio.CancelledError:
            log.debug("A viewer was dropped because the engine stops.")
        except Exception:
            self.dropped += 1
            log.exception("A viewer was dropped.")
        finally:
            self._handlers.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        viewer = await self._admit(reader, writer)
        if viewer is None:
            return
        self._desk.joined(viewer)
        goodbye: Goodbye | None = None
        try:
            while goodbye is None:
                request = await self._request(reader, writer)
                if isinstance(request, Goodbye):
                    goodbye = request
                await self._send(writer, await self._answer(viewer, request))
        finally:
            self._desk.left(viewer, goodbye)
        await self._finish(writer)

    async def _admit(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Viewer | None:
        async with asyncio.timeout(HELLO_TIMEOUT_S):
            hello = await self._request(reader, writer)
        answer = self._greeting(hello)
        await self._send(writer, answer)
        if isinstance(answer, Problem) or not isinstance(hello, Hello):
            await self._finish(writer)
            return None
        return Viewer(next(self._ids), hello.owner)

    def _greeting(self, hello: Request) -> Welcome | Problem:
        if not isinstance(hello, Hello):
            return Problem("The first request of a connection must be Hello.")
        if (hello.version, hello.protocol) != (__version__, PROTOCOL):
            return Problem(
                f"The running engine is version {__version__}, this klinetop is version "
                f"{hello.version}: `klinetop stop` stops it, and `klinetop` then starts its own.",
                usage=True,
            )
        return self._desk.welcome(hello)

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
        try:
            return decode_request(await read_body(reader, MAX_REQUEST_BYTES))
        except (msgspec.DecodeError, MessageTooLarge) as error:
            await self._send(writer, Problem(f"This is no request: {error}.", usage=True))
            await self._finish(writer)
            raise

    async def _answer(self, viewer: Viewer, request: Request) -> bytes:
        try:
            message = encode(await self._reply(viewer, request))
        except Exception as error:
            # The engine outlives a fault in one answer.
            log.exception("A %s could not be answered.", type(request).__name__)
            return encode(
                Problem(
                    f"The engine failed to answer {type(request).__name__} "
                    f"({type(error).__name__}: {error}); its log tells more."
                )
            )
        if len(message) > MAX_MESSAGE_BYTES:
            return encode(Problem("The answer is too large for one message; ask for less."))
        return message

    async def _reply(self, viewer: Viewer, request: Request) -> Answer:
        match request:
            case Pull():
                return self._desk.frame(viewer, request)
            case Goodbye():
                return Done(data={"stops": self._desk.stops_after(viewer, request)})
            case Hello():
                return Problem("Hello was said already.")
            case _:
                return await self._desk.command(viewer, request)

    async def _send(self, writer: asyncio.StreamWriter, answer: Answer | bytes) -> None:
        writer.write(answer if isinstance(answer, bytes) else encode(answer))
        async with asyncio.timeout(self._write_timeout_s):
            await writer.drain()

    async def _finish(self, writer: asyncio.StreamWriter) -> None:
        writer.close()
        async with asyncio.timeout(self._write_timeout_s):
            await writer.wait_closed()


def _inode(path: Path) -> int:
    try:
        return path.lstat().st_ino
    except FileNotFoundError:
        return 0


async def _answers(path: Path) -> bool:
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            _, writer = await asyncio.open_unix_connection(str(path))
    except ConnectionRefusedError:
        return False
    except TimeoutError:
        return True
    writer.close()
    return True
