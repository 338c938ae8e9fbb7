"""Symbols, counters, sessions and quarantine: the small tables, for use inside a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from engine.market.symbol import SymbolInfo

RAW_LENGTH = 4_000


def symbol_id(connection: sqlite3.Connection, name: str) -> int:
    """Return the id of the symbol called `name`, which is added when it is not there."""
    row = connection.execute("SELECT id FROM symbol WHERE name = ?", (name,)).fetchone()
    if row is None:
        row = connection.execute(
            "INSERT INTO symbol (name) VALUES (?) RETURNING id", (name,)
        ).fetchone()
    return int(row[0])


def put_symbols(connection: sqlite3.Connection, infos: Iterable[SymbolInfo], wall_ms: int) -> None:
    """Insert or update what the exchange says about its markets."""
    connection.executemany(
        "INSERT INTO symbol (name, base, quote, status, tick_size, step_size, updated_wall_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET base = excluded.base,"
        " quote = excluded.quote, status = excluded.status, tick_size = excluded.tick_size,"
        " step_size = excluded.step_size, updated_wall_ms = excluded.updated_wall_ms",
        [(i.name, i.base, i.quote, i.status, i.tick_size, i.step_size, wall_ms) for i in infos],
    )


def add_counts(connection: sqlite3.Connection, deltas: Mapping[str, int]) -> None:
    """Add `deltas` to the counters of those names."""
    changed = [(name, delta) for name, delta in deltas.items() if delta]
    if changed:
        connection.executemany(
            "INSERT INTO counter (name, value) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
            changed,
        )


def put_quarantine(
    connection: sqlite3.Connection,
    rows: Iterable[tuple[str, str, str]],
    wall_ms: int,
    *,
    once: bool = False,
) -> int:
    """Keep (origin, reason, raw text) of what was refused; returns how many rows that are.

    Raw texts are cut after 4,000 characters, and a NUL becomes its symbol, U+2400. With `once`,
    what is kept already is not kept again.
    """
    kept = [
        {
            "wall_ms": wall_ms,
            "origin": origin,
            "reason": _without_nul(reason),
            "raw": _without_nul(raw[:RAW_LENGTH]),
        }
        for origin, reason, raw in rows
    ]
    if not kept:
        return 0
    insert = (
        "INSERT INTO quarantine (wall_ms, origin, reason, raw)"
        " SELECT :wall_ms, :origin, :reason, :raw"
    )
    if once:
        insert += (
            " WHERE NOT EXISTS (SELECT 1 FROM quarantine"
            " WHERE origin = :origin AND reason = :reason AND raw = :raw)"
        )
    added = connection.executemany(insert, kept).rowcount
    add_counts(connection, {"quarantine": added})
    return len(kept)


def _without_nul(text: str) -> str:
    """Return the text for SQLite, whose functions take a NUL for the end of one."""
    return text.replace("\0", "\u2400")


def record_session(
    connection: sqlite3.Connection,
    event: str,
    name: str,
    reason: str,
    wall_ms: int,
    exchange_ms: int | None = None,
) -> None:
    """Note that the stream connection called `name` had a `connect` or `disconnect`."""
    connection.execute(
        "INSERT INTO session (wall_ms, event, connection, reason, exchange_ms)"
        " VALUES (?, ?, ?, ?, ?)",
        (wall_ms, event, name, reason, exchange_ms),
    )


def put_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Set a text in the table `meta`."""
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )
