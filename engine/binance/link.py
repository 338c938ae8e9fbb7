"""One connection with its subscriptions: what is asked for, what the exchange confirmed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Protocol

from engine.binance.events import BadEntry, CommandAnswer, Event, ServerShutdown, UnknownEvent
from engine.binance.payloads import BadMessage, decode, decode_single
from engine.binance.subscribing import Subscribing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from engine.binance.connection import StreamConnection
    from engine.binance.stream_types import Counters, StreamLimits

_READY_WITHOUT_DATA_S = 5.0
_RAW_KEPT = 2000
_CONTROL = frozenset({BadEntry, CommandAnswer, ServerShutdown, UnknownEvent})


class LinkOwner(Protocol):
    """Who a link reports to; all calls come from the read loop and must not block."""

    @property
    def event(self) -> Callable[[str, Event, int], None]:
        """Takes stream name, event and receipt; what it raises goes to `event_failed`."""

    def event_failed(self, error: Exception) -> None:
        """Learn that `event` raised."""

    def bad(self, reason: str, raw: str) -> None:
        """Take a frame that could not be decoded."""

    def bad_entry(self, entry: BadEntry) -> None:
        """Take an entry of an array that could not be decoded."""

    def raw(self, receipt_wall_ns: int, text: str) -> None:
        """Take a frame as it came, before its events; answers to commands are left out."""

    def confirmed(self, link: Link, streams: frozenset[str]) -> None:
        """Learn that `streams` flow from now on."""

    def shutdown_announced(self, link: Link) -> None:
        """Learn that the exchange wants this connection replaced."""


class Link:
    """Reads one connection, and keeps its subscriptions equal to the wanted ones.

    Attributes:
        last_message_s: When the last frame came, or the connection was opened (monotonic).
        ready: Set when all wanted streams are confirmed and the first event came.
        spoke: Whether any event came.
        alive: False once the connection has ended.
        silent: Whether it was given up for silence.
        quiet_at_s: When it was last found quiet for too long to be called live (monotonic).
        is_watched: Whether silence and missing answers end it.
        always_speaks: Whether a confirmed stream pushes at least every few seconds.
    """

    def __init__(
        self,
        connection: StreamConnection,
        owner: LinkOwner,
        wanted: Callable[[], Collection[str]],
        limits: StreamLimits,
        counters: Counters,
        silence_s: float,
        *,
        is_tapped: bool = False,
    ) -> None:
        self._connection = connection
        self._owner = owner
        self._event = owner.event
        self._wanted = wanted
        self._limits = limits
        self._counters = counters
        self._silence_s = silence_s
        self._is_tapped = is_tapped
        self._subscribing = Subscribing(limits.frame_bytes)
        self._changed = asyncio.Event()
        self._confirmed_s = 0.0
        self._missing: int | None = None
        self.opened_s = time.monotonic()
        self.last_message_s = self.opened_s
        self.ready = asyncio.Event()
        self.spoke = False
        self.alive = True
        self.silent = False
        self.quiet_at_s = float("-inf")
        self.is_watched = True
        self.always_speaks = False

    @property
    def confirmed(self) -> set[str]:
        """Streams whose subscription the exchange has answered."""
        return self._subscribing.confirmed

    @property
    def refusal(self) -> str:
        """The last error that a command was answered with; empty when nothing is refused."""
        return self._subscribing.refusal

    @property
    def missing(self) -> int:
        """How many wanted streams are not confirmed yet; refused ones do not count."""
        if self._missing is None:
            self._missing = self._subscribing.missing(self._wanted())
        return self._missing

    def wanted_changed(self) -> None:
        """Compare subscriptions with the wanted streams again, soon."""
        self._missing = None
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
            single = decode_single(data)
            pairs = decode(data) if single is None else None
        except BadMessage as error:
            self._on_bad(data, str(error), receipt_wall_ns)
            return
        if self._is_tapped and not (pairs and type(pairs[0][1]) is CommandAnswer):
            self._owner.raw(receipt_wall_ns, _text(data))
        if pairs is None:
            assert single is not None
            stream, event = single
            self._hand_on(stream, event, receipt_wall_ns)
            return
        for stream, event in pairs:
            if type(event) in _CONTROL:
                self._on_control(event)
            else:
                self._hand_on(stream, event, receipt_wall_ns)

    def _hand_on(self, stream: str, event: Event, receipt_wall_ns: int) -> None:
        try:
            self._event(stream, event, receipt_wall_ns)
        except Exception as error:  # noqa: BLE001 - counted and logged by the owner
            self._owner.event_failed(error)
        if not self.spoke:
            self.spoke = True
            self._check_ready()

    def _on_bad(self, data: bytes | str, reason: str, receipt_wall_ns: int) -> None:
        self._counters.bad += 1
        text = _text(data)
        if self._is_tapped:
            self._owner.raw(receipt_wall_ns, text)
        self._owner.bad(reason, text[:_RAW_KEPT])

    def _on_control(self, event: Event) -> None:
        if isinstance(event, CommandAnswer):
            self._on_answer(event)
        elif isinstance(event, BadEntry):
            self._counters.bad += 1
            self._owner.bad_entry(event)
        elif isinstance(event, ServerShutdown):
            self._owner.shutdown_announced(self)
        else:
            self._counters.unknown += 1

    def _on_answer(self, answer: CommandAnswer) -> None:
        if answer.error is not None:
            self._counters.refused += 1
        streams = self._subscribing.answered(answer)
        self._missing = None
        parts = self._limits.always_speaking
        self.always_speaks = any(part in stream for stream in self.confirmed for part in parts)
        if streams:
            self._confirmed_s = time.monotonic()
            self._owner.confirmed(self, frozenset(streams))
        self._check_ready()
        self._changed.set()

    def _check_ready(self) -> None:
        if self.ready.is_set() or not self._confirmed_s:
            return
        waited_s = time.monotonic() - self._confirmed_s
        if not self.spoke and (self.always_speaks or waited_s < _READY_WITHOUT_DATA_S):
            return
        if not self.missing:
            self.ready.set()

    # --- commands -------------------------------------------------------------------------------

    async def _pump(self) -> str:
        subscribing = self._subscribing
        while True:
            self._changed.clear()
            command = subscribing.next_command(self._wanted())
            if command is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(subscribing.retry_in_s(self._wanted())):
                        await self._changed.wait()
                continue
            try:
                await self._connection.send(command.text)
            except ConnectionError as error:
                return f"the connection was cut ({error})"
            await asyncio.sleep(1.0 / self._limits.frames_per_s)

    # --- watching -------------------------------------------------------------------------------

    async def _watch(self) -> str:
        limits = self._limits
        step_s = min(0.25, self._silence_s / 4, limits.answer_timeout_s / 4)
        while True:
            await asyncio.sleep(step_s)
            if not self.is_watched:
                continue
            self._check_ready()
            now = time.monotonic()
            silent_s = now - self.last_message_s
            if silent_s > limits.stale_s and self.always_speaks:
                self.quiet_at_s = now
            if silent_s > self._silence_s and self.always_speaks:
                self.silent = True
                return f"the connection was silent for {silent_s:.0f} s"
            late = self._subscribing.unanswered(now - limits.answer_timeout_s)
            if late is not None:
                return f"the exchange did not answer a {late.method}"


def _text(data: bytes | str) -> str:
    return data if isinstance(data, str) else bytes(data).decode(errors="replace")
