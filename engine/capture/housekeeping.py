"""Keeping house while the engine runs: the disk's free space, retention, old notes, free pages."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from engine.capture.disk import DiskWatch
from engine.market.interval import DAY_MS
from engine.store import StoreError, open_reader
from engine.store.prune import Pruner
from engine.store.stats import freed_by_keeping

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.market.capture_figures import DiskState
    from engine.store import Reader, Store

log = logging.getLogger(__name__)

LOOK_EVERY_S = 10.0
FIRST_PRUNE_S = 600.0
PRUNE_EVERY_S = 86_400.0
PAUSE_S = 0.02
HINT_DAYS = (1095, 730, 365, 180, 90, 30)
HINT_BYTES = 10_000_000
HINTS_AT_MOST = 3
KEPT_DAYS = 7  # of candles, whatever the size limit says
GB = 1_000_000_000


class Limits(NamedTuple):
    """What is kept and how often it is looked at.

    Attributes:
        days: Days of candles to keep; 0 or None keeps all.
        max_gb: Size of the database at which the oldest candles are pruned; None for no limit.
        warn_mb: Free MB below which viewers are warned.
        floor_mb: Free MB below which only candles are written.
        look_every_s: Wall seconds between two looks at the disk.
        first_prune_s: Wall seconds from the start to the first pruning.
        prune_every_s: Wall seconds from one pruning to the next.
    """

    days: float | None
    max_gb: float | None
    warn_mb: float
    floor_mb: float
    look_every_s: float = LOOK_EVERY_S
    first_prune_s: float = FIRST_PRUNE_S
    prune_every_s: float = PRUNE_EVERY_S


class Pruned(NamedTuple):
    """What a pruning did.

    Attributes:
        candles: Candles deleted.
        notes: Rows of quarantine, session, revision and filled gaps deleted.
        freed_bytes: Bytes given back to the disk.
        longest_step_ms: How long the writer was busy with one step at most.
        fits: Whether the database is within the size limit now, if there is one.
    """

    candles: int
    notes: int
    freed_bytes: int
    longest_step_ms: float
    fits: bool = True


class Housekeeper:
    """Keeps the database of a running engine within its limits.

    Args:
        store: Open.
        limits: What is kept.
        now_ms: The exchange's clock, which rules the age of candles.
        notify: Takes a level (`info`, `warning`, `error`) and a sentence.
    """

    def __init__(
        self,
        store: Store,
        limits: Limits,
        now_ms: Callable[[], float],
        notify: Callable[[str, str], None],
    ) -> None:
        self._store = store
        self._limits = limits
        self._now_ms = now_ms
        self._notify = notify
        self._watch = DiskWatch(
            store.directory, store.writer, limits.warn_mb, limits.floor_mb, notify, self._hint
        )
        self._turn = asyncio.Lock()
        self.pruned: Pruned | None = None

    @property
    def disk(self) -> DiskState | None:
        """What the last look at the disk found; None before the first."""
        return self._watch.state

    async def run(self) -> None:
        """Look at the disk every few seconds, and prune once a day, until cancelled."""
        next_prune = time.monotonic() + self._limits.first_prune_s
        unreachable = False
        while True:
            try:
                free, fate = await asyncio.to_thread(self._watch.look)
                self._watch.judge(free, fate, self._store.damage)
                unreachable = False
            except OSError as error:
                if not unreachable:
                    self._notify("error", f"The disk can not be looked at: {error}.")
                unreachable = True
            if time.monotonic() >= next_prune:
                next_prune = time.monotonic() + self._limits.prune_every_s
                await self._prune_by_itself()
            await asyncio.sleep(self._limits.look_every_s)

    async def prune(self, days: float | None = None) -> Pruned:
        """Delete what is older than `days` (the settings' when None), and shrink the file.

        Raises:
            StoreError: when the disk refuses; what was deleted before stays deleted.
        """
        limits = self._limits if days is None else self._limits._replace(days=days, max_gb=None)
        async with self._turn:
            stop = _Stop()
            try:
                self.pruned = await asyncio.to_thread(
                    prune, self._store, limits, int(self._now_ms()), stop.pause
                )
            except asyncio.CancelledError:
                stop.is_wanted = True
                raise
            return self.pruned

    async def vacuum(self) -> int:
        """Give all free pages back to the disk; returns the bytes.

        Raises:
            StoreError: when the disk refuses.
        """
        async with self._turn:
            return await asyncio.to_thread(Pruner(self._store.writer, _pause).vacuum, 0)

    def _hint(self) -> str:
        """Say what a retention would free, worked out from the database."""
        try:
            with contextlib.closing(open_reader(self._store.directory)) as reader:
                return retention_hint(reader, int(self._now_ms()), self._limits.days)
        except StoreError as error:
            log.warning("what a retention would free is unknown: %s", error)
            return ""

    async def _prune_by_itself(self) -> None:
        try:
            pruned = await self.prune()
        except StoreError as error:
            self._notify("error", str(error))
            return
        if pruned.candles:
            self._notify("info", pruned_words(pruned, self._limits))
        if not pruned.fits:
            self._notify("warning", self._too_large())
        log.info("kept house: %s", pruned)

    def _too_large(self) -> str:
        return (
            f"The database is larger than retention.max_gb = {self._limits.max_gb:g} although only "
            f"{KEPT_DAYS} days are left of what can be pruned; raise it or capture less."
        )


class Ended(StoreError):
    """A pruning was told to end before it was through."""


class _Stop:
    def __init__(self) -> None:
        self.is_wanted = False

    def pause(self) -> None:
        if self.is_wanted:
            raise Ended("Pruning ended early, as the engine stops.")
        _pause()


def _pause() -> None:
    time.sleep(PAUSE_S)


def prune(
    store: Store,
    limits: Limits,
    now_ms: int,
    pause: Callable[[], None] = _pause,
) -> Pruned:
    """Delete what the limits do not keep, step by step, and give free pages back.

    Args:
        store: Open.
        limits: What is kept.
        now_ms: Exchange time from which the age of candles counts.
        pause: Called between two steps.

    Raises:
        StoreError: when the disk refuses, or `pause` ended it.
    """
    pruner = Pruner(store.writer, pause)
    candles, fits = 0, True
    if limits.days:
        candles = pruner.by_age(now_ms - int(limits.days * DAY_MS))
    if limits.max_gb:
        deleted, fits = pruner.by_size(int(limits.max_gb * GB), now_ms - KEPT_DAYS * DAY_MS)
        candles += deleted
    notes = pruner.notes(time.time_ns() // 1_000_000)
    freed = pruner.vacuum()
    return Pruned(candles, notes, freed, round(pruner.longest_ms, 1), fits)


def retention_hint(reader: Reader, now_ms: int, kept_days: float | None) -> str:
    """Return a sentence about what keeping fewer days would free; empty when that is nothing.

    Args:
        reader: Of the database.
        now_ms: Exchange time from which the age of candles counts.
        kept_days: The retention that is set; 0 or None keeps all.
    """
    choices = [days for days in HINT_DAYS if not kept_days or days < kept_days]
    freed = freed_by_keeping(reader, now_ms, choices)
    useful = [days for days in choices if freed[days] >= HINT_BYTES][:HINTS_AT_MOST]
    if not useful:
        return ""
    told = [f"{days} would free about {freed[days] / GB:,.2f} GB" for days in useful]
    return f"retention.days = {', '.join(told)}; what is pruned is gone for good."


def pruned_words(pruned: Pruned, limits: Limits) -> str:
    """Say what a pruning did and why."""
    rules = [f"retention.days = {limits.days:g}"] if limits.days else []
    rules += [f"retention.max_gb = {limits.max_gb:g}"] if limits.max_gb else []
    return f"{pruned.candles:,} old candles were pruned ({', '.join(rules)})."
