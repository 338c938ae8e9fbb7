"""Retention: old candles and old notes are deleted in small steps between the writer's other work.

Every step is one piece of work for the writer, bounded in rows and in time, so that candles that
close meanwhile are never kept waiting. Finished days keep their row in `coverage`.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from engine.market.interval import DAY_MS, INTERVALS, parse_interval
from engine.store.errors import WriteRefused
from engine.store.symbols import add_counts
from engine.store.values import SOURCE_NAMES, Source

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from engine.store.writer import Writer

STEP_ROWS = 10_000
STEP_S = 0.02  # a step ends after the series in which it has taken so long
MIN_STEP_ROWS = 500
VACUUM_PAGES = 1_000
SLACK_BYTES = 32_000_000  # free pages that are kept, as tomorrow's candles need them again
NOTES_DAYS = 400
QUARANTINE_ROWS = 200_000
KEPT_INTERVALS = tuple(name for name, grid in INTERVALS.items() if grid.length_ms >= DAY_MS)
WORK_LIMIT_S = 60.0

T = TypeVar("T")
_Series = tuple[int, str]
_START: _Series = (0, "")


class Step(NamedTuple):
    """What one step did.

    Attributes:
        rows: Rows deleted.
        at: The series at which the next step goes on; None when there is none.
    """

    rows: int
    at: _Series | None


def prune_step(
    connection: sqlite3.Connection, at: _Series, before_ms: int, rows: int = STEP_ROWS
) -> Step:
    """Delete some candles that open before `before_ms`, from the series after or at `at` on.

    Intervals of a day and longer stay, as they are few. What is deleted is no longer promised:
    `captured` begins at `before_ms` then, and gaps before that end with it. Works inside a
    transaction.
    """
    until = time.monotonic() + STEP_S
    deleted = 0
    series = _series_at(connection, at)
    while series is not None:
        if series[1] not in KEPT_INTERVALS:
            grid = parse_interval(series[1])
            cut_ms = grid.floor(before_ms)
            bound_ms = _bound(connection, series, cut_ms, rows - deleted)
            deleted += _delete(connection, series, bound_ms)
            _forget_promises(connection, series, bound_ms)
            if bound_ms < cut_ms:
                return Step(deleted, series)
        if deleted >= rows or time.monotonic() >= until:
            return Step(deleted, (series[0], series[1] + " "))
        series = _series_at(connection, (series[0], series[1] + " "))
    return Step(deleted, None)


def prune_notes(connection: sqlite3.Connection, wall_ms: int, rows: int = STEP_ROWS) -> int:
    """Delete some old rows of quarantine, session, revision and filled gaps; returns how many.

    Works inside a transaction.
    """
    old_ms = wall_ms - NOTES_DAYS * DAY_MS
    newest = connection.execute("SELECT max(id) FROM quarantine").fetchone()[0] or 0
    quarantined = _delete_oldest(connection, "quarantine", old_ms, newest - QUARANTINE_ROWS, rows)
    add_counts(connection, {"quarantine": -quarantined})
    deleted = quarantined
    for table in ("session", "revision"):
        deleted += _delete_oldest(connection, table, old_ms, 0, rows)
    deleted += connection.execute(
        "DELETE FROM gap WHERE id IN (SELECT id FROM gap"
        " WHERE state = 'filled' AND changed_wall_ms < ? ORDER BY id LIMIT ?)",
        (old_ms, rows),
    ).rowcount
    return deleted


def vacuum_step(connection: sqlite3.Connection, pages: int = VACUUM_PAGES) -> int:
    """Give some free pages back to the disk; returns how many are free afterwards.

    Does nothing in a file without incremental auto_vacuum. Works inside a transaction.
    """
    until = time.monotonic() + STEP_S
    free = int(connection.execute("PRAGMA freelist_count").fetchone()[0])
    for _ in range(pages):
        # One by one: the statement has no columns, so Python would run only the first of many.
        connection.execute("PRAGMA incremental_vacuum(1)")
        left = int(connection.execute("PRAGMA freelist_count").fetchone()[0])
        if left >= free or not left or time.monotonic() > until:
            return left
        free = left
    return free


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return the bytes of the pages in use."""
    free, all_pages, size = _pages(connection)
    return (all_pages - free) * size


def oldest_ms(connection: sqlite3.Connection) -> int | None:
    """Return the open time of the oldest candle that pruning may delete."""
    oldest: int | None = None
    series = _series_at(connection, _START)
    while series is not None:
        if series[1] not in KEPT_INTERVALS:
            first = connection.execute(
                "SELECT min(open_time_ms) FROM candle WHERE symbol_id = ? AND interval = ?", series
            ).fetchone()[0]
            oldest = first if oldest is None else min(oldest, first)
        series = _series_at(connection, (series[0], series[1] + " "))
    return oldest


