"""Figures about capture and store that cost a query, worked out once a second off the loop."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.store import Store

log = logging.getLogger(__name__)

EVERY_S = 1.0


@dataclass(frozen=True)
class StoreFigures:
    """What the database holds; see `StorageSection` for the meaning of each."""

    candles: int = 0
    by_source: dict[str, int] = field(default_factory=dict)
    database_bytes: int = 0
    gaps: dict[str, int] = field(default_factory=dict)
    quarantined: int = 0


class Health:
    """Keeps `figures` fresh, and says so when the store can not write and when it can again.

    Args:
        store: Looked at once a second.
        on_notice: Told a level (`error` or `info`) and a sentence.

    Attributes:
        failures: How often the figures could not be read; `last_error` says why.
    """

    def __init__(self, store: Store, on_notice: Callable[[str, str], None]) -> None:
        self._store = store
        self._on_notice = on_notice
        self._was_stalled = False
        self.figures = StoreFigures()
        self.failures = 0
        self.last_error = ""

    async def run(self) -> None:
        """Refresh for ever."""
        while True:
            self._tell_stall()
            try:
                self.figures = await asyncio.to_thread(self._read)
            except (StoreError, OSError) as error:
                self.failures += 1
                if str(error) != self.last_error:
                    log.warning("store figures could not be read: %s", error)
                self.last_error = str(error)
            await asyncio.sleep(EVERY_S)

    def _tell_stall(self) -> None:
        counters = self._store.writer.counters
        if counters.is_stalled == self._was_stalled:
            return
        self._was_stalled = counters.is_stalled
        if counters.is_stalled:
            self._on_notice(
                "error",
                f"The store can not write ({counters.last_error}). What comes in waits in memory "
                f"or is fetched later.",
            )
        else:
            self._on_notice("info", "The store writes again; what waited is committed.")

    def _read(self) -> StoreFigures:
        reader = self._store.reader
        return StoreFigures(
            candles=reader.candle_count(),
            by_source=reader.count_by_source(),
            database_bytes=reader.database_bytes(),
            gaps=reader.gap_counts(),
            quarantined=reader.quarantine_count(),
        )
