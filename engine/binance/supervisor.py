"""Keeps the wanted streams flowing, over as many connections as they need."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from engine.binance.failures import is_loopback, refusing_redirects
from engine.binance.slot import (
    BadHandler,
    EventHandler,
    GapHandler,
    RawHandler,
    SessionHandler,
    Shared,
    Slot,
)
from engine.binance.stream_types import (
    AttemptLimiter,
    Counters,
    Lag,
    Rate,
    StreamLimits,
    StreamState,
    StreamStats,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger(__name__)

_TICK_S = 0.2
_GRACE_S = 2.0


class StreamSupervisor:
    """Owns the set of wanted streams and the connections that carry them.

    It reconnects for ever, replaces connections before the exchange ends them, and gives up silent
    ones. All handlers are called in the event loop, in the order of arrival on a connection; they
    must not block. While one connection replaces another, events come twice: their keys (open
    time, trade id, update id) tell.

    Args:
        url: Base address of the streams, such as `wss://data-stream.binance.vision`.
        on_event: Called with stream name, event and receipt time (wall clock, epoch ns).
        on_gap: Called with streams that flow from now on but did not before, and the reason:
            whoever needs them complete fetches the rest by REST.
        on_bad: Called with reason and text of a frame that could not be decoded.
        on_raw: Called with receipt time (wall clock, epoch ns) and text of each frame, before its
            events; answers to commands are left out. None costs nothing.
        on_session: Called with `connect` or `disconnect`, the number of the connection (from 1) and
            the reason, when one is lost or there again; not when it is replaced in time.
        limits: What to keep to.
    """

    def __init__(
        self,
        url: str,
        *,
        on_event: EventHandler,
        on_gap: GapHandler,
        on_bad: BadHandler,
        on_raw: RawHandler | None = None,
        on_session: SessionHandler | None = None,
        limits: StreamLimits | None = None,
    ) -> None:
        self._url = URL(url.rstrip("/")) / "stream"
        self._handlers = (on_event, on_gap, on_bad)
        self._on_raw = on_raw
        self._on_session = on_session
        self._limits = limits or StreamLimits()
        self._counters = Counters()
        self._rate = Rate()
        self._lag = Lag()
        self._wanted: dict[str, None] = {}
        self._shared: Shared | None = None
        self._slots: dict[Slot, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()
        self._stopped = asyncio.Event()
        self._stopped.set()
        self._ended = ""
        self._complete_s = 0.0
        self._settled: set[str] = set()
        self._state = StreamState("connecting", "", _wall_ms())

    # --- what the owner calls -------------------------------------------------------------------

    def want(self, streams: Iterable[str]) -> None:
        """Make `streams` the whole wanted set; cheap when nothing changed."""
        wanted = dict.fromkeys(streams)
        if wanted.keys() != self._wanted.keys():
            self._wanted = wanted
            self._spread()

    async def run(self) -> None:
        """Work until `close`.

        Raises:
            Exception: what a part of it raised, which is a programming error.
        """
        if self._closing.is_set():
            return
        self._stopped.clear()
        try:
            # Proxies from the environment have no business on loopback.
            async with aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                trust_env=not is_loopback(self._url),
                trace_configs=[refusing_redirects()],
            ) as session:
                self._shared = Shared(
                    self._url,
                    session,
                    self._limits,
                    AttemptLimiter(self._limits.attempts, self._limits.attempts_window_s),
                    self._counters,
                    *self._handlers,
                    on_raw=self._on_raw,
                    on_session=self._on_session,
                )
                try:
                    await self._work()
                finally:
                    await self._stop()
        finally:
            self._shared = None
            self._stopped.set()

    async def close(self) -> None:
        """End `run`: close connections in order, and cut those that do not close in time."""
        self._closing.set()
        await self._stopped.wait()

    def finish(self, reason: str) -> None:
        """Deliver what is under way and reconnect no more; the state is `ended` from now on.

        Args:
            reason: Note for the state, such as "The replay has ended."
        """
        self._ended = reason
        for slot, task in self._slots.items():
            slot.finish()
            if not slot.links:
                task.cancel()
        self._refresh()

    def trouble(self, stream: str, within_s: float = 60.0) -> str:
        """Return why one stream does not flow, or did not in the last `within_s` wall seconds.

        Empty while it flows, before it ever did, and for one that is not wanted. The other
        connections' troubles are not this stream's.
        """
        if self._ended:
            return self._ended
        for slot in self._slots:
            if stream in slot.wanted:
                return slot.trouble(stream, within_s)
        return ""

    @property
    def state(self) -> StreamState:
        """How the streams are right now."""
        self._refresh()
        return self._state

    def standing(self, stream: str) -> StreamState:
        """Return how one stream is: others that are asked for or lost are no matter to it."""
        whole = self.state
        if self._ended:
            return whole
        slot = next((slot for slot in self._slots if stream in slot.wanted), None)
        if slot is None:
            return StreamState("connecting", "It is not subscribed to.", whole.since_wall_ms)
        connection, note = slot.standing(stream, self._limits.stale_s)
        if connection == "live" and whole.connection == "stale" and self._is_quiet(slot):
            return whole
        return StreamState(connection, note, whole.since_wall_ms)

    @property
    def stats(self) -> StreamStats:
        """Counters since the start."""
        counters = self._counters
        last_ns = counters.last_receipt_ns
        return StreamStats(
            messages=counters.messages,
            bytes=counters.bytes,
            reconnects=counters.reconnects,
            renewals=counters.renewals,
            bad=counters.bad,
            unknown=counters.unknown,
            refused=counters.refused,
            handler_failures=counters.handler_failures,
            attempts=counters.attempts,
            failed_attempts=counters.failed_attempts,
            connections=sum(len(slot.links) for slot in self._slots),
            streams=sum(slot.confirmed_streams for slot in self._slots),
            wanted=len(self._wanted),
            last_message_wall_ms=last_ns // 1_000_000 if last_ns else None,
            messages_per_s=self._rate.per_s(),
            lag_ms=self._lag.worst_ms,
        )

    # --- work -----------------------------------------------------------------------------------

    async def _work(self) -> None:
        self._spread()
        while not self._closing.is_set():
            self._rate.sample(self._counters.messages)
            self._refresh()
            for task in self._slots.values():
                if task.done() and not task.cancelled():
                    task.result()
            slept_s = time.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await self._closing.wait()
            if not self._closing.is_set():
                self._lag.sample(max(0.0, time.monotonic() - slept_s - _TICK_S))

    async def _stop(self) -> None:
        tasks = [*self._slots.values(), *self._leaving]
        self._slots.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spread(self) -> None:
        """Put each wanted stream on a connection that has room, and drop what is not wanted."""
        shared = self._shared
        if shared is None or self._ended:
            return
        homeless = dict(self._wanted)
        for slot in self._slots:
            kept = {name: None for name in slot.wanted if name in self._wanted}
            for name in kept:
                del homeless[name]
            slot.wanted = kept
        room = self._limits.streams_per_connection
        names = list(homeless)
        for slot in self._slots:
            taken = names[: max(0, room - len(slot.wanted))]
            slot.wanted.update(dict.fromkeys(taken))
            names = names[len(taken) :]
        for slot in [slot for slot in self._slots if not slot.wanted]:
            self._let_go(slot)
        # Even shares keep the burst of a minute's end short on each connection.
        shares = -(-len(names) // room)
        for share in range(shares):
            slot = Slot(shared, self._free_number())
            slot.wanted = dict.fromkeys(names[share::shares])
            self._slots[slot] = asyncio.create_task(slot.run())
        for slot in self._slots:
            slot.wanted_changed()

    def _free_number(self) -> int:
        taken = {slot.number for slot in self._slots}
        return next(number for number in itertools.count(1) if number not in taken)

    def _let_go(self, slot: Slot) -> None:
        task = self._slots.pop(slot)
        task.cancel()
        self._leaving.add(task)
        task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        self._leaving.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a connection that was let go failed", exc_info=error)

    # --- state ----------------------------------------------------------------------------------

    def _refresh(self) -> None:
        connection, note = self._connection_now()
        if (connection, note) == (self._state.connection, self._state.note):
            return
        since_ms = self._state.since_wall_ms
        if connection != self._state.connection:
            since_ms = _wall_ms()
            logger.info("Streams are %s. %s", connection, note)
        self._state = StreamState(connection, note, since_ms)

    def _connection_now(self) -> tuple[str, str]:
        if self._ended:
            return "ended", self._ended
        slots = list(self._slots)
        if not slots:
            return "connecting", "" if self._wanted else "No streams are wanted yet."
        down = [slot for slot in slots if not slot.links]
        if len(down) < len(slots):
            return self._connected_now(slots, down)
        failures = [slot.failure for slot in down if slot.failure]
        if failures:
            return "offline", failures[-1]
        lost = [slot.lost for slot in down if slot.lost]
        return "connecting", f"Connecting again: {lost[-1]}." if lost else ""

    def _connected_now(self, slots: list[Slot], down: list[Slot]) -> tuple[str, str]:
        """Say how it is while at least one connection is open: the worst comes first."""
        failures = [slot.failure or slot.lost for slot in down if slot.failure or slot.lost]
        if failures:
            return "stale", f"{len(failures)} of {len(slots)} connections are down. {failures[-1]}"
        refusal = next((slot.refusal for slot in slots if slot.refusal), "")
        if refusal and not any(slot.confirmed_streams for slot in slots):
            return "connecting", f"The exchange refused the streams: {refusal}"
        if subscribing := self._subscribing_now(slots):
            return "connecting", subscribing
        now, stale_s = time.monotonic(), self._limits.stale_s
        quiet = [slot for slot in slots if slot.quiet_s(now) > stale_s]
        if len(quiet) == len(slots):
            return "stale", f"Connected, but no message for more than {stale_s:g} s."
        if late := [slot for slot in quiet if slot.always_speaks]:
            sentence = f"No message for more than {stale_s:g} s"
            return "stale", f"{sentence} on {len(late)} of {len(slots)} connections."
        return "live", f"The exchange refused some streams: {refusal}" if refusal else ""

    def _is_quiet(self, slot: Slot) -> bool:
        return slot.quiet_s(time.monotonic()) > self._limits.stale_s

    def _subscribing_now(self, slots: list[Slot]) -> str:
        """Say how far subscribing is; empty when it is done.

        Streams that are asked for besides those that flow are no reason to call those not live,
        however long the exchange takes to answer.
        """
        missing = sum(slot.missing for slot in slots)
        now = time.monotonic()
        if not missing:
            self._complete_s = now
            self._settled = set(self._wanted)
            return ""
        if self._state.connection == "live" and now - self._complete_s < _GRACE_S:
            return ""
        confirmed_now = {name for slot in slots for link in slot.links for name in link.confirmed}
        kept = self._settled & self._wanted.keys()
        if kept and kept <= confirmed_now and missing <= len(kept):
            return ""
        confirmed = len(self._wanted) - missing
        return f"Subscribing: {confirmed:,} of {len(self._wanted):,} streams."


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
