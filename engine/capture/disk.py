"""The disk and the database's file: a warning before it is full, its last space, a lost file."""

from __future__ import annotations

import logging
import shutil
import time
from typing import TYPE_CHECKING, NamedTuple

from engine.market.capture_figures import DiskState
from engine.store.database import DATABASE_NAME, way_out

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from engine.store import Writer

log = logging.getLogger(__name__)

MB = 1_000_000
HINT_EVERY_S = 3600.0
MARGIN = 1.1  # so much more than a limit must be free before its level is left
FINE, LOW, FLOOR, GONE, DAMAGED = "fine", "low", "floor", "gone", "damaged"


class Look(NamedTuple):
    """What was found on the disk.

    Attributes:
        free_bytes: What is left on it.
        fate: `deleted` or `replaced` when the file that the engine writes has lost its name.
    """

    free_bytes: int
    fate: str = ""


class DiskWatch:
    """Looks at the free space and switches the writer to candles only below the floor.

    It also sees when the database's file is deleted or replaced, which an engine that holds it
    open would never notice, and says once what to do about that or about a damaged page.

    Args:
        directory: The data directory, its database open.
        writer: Its `only_candles` is set below the floor.
        warn_mb: Free MB below which viewers are warned.
        floor_mb: Free MB below which only candles are written.
        notify: Takes a level (`info`, `warning`, `error`) and a sentence.
        hint: Returns a sentence about what would free space; it may take a second.

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
        hint: Callable[[], str] = str,
    ) -> None:
        self._directory = directory
        self._hint = hint
        self._hinted_s = float("-inf")
        self._way = ""
        self._writer = writer
        self._warn_bytes = int(max(warn_mb, floor_mb) * MB)
        self._floor_bytes = int(floor_mb * MB)
        self._notify = notify
        self._told_bytes = 0
        self._space = FINE
        self._is_told = False
        self._path = directory / DATABASE_NAME
        self._file = _identity(self._path)
        self.state: DiskState | None = None

    def look(self) -> Look:
        """Look at disk and file; works in any thread.

        Raises:
            OSError: when they can not be reached.
        """
        now = _identity(self._path)
        fate = "" if self._file in (None, now) else "deleted" if now is None else "replaced"
        try:
            free = shutil.disk_usage(self._directory).free
        except FileNotFoundError:
            if self._file is None:
                raise
            fate = "deleted"
            place = next(place for place in self._directory.parents if place.exists())
            free = shutil.disk_usage(place).free
        now_s = time.monotonic()
        if free < self._warn_bytes and now_s - self._hinted_s >= HINT_EVERY_S:
            self._hinted_s, self._way = now_s, self._hint()
        return Look(free, fate)

    def judge(self, free: int, fate: str = "", damage: str = "") -> DiskState:
        """Act on what was found, and return what that means.

        Args:
            free: Bytes left on the disk.
            fate: As in `Look`.
            damage: What SQLite said when it met a damaged page; empty when it did not.
        """
        before, self._space = self._space, self._level(free, self._space)
        self._writer.only_candles = self._space == FLOOR
        self._tell(before, self._space, free)
        level = GONE if fate else DAMAGED if damage else self._space
        self.state = DiskState(free, level, self._note(level))
        if level in (GONE, DAMAGED) and not self._is_told:
            self._is_told = True
            sentence = self._gone(fate) if fate else self._damaged(damage)
            log.critical("%s", sentence)
            self._notify("error", sentence)
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
        if level == GONE:
            return "the database file is gone: what is stored now is lost"
        if level == DAMAGED:
            return "the database is damaged"
        return "the disk will be full soon" if level == LOW else ""

    def _gone(self, fate: str) -> str:
        if fate == "replaced":
            then = "restart klinetop to go on with the one that is there now"
        else:
            then = "restart klinetop to begin a new one"
        return (
            f"The database file {self._path} was {fate} while the engine ran; {then}: what was "
            f"stored in the old one, and what is stored now, is lost with it."
        )

    def _damaged(self, damage: str) -> str:
        return (
            f"The database {self._path} is damaged ({damage}), and what is stored from now on may "
            f"not be readable: stop klinetop, then {way_out(self._path)}"
        )

    def _tell(self, before: str, level: str, free: int) -> None:
        left = f"{free / MB:,.0f} MB are left on the disk of {self._directory}"
        if level == FLOOR and before != FLOOR:
            sentence = f"Only {left}: {self._note(level)}. Free some space. {self._way}"
            self._notify("error", sentence.rstrip())
        elif before == FLOOR and level != FLOOR:
            self._notify("info", f"{left}: everything is written again.")
        elif level == LOW and (before == FINE or free < self._told_bytes // 2):
            self._notify(
                "warning",
                f"{left}; below {self._floor_bytes / MB:,.0f} MB only candles will be written. "
                f"Free some space. {self._way}".rstrip(),
            )
        elif before == LOW and level == FINE:
            self._notify("info", f"{left}: that is enough again.")
        else:
            return
        self._told_bytes = free


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from any other on this machine; None when there is none."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_dev, stat.st_ino
