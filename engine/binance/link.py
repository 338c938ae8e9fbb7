"""One connection with its subscriptions: what is asked for, what the exchange confirmed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from engine.binance.events import CommandAnswer, Event, ServerShutdown, UnknownEvent
from engine.binance.payloads import BadMessage, decode
from engine.binance.stream_types import HARD_STREAMS_PER_CONNECTION, Counters, StreamLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from engine.binance.connection import StreamConnection

logger = logging.getLogger(__name__)

REFUSED_RETRY_S = 60.0
_READY_WITHOUT_DATA_S = 5.0
_RAW_KEPT = 2000
_CONTROL = frozenset({CommandAnswer, ServerShutdown, UnknownEvent})


class LinkOwner(Protocol):
    """Who a link reports to; all calls come from the read loop and must not block."""

    def event(self, stream: str, event: Event, receipt_wall_ns: int) -> None:
        """Take one event."""

    def bad(self, reason: str, raw: str) -> None:
        """Take a frame that could not be decoded."""

    def confirmed(self, link: Link, streams: frozenset[str]) -> None:
        """Learn that `streams` flow from now on."""

    def shutdown_announced(self, link: Link) -> None:
        """Learn that the exchange wants this connection replaced."""


class _Command(NamedTuple):
    method: str
    streams: tuple[str, ...]
    sent_s: float


class Link:
    """Reads one connection, and keeps its subscriptions equal to the wanted ones.

    Attributes:
        confirmed: Streams whose subscription the exchange has answered.
        ready: Set when all wanted streams are confirmed and the first event came.
        spoke: Whether any event came.
        alive: False once the connection has ended.
        refusal: The last error that a command was answered with; empty without one.
        silent: Whether it was given up for silence.
    """

    def __init__(
        self,
        connection: StreamConnection,
        owner: LinkOwner,
        wanted: Callable[[], Collection[str]],
        limits: StreamLimits,
        counters: Counters,
        silence_s: float,
    ) -> None:
        self._connection = connection
        self._owner = owner
        self._wanted = wanted
        self._limits = limits
        self._counters = counters
        self._silence_s = silence_s
        self._asked: dict[str, None] = {}
        self._pending: dict[int, _Command] = {}
        self._refused_until_s: dict[str, float] = {}
        self._changed = asyncio.Event()
        self._next_id = 1
        self._confirmed_s = 0.0
        self.opened_s = time.monotonic()
        self.last_message_s = self.opened_s
        self.confirmed: set[str] = set()
        self.ready = asyncio.Event()
        self.spoke = False
        self.alive = True
        self.refusal = ""
        self.silent = False
        self.is_watched = True

    def wanted_changed(self) -> None:
        """Compare subscriptions with the wanted streams again, soon."""
        self._changed.set()

    async def run(self) -> str:
        """Read until the connection ends or is given up, then close it.

        Returns:
            The reason in words.
        """
        reader = asyncio.create_task(self._connection.read(self._on_frame))
        helpers = [asyncio.create_task(self._pump()), asyncio.create_task(self._watch())]
        tasks = [reader, *helpers]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if reader not in done and helpers[0] in done:
                # A failed send means that the peer is gone; what it sent before is still read.
                await asyncio.wait([reader], timeout=self._limits.close_timeout_s)
            return next(task.result() for task in tasks if task.done())
        finally:
            self.alive = False
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._connection.close(self._limits.close_timeout_s)

    # --- reading --------------------------------------------------------------------------------

    def _on_frame(self, data: bytes | str, receipt_wall_ns: int) -> None:
        counters = self._counters
        counters.messages += 1
        counters.bytes += len(data)
        counters.last_receipt_ns = receipt_wall_ns
        self.last_message_s = time.monotonic()
        try:
            pairs = decode(data)
        except BadMessage as error:
            counters.bad += 1
            raw = data if isinstance(data, str) else bytes(data).decode(errors="replace")
            self._owner.bad(str(error), raw[:_RAW_KEPT])
            return
        for stream, event in pairs:
            if type(event) in _CONTROL:
                self._on_control(event)
                continue
            self._owner.event(stream, event, receipt_wall_ns)
            if not self.spoke:
                self.spoke = True
                self._check_ready()

    def _on_control(self, event: Event) -> None:
        if isinstance(event, CommandAnswer):
            self._on_answer(event)
        elif isinstance(event, ServerShutdown):
            self._owner.shutdown_announced(self)
        else:
            self._counters.unknown += 1

    def _on_answer(self, answer: CommandAnswer) -> None:
        command = self._pending.pop(answer.id, None) if isinstance(answer.id, int) else None
        if answer.error is not None:
            self._on_refusal(answer.error, command)
        elif command is not None and command.method == "SUBSCRIBE":
            self.confirmed.update(command.streams)
            self._confirmed_s = time.monotonic()
            self._owner.confirmed(self, frozenset(command.streams))
            self._check_ready()
        elif command is not None:
            self.confirmed.difference_update(set(command.streams) - self._asked.keys())

    def _on_refusal(self, error: str, command: _Command | None) -> None:
        self._counters.refused += 1
        self.refusal = error
        streams = command.streams if command else ()
        logger.warning("The exchange refused a command for %d streams: %s", len(streams), error)
        if command is not None and command.method == "SUBSCRIBE":
            for stream in streams:
                self._asked.pop(stream, None)
                self._refused_until_s[stream] = time.monotonic() + REFUSED_RETRY_S

    def _check_ready(self) -> None:
        if self.ready.is_set() or not self._confirmed_s:
            return
        waited_s = time.monotonic() - self._confirmed_s
        if not self.spoke and (self._always_speaks or waited_s < _READY_WITHOUT_DATA_S):
            return
        if self.confirmed.issuperset(self._wanted()):
            self.ready.set()

    @property
    def _always_speaks(self) -> bool:
        parts = self._limits.always_speaking
        return any(part in stream for stream in self.confirmed for part in parts)

    # --- commands -------------------------------------------------------------------------------

    async def _pump(self) -> str:
        while True:
            self._changed.clear()
            command = self._next_command()
            if command is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._retry_in_s()):
                        await self._changed.wait()
                continue
            try:
                await self._send(*command)
            except ConnectionError as error:
                return f"the connection was cut ({error})"
            await asyncio.sleep(1.0 / self._limits.frames_per_s)

    def _next_command(self) -> tuple[str, tuple[str, ...]] | None:
        wanted = self._wanted()
        now = time.monotonic()
        missing = [
            stream
            for stream in wanted
            if stream not in self._asked and self._refused_until_s.get(stream, 0.0) <= now
        ]
        surplus = [stream for stream in self._asked if stream not in wanted]
        fits = len(self._asked) + len(missing) <= HARD_STREAMS_PER_CONNECTION
        if missing and (fits or not surplus):
            return "SUBSCRIBE", self._first_that_fit(missing)
        if surplus:
            return "UNSUBSCRIBE", self._first_that_fit(surplus)
        return None

    def _first_that_fit(self, streams: list[str]) -> tuple[str, ...]:
        room = self._limits.frame_bytes - len(_command_text("UNSUBSCRIBE", (), 2**31))
        count = 0
        for stream in streams:
            room -= len(msgspec.json.encode(stream)) + 1
            if room < 0:
                break
            count += 1
        return tuple(streams[: max(1, count)])

    async def _send(self, method: str, streams: tuple[str, ...]) -> None:
        command_id = self._next_id
        self._next_id += 1
        self._pending[command_id] = _Command(method, streams, time.monotonic())
        for stream in streams:
            if method == "SUBSCRIBE":
                self._asked[stream] = None
            else:
                self._asked.pop(stream, None)
        await self._connection.send(_command_text(method, streams, command_id))

    def _retry_in_s(self) -> float | None:
        wanted = self._wanted()
        times = [until for name, until in self._refused_until_s.items() if name in wanted]
        return max(0.1, min(times) - time.monotonic()) if times else None

    # --- watching -------------------------------------------------------------------------------

    async def _watch(self) -> str:
        step_s = min(0.25, self._silence_s / 4, self._limits.answer_timeout_s / 4)
        while True:
            await asyncio.sleep(step_s)
            if not self.is_watched:
                continue
            self._check_ready()
            now = time.monotonic()
            silent_s = now - self.last_message_s
            if silent_s > self._silence_s and self._always_speaks:
                self.silent = True
                return f"the connection was silent for {silent_s:.0f} s"
            late = [c for c in self._pending.values() if now - c.sent_s > self._answer_timeout_s]
            if late:
                return f"the exchange did not answer a {late[0].method}"

    @property
    def _answer_timeout_s(self) -> float:
        return self._limits.answer_timeout_s


def _command_text(method: str, streams: tuple[str, ...], command_id: int) -> str:
    body = {"method": method, "params": streams, "id": command_id}
    return msgspec.json.encode(body).decode()
