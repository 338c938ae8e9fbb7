"""Reading candles and counters, from the engine's process or another, while the engine writes."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.market.candle import Candle
from engine.market.symbol import SymbolInfo
from engine.store.database import DATABASE_NAME, corrupt, is_corruption, open_for_reading
from engine.store.errors import DatabaseHeld, StoreError
from engine.store.gaps import GAP_STATES, missing_ranges
from engine.store.holders import held_sentence, is_held
from engine.store.schema import import_sqlite_utils
from engine.store.upsert import CANDLE_COLUMNS
from engine.store.values import SOURCE_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

Parameters = Sequence[object] | Mapping[str, object]
COLUMN_NAMES: tuple[str, ...] = tuple(CANDLE_COLUMNS.replace(" ", "").split(","))
_PIECE_ROWS = 20_000  # some milliseconds of the connection's lock
# Whether a row of the table `gap` touches a time in which its series was captured.
PROMISED = (
    "EXISTS (SELECT 1 FROM captured WHERE captured.symbol_id = gap.symbol_id"
    " AND captured.interval = gap.interval AND captured.from_ms < gap.to_ms"
    " AND (captured.to_ms IS NULL OR captured.to_ms > gap.from_ms))"
)
_SERIES = "symbol_id = (SELECT id FROM symbol WHERE name = ?) AND interval = ?"


class Reader:
    """Read-only access to one database; safe to use from several threads.

    Symbols and intervals are by Binance's name; times are open times in epoch milliseconds and
    ranges are [start_ms, end_ms). A symbol that is not stored reads as empty.

    Attributes:
        damage: What SQLite said when it met a damaged page; empty while it did not.
    """

    def __init__(self, connection: sqlite3.Connection, directory: Path) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._path = directory / DATABASE_NAME
        self.damage = ""

    def candles(
        self,
        symbol: str,
        interval: str,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int | None = None,
    ) -> list[Candle]:
        """Return stored candles, ascending.

        With `limit` the first so many from `start_ms` on, and without a `start_ms` the newest of
        the range: the rule of Binance's `GET /api/v3/klines`.
        """
        return [
            Candle(*row) for row in self._candle_rows(symbol, interval, start_ms, end_ms, limit)
        ]

    def candle_rows(
        self,
        symbol: str,
        interval: str,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int | None = None,
    ) -> list[tuple[Any, ...]]:
        """Return the same candles as plain rows, their values in the order of `COLUMN_NAMES`."""
        return self._candle_rows(symbol, interval, start_ms, end_ms, limit)

    def columns(
        self,
        symbol: str,
        interval: str,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Return the same candles as arrays of equal length, by the names of `COLUMN_NAMES`.

        `open_time_ms` is int64, all others are float64 in which NaN stands for unknown.
        """
        import numpy as np

        rows = self._candle_rows(symbol, interval, start_ms, end_ms, limit)
        table: NDArray[np.float64] = np.array(rows, dtype=np.float64).reshape(
            len(rows), len(COLUMN_NAMES)
        )
        columns: dict[str, NDArray[Any]] = {
            name: np.ascontiguousarray(table[:, at]) for at, name in enumerate(COLUMN_NAMES)
        }
        columns["open_time_ms"] = columns["open_time_ms"].astype(np.int64)
        return columns

    def first_open_time(self, symbol: str, interval: str) -> int | None:
        """Return the open time of the oldest stored candle."""
        return self._edge("min", symbol, interval)

    def last_open_time(self, symbol: str, interval: str) -> int | None:
        """Return the open time of the newest stored candle."""
        return self._edge("max", symbol, interval)

    def missing(
        self, symbol: str, interval: str, start_ms: int, end_ms: int
    ) -> list[tuple[int, int]]:
        """Return the merged [from, to) ranges of open times in [start_ms, end_ms) not stored.

        The expected open times are the interval's UTC grid, calendar months for `1M`. Years are
        read in pieces, so that others who read get their turn.
        """
        times = self._open_times(symbol, interval, start_ms, end_ms)
        return missing_ranges(times, interval, start_ms, end_ms)

    def candle_count(self) -> int:
        """Return how many candles are stored, from counters kept in their transactions."""
        return sum(self.count_by_source().values())

    def count_by_source(self) -> dict[str, int]:
        """Return how many candles each source told: `stream`, `rest`, `both`, `import`."""
        stored = dict(self._rows("SELECT name, value FROM counter"))
        return {name: stored.get(name, 0) for name in SOURCE_NAMES.values()}

    def quarantine_count(self) -> int:
        """Return how many rows and messages are in quarantine."""
        rows = self._rows("SELECT value FROM counter WHERE name = 'quarantine'")
        return int(rows[0][0]) if rows else 0

    def gap_counts(self) -> dict[str, int]:
        """Return how many ranges of missing candles there are by state, where they are captured.

        A range that no promise to capture touches is left out: what a chart of another market or a
        backfill of years before lacks was never promised.
        """
        stored = dict(
            self._rows(f"SELECT state, count(*) FROM gap WHERE {PROMISED} GROUP BY state")  # noqa: S608
        )
        return {state: stored.get(state, 0) for state in GAP_STATES}

    def database_bytes(self) -> int:
        """Return the size of the database with its write-ahead log."""
        total = 0
        for suffix in ("", "-wal"):
            file = self._path.with_name(self._path.name + suffix)
            try:
                total += file.stat().st_size
            except FileNotFoundError:
                continue
        return total

    def symbols(self) -> list[str]:
        """Return the names of the symbols that have candles, sorted."""
        return [
            name
            for (name,) in self._rows(
                "SELECT name FROM symbol WHERE EXISTS"
                " (SELECT 1 FROM candle WHERE symbol_id = symbol.id) ORDER BY name"
            )
        ]

    def intervals(self, symbol: str) -> list[str]:
        """Return the names of the intervals that are stored for `symbol`."""
        rows = self._rows(
            "WITH RECURSIVE name (value) AS ("
            " SELECT min(interval) FROM candle WHERE symbol_id ="
            " (SELECT id FROM symbol WHERE name = :symbol) UNION ALL"
            " SELECT (SELECT min(interval) FROM candle WHERE symbol_id ="
            " (SELECT id FROM symbol WHERE name = :symbol) AND interval > value)"
            " FROM name WHERE value IS NOT NULL)"
            " SELECT value FROM name WHERE value IS NOT NULL",
            {"symbol": symbol},
        )
        return [name for (name,) in rows]

    def symbol_infos(self) -> list[SymbolInfo]:
        """Return what the exchange said about its markets when it was last asked."""
        return [
            SymbolInfo(*row)
            for row in self._rows(
                "SELECT name, base, quote, status, tick_size, step_size FROM symbol"
                " WHERE updated_wall_ms IS NOT NULL ORDER BY name"
            )
        ]

    def meta(self, key: str) -> str | None:
        """Return the text stored under `key` in the table `meta`."""
        rows = self._rows("SELECT value FROM meta WHERE key = ?", (key,))
        return str(rows[0][0]) if rows else None

    def query(self, sql: str, parameters: Parameters = ()) -> list[dict[str, Any]]:
        """Return the rows of any SELECT as dicts, through sqlite-utils.

        Raises:
            StoreError: when SQLite refuses.
        """
        with self._lock:
            try:
                database = import_sqlite_utils().Database(self._connection, execute_plugins=False)
                return list(database.query(sql, parameters))
            except sqlite3.Error as error:
                raise self._translated(error) from error

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Any]:
        """Return the rows of any SELECT as tuples: for answers with a row for each series.

        Raises:
            StoreError: when SQLite refuses.
        """
        return self._rows(sql, parameters)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    def _candle_rows(
        self,
        symbol: str,
        interval: str,
        start_ms: int | None,
        end_ms: int | None,
        limit: int | None,
    ) -> list[tuple[Any, ...]]:
        sql = f"SELECT {CANDLE_COLUMNS} FROM candle WHERE {_SERIES}"  # noqa: S608
        parameters: list[object] = [symbol, interval]
        if start_ms is not None:
            sql += " AND open_time_ms >= ?"
            parameters.append(start_ms)
        if end_ms is not None:
            sql += " AND open_time_ms < ?"
            parameters.append(end_ms)
        if limit is None:
            return self._rows(f"{sql} ORDER BY open_time_ms", parameters)
        parameters.append(max(limit, 0))
        if start_ms is not None:
            return self._rows(f"{sql} ORDER BY open_time_ms LIMIT ?", parameters)
        rows = self._rows(f"{sql} ORDER BY open_time_ms DESC LIMIT ?", parameters)
        rows.reverse()
        return rows

    def _open_times(self, symbol: str, interval: str, start_ms: int, end_ms: int) -> Iterator[int]:
        while True:
            rows = self._rows(
                f"SELECT open_time_ms FROM candle WHERE {_SERIES}"  # noqa: S608
                " AND open_time_ms >= ? AND open_time_ms < ? ORDER BY open_time_ms LIMIT ?",
                (symbol, interval, start_ms, end_ms, _PIECE_ROWS),
            )
            yield from (time for (time,) in rows)
            if len(rows) < _PIECE_ROWS:
                return
            start_ms = rows[-1][0] + 1

    def _edge(self, which: str, symbol: str, interval: str) -> int | None:
        rows = self._rows(
            f"SELECT {which}(open_time_ms) FROM candle WHERE {_SERIES}",  # noqa: S608
            (symbol, interval),
        )
        return None if rows[0][0] is None else int(rows[0][0])

    def _rows(self, sql: str, parameters: Parameters = ()) -> list[Any]:
        with self._lock:
            try:
                return self._connection.execute(sql, parameters).fetchall()
            except sqlite3.Error as error:
                raise self._translated(error) from error

    def _translated(self, error: sqlite3.Error) -> StoreError:
        if is_corruption(error):
            self.damage = str(error)
            return corrupt(self._path, str(error))
        if is_held(error):
            return DatabaseHeld(held_sentence(self._path))
        return StoreError(f"The database {self._path} can not be read: {error}.")


def open_reader(directory: Path) -> Reader:
    """Open the database in `directory` read-only, whether or not an engine runs on it.

    Raises:
        StoreError: a sentence for users, when there is none or it can not be read.
    """
    return Reader(open_for_reading(directory), directory)
