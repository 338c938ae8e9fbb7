"""Notes in the store when the streams became live or ceased to be, and each lost connection."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from engine.store.symbols import record_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from engine.binance.clock import ExchangeClock
    from engine.binance.stream_types import StreamState
    from engine.store import Store

log = logging.getLogger(__name__)

WATCH_S = 0.25
STREAMS = "streams"
MOST_AN_HOUR = 600


class SessionLog:
    """Writes the rows of the table `session`.

    Its column `connection` holds `streams` where it is about all of them as one, and the number of
    the connection where one was lost or is there again. Of the latter at most 600 rows are written
    in an hour of wall time; the count of reconnects, kept elsewhere, has all.

    Args:
        store: Open for writing.
        clock: The exchange's.
        stream: Tells the state of the streams.
    """

    def __init__(
        self, store: Store, clock: ExchangeClock, stream: Callable[[], StreamState]
    ) -> None:
        self._store = store
        self._clock = clock
        self._stream = stream
        self._noted_s: deque[float] = deque()

    async def run(self) -> None:
        """Watch for ever."""
        was_live = False
        while True:
            await asyncio.sleep(WATCH_S)
            stream = self._stream()
            is_live = stream.connection == "live"
            if is_live != was_live:
                was_live = is_live
                reason = f"{stream.connection}: {stream.note}".rstrip(": ")
                event = "connect" if is_live else "disconnect"
                self._note(event, STREAMS, reason, stream.since_wall_ms)

    def connection(self, event: str, number: int, reason: str) -> None:
        """Note that connection `number` had a `connect` or `disconnect`."""
        now_s = time.monotonic()
        while self._noted_s and now_s - self._noted_s[0] >= 3600.0:
            self._noted_s.popleft()
        if len(self._noted_s) < MOST_AN_HOUR:
            self._noted_s.append(now_s)
            self._note(event, str(number), reason, time.time_ns() // 1_000_000)

    def _note(self, event: str, name: str, reason: str, wall_ms: int) -> None:
        exchange_ms = self._clock.now_ms() if self._clock.is_set else None
        self._store.writer.run(
            lambda connection: record_session(connection, event, name, reason, wall_ms, exchange_ms)
        ).add_done_callback(_noted)


def _noted(done: Future[None]) -> None:
    if (error := done.exception()) is not None:
        log.warning("a session of the streams could not be noted: %s", error)
