"""Ledger of missing candles: each range of open times that was lost, and what became of it.

All functions work inside a transaction of the writer (`writer.run`). A range is [from_ms, to_ms)
in open times; the rows of one series do not overlap. Storing a candle settles the gaps that it
fills by itself, whatever their state. Times in `now_ms` are exchange times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.store.ranges import Range, missing_ranges, without
from engine.store.symbols import symbol_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

__all__ = ["GAP_STATES", "NOT_PUSHED", "Range", "missing_ranges"]

GAP_STATES = ("open", "filled", "exchange_hole", "unfillable")
KNOWN_STATES = ("open", "exchange_hole", "unfillable")
NOT_PUSHED = "the stream did not push it"
NO_CANDLE = "the exchange answered without these candles"
HOLE_AFTER_MS = 3_600_000
_COLUMNS = (
    "symbol_id, interval, state, reason, tries, last_error, first_seen_ms, first_empty_ms,"
    " first_seen_wall_ms, changed_wall_ms"
)
_SERIES = "symbol_id = ? AND interval = ?"
Key = tuple[int, str]


def record_missing(
    connection: sqlite3.Connection,
    symbol: str,
    interval: str,
    from_ms: int,
    to_ms: int,
    wall_ms: int,
    *,
    reason: str = "",
    now_ms: int | None = None,
) -> int:
    """Note that open times in [from_ms, to_ms) are missing; returns how many ranges are new.

    What is known already as open, exchange hole or unfillable is not noted twice. A range that
    goes on where an untried one with the same reason ends makes that one longer.
    """
    key = (symbol_id(connection, symbol), interval)
    known = _overlapping(connection, key, (from_ms, to_ms), KNOWN_STATES)
    pieces = without([(from_ms, to_ms)], [(a, b) for _, a, b in known])
    for piece in pieces:
        inside = _split(connection, key, piece, ("filled",))
        connection.executemany("DELETE FROM gap WHERE id = ?", [(gap_id,) for gap_id in inside])
        _insert(connection, key, piece, reason, now_ms, wall_ms)
    return len(pieces)


def note_missing(
    connection: sqlite3.Connection,
    symbol: str,
    interval: str,
    ranges: Iterable[Range],
    wall_ms: int,
    *,
    reason: str,
    now_ms: int,
) -> int:
    """Note what of `ranges` is not stored by now; returns how many ranges are new."""
    key = (symbol_id(connection, symbol), interval)
    noted = 0
    for start, end in ranges:
        for piece in missing_ranges(_times(connection, key, start, end), interval, start, end):
            noted += record_missing(
                connection, symbol, interval, *piece, wall_ms, reason=reason, now_ms=now_ms
            )
    return noted


def mark(
    connection: sqlite3.Connection,
    symbol: str,
    interval: str,
    from_ms: int,
    to_ms: int,
    state: str,
    wall_ms: int,
    error: str = "",
    *,
    was: Sequence[str] = ("open",),
) -> int:
    """Give the gaps within [from_ms, to_ms) another state; what sticks out stays as it is.

    States are `filled`, `exchange_hole` (the exchange itself has no candle), `unfillable` and
    `open`; `error` is the reason in words. Of the gaps, those whose state is in `was` are meant.
    Returns how many ranges changed their state.
    """
    key = (symbol_id(connection, symbol), interval)
    inside = _split(connection, key, (from_ms, to_ms), was)
    _set_state(connection, key, inside, state, error, wall_ms)
    return len(inside)


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
        f"UPDATE gap SET tries = tries + 1, last_error = ?, changed_wall_ms = ? WHERE {_SERIES}"  # noqa: S608
        " AND state = 'open' AND from_ms < ? AND to_ms > ?",
        (error, wall_ms, symbol_id(connection, symbol), interval, to_ms, from_ms),
    )


def note_empty(
    connection: sqlite3.Connection,
    symbol: str,
    interval: str,
    ranges: Iterable[Range],
    now_ms: int,
    wall_ms: int,
    *,
    error: str = NO_CANDLE,
    is_final: bool = True,
) -> int:
    """Note ranges that the exchange answered without; returns how many became exchange holes.

    The exchange repairs its history now and then, so only a second such answer, at least an hour
    of exchange time after the first, makes a range an `exchange_hole` (with `is_final`).
    """
    key = (symbol_id(connection, symbol), interval)
    holes = 0
    for where in ranges:
        record_missing(connection, symbol, interval, *where, wall_ms, reason=error, now_ms=now_ms)
        inside = _split(connection, key, where, ("open",))
        connection.executemany(
            "UPDATE gap SET tries = tries + 1, last_error = ?, changed_wall_ms = ?,"
            " first_empty_ms = coalesce(first_empty_ms, ?) WHERE id = ?",
            [(error, wall_ms, now_ms, gap_id) for gap_id in inside],
        )
        if is_final:
            old = [gap_id for gap_id in inside if _is_old(connection, gap_id, now_ms)]
            _set_state(connection, key, old, "exchange_hole", error, wall_ms)
            holes += len(old)
    return holes


def reopen(connection: sqlite3.Connection, symbol: str, states: Sequence[str], wall_ms: int) -> int:
    """Open the gaps of a market (empty: of all) in `states` again; returns how many."""
    marks = ",".join("?" * len(states))
    return connection.execute(
        "UPDATE gap SET state = 'open', tries = 0, first_empty_ms = NULL, changed_wall_ms = ?"  # noqa: S608
        f" WHERE state IN ({marks}) AND (? = '' OR symbol_id ="
        " (SELECT id FROM symbol WHERE name = ?))",
        (wall_ms, *states, symbol, symbol),
    ).rowcount


def note_series_start(
    connection: sqlite3.Connection, symbol: str, interval: str, first_ms: int
) -> None:
    """Note the open time of a series' first candle ever; nothing was missing before it."""
    key = (symbol_id(connection, symbol), interval)
    connection.execute(
        "INSERT INTO series_start (symbol_id, interval, first_ms) VALUES (?, ?, ?)"
        " ON CONFLICT (symbol_id, interval) DO UPDATE SET first_ms = excluded.first_ms",
        (*key, first_ms),
    )
    if first_ms > 0:
        inside = _split(connection, key, (0, first_ms), GAP_STATES)
        connection.executemany("DELETE FROM gap WHERE id = ?", [(gap_id,) for gap_id in inside])


