"""One place among the connections: always one link, replaced when it is lost or grows old."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp

from engine.binance.connection import StreamConnection
from engine.binance.events import BadEntry, Event
from engine.binance.failures import describe
from engine.binance.link import Link
from engine.binance.stream_types import AttemptLimiter, Counters, StreamLimits, full_jitter_s

if TYPE_CHECKING:
    from yarl import URL

logger = logging.getLogger(__name__)

EventHandler = Callable[[str, Event, int], None]
GapHandler = Callable[[frozenset[str], str], None]
BadHandler = Callable[[str, str], None]
RawHandler = Callable[[int, str], None]
SessionHandler = Callable[[str, int, str], None]

# A server that goes down may tell its newest connection too: no second replacement before this.
_SHUTDOWN_PAUSE_S = 10.0
_BAD_ENTRIES_KEPT = 1000


@dataclass
class Shared:
    """What all slots of a supervisor have in common."""

    url: URL
    session: aiohttp.ClientSession
    limits: StreamLimits
    limiter: AttemptLimiter
    counters: Counters
    on_event: EventHandler
    on_gap: GapHandler
    on_bad: BadHandler
    on_raw: RawHandler | None = None
    on_session: SessionHandler | None = None
    bad_entries: set[tuple[str, str]] = field(default_factory=set)


@dataclass
class _Running:
    """A link, the task that runs it, and when it is to be replaced (monotonic seconds)."""

    link: Link
    task: asyncio.Task[str]
    renew_due_s: float
    renew: asyncio.Event = field(default_factory=asyncio.Event)


class Slot:
    """Keeps the streams in `wanted` flowing over one connection after another.

    Args:
        shared: What it has in common with other slots.
        number: By which people tell it from the others, from 1.

    Attributes:
        number: As given.
        event: Takes each event (see `LinkOwner`).
        wanted: The streams, in the order in which they are asked for.
        failure: Sentence for the last failed attempt; empty once connected.
        lost: Why the last connection ended; empty while one is there.
    """

    def __init__(self, shared: Shared, number: int = 1) -> None:
        self._shared = shared
        self.number = number
        self._has_begun = False
        self._running: list[_Running] = []
        self._retiring: set[asyncio.Task[None]] = set()
        self._uncovered: dict[str, str] = {}
        self._backoff = 0
        self._speechless = 0
        self._is_finishing = False
        self.event = shared.on_event
        self.wanted: dict[str, None] = {}
        self.failure = ""
        self.lost = ""

    @property
    def links(self) -> list[Link]:
        """Links that are open, at most two of them while one replaces the other."""
        return [running.link for running in self._running if running.link.alive]

    @property
    def missing(self) -> int:
        """How many wanted streams no open link has confirmed yet; refused ones do not count."""
        return min((link.missing for link in self.links), default=len(self.wanted))

    @property
    def confirmed_streams(self) -> int:
        """How many streams the exchange has confirmed on the link that has most of them."""
        return max((len(link.confirmed) for link in self.links), default=0)

    @property
    def refusal(self) -> str:
        """The exchange's words for what it refuses now; empty when it refuses nothing."""
        return next((link.refusal for link in self.links if link.refusal), "")

    @property
    def always_speaks(self) -> bool:
        """Whether a message is due every few seconds."""
        return any(link.always_speaks for link in self.links)

    def quiet_s(self, now_s: float) -> float:
        """Return the seconds since the last message at `now_s` (monotonic)."""
        return min((now_s - link.last_message_s for link in self.links), default=0.0)

    def standing(self, stream: str, stale_s: float) -> tuple[str, str]:
        """Return the state of `stream` alone (see `StreamState`) and the reason for any but live.

        Args:
            stream: One of `wanted`.
            stale_s: Seconds of silence after which streams that always speak are stale.
        """
        links = self.links
        if not links and self.failure:
            return "offline", self.failure
        if not links:
            return "connecting", f"Connecting again: {self.lost}." if self.lost else ""
        if not any(stream in link.confirmed for link in links):
            return "connecting", self.refusal or "The exchange has not confirmed it yet."
        if self.always_speaks and self.quiet_s(time.monotonic()) > stale_s:
            return "stale", f"No message for more than {stale_s:g} s."
        return "live", ""

    def trouble(self, stream: str, within_s: float) -> str:
        """Return why `stream` does not flow, or did not in the last `within_s` wall seconds.

        Empty while it flows, and before it ever did.
        """
        links = self.links
        if not links:
            return self.failure or self.lost
        carriers = [link for link in links if stream in link.confirmed]
        if not carriers:
            return self._uncovered.get(stream, "")
        since_s = time.monotonic() - within_s
        if all(link.quiet_at_s >= since_s for link in carriers):
            return f"no message came for more than {self._shared.limits.stale_s:g} s"
        return ""

    def wanted_changed(self) -> None:
        """Bring the subscriptions in line with `wanted`, soon."""
        self._uncovered = {n: end for n, end in self._uncovered.items() if n in self.wanted}
        for link in self.links:
            link.wanted_changed()

    def finish(self) -> None:
        """Read open connections to their end, and make no other."""
        self._is_finishing = True
        for link in self.links:
            link.is_watched = False

    async def run(self) -> None:
        """Work until cancelled, or until the last connection has ended after `finish`."""
        try:
            current: _Running | None = None
            while not self._is_finishing:
                if current is None:
                    current = await self._open()
                current = await self._keep(current)
        finally:
            await self._stop_all()

    # --- opening --------------------------------------------------------------------------------

    async def _open(self) -> _Running:
        """Try for ever, inside the shared limit of attempts."""
        shared = self._shared
        while True:
            await shared.limiter.acquire()
            shared.counters.attempts += 1
            try:
                connection = await StreamConnection.open(
                    shared.session,
                    shared.url,
                    timeout_s=shared.limits.connect_timeout_s,
                    close_timeout_s=shared.limits.close_timeout_s,
                )
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                await self._attempt_failed(error)
                continue
            return self._started(connection)

    async def _attempt_failed(self, error: Exception) -> None:
        limits = self._shared.limits
        self._shared.counters.failed_attempts += 1
        self.failure = describe(error, self._shared.url)
        wait_s = full_jitter_s(self._backoff, limits.backoff_first_s, limits.backoff_cap_s)
        wait_s = max(wait_s, _retry_after_s(error))
        self._backoff += 1
        logger.warning("%s Trying again in %.1f s.", self.failure, wait_s)
        await asyncio.sleep(wait_s)

    def _started(self, connection: StreamConnection) -> _Running:
        limits = self._shared.limits
        silence_s = limits.silence_s * 2 ** min(self._speechless, 5)
        link = Link(
            connection,
            self,
            lambda: self.wanted,
            limits,
            self._shared.counters,
            silence_s,
            is_tapped=self._shared.on_raw is not None,
        )
        # Staggered, so that connections opened together are not renewed together.
        renew_s = limits.renew_s * random.uniform(0.95, 1.0)  # noqa: S311
        running = _Running(link, asyncio.create_task(link.run()), time.monotonic() + renew_s)
        self._running.append(running)
        if self.lost:
            self._shared.counters.reconnects += 1
            logger.info("Connected again after: %s.", self.lost)
        if self.lost or not self._has_begun:
            self._note("connect", f"after: {self.lost}" if self.lost else "first connection")
        self._has_begun = True
        self.failure = self.lost = ""
        return running

    # --- keeping and replacing ------------------------------------------------------------------

    async def _keep(self, current: _Running) -> _Running | None:
        """Return the successor of `current`, None when it ended without one."""
        renewal = asyncio.create_task(self._renewal(current))
        try:
            await asyncio.wait({current.task, renewal}, return_when=asyncio.FIRST_COMPLETED)
            if not current.task.done():
                self._shared.counters.renewals += 1
                self._retire(current)
                return renewal.result()
            await self._ended(current)
            if current.renew.is_set() and not self._is_finishing:
                # Its replacement is under way already, and waits for nobody.
                return await renewal
            return None
        finally:
            renewal.cancel()
            await asyncio.gather(renewal, return_exceptions=True)

    async def _renewal(self, current: _Running) -> _Running:
        """Wait until `current` is to be replaced, and return its successor once that speaks."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, current.renew_due_s - time.monotonic())):
                await current.renew.wait()
        current.renew.set()
        logger.info("Replacing a stream connection before the exchange ends it.")
        while True:
            successor = await self._open()
            ready = asyncio.create_task(successor.link.ready.wait())
            try:
                await asyncio.wait({ready, successor.task}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                ready.cancel()
            if successor.link.ready.is_set():
                return successor
            await self._ended(successor)

    async def _ended(self, running: _Running) -> None:
        """Take note of a link's end, and wait before the next attempt."""
        self._running.remove(running)
        reason = running.task.result()
        link = running.link
        limits = self._shared.limits
        self._speechless = self._speechless + 1 if link.silent and not link.spoke else 0
        is_healthy = time.monotonic() - link.opened_s >= limits.healthy_s
        self._backoff = 0 if is_healthy else self._backoff
        if self._is_finishing:
            return
        self._uncovered.update(dict.fromkeys(link.confirmed, reason))
        if not self.links:
            self.lost = reason
            self._note("disconnect", reason)
        wait_s = full_jitter_s(self._backoff, limits.backoff_first_s, limits.backoff_cap_s)
        self._backoff += 1
        logger.warning("A stream connection ended: %s.", reason)
        await asyncio.sleep(wait_s)

    def _retire(self, running: _Running) -> None:
        task = asyncio.create_task(self._read_a_little_longer(running))
        self._retiring.add(task)
        task.add_done_callback(self._retired)

    def _retired(self, task: asyncio.Task[None]) -> None:
        self._retiring.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a replaced connection failed", exc_info=error)

    async def _read_a_little_longer(self, running: _Running) -> None:
        await asyncio.wait({running.task}, timeout=self._shared.limits.overlap_s)
        await self._stop(running)

    async def _stop(self, running: _Running) -> None:
        running.task.cancel()
        await asyncio.gather(running.task, return_exceptions=True)
        if running in self._running:
            self._running.remove(running)

    async def _stop_all(self) -> None:
        retiring = list(self._retiring)
        for task in retiring:
            task.cancel()
        await asyncio.gather(*retiring, return_exceptions=True)
        await asyncio.gather(*(self._stop(running) for running in list(self._running)))

    # --- reports of links (see LinkOwner) -------------------------------------------------------

    def event_failed(self, error: Exception) -> None:
        """Count and log that the event handler raised; reading goes on."""
        counters = self._shared.counters
        counters.handler_failures += 1
        # One record for each doubling keeps a handler that always fails from filling the log.
        if counters.handler_failures.bit_count() == 1:
            logger.error("A stream handler failed.", exc_info=error)

    def bad(self, reason: str, raw: str) -> None:
        """Hand a bad frame on."""
        self._call(self._shared.on_bad, reason, raw)

    def bad_entry(self, entry: BadEntry) -> None:
        """Hand on an entry of an array that was left out; one that comes again only once."""
        seen = self._shared.bad_entries
        key = (entry.name, entry.reason)
        if key not in seen and len(seen) < _BAD_ENTRIES_KEPT:
            seen.add(key)
            self.bad(f"the entry {entry.name} of an array is left out: {entry.reason}", entry.raw)

    def raw(self, receipt_wall_ns: int, text: str) -> None:
        """Hand a frame on as it came."""
        if self._shared.on_raw is not None:
            self._call(self._shared.on_raw, receipt_wall_ns, text)

    def confirmed(self, link: Link, streams: frozenset[str]) -> None:
        """Report a gap for streams that no other open link has been delivering."""
        covered = {name for other in self.links if other is not link for name in other.confirmed}
        by_end: dict[str, set[str]] = {}
        for name in streams:
            end = self._uncovered.pop(name, "")
            if name not in covered:
                by_end.setdefault(end, set()).add(name)
        for end, names in by_end.items():
            reason = f"reconnected after {end}" if end else "newly subscribed"
            self._call(self._shared.on_gap, frozenset(names), reason)

    def _call(self, handler: Callable[..., None], *arguments: object) -> None:
        try:
            handler(*arguments)
        except Exception as error:  # noqa: BLE001 - counted and logged like those of events
            self.event_failed(error)

    def _note(self, event: str, reason: str) -> None:
        if self._shared.on_session is not None:
            self._call(self._shared.on_session, event, self.number, reason)

    def shutdown_announced(self, link: Link) -> None:
        """Replace the connection at once."""
        for running in self._running:
            if running.link is link:
                age_s = time.monotonic() - link.opened_s
                is_newest = len(self._running) > 1 and running is self._running[-1]
                wait_s = _SHUTDOWN_PAUSE_S - age_s if is_newest else 0.0
                logger.info("The exchange announced a shutdown of this connection.")
                if wait_s > 0:
                    asyncio.get_running_loop().call_later(wait_s, running.renew.set)
                else:
                    running.renew.set()


def _retry_after_s(error: Exception) -> float:
    if not isinstance(error, aiohttp.WSServerHandshakeError) or error.headers is None:
        return 0.0
    text = error.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else 0.0
