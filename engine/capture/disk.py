"""The disk of the data directory: a warning before it is full, its last space for candles."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from engine.market.capture_figures import DiskState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from engine.store import Writer

MB = 1_000_000
MARGIN = 1.1  # so much more than a limit must be free before its level is left
FINE, LOW, FLOOR = "fine", "low", "floor"


class DiskWatch:
    """Looks at the free space and switches the writer to candles only below the floor.

    Args:
        directory: The data directory.
        writer: Its `only_candles` is set below the floor.
        warn_mb: Free MB below which viewers are warned.
        floor_mb: Free MB below which only candles are written.
        notify: Takes a level (`info`, `warning`, `error`) and a sentence.

    Attributes:
        state: What the last look found; None before the first.
    """

    def __init__(
        self,
        directory: Path,
        writer: Writer,
        warn_mb: float,
        floor_mb: float,
        notify: Callable[[str, str], None],
    ) -> None:
        self._directory = directory
        self._writer = writer
        self._warn_bytes = int(max(warn_mb, floor_mb) * MB)
        self._floor_bytes = int(floor_mb * MB)
        self._notify = notify
        self._told_bytes = 0
        self.state: DiskState | None = None

    def free_bytes(self) -> int:
        """Return what is left on the disk; works in any thread.

        Raises:
            OSError: when the directory can not be reached.
        """
        return shutil.disk_usage(self._directory).free

    def judge(self, free: int) -> DiskState:
        """Act on what is left (bytes), and return what that means."""
        before = self.state.level if self.state else FINE
        level = self._level(free, before)
        self._writer.only_candles = level == FLOOR
        self.state = DiskState(free, level, self._note(level))
        self._tell(before, level, free)
        return self.state

    def _level(self, free: int, before: str) -> str:
        floor, warn = float(self._floor_bytes), float(self._warn_bytes)
        if before == FLOOR:
            floor *= MARGIN
        if before != FINE:
            warn *= MARGIN
        if free < floor:
            return FLOOR
        return LOW if free < warn else FINE

    def _note(self, level: str) -> str:
        if level == FLOOR:
            return "only candles are written until there is more space"
        return "the disk will be full soon" if level == LOW else ""

    def _tell(self, before: str, level: str, free: int) -> None:
        left = f"{free / MB:,.0f} MB are left on the disk of {self._directory}"
        if level == FLOOR and before != FLOOR:
            self._notify("error", f"Only {left}: {self._note(level)}. Free some space.")
        elif before == FLOOR and level != FLOOR:
            self._notify("info", f"{left}: everything is written again.")
        elif level == LOW and (before == FINE or free < self._told_bytes // 2):
            self._notify(
                "warning",
                f"{left}; below {self._floor_bytes / MB:,.0f} MB only candles will be written. "
                f"Free some space, or lower retention.days.",
            )
        elif before == LOW and level == FINE:
            self._notify("info", f"{left}: that is enough again.")
        else:
            return
        self._told_bytes = free
