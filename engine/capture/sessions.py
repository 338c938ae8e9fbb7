"""Notes in the store when the streams became live and when they ceased to be."""

from __future__ import annotations

import asyncio
import logging
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


class SessionLog:
    """Writes the rows of the table `session`.

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

    async def run(self) -> None:
        """Watch for ever."""
        was_live = False
        while True:
            await asyncio.sleep(WATCH_S)
            stream = self._stream()
            is_live = stream.connection == "live"
            if is_live != was_live:
                was_live = is_live
                self._note("connect" if is_live else "disconnect", stream)

    def _note(self, event: str, stream: StreamState) -> None:
        since_ms = stream.since_wall_ms
        reason = f"{stream.connection}: {stream.note}".rstrip(": ")
        exchange_ms = self._clock.now_ms() if self._clock.is_set else None
        self._store.writer.run(
            lambda connection: record_session(
                connection, event, "streams", reason, since_ms, exchange_ms
            )
        ).add_done_callback(_noted)


def _noted(done: Future[None]) -> None:
    if (error := done.exception()) is not None:
        log.warning("a session of the streams could not be noted: %s", error)