def settle(
    connection: sqlite3.Connection,
    symbol_key: int,
    interval: str,
    from_ms: int,
    to_ms: int,
    wall_ms: int,
    *,
    by_stream: bool = False,
    by_rest: bool = False,
) -> None:
    """Mark as filled what the stored candles fill of the gaps touching [from_ms, to_ms).

    A range whose reason is `NOT_PUSHED` is no gap after all, and is forgotten, when the stream
    brings it late (`by_stream`), or when it turns out that nothing was traded: the exchange does
    not push a minute without a trade. What REST fills counts as one more try (`by_rest`).
    """
    key = (symbol_key, interval)
    for gap_id, gap_from, gap_to in _overlapping(connection, key, (from_ms, to_ms), KNOWN_STATES):
        where = (max(gap_from, from_ms), min(gap_to, to_ms))
        lacking = missing_ranges(_times(connection, key, *where), interval, *where)
        reason = connection.execute("SELECT reason FROM gap WHERE id = ?", (gap_id,)).fetchone()[0]
        for filled in without([where], lacking):
            inside = _split(connection, key, filled, KNOWN_STATES)
            if reason == NOT_PUSHED and (by_stream or _is_quiet(connection, key, filled)):
                connection.executemany("DELETE FROM gap WHERE id = ?", [(i,) for i in inside])
                continue
            if by_rest:
                connection.executemany(
                    "UPDATE gap SET tries = tries + 1 WHERE id = ?", [(i,) for i in inside]
                )
            _set_state(connection, key, inside, "filled", "", wall_ms)


def came_late(
    connection: sqlite3.Connection, symbol_key: int, interval: str, times: Iterable[int]
) -> None:
    """Forget that these candles were not pushed: the stream brought them after REST did."""
    for time_ms in times:
        row = connection.execute(
            f"SELECT to_ms, reason FROM gap WHERE {_SERIES} AND state = 'filled'"  # noqa: S608
            " AND from_ms <= ? ORDER BY from_ms DESC LIMIT 1",
            (symbol_key, interval, time_ms),
        ).fetchone()
        if row is not None and row[0] > time_ms and row[1] == NOT_PUSHED:
            key = (symbol_key, interval)
            end_ms = missing_ranges((), interval, time_ms, time_ms + 1)[0][1]
            for gap_id in _split(connection, key, (time_ms, end_ms), ("filled",)):
                connection.execute("DELETE FROM gap WHERE id = ?", (gap_id,))


# --- rows ---------------------------------------------------------------------------------------


def _times(connection: sqlite3.Connection, key: Key, start_ms: int, end_ms: int) -> list[int]:
    return [
        time
        for (time,) in connection.execute(
            f"SELECT open_time_ms FROM candle WHERE {_SERIES}"  # noqa: S608
            " AND open_time_ms >= ? AND open_time_ms < ? ORDER BY open_time_ms",
            (*key, start_ms, end_ms),
        )
    ]


def _overlapping(
    connection: sqlite3.Connection, key: Key, where: Range, states: Sequence[str]
) -> list[tuple[int, int, int]]:
    """Return (id, from_ms, to_ms) of the rows that overlap `where`, ascending."""
    marks = ",".join("?" * len(states))
    return connection.execute(
        f"SELECT id, from_ms, to_ms FROM gap WHERE {_SERIES} AND state IN ({marks})"  # noqa: S608
        " AND from_ms < ? AND to_ms > ? ORDER BY from_ms",
        (*key, *states, where[1], where[0]),
    ).fetchall()


def _split(
    connection: sqlite3.Connection, key: Key, where: Range, states: Sequence[str]
) -> list[int]:
    """Cut rows at the ends of `where`; returns the ids of those that then lie inside."""
    found = _overlapping(connection, key, where, states)
    for gap_id, gap_from, gap_to in found:
        inside = (max(gap_from, where[0]), min(gap_to, where[1]))
        for a, b in without([(gap_from, gap_to)], [inside]):
            connection.execute(
                f"INSERT INTO gap (from_ms, to_ms, {_COLUMNS})"  # noqa: S608
                f" SELECT ?, ?, {_COLUMNS} FROM gap WHERE id = ?",
                (a, b, gap_id),
            )
        if inside != (gap_from, gap_to):
            connection.execute(
                "UPDATE gap SET from_ms = ?, to_ms = ? WHERE id = ?", (*inside, gap_id)
            )
    return [gap_id for gap_id, _, _ in found]


def _insert(
    connection: sqlite3.Connection,
    key: Key,
    where: Range,
    reason: str,
    now_ms: int | None,
    wall_ms: int,
) -> None:
    longer = connection.execute(
        f"SELECT id, to_ms FROM gap WHERE {_SERIES} AND state = 'open' AND from_ms < ?"  # noqa: S608
        " AND reason = ? AND tries = 0 AND first_empty_ms IS NULL ORDER BY from_ms DESC LIMIT 1",
        (*key, where[0], reason),
    ).fetchone()
    if longer is not None and longer[1] == where[0]:
        connection.execute(
            "UPDATE gap SET to_ms = ?, changed_wall_ms = ? WHERE id = ?",
            (where[1], wall_ms, longer[0]),
        )
        return
    connection.execute(
        "INSERT INTO gap (symbol_id, interval, from_ms, to_ms, state, reason, first_seen_ms,"
        " first_seen_wall_ms, changed_wall_ms) VALUES (?, ?, ?, ?, 'open', ?, ?, ?, ?)",
        (*key, *where, reason, now_ms, wall_ms, wall_ms),
    )


def _set_state(
    connection: sqlite3.Connection,
    key: Key,
    gap_ids: Sequence[int],
    state: str,
    error: str,
    wall_ms: int,
) -> None:
    for gap_id in gap_ids:
        connection.execute(
            "UPDATE gap SET state = ?, last_error = ?, changed_wall_ms = ? WHERE id = ?",
            (state, error, wall_ms, gap_id),
        )
        _join(connection, key, gap_id)


def _join(connection: sqlite3.Connection, key: Key, gap_id: int) -> None:
    """Make one row of this and those beside it, where they touch and say the same."""
    state, reason, from_ms, to_ms = connection.execute(
        "SELECT state, reason, from_ms, to_ms FROM gap WHERE id = ?", (gap_id,)
    ).fetchone()
    same = (f"{_SERIES} AND state = ? AND reason = ?", (*key, state, reason))
    before = connection.execute(
        f"SELECT id, from_ms, to_ms FROM gap WHERE {same[0]} AND from_ms < ?"  # noqa: S608
        " ORDER BY from_ms DESC LIMIT 1",
        (*same[1], from_ms),
    ).fetchone()
    after = connection.execute(
        f"SELECT id, from_ms, to_ms FROM gap WHERE {same[0]} AND from_ms = ?",  # noqa: S608
        (*same[1], to_ms),
    ).fetchone()
    joined = [row for row in (before, after) if row is not None and from_ms <= row[2]]
    for other_id, other_from, other_to in joined:
        from_ms, to_ms = min(from_ms, other_from), max(to_ms, other_to)
        connection.execute(
            "UPDATE gap SET from_ms = ?, to_ms = ?, tries = max(gap.tries, other.tries),"
            " first_seen_ms = min(coalesce(gap.first_seen_ms, other.first_seen_ms),"
            " coalesce(other.first_seen_ms, gap.first_seen_ms)),"
            " first_seen_wall_ms = min(gap.first_seen_wall_ms, other.first_seen_wall_ms)"
            " FROM (SELECT tries, first_seen_ms, first_seen_wall_ms FROM gap WHERE id = ?) AS other"
            " WHERE id = ?",
            (from_ms, to_ms, other_id, gap_id),
        )
        connection.execute("DELETE FROM gap WHERE id = ?", (other_id,))


def _is_old(connection: sqlite3.Connection, gap_id: int, now_ms: int) -> bool:
    first_ms = connection.execute(
        "SELECT first_empty_ms FROM gap WHERE id = ?", (gap_id,)
    ).fetchone()[0]
    return int(first_ms) <= now_ms - HOLE_AFTER_MS


def _is_quiet(connection: sqlite3.Connection, key: Key, where: Range) -> bool:
    """Whether all stored candles of a range hold no trade."""
    row = connection.execute(
        f"SELECT 1 FROM candle WHERE {_SERIES} AND open_time_ms >= ? AND open_time_ms < ?"  # noqa: S608
        " AND (trades IS NULL OR trades > 0) LIMIT 1",
        (*key, *where),
    ).fetchone()
    return row is None