class Pruner:
    """Runs prunings as pieces of work for a writer; every call of a method takes its time.

    Attributes:
        longest_ms: How long the writer was busy with one step at most, its COMMIT left out.

    Args:
        writer: Does the steps.
        pause: Called between two steps, so that others have their turn.
    """

    def __init__(self, writer: Writer, pause: Callable[[], None]) -> None:
        self._writer = writer
        self._pause = pause
        self._rows = STEP_ROWS
        self._took_s = 0.0
        self.longest_ms = 0.0

    def by_age(self, before_ms: int) -> int:
        """Delete all candles that open before `before_ms`; returns how many."""
        return sum(step.rows for step in self._steps(before_ms))

    def by_size(self, max_bytes: int, keep_from_ms: int) -> tuple[int, bool]:
        """Delete the oldest candles, day by day, until the pages in use fit into `max_bytes`.

        Candles that open at or after `keep_from_ms` stay in any case.

        Returns:
            Rows deleted, and whether they fit now.
        """
        deleted = 0
        while self._work(used_bytes) > max_bytes:
            oldest = self._work(oldest_ms)
            if oldest is None or oldest >= keep_from_ms:
                return deleted, False
            until_ms = min(oldest - oldest % DAY_MS + DAY_MS, keep_from_ms)
            rows = self.by_age(until_ms)
            if not rows:  # what is left reaches into what stays
                return deleted, False
            deleted += rows
        return deleted, True

    def notes(self, wall_ms: int) -> int:
        """Delete all old notes; returns how many rows."""
        deleted = 0
        while rows := self._work(lambda connection: prune_notes(connection, wall_ms)):
            deleted += rows
            self._pause()
        return deleted

    def vacuum(self, slack_bytes: int = SLACK_BYTES) -> int:
        """Give free pages beyond `slack_bytes` back to the disk; returns the bytes given back."""
        free, _, size = self._work(_pages)
        begun = free
        while free * size > slack_bytes:
            left = self._work(vacuum_step)
            if left >= free:
                break
            free = left
            self._pause()
        return (begun - free) * size

    def _steps(self, before_ms: int) -> Iterator[Step]:
        at: _Series | None = _START
        while at is not None:
            step = self._work(partial(prune_step, at=at, before_ms=before_ms, rows=self._rows))
            if self._took_s > STEP_S:
                self._rows = max(MIN_STEP_ROWS, self._rows // 2)
            elif self._took_s < STEP_S / 3:
                self._rows = min(STEP_ROWS, self._rows * 2)
            yield step
            at = step.at
            self._pause()

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in a transaction, and note how long the writer was busy with it.

        Raises:
            WriteRefused: when the disk can not be written for a minute.
        """

        def timed(connection: sqlite3.Connection) -> T:
            started = time.perf_counter()
            result = work(connection)
            self._took_s = time.perf_counter() - started
            self.longest_ms = max(self.longest_ms, self._took_s * 1000)
            return result

        try:
            return self._writer.run(timed).result(WORK_LIMIT_S)
        except TimeoutError:
            why = self._writer.counters.last_error or "the disk is too slow"
            raise WriteRefused(f"Pruning stopped: {why}. It goes on at the next time.") from None


def _series_at(connection: sqlite3.Connection, at: _Series) -> _Series | None:
    row = connection.execute(
        "SELECT symbol_id, interval FROM candle WHERE (symbol_id, interval) >= (?, ?)"
        " ORDER BY symbol_id, interval LIMIT 1",
        at,
    ).fetchone()
    return None if row is None else (int(row[0]), str(row[1]))


def _bound(connection: sqlite3.Connection, series: _Series, cut_ms: int, rows: int) -> int:
    """Return the time before which at most `rows` candles of the series open."""
    row = connection.execute(
        "SELECT open_time_ms FROM candle WHERE symbol_id = ? AND interval = ?"
        " AND open_time_ms < ? ORDER BY open_time_ms LIMIT 1 OFFSET ?",
        (*series, cut_ms, max(rows, 1)),
    ).fetchone()
    return cut_ms if row is None else int(row[0])


def _delete(connection: sqlite3.Connection, series: _Series, before_ms: int) -> int:
    which = "FROM candle WHERE symbol_id = ? AND interval = ? AND open_time_ms < ?"
    counts = connection.execute(
        f"SELECT source, count(*) {which} GROUP BY source",
        (*series, before_ms),
    ).fetchall()
    if not counts:
        return 0
    connection.execute(f"DELETE {which}", (*series, before_ms))
    add_counts(connection, {SOURCE_NAMES[Source(kind)]: -count for kind, count in counts})
    return sum(count for _, count in counts)


def _delete_oldest(
    connection: sqlite3.Connection, table: str, old_ms: int, until_id: int, rows: int
) -> int:
    """Delete notes up to `until_id`, and the oldest ones while they are older than `old_ms`.

    Notes lie in the order of their time, so only the oldest `rows` of them are looked at.
    """
    return connection.execute(
        f"DELETE FROM {table} WHERE id IN (SELECT id FROM"  # noqa: S608
        f" (SELECT id, wall_ms FROM {table} ORDER BY id LIMIT ?) WHERE wall_ms < ? OR id <= ?)",
        (rows, old_ms, until_id),
    ).rowcount


def _forget_promises(connection: sqlite3.Connection, series: _Series, before_ms: int) -> None:
    """Let promises and gaps of a series begin at `before_ms`."""
    for table in ("captured", "gap"):
        which = f"{table} WHERE symbol_id = ? AND interval = ?"
        connection.execute(f"DELETE FROM {which} AND to_ms <= ?", (*series, before_ms))  # noqa: S608
    for table in ("captured", "gap"):
        connection.execute(
            f"UPDATE {table} SET from_ms = ?"  # noqa: S608
            " WHERE symbol_id = ? AND interval = ? AND from_ms < ?",
            (before_ms, *series, before_ms),
        )


def _pages(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Return how many pages are free, how many there are, and the bytes of one."""
    free, pages, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("freelist_count", "page_count", "page_size")
    )
    return free, pages, size
