"""Ledger of missing candles: each range of open times that was lost, and what became of it.

All functions work inside a transaction of the writer (`writer.run`). A range is [from_ms, to_ms)
in open times. Storing a candle settles the open gaps that it fills by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.market.interval import parse_interval
from engine.store.symbols import symbol_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

Range = tuple[int, int]
GAP_STATES = ("open", "filled", "exchange_hole", "unfillable")


def missing_ranges(
    times: Iterable[int], interval_name: str, start_ms: int, end_ms: int
) -> list[Range]:
    """Return the merged ranges of the interval's grid in [start_ms, end_ms) that `times` lacks.

    `times` are the stored open times in that range, ascending.
    """
    interval = parse_interval(interval_name)
    expected = interval.floor(start_ms)
    if expected < start_ms:
        expected = interval.next(expected)
    end = interval.floor(end_ms - 1) if end_ms > start_ms else start_ms
    end = interval.next(end) if end_ms > start_ms else start_ms
    ranges: list[Range] = []
    step = None if interval.name == "1M" else interval.length_ms
    for time in times:
        if time > expected:
            ranges.append((expected, time))
        expected = time + step if step else interval.next(time)
    if expected < end:
        ranges.append((expected, end))
    return ranges


def record_missing(
    connection: sqlite3.Connection,
    symbol: str,
    interval: str,
    from_ms: int,
    to_ms: int,
    wall_ms: int,
) -> int:
    """Note that open times in [from_ms, to_ms) are missing; returns how many ranges are new.

    What is known already as open, exchange hole or unfillable is not noted twice.
    """
    key = (symbol_id(connection, symbol), interval)
    known = connection.execute(
        "SELECT from_ms, to_ms FROM gap WHERE symbol_id = ? AND interval = ?"
        " AND state <> 'filled' AND from_ms < ? AND to_ms > ? ORDER BY from_ms",
        (*key, to_ms, from_ms),
    ).fetchall()
    pieces = _without((from_ms, to_ms), known)
    connection.executemany(
        "INSERT INTO gap (symbol_id, interval, from_ms, to_ms, state, first_seen_wall_ms,"
        " changed_wall_ms) VALUES (?, ?, ?, ?, 'open', ?, ?)",
        [(*key, a, b, wall_ms, wall_ms) for a, b in pieces],
    )
    return len(pieces)


def mark_filled(
    connection: sqlite3.Connection,
    symbol: str,
    interval: str,
    from_ms: int,
    to_ms: int,
    wall_ms: int,
) -> int:
    """Mark open gaps as filled where they lie in [from_ms, to_ms); returns how many ranges."""
    return mark(connection, symbol, interval, from_ms, to_ms, "filled", wall_ms)


def mark(
    connection: sqlite3.Connection,
    symbol: str,
    interval: str,
    from_ms: int,
    to_ms: int,
    state: str,
    wall_ms: int,
    error: str = "",
) -> int:
    """Give the open gaps within [from_ms, to_ms) another state; what sticks out stays open.

    States are `filled`, `exchange_hole` (the exchange itself has no candle) and `unfillable`;
    `error` is the reason in words. Returns how many ranges changed their state.
    """
    key = (symbol_id(connection, symbol), interval)
    return _mark(connection, key, (from_ms, to_ms), state, wall_ms, error)


def count_try(
    connection: sqlite3.Connection,
    symbol: str,
    interval: str,
    from_ms: int,
    to_ms: int,
    error: str,
    wall_ms: int,
) -> None:
    """Note one more try to fill the open gaps that touch [from_ms, to_ms), and why it failed."""
    connection.execute(
        "UPDATE gap SET tries = tries + 1, last_error = ?, changed_wall_ms = ? WHERE symbol_id = ?"
        " AND interval = ? AND state = 'open' AND from_ms < ? AND to_ms > ?",
        (error, wall_ms, symbol_id(connection, symbol), interval, to_ms, from_ms),
    )


def settle(
    connection: sqlite3.Connection,
    symbol_key: int,
    interval: str,
    from_ms: int,
    to_ms: int,
    wall_ms: int,
) -> None:
    """Mark as filled what the stored candles fill of the open gaps touching [from_ms, to_ms)."""
    key = (symbol_key, interval)
    for gap_from, gap_to in connection.execute(
        "SELECT from_ms, to_ms FROM gap WHERE symbol_id = ? AND interval = ? AND state = 'open'"
        " AND from_ms < ? AND to_ms > ?",
        (*key, to_ms, from_ms),
    ).fetchall():
        times = connection.execute(
            "SELECT open_time_ms FROM candle WHERE symbol_id = ? AND interval = ?"
            " AND open_time_ms >= ? AND open_time_ms < ? ORDER BY open_time_ms",
            (*key, gap_from, gap_to),
        )
        lacking = missing_ranges((time for (time,) in times), interval, gap_from, gap_to)
        for filled in _without((gap_from, gap_to), lacking):
            _mark(connection, key, filled, "filled", wall_ms, "")


def _mark(
    connection: sqlite3.Connection,
    key: tuple[int, str],
    where: Range,
    state: str,
    wall_ms: int,
    error: str,
) -> int:
    rows = connection.execute(
        "SELECT id, from_ms, to_ms FROM gap WHERE symbol_id = ? AND interval = ?"
        " AND state = 'open' AND from_ms < ? AND to_ms > ?",
        (*key, where[1], where[0]),
    ).fetchall()
    for gap_id, gap_from, gap_to in rows:
        inside = (max(gap_from, where[0]), min(gap_to, where[1]))
        connection.executemany(
            "INSERT INTO gap (symbol_id, interval, from_ms, to_ms, state, tries, last_error,"
            " first_seen_wall_ms, changed_wall_ms) SELECT symbol_id, interval, ?, ?, state, tries,"
            " last_error, first_seen_wall_ms, changed_wall_ms FROM gap WHERE id = ?",
            [(a, b, gap_id) for a, b in _without((gap_from, gap_to), [inside])],
        )
        connection.execute(
            "UPDATE gap SET from_ms = ?, to_ms = ?, state = ?, last_error = ?, changed_wall_ms = ?"
            " WHERE id = ?",
            (*inside, state, error, wall_ms, gap_id),
        )
    return len(rows)


def _without(whole: Range, holes: Iterable[Range]) -> list[Range]:
    """Return what `holes` (ascending, they may stick out) leave of `whole`."""
    pieces = []
    at, end = whole
    for hole_from, hole_to in holes:
        if hole_from > at:
            pieces.append((at, min(hole_from, end)))
        at = max(at, hole_to)
    if at < end:
        pieces.append((at, end))
    return pieces
