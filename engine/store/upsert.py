"""The idempotent upsert of closed candles, for use inside a transaction.

Which value wins where one is stored already: REST always, and otherwise the one with at least as
many trades, because the exchange itself rewrites its history now and then. What a source does not
tell (None) never erases what is known.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from engine.store import gaps
from engine.store.flat_rows import WIDTH, flat_values, times_of
from engine.store.symbols import add_counts, put_quarantine, symbol_id
from engine.store.values import SOURCE_NAMES, PutResult, Source

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from engine.market.interval import Interval

Values = tuple[Any, ...]  # open_time_ms … taker_buy_quote_volume, in the order of Candle's fields
CANDLE_COLUMNS = (
    "open_time_ms, open, high, low, close, volume, quote_volume, trades,"
    " taker_buy_volume, taker_buy_quote_volume"
)
_TRADES = 7
_INSERT = f"INSERT INTO candle (symbol_id, interval, source, written_wall_ms, {CANDLE_COLUMNS})"
_CHUNK = 250  # rows of one statement: SQLite frees the interpreter lock once for all of them
_ROW = f"({', '.join('?' * WIDTH)})"
_ONE = f"{_INSERT} VALUES ({', '.join('?' * (4 + WIDTH))})"
_MANY = (
    f"{_INSERT} SELECT head.*, one.* FROM (SELECT ?, ?, ?, ?) AS head,"  # noqa: S608
    f" (VALUES {', '.join([_ROW] * _CHUNK)}) AS one"
)
_UPDATE = (
    "UPDATE candle SET open = ?, high = ?, low = ?, close = ?, volume = ?, quote_volume = ?,"
    " trades = ?, taker_buy_volume = ?, taker_buy_quote_volume = ?, source = ?,"
    " written_wall_ms = ? WHERE symbol_id = ? AND interval = ? AND open_time_ms = ?"
)
_IN_LIMIT = 500


class Batch:
    """One batch of candles of one series on its way into the database."""

    def __init__(
        self,
        symbol: str,
        interval: Interval,
        rows: Sequence[Values],
        refused: Sequence[tuple[str, str, str]],
        source: Source,
    ) -> None:
        self._symbol = symbol
        self._interval = interval
        self._rows = rows
        self._refused = refused
        self._source = source

    def write(self, connection: sqlite3.Connection, wall_ms: int) -> PutResult:
        """Insert or merge all rows and say what became of them."""
        quarantined = put_quarantine(
            connection, self._refused, wall_ms, once=self._source is Source.IMPORT
        )
        if not self._rows:
            return PutResult(quarantined=quarantined)
        series = (symbol_id(connection, self._symbol), self._interval.name)
        times = times_of(self._rows)
        stored = self._stored(connection, series, times)
        fresh: dict[int, Values] = {}
        merge = _Merge(connection, series, self._source, wall_ms)
        rows: Sequence[Values] = self._rows
        if not stored and len(set(times)) == len(times):
            self._insert(connection, series, rows, wall_ms)
            rows = ()
        for row in rows:
            time_ms = row[0]
            if time_ms in stored:
                old, old_source = stored[time_ms]
                stored[time_ms] = merge.one(old, old_source, row)
            elif time_ms in fresh:
                self._insert(connection, series, list(fresh.values()), wall_ms)
                stored.update({time: (values, self._source) for time, values in fresh.items()})
                fresh.clear()
                stored[time_ms] = merge.one(*stored[time_ms], row)
            else:
                fresh[time_ms] = row
        merge.inserted += len(self._rows) - merge.seen
        self._insert(connection, series, list(fresh.values()), wall_ms)
        merge.moved[self._source] = merge.moved.get(self._source, 0) + merge.inserted
        add_counts(connection, {SOURCE_NAMES[kind]: n for kind, n in merge.moved.items()})
        by_stream = self._source is Source.STREAM
        end_ms = self._interval.next(max(times))
        gaps.settle(
            connection,
            *series,
            min(times),
            end_ms,
            wall_ms,
            by_stream=by_stream,
            by_rest=self._source is Source.REST,
        )
        if by_stream and stored:
            gaps.came_late(connection, *series, sorted(set(times)))
        return PutResult(merge.inserted, merge.changed, merge.unchanged, quarantined)

    def _insert(
        self,
        connection: sqlite3.Connection,
        series: tuple[int, str],
        rows: Sequence[Values],
        wall_ms: int,
    ) -> None:
        head = (*series, int(self._source), wall_ms)
        whole = len(rows) - len(rows) % _CHUNK
        for at in range(0, whole, _CHUNK):
            connection.execute(_MANY, [*head, *flat_values(rows, at, at + _CHUNK)])
        connection.executemany(_ONE, [head + row for row in rows[whole:]])

    def _stored(
        self, connection: sqlite3.Connection, series: tuple[int, str], times: Sequence[int]
    ) -> dict[int, tuple[Values, Source]]:
        first, last = min(times), max(times)
        select = f"SELECT {CANDLE_COLUMNS}, source FROM candle WHERE symbol_id = ? AND interval = ?"  # noqa: S608
        found: list[Values] = []
        if (last - first) // self._interval.length_ms <= 4 * len(times):
            found = connection.execute(
                f"{select} AND open_time_ms BETWEEN ? AND ?", (*series, first, last)
            ).fetchall()
        else:
            for at in range(0, len(times), _IN_LIMIT):
                some = times[at : at + _IN_LIMIT]
                marks = ",".join("?" * len(some))
                found += connection.execute(
                    f"{select} AND open_time_ms IN ({marks})", (*series, *some)
                ).fetchall()
        sources = list(Source)
        return {row[0]: (row[:-1], sources[row[-1] - 1]) for row in found}


class _Merge:
    """Applies rows to candles that are stored already, and counts."""

    def __init__(
        self, connection: sqlite3.Connection, series: tuple[int, str], source: Source, wall_ms: int
    ) -> None:
        self._connection = connection
        self._series = series
        self._source = source
        self._wall_ms = wall_ms
        self.inserted = self.changed = self.unchanged = self.seen = 0
        self.moved: dict[Source, int] = {}

    def one(self, old: Values, old_source: Source, told: Values) -> tuple[Values, Source]:
        """Merge what is told now into what is stored; returns what stands there afterwards."""
        self.seen += 1
        if told == old and self._source is old_source:
            self.unchanged += 1
            return old, old_source
        filled = tuple(a if b is None else b for a, b in zip(old, told, strict=True))
        if filled == old:
            self.unchanged += 1
            source = _agreed(old_source, self._source)
            if source is not old_source:
                self._store(old, old_source, source)
            return old, source
        contradicts = any(a is not None and a != b for a, b in zip(old, filled, strict=True))
        wins = (
            not contradicts
            or self._source is Source.REST
            or (told[_TRADES] is not None and told[_TRADES] >= (old[_TRADES] or 0))
        )
        if contradicts:
            self._log(old, old_source, filled, applied=wins)
        if not wins:
            self.unchanged += 1
            return old, old_source
        self.changed += 1
        source = self._source if contradicts else _agreed(old_source, self._source)
        self._store(filled, old_source, source)
        return filled, source

    def _store(self, values: Values, old_source: Source, source: Source) -> None:
        self._connection.execute(
            _UPDATE, (*values[1:], int(source), self._wall_ms, *self._series, values[0])
        )
        self.moved[old_source] = self.moved.get(old_source, 0) - 1
        self.moved[source] = self.moved.get(source, 0) + 1

    def _log(self, old: Values, old_source: Source, told: Values, *, applied: bool) -> None:
        self._connection.execute(
            "INSERT INTO revision (symbol_id, interval, open_time_ms, old_source, new_source,"
            " old_values, new_values, applied, wall_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *self._series,
                old[0],
                int(old_source),
                int(self._source),
                json.dumps(old[1:]),
                json.dumps(told[1:]),
                int(applied),
                self._wall_ms,
            ),
        )


def _agreed(old: Source, told: Source) -> Source:
    """Return the source of a candle that two sources told alike; an import vouches for none."""
    if Source.IMPORT in (old, told):
        return told if old is Source.IMPORT else old
    return old if old is told else Source.BOTH
