"""One live order book: feeds the diff stream to `DepthSync` and fetches snapshots for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Protocol

from engine.binance.budget import RestError
from engine.binance.depth_sync import DepthSnapshot, DepthSync, Need
from engine.binance.stream_types import full_jitter_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.binance.events import DepthEvent

logger = logging.getLogger(__name__)

SNAPSHOT_LEVELS = 1000
_FIRST_WAIT_S = 0.25
_LONGEST_WAIT_S = 10.0
# A snapshot for far levels is no hurry, and must not repeat while nothing changes.
_RENEW_PAUSE_S = 30.0


class SnapshotSource(Protocol):
    """Where snapshots come from; `RestClient` is one."""

    async def depth(
        self, symbol: str, limit: int = 1000, *, background: bool = False
    ) -> DepthSnapshot:
        """Fetch a snapshot of `limit` levels a side; raises `RestError`."""


class BookFeed:
    """Keeps the book of one symbol synchronised. Use it inside a running event loop.

    Snapshots are paced by the weight budget of `rest`; between two that did not serve lies a
    random wait of up to 10 s.

    Args:
        rest: Source of snapshots.
        symbol: Such as `BTCUSDT`.
        on_change: Called with the symbol after each change of book or state.
    """

    def __init__(self, rest: SnapshotSource, symbol: str, on_change: Callable[[str], None]) -> None:
        self._rest = rest
        self._on_change = on_change
        self._task: asyncio.Task[None] | None = None
        self._renewed_s = float("-inf")
        self._wake = asyncio.Event()
        self.symbol = symbol
        self.sync = DepthSync(symbol)
        self.snapshots = 0
        self.last_error = ""

    def feed(self, event: DepthEvent, wall_ms: int) -> None:
        """Take one event of the diff stream; see `DepthSync.feed`."""
        if self.sync.feed(event, wall_ms) is Need.SNAPSHOT or self._is_renewal_due():
            self._start()
        self._on_change(self.symbol)

    def reset(self, reason: str) -> None:
        """Start over, as after a reconnect; the next event brings the book back.

        Args:
            reason: Why, in words.
        """
        self.sync.reset(reason)
        # A new session deserves a prompt snapshot, whatever the last one waited for.
        self._wake.set()
        self._on_change(self.symbol)

    async def close(self) -> None:
        """Stop fetching."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _is_renewal_due(self) -> bool:
        if not self.sync.has_drifted:
            return False
        return time.monotonic() - self._renewed_s > _RENEW_PAUSE_S

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._fetch_until_synchronised())
            self._task.add_done_callback(self._fetched)

    def _fetched(self, task: asyncio.Task[None]) -> None:
        """Log what no one caught; the next event begins to fetch anew."""
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("fetching the book of %s failed", self.symbol, exc_info=error)

    async def _fetch_until_synchronised(self) -> None:
        failures = 0
        while self.sync.needs_snapshot or self._is_renewal_due():
            self._renewed_s = time.monotonic()
            if await self._fetch():
                continue
            wait_s = full_jitter_s(failures, _FIRST_WAIT_S, _LONGEST_WAIT_S)
            failures += 1
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def _fetch(self) -> bool:
        is_urgent = self.sync.needs_snapshot
        try:
            snapshot = await self._rest.depth(
                self.symbol, SNAPSHOT_LEVELS, background=not is_urgent
            )
        except RestError as error:
            self.last_error = str(error)
            logger.warning("No snapshot of %s: %s", self.symbol, error)
            if self.sync.needs_snapshot:
                self.sync.reason = f"no snapshot: {error}"
            self._on_change(self.symbol)
            return False
        except Exception:
            # The next try may go well, and a book that is given up never comes back.
            logger.exception("No snapshot of %s", self.symbol)
            self.sync.reason = "no snapshot: the log tells why"
            return False
        self.snapshots += 1
        self.last_error = ""
        need = self.sync.snapshot(snapshot)
        self._on_change(self.symbol)
        return need is Need.NOTHING
