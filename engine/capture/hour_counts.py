"""Coverage by hour, kept in memory: what can change is counted often, the rest in turns."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from engine.capture.coverage import (
    HOUR_MS,
    Count,
    captured_intervals,
    count_span,
    total,
)

if TYPE_CHECKING:
    from engine.store import Reader

HOURS = 24
OLDER_KEPT_S = 120.0
_SETTLING_MS = 600_000


class _Hour(NamedTuple):
    counts: dict[str, Count]
    sum: Count
    turn: int


class HourCounts:
    """Counts of the last 24 hours of exchange time, of every captured series.

    A full count of 1,400 series reads two million rows. A refresh counts the running hour, the one
    before while it settles, those never counted, and one more: the hour with missing candles that
    was counted longest ago, and now and then any other.

    Args:
        reader: For this object alone.

    Attributes:
        intervals: Those of the last 24 hours, shortest first.
        until_ms: Exchange time of the last refresh.
        revision: How many refreshes are done.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._hours: dict[tuple[str, int], _Hour] = {}
        self._shared: dict[Count, Count] = {}
        self._older: dict[tuple[str, int], tuple[float, dict[str, Count]]] = {}
        self._turn = 0
        self.intervals: tuple[str, ...] = ()
        self.until_ms = 0
        self.revision = 0

    @property
    def first_hour_ms(self) -> int:
        """Open time of the oldest hour that is kept."""
        return self.until_ms - self.until_ms % HOUR_MS - (HOURS - 1) * HOUR_MS

    @property
    def kept_hours(self) -> int:
        """How many hours of an interval are in memory."""
        return len(self._hours)

    def refresh(self, until_ms: int) -> None:
        """Count anew what may have changed.

        Args:
            until_ms: Exchange time; what closes later is not expected yet.

        Raises:
            StoreError: when the database can not be read.
        """
        self._turn += 1
        self.until_ms = until_ms
        first_ms = self.first_hour_ms
        self.intervals = tuple(captured_intervals(self._reader, first_ms, until_ms))
        wanted = {
            (interval, hour_ms)
            for interval in self.intervals
            for hour_ms in range(first_ms, until_ms + 1, HOUR_MS)
        }
        self._hours = {key: hour for key, hour in self._hours.items() if key in wanted}
        due = {
            key
            for key in wanted
            if key not in self._hours or key[1] + HOUR_MS + _SETTLING_MS > until_ms
        }
        for key in due | self._one_more(wanted - due):
            self._count(key)
        self.revision += 1

    def counts(self, interval: str, hour_ms: int) -> dict[str, Count]:
        """Return the counts of an hour by symbol, as of when it was counted last."""
        hour = self._hours.get((interval, hour_ms))
        return {} if hour is None else hour.counts

    def older(self, interval: str, hour_ms: int) -> dict[str, Count]:
        """Return the counts of an hour before the last 24, at most two minutes old.

        Raises:
            StoreError: when the database can not be read.
        """
        now_s = time.monotonic()
        self._older = {
            key: kept for key, kept in self._older.items() if now_s - kept[0] < OLDER_KEPT_S
        }
        kept = self._older.get((interval, hour_ms))
        if kept is None:
            kept = now_s, self._counted(interval, hour_ms)
            self._older[interval, hour_ms] = kept
        return kept[1]

    def hourly(self) -> tuple[Count, ...]:
        """Return the sums of the last 24 hours over all series, oldest first."""
        hours, first_ms = self._hours, self.first_hour_ms
        return tuple(
            total(
                hour.sum
                for interval in self.intervals
                if (hour := hours.get((interval, first_ms + at * HOUR_MS))) is not None
            )
            for at in range(HOURS)
        )

    def _one_more(self, others: set[tuple[str, int]]) -> set[tuple[str, int]]:
        incomplete = [key for key in others if self._hours[key].sum.missing]
        choice = incomplete if incomplete and self._turn % 4 else list(others)
        return {min(choice, key=lambda key: self._hours[key].turn)} if choice else set()

    def _count(self, key: tuple[str, int]) -> None:
        counts = self._counted(*key)
        self._hours[key] = _Hour(counts, total(counts.values()), self._turn)

    def _counted(self, interval: str, hour_ms: int) -> dict[str, Count]:
        found = count_span(self._reader, interval, hour_ms, hour_ms + HOUR_MS, self.until_ms)
        if len(self._shared) > 10_000:
            self._shared.clear()
        # Nearly all cells of a day are equal; sharing them and the names keeps 1,400 series small.
        return {
            sys.intern(name): self._shared.setdefault(count, count) for name, count in found.items()
        }
