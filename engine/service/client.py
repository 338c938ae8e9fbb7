"""The viewer's side of the contract."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from engine import __version__
from engine.service.contract import (
    MAX_MESSAGE_BYTES,
    PROTOCOL,
    Answer,
    Frame,
    Hello,
    Problem,
    Pull,
    Request,
    View,
    Welcome,
    decode_answer,
    encode,
)
from engine.service.framing import MessageTooLarge, read_body
from engine.service.problems import EngineGone, EngineMismatch, EngineProblem, mismatch

if TYPE_CHECKING:
    from pathlib import Path

    from engine.service.early import Answered

__all__ = ["EngineClient", "EngineGone", "EngineMismatch", "EngineProblem"]

CONNECT_TIMEOUT_S = 5.0
PULL_TIMEOUT_S = 20.0


class EngineClient:
    """One connection to an engine. Requests from several tasks wait for their turn.

    A request that is cancelled or not answered in time closes the connection, because its answer
    would be taken for the next one's.

    Attributes:
        welcome: What the engine said at the beginning.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, welcome: Welcome
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self._early: Answered | None = None
        self.welcome = welcome

    @classmethod
    async def connect(cls, socket_path: Path, *, owner: bool = False) -> EngineClient:
        """Connect to the engine that listens on `socket_path` and exchange the first words.

        Args:
            socket_path: See `engine.service.launch.find_socket`.
            owner: Whether this viewer started the engine.

        Raises:
            EngineGone: when nobody listens there or answers in time.
            EngineMismatch: when the engine is of another version.
            EngineProblem: when it does not want this viewer.
        """
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                reader, writer = await asyncio.open_unix_connection(str(socket_path))
        except (OSError, TimeoutError):
            raise EngineGone("No engine runs for this data directory.") from None
        client = cls(reader, writer, _NOBODY)
        try:
            client.welcome = await client._greet(owner=owner)
        except BaseException:
            client.abort()
            raise
        return client

    @classmethod
    async def adopt(cls, answered: Answered) -> EngineClient:
        """Go on with a connection on which the first questions were asked already."""
        answered.connection.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=answered.connection)
        client = cls(reader, writer, answered.welcome)
        client._early = answered
        return client

    def take_early(self) -> Answered | None:
        """Return, once, what was pulled before there was a loop; None where nothing was."""
        early, self._early = self._early, None
        return early

    async def pull(self, view: View, since: int) -> Frame:
        """Return what changed after revision `since`; 0 asks for everything.

        Raises:
            EngineGone: when the engine left or does not answer.
            EngineProblem: when it refuses.
        """
        answer = await self.ask(Pull(view, since), timeout_s=PULL_TIMEOUT_S)
        if not isinstance(answer, Frame):
            raise EngineProblem(f"The engine answered a pull with {type(answer).__name__}.")
        return answer

    async def ask(self, request: Request, *, timeout_s: float | None = None) -> Answer:
        """Return the engine's answer to `request`.

        Args:
            request: Any request of the contract.
            timeout_s: How long to wait; None waits as long as the command takes.

        Raises:
            EngineGone: when the engine left or does not answer in time.
            EngineProblem: with the engine's own sentence.
        """
        async with self._turn:
            answer = await self._exchange(request, timeout_s)
        if isinstance(answer, Problem):
            raise EngineProblem(answer.message, usage=answer.usage)
        return answer

    async def close(self) -> None:
        """Close the connection; safe to call twice."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return

    def abort(self) -> None:
        """Drop the connection at once."""
        self._writer.transport.abort()

    async def _greet(self, *, owner: bool) -> Welcome:
        hello = Hello(version=__version__, owner=owner)
        try:
            answer = await self._exchange(hello, CONNECT_TIMEOUT_S)
        except EngineProblem as error:
            raise mismatch("another version") from error
        if isinstance(answer, Problem):
            if answer.usage:
                raise EngineMismatch(answer.message)
            raise EngineProblem(answer.message)
        if not isinstance(answer, Welcome):
            raise mismatch("another version")
        if (answer.version, answer.protocol) != (__version__, PROTOCOL):
            same = answer.version == __version__
            raise mismatch("another build" if same else f"version {answer.version}")
        return answer

    async def _exchange(self, request: Request, timeout_s: float | None) -> Answer:
        try:
            async with asyncio.timeout(timeout_s):
                self._writer.write(encode(request))
                await self._writer.drain()
                return decode_answer(await read_body(self._reader, MAX_MESSAGE_BYTES))
        except TimeoutError:
            self.abort()
            raise EngineGone(f"The engine did not answer within {timeout_s:.0f} s.") from None
        except (asyncio.IncompleteReadError, OSError):
            self.abort()
            raise EngineGone("The engine is gone; `klinetop` starts it again.") from None
        except (msgspec.DecodeError, MessageTooLarge) as error:
            self.abort()
            raise EngineProblem(f"The engine's answer can not be read: {error}.") from None
        except asyncio.CancelledError:
            self.abort()
            raise


_NOBODY = Welcome(version="", protocol=0, pid=0, source="", focused="", interval="")
