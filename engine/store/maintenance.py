"""Checking and compacting a database: what SQLite says of its pages, and what klinetop promises."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from engine.market.interval import INTERVALS, parse_interval
from engine.store.database import (
    DATABASE_NAME,
    is_corruption,
    open_for_reading,
    open_for_writing,
    way_out,
)
from engine.store.errors import CorruptDatabase, StoreError
from engine.store.values import SOURCE_NAMES, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MESSAGES = 20  # of SQLite about damaged pages
_FIRST_MONDAY_MS = 4 * 86_400_000
_INCREMENTAL = 2  # PRAGMA auto_vacuum
_SHOWN = 5


class CheckReport(NamedTuple):
    """What a check found.

    Attributes:
        candles: Candles counted; None when the pages could not be read.
        problems: What is wrong, one sentence each; empty when all is well.
        way_out: What to do about it; empty when all is well.
        seconds: Wall time it took.
    """

    candles: int | None
    problems: tuple[str, ...]
    way_out: str
    seconds: float


def check_database(directory: Path, *, full: bool) -> CheckReport:
    """Check the database in `directory`, also while an engine writes it.

    Args:
        directory: The data directory.
        full: Also compare all indexes with their tables (`PRAGMA integrity_check`).

    Raises:
        StoreError: when there is no database of klinetop, or one of another version.
    """
    started = time.perf_counter()
    path = directory / DATABASE_NAME
    candles: int | None = None
    damage: list[str] = []
    problems: list[str] = []
    try:
        with closing(open_for_reading(directory)) as connection:
            damage = _page_problems(connection, full=full)
            if not damage:
                connection.execute(
                    "BEGIN"
                )  # all counts of one moment, whatever is written meanwhile
                candles, problems = _own_problems(connection)
    except CorruptDatabase as error:
        damage = [str(error)]
    except sqlite3.Error as error:
        if not is_corruption(error):
            raise StoreError(f"The database {path} can not be checked: {error}.") from error
        damage = [str(error)]
    way = way_out(path) if damage else ""
    if problems:
        way = (
            "No candle is touched by a check: keep a copy (`klinetop db backup FILE`), then "
            "`klinetop db salvage DIRECTORY` writes a clean database from this one."
        )
    return CheckReport(candles, (*damage, *problems), way, time.perf_counter() - started)


def compact(directory: Path) -> tuple[int, int]:
    """Write the database anew without its free pages; no engine may run (hold the lock).

    A file that was made without it gets incremental auto_vacuum by this.

    Returns:
        Bytes before and after.

    Raises:
        StoreError: when the disk has too little space for the copy, or refuses.
    """
    path = directory / DATABASE_NAME
    with closing(open_for_reading(directory)) as reading:
        stamp = dict(reading.execute("SELECT key, value FROM meta").fetchall())
    before = path.stat().st_size
    free = shutil.disk_usage(directory).free
    if free < 2 * before:  # the copy, and the write-ahead log it comes through
        raise StoreError(
            f"Compacting {path} needs up to {2 * before / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB "
            f"are free; free some space first."
        )
    connection = open_for_writing(directory, stamp["source"], stamp.get("source_note", ""))
    with closing(connection):
        try:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{path} could not be compacted: {error}. It is unchanged.") from error
    return before, path.stat().st_size


def gives_back_pages(directory: Path) -> bool:
    """Tell whether free pages can be given back while an engine runs."""
    with closing(open_for_reading(directory)) as connection:
        return bool(connection.execute("PRAGMA auto_vacuum").fetchone()[0] == _INCREMENTAL)


def _page_problems(connection: sqlite3.Connection, *, full: bool) -> list[str]:
    name = "integrity_check" if full else "quick_check"
    found: list[str] = []
    # Asked for many findings, SQLite may stumble over the rows; asked for one, it names the page.
    for most in (MESSAGES, 1):
        try:
            found = [str(row[0]) for row in connection.execute(f"PRAGMA {name}({most})")]
            break
        except sqlite3.DatabaseError as error:
            if not is_corruption(error):
                raise
            found = [str(error)]
    return [] if found == ["ok"] else [f"{name}: {' '.join(text.split())}" for text in found]


def _own_problems(connection: sqlite3.Connection) -> tuple[int, list[str]]:
    counted = connection.execute(
        "SELECT interval, source, count(*) FROM candle GROUP BY interval, source"
    ).fetchall()
    problems: list[str] = []
    for find in (_off_grid, _gap_overlaps, _promise_overlaps, _strays):
        problems += list(find(connection))
    problems += _wrong_counters(connection, counted)
    return sum(count for _, _, count in counted), problems


def _wrong_counters(
    connection: sqlite3.Connection, counted: list[tuple[str, int, int]]
) -> list[str]:
    real = dict.fromkeys(SOURCE_NAMES.values(), 0)
    for _, kind, count in counted:
        real[SOURCE_NAMES[Source(kind)]] += count
    real["quarantine"] = connection.execute("SELECT count(*) FROM quarantine").fetchone()[0]
    stored = dict(connection.execute("SELECT name, value FROM counter").fetchall())
    return [
        f"The counter {name} says {stored.get(name, 0):,}, and there are {count:,} rows."
        for name, count in real.items()
        if stored.get(name, 0) != count
    ]


def _off_grid(connection: sqlite3.Connection) -> Iterator[str]:
    names = [row[0] for row in connection.execute("SELECT DISTINCT interval FROM candle")]
    for name in names:
        if name not in INTERVALS:
            yield f"There are candles of the interval {name!r}, which Binance does not have."
            continue
        grid = parse_interval(name)
        if name == "1M":
            times = connection.execute(
                "SELECT DISTINCT open_time_ms FROM candle WHERE interval = '1M'"
            )
            wrong = sum(not grid.is_aligned(time_ms) for (time_ms,) in times)
        else:
            shift = _FIRST_MONDAY_MS if name == "1w" else 0
            wrong = connection.execute(
                "SELECT count(*) FROM candle WHERE interval = ? AND (open_time_ms - ?) % ? <> 0",
                (name, shift, grid.length_ms),
            ).fetchone()[0]
        if wrong:
            yield f"{wrong:,} {name} candles open off the {name} grid."


def _gap_overlaps(connection: sqlite3.Connection) -> Iterator[str]:
    rows = connection.execute(
        "SELECT symbol.name, interval, from_ms FROM (SELECT *, lag(to_ms) OVER"
        " (PARTITION BY symbol_id, interval ORDER BY from_ms) AS before_ms FROM gap"
        " WHERE state <> 'filled') JOIN symbol ON symbol.id = symbol_id WHERE before_ms > from_ms"
    ).fetchall()
    yield from _some(rows, lambda row: f"Two gaps of {row[0]} {row[1]} overlap at {row[2]}.")
    rows = connection.execute(
        "SELECT symbol.name, gap.interval, gap.from_ms FROM gap JOIN symbol ON symbol.id ="
        " gap.symbol_id WHERE state = 'open' AND EXISTS (SELECT 1 FROM candle WHERE"
        " candle.symbol_id = gap.symbol_id AND candle.interval = gap.interval"
        " AND open_time_ms >= gap.from_ms AND open_time_ms < gap.to_ms)"
    ).fetchall()
    yield from _some(
        rows, lambda row: f"The open gap of {row[0]} {row[1]} at {row[2]} holds stored candles."
    )


def _promise_overlaps(connection: sqlite3.Connection) -> Iterator[str]:
    rows = connection.execute(
        "SELECT symbol.name, interval, from_ms FROM (SELECT *, lag(ifnull(to_ms, 1 << 62)) OVER"
        " (PARTITION BY symbol_id, interval ORDER BY from_ms) AS before_ms FROM captured)"
        " JOIN symbol ON symbol.id = symbol_id WHERE before_ms > from_ms"
    ).fetchall()
    yield from _some(
        rows, lambda row: f"{row[0]} {row[1]} is noted as captured twice from {row[2]} on."
    )


def _strays(connection: sqlite3.Connection) -> Iterator[str]:
    rows = connection.execute("PRAGMA foreign_key_check").fetchall()
    tables = {row[0] for row in rows}
    for table in sorted(tables):
        count = sum(row[0] == table for row in rows)
        yield f"{count:,} rows of the table {table} belong to nothing."


def _some(
    rows: list[tuple[object, ...]], say: Callable[[tuple[object, ...]], str]
) -> Iterator[str]:
    yield from map(say, rows[:_SHOWN])
    if len(rows) > _SHOWN:
        yield f"… and {len(rows) - _SHOWN:,} more of this kind."
