"""Reads what can be read of a damaged database into a fresh one.

A damaged page costs the rows on it: a range that can not be read is halved until single candles
are left over.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.market.interval import INTERVALS
from engine.store.database import DATABASE_NAME, is_corruption, open_for_writing
from engine.store.errors import NoDatabase, StoreError
from engine.store.symbols import add_counts
from engine.store.values import SOURCE_NAMES, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

TABLES = (  # in the order in which they refer to each other
    "revision",
    "gap",
    "session",
    "quarantine",
    "captured",
    "market_status",
    "series_start",
    "coverage",
    "hour_figures",
    "reread",
    "backfill_job",
    "resample_difference",
    "prediction",
    "outcome",
)
_CHUNK_ROWS = 5_000
_END_MS = 1 << 43
_SMALLEST_MS = 1_000


class Salvaged(NamedTuple):
    """What was read: candles, other rows, and the ranges and tables that were not readable."""

    candles: int
    other_rows: int
    lost: tuple[str, ...]


def salvage(
    directory: Path, target: Path, progress: Callable[[str], None] | None = None
) -> Salvaged:
    """Read the damaged database in `directory` into a fresh one in the directory `target`.

    The damaged file is only read. No engine may run on either.

    Args:
        directory: The data directory with the damaged database.
        target: A directory without a database; made when it is not there.
        progress: Called with the name of each symbol that is done.

    Raises:
        StoreError: when not even the names of the symbols can be read, or `target` has one.
    """
    path = directory / DATABASE_NAME
    if not path.is_file():
        raise NoDatabase(f"There is no klinetop database in {directory}.")
    if (target / DATABASE_NAME).exists():
        raise StoreError(f"{target} holds a database already; name another directory.")
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as source:
        try:
            stamp = dict(source.execute("SELECT key, value FROM meta").fetchall())
            symbols = source.execute("SELECT * FROM symbol ORDER BY id").fetchall()
        except sqlite3.Error as error:
            raise StoreError(
                f"Nothing can be read of {path} ({error}): put a backup in its place, or start "
                f"anew; what the exchange still has is fetched again."
            ) from error
        kind, note = stamp.get("source", "live"), stamp.get("source_note", "")
        with closing(open_for_writing(target, kind, note)) as fresh:
            return _Rescue(source, fresh, progress).run(symbols)


class _Rescue:
    def __init__(
        self,
        source: sqlite3.Connection,
        fresh: sqlite3.Connection,
        progress: Callable[[str], None] | None,
    ) -> None:
        self._source = source
        self._fresh = fresh
        self._progress = progress
        self._lost: list[str] = []

    def run(self, symbols: list[tuple[Any, ...]]) -> Salvaged:
        candles = others = 0
        with self._transaction():
            self._insert("symbol", _names(self._source, "symbol"), symbols)
        for row in symbols:
            for interval in INTERVALS:
                candles += self._series(int(row[0]), str(row[1]), interval)
            if self._progress is not None:
                self._progress(str(row[1]))
        for table in TABLES:
            others += self._table(table)
        with self._transaction():
            self._recount()
        return Salvaged(candles, others, tuple(self._lost))

    def _series(self, symbol_id: int, symbol: str, interval: str) -> int:
        lost: list[tuple[int, int]] = []
        count = 0
        names = _names(self._source, "candle")
        for rows in self._ranges((symbol_id, interval), 0, _END_MS, lost):
            with self._transaction():
                self._insert("candle", names, rows)
            count += len(rows)
        if lost:
            self._lost.append(
                f"{symbol} {interval}: candles between {lost[0][0]} and {lost[-1][1]} (ms)"
            )
        return count

    def _ranges(
        self, series: tuple[int, str], start_ms: int, end_ms: int, lost: list[tuple[int, int]]
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of a series in chunks; what can not be read is put into `lost`."""
        while start_ms < end_ms:
            try:
                rows = self._source.execute(
                    "SELECT * FROM candle WHERE symbol_id = ? AND interval = ?"
                    " AND open_time_ms >= ? AND open_time_ms < ? ORDER BY open_time_ms LIMIT ?",
                    (*series, start_ms, end_ms, _CHUNK_ROWS),
                ).fetchall()
            except sqlite3.DatabaseError as error:
                if not is_corruption(error):
                    raise
                if end_ms - start_ms <= _SMALLEST_MS:
                    lost.append((start_ms, end_ms))
                    return
                middle_ms = (start_ms + end_ms) // 2
                yield from self._ranges(series, start_ms, middle_ms, lost)
                start_ms = middle_ms
                continue
            if rows:
                yield rows
            if len(rows) < _CHUNK_ROWS:
                return
            start_ms = int(rows[-1][2]) + 1

    def _table(self, table: str) -> int:
        count = 0
        try:
            cursor = self._source.execute(f"SELECT * FROM {table}")  # noqa: S608
            names = tuple(column[0] for column in cursor.description)
            while rows := cursor.fetchmany(_CHUNK_ROWS):
                if table == "outcome":  # one without its prediction tells nothing
                    known = {key for (key,) in self._fresh.execute("SELECT id FROM prediction")}
                    rows = [row for row in rows if row[0] in known]
                with self._transaction():
                    count += self._insert(table, names, rows)
        except sqlite3.DatabaseError as error:
            self._lost.append(f"the table {table} after {count:,} rows ({error})")
        return count

    def _insert(self, table: str, names: Sequence[str], rows: list[tuple[Any, ...]]) -> int:
        marks = ", ".join("?" * len(names))
        return self._fresh.executemany(
            f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({marks})",  # noqa: S608
            rows,
        ).rowcount

    def _recount(self) -> None:
        counts = dict(
            self._fresh.execute("SELECT source, count(*) FROM candle GROUP BY source").fetchall()
        )
        quarantined = self._fresh.execute("SELECT count(*) FROM quarantine").fetchone()[0]
        add_counts(
            self._fresh,
            {SOURCE_NAMES[Source(kind)]: count for kind, count in counts.items()}
            | {"quarantine": quarantined},
        )

    def _transaction(self) -> _Transaction:
        return _Transaction(self._fresh)


def _names(connection: sqlite3.Connection, table: str) -> tuple[str, ...]:
    """Return the names of a table's columns; the file may be of an older version."""
    rows = connection.execute(f"PRAGMA table_info({table})").fetchall()
    return tuple(str(row[1]) for row in rows)


class _Transaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._connection.execute("COMMIT" if kind is None else "ROLLBACK")
