"""The terminal's side of the contract: connect, pull at a pace, ask, reconnect."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from engine.service.client import EngineGone, EngineMismatch, EngineProblem
from engine.service.contract import Done, Goodbye

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from engine.service.contract import Answer, Frame, Request, View, Welcome
    from engine.service.early import Answered
    from tui.pace import LinkMeter, Pacer

logger = logging.getLogger(__name__)

RECONNECT_S = 1.0
GOODBYE_S = 3.0
"""An engine that is loading history may take its time to answer."""
QUIET_AFTER_S = 3.0
QUIET_S = 1.0
"""Where nothing arrives there is no need to ask several times a second."""


class Client(Protocol):
    """What the terminal needs of a connection to the engine."""

    @property
    def welcome(self) -> Welcome:
        """The engine's answer to the first words."""
        ...

    def take_early(self) -> Answered | None:
        """Return what was pulled before there was a terminal, once."""
        ...

    async def pull(self, view: View, since: int) -> Frame:
        """Return what changed after revision `since`."""
        ...

    async def ask(self, request: Request) -> Answer:
        """Return the answer to `request`."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...


class LinkState(msgspec.Struct, frozen=True):
    """How the terminal stands with the engine.

    Attributes:
        kind: `connecting` before the first connection, `up`, `gone` or `mismatch`.
        sentence: Why it is not up, in words.
        since_wall_ms: Wall time since when it is so.
    """

    kind: Literal["connecting", "up", "gone", "mismatch"] = "connecting"
    sentence: str = ""
    since_wall_ms: int = 0

    @property
    def is_up(self) -> bool:
        """Whether the engine answers."""
        return self.kind == "up"


class LinkUser(Protocol):
    """Who uses the link: it says what it looks at and is told what comes."""

    @property
    def view(self) -> View:
        """What the terminal shows now."""
        ...

    @property
    def revision(self) -> int:
        """Revision of the last merged frame; 0 asks for everything."""
        ...

    def welcomed(self, welcome: Welcome) -> None:
        """A connection was made."""
        ...

    def received(self, frame: Frame, view: View) -> None:
        """A frame came, in answer to a pull with `view`."""
        ...

    def link_changed(self, state: LinkState) -> None:
        """The link came up or went away."""
        ...


class EngineLink:
    """Keeps one connection to the engine and pulls from it for `user`.

    Attributes:
        state: How the link stands.
        pacer: Chooses the pull rate.
        engine_stops: What the engine answered to the goodbye; None where none reached it.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Client]],
        user: LinkUser,
        *,
        pacer: Pacer,
        meter: LinkMeter,
        wall_ms: Callable[[], int],
        reconnect_s: float = RECONNECT_S,
    ) -> None:
        self._connect = connect
        self._user = user
        self.pacer = pacer
        self._meter = meter
        self._wall_ms = wall_ms
        self._reconnect_s = reconnect_s
        self._client: Client | None = None
        self._turn = asyncio.Lock()
        self._nudged = asyncio.Event()
        self._leaving = False
        self._book: tuple[str, int, str] | None = None
        self.engine_stops: bool | None = None
        self.state = LinkState(since_wall_ms=wall_ms())

    def nudge(self) -> None:
        """Pull at once, and often for a moment: the view changed."""
        self.pacer.hurry()
        self._nudged.set()

    async def run(self) -> None:
        """Connect, pull until the engine is gone, and begin again, until cancelled."""
        while not self._leaving:
            try:
                self._client = await self._connect()
                self._set_state(LinkState("up", "", self._wall_ms()))
                self._user.welcomed(self._client.welcome)
                self._receive_early(self._client)
                await self._pull_on(self._client)
            except EngineMismatch as error:
                self._lost("mismatch", str(error))
            except (EngineGone, EngineProblem, OSError) as error:
                self._lost("gone", str(error))
            finally:
                # Who leaves still says goodbye on this connection.
                if not self._leaving:
                    await self._drop_client()
            if not self._leaving:
                await asyncio.sleep(self._reconnect_s)

    async def ask(self, request: Request, *, aside: bool = False) -> Answer:
        """Return the engine's answer to `request`.

        Args:
            request: Any request of the contract.
            aside: Ask on a connection of its own: the answer may take long, and pulling goes on.

        Raises:
            EngineProblem: when the engine refuses; its text is a sentence.
            EngineGone: when there is no engine to ask.
        """
        client = self._client
        if client is None:
            raise EngineGone("There is no engine to ask: the terminal is not connected to one.")
        if aside:
            answer = await self._ask_aside(request)
        else:
            async with self._turn:
                answer = await client.ask(request)
        self.nudge()
        return answer

    async def _ask_aside(self, request: Request) -> Answer:
        client = await self._connect()
        try:
            return await client.ask(request)
        finally:
            await client.close()

    async def leave(self, *, detach: bool) -> None:
        """Say goodbye, with a time limit, and close."""
        self._leaving = True
        client = self._client
        if client is None:
            return
        try:
            async with asyncio.timeout(GOODBYE_S), self._turn:
                answer = await client.ask(Goodbye(detach=detach))
            if isinstance(answer, Done):
                self.engine_stops = answer.data.get("stops")
        except (TimeoutError, EngineGone, EngineProblem, OSError) as error:
            logger.warning("The goodbye did not reach the engine: %s", error)
        await self._drop_client()

    async def _pull_on(self, client: Client) -> None:
        while not self._leaving:
            async with self._turn:
                view = self._user.view
                frame = await client.pull(view, self._user.revision)
            if self._has_news(frame):
                self.pacer.hear()
            self._user.received(frame, view)
            await self._wait_for_turn()

    def _receive_early(self, client: Client) -> None:
        """Show what was asked for before the terminal stood, as far as it still wants that."""
        early = client.take_early()
        if early is None:
            return
        view = self._user.view
        if (early.view.focused, early.view.interval) == (view.focused, view.interval):
            self._user.received(early.frame, view if early.view == view else early.view)

    def _has_news(self, frame: Frame) -> bool:
        """Whether the market moved: ages and counters do so all the time."""
        before, book = self._book, frame.book
        if book is not None:
            self._book = (book.symbol, book.last_update_id, book.state)
        parts = (frame.tickers, frame.chart, frame.trades, frame.forecast)
        return self._book != before or any(part is not None for part in parts)

    async def _wait_for_turn(self) -> None:
        try:
            async with asyncio.timeout(self.pacer.interval_s):
                await self._nudged.wait()
        except TimeoutError:
            pass
        self._nudged.clear()
        self.pacer.observe(self._meter.take_busy())
        while not self._meter.is_clear:
            await asyncio.sleep(self.pacer.interval_s / 4)
            self.pacer.observe(self._meter.take_busy())

    async def _drop_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            try:
                await client.close()
            except (EngineGone, OSError) as error:
                logger.info("The connection was closed already: %s", error)

    def _lost(self, kind: Literal["gone", "mismatch"], sentence: str) -> None:
        logger.warning("The engine is %s: %s", kind, sentence)
        since = self.state.since_wall_ms if self.state.kind == kind else self._wall_ms()
        self._set_state(LinkState(kind, sentence, since))

    def _set_state(self, state: LinkState) -> None:
        if state != self.state:
            self.state = state
            self._user.link_changed(state)
