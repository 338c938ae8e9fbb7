"""Figures about capture and store that cost a query, worked out once a second off the loop."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.capture.board import Board
    from engine.store import Store

log = logging.getLogger(__name__)

EVERY_S = 1.0
COVERAGE_EVERY = 5


@dataclass(frozen=True)
class StoreFigures:
    """What the database holds; see `StorageSection` for the meaning of each."""

    candles: int = 0
    by_source: dict[str, int] = field(default_factory=dict)
    database_bytes: int = 0
    gaps: dict[str, int] = field(default_factory=dict)
    quarantined: int = 0
    coverage: tuple[float | None, ...] = ()


class Health:
    """Keeps `figures` fresh.

    Attributes:
        failures: How often the figures could not be read; `last_error` says why.
    """

    def __init__(self, store: Store, board: Board, exchange_now_ms: Callable[[], int]) -> None:
        self._store = store
        self._board = board
        self._now_ms = exchange_now_ms
        self._looked_ms: int | None = None
        self.figures = StoreFigures()
        self.failures = 0
        self.last_error = ""

    async def run(self) -> None:
        """Refresh for ever."""
        coverage: tuple[float | None, ...] = ()
        turn = 0
        while True:
            try:
                if turn % COVERAGE_EVERY == 0:
                    coverage = await asyncio.to_thread(self._coverage)
                self.figures = await asyncio.to_thread(self._read, coverage)
            except (StoreError, OSError) as error:
                self.failures += 1
                self.last_error = str(error)
                log.warning("store figures could not be read: %s", error)
            turn += 1
            await asyncio.sleep(EVERY_S)

    def _coverage(self) -> tuple[float | None, ...]:
        """Return the coverage up to the last look: what ended since may still be on its way."""
        now_ms = self._now_ms()
        until_ms = now_ms if self._looked_ms is None else self._looked_ms
        self._looked_ms = now_ms
        return self._store.reader.coverage_by_hour(list(self._board.watchlist), until_ms)

    def _read(self, coverage: tuple[float | None, ...]) -> StoreFigures:
        reader = self._store.reader
        return StoreFigures(
            candles=reader.candle_count(),
            by_source=reader.count_by_source(),
            database_bytes=reader.database_bytes(),
            gaps=reader.gap_counts(),
            quarantined=reader.quarantine_count(),
            coverage=coverage,
        )
