"""Rows of the table `coverage`: what was captured on days that are over, kept after pruning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.capture.coverage import DAY_MS, captured_intervals, count_span

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from engine.capture.coverage import Count
    from engine.store import Reader

SETTLED_AFTER_MS = 300_000
_UPSERT = (
    "INSERT INTO coverage (symbol_id, interval, day_ms, expected, by_stream, by_rest, by_both,"
    " by_import, missing, exchange_hole, unfillable, written_wall_ms)"
    " SELECT id, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM symbol WHERE name = ?"
    " ON CONFLICT (symbol_id, interval, day_ms) DO UPDATE SET"
    " expected = excluded.expected, by_stream = excluded.by_stream, by_rest = excluded.by_rest,"
    " by_both = excluded.by_both, by_import = excluded.by_import, missing = excluded.missing,"
    " exchange_hole = excluded.exchange_hole, unfillable = excluded.unfillable,"
    " written_wall_ms = excluded.written_wall_ms"
    # Stored candles vanish by pruning only, and pruning must not spoil what was captured.
    " WHERE excluded.by_stream + excluded.by_rest + excluded.by_both + excluded.by_import"
    " >= by_stream + by_rest + by_both + by_import"
)
Key = tuple[str, int]


class DayCoverage:
    """Finds the days whose rows are to be written, and counts them.

    Args:
        reader: For this object's thread.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._done: set[Key] | None = None
        self._changed: set[Key] = set()
        self._seen_wall_ms = 0
        self._next_day_ms: int | None = None

    def next(self, until_ms: int, wall_ms: int) -> Key | None:
        """Return the next (interval, day) that is due: never written, or with gaps that changed.

        Raises:
            StoreError: when the database can not be read.
        """
        if self._done is None:
            self._load()
        assert self._done is not None
        self._note_changed_gaps(wall_ms)
        over_ms = until_ms - SETTLED_AFTER_MS
        for key in sorted(self._changed):
            if key[1] + DAY_MS <= over_ms:
                return key
        if self._next_day_ms is None:
            first_ms = self._reader.query("SELECT min(from_ms) AS ms FROM captured")[0]["ms"]
            if first_ms is None:
                return None
            self._next_day_ms = first_ms - first_ms % DAY_MS
        while self._next_day_ms + DAY_MS <= over_ms:
            day_ms = self._next_day_ms
            for interval in captured_intervals(self._reader, day_ms, day_ms + DAY_MS):
                if (interval, day_ms) not in self._done:
                    return interval, day_ms
            self._next_day_ms += DAY_MS
        return None

    def count(self, key: Key, until_ms: int) -> dict[str, Count]:
        """Count one day; raises `StoreError`."""
        interval, day_ms = key
        return count_span(self._reader, interval, day_ms, day_ms + DAY_MS, until_ms)

    def written(self, key: Key) -> None:
        """Note that a day is done."""
        self._changed.discard(key)
        if self._done is not None:
            self._done.add(key)

    def _load(self) -> None:
        rows = self._reader.query(
            "SELECT interval, day_ms, max(written_wall_ms) AS wall_ms FROM coverage GROUP BY 1, 2"
        )
        self._done = {(row["interval"], row["day_ms"]) for row in rows}
        self._seen_wall_ms = max((row["wall_ms"] for row in rows), default=0)

    def _note_changed_gaps(self, wall_ms: int) -> None:
        rows = self._reader.query(
            "SELECT DISTINCT interval, from_ms, to_ms FROM gap WHERE changed_wall_ms >= ?",
            (self._seen_wall_ms,),
        )
        self._seen_wall_ms = wall_ms
        assert self._done is not None
        for row in rows:
            first_ms = row["from_ms"] - row["from_ms"] % DAY_MS
            self._changed |= {
                key
                for day_ms in range(first_ms, row["to_ms"], DAY_MS)
                if (key := (row["interval"], day_ms)) in self._done
            }


def write_coverage(
    connection: sqlite3.Connection, key: Key, counts: Mapping[str, Count], wall_ms: int
) -> None:
    """Write the rows of one day; works inside a transaction.

    A row that tells of more stored candles than are there now stays as it is.
    """
    interval, day_ms = key
    connection.executemany(
        _UPSERT,
        [
            (
                interval,
                day_ms,
                count.expected,
                count.by_stream,
                count.by_rest,
                count.by_both,
                count.by_import,
                count.missing,
                count.holes,
                count.unfillable,
                wall_ms,
                symbol,
            )
            for symbol, count in counts.items()
        ],
    )
