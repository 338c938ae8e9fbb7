"""Minutes that the exchange was asked for and did not have, in the ledger of gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from engine.store import gaps

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from engine.store import Reader
    from engine.store.gaps import Range

HOLE_AFTER_MS = 3_600_000
HOLE_AFTER_TRIES = 2
NO_CANDLE = "the exchange answered without these candles"


class OpenGap(NamedTuple):
    """One open range of the ledger: open times in [from_ms, to_ms)."""

    symbol: str
    interval: str
    from_ms: int
    to_ms: int


def interior_missing(
    reader: Reader, symbol: str, interval: str, start_ms: int, end_ms: int
) -> list[Range]:
    """Return what [start_ms, end_ms) lacks between the oldest and the newest stored candle.

    What lies before was not listed yet, what lies after may still be on its way.
    """
    first = reader.first_open_time(symbol, interval)
    last = reader.last_open_time(symbol, interval)
    if first is None or last is None:
        return []
    return reader.missing(symbol, interval, max(start_ms, first), min(end_ms, last))


def note_unanswered(
    connection: sqlite3.Connection,
    symbol: str,
    interval: str,
    ranges: Sequence[Range],
    wall_ms: int,
) -> None:
    """Note ranges that REST answered without; works inside a transaction of the writer.

    The exchange repairs its history now and then, so only a second such answer at least an hour
    after the first makes a range an `exchange_hole`.
    """
    for from_ms, to_ms in ranges:
        gaps.record_missing(connection, symbol, interval, from_ms, to_ms, wall_ms)
        gaps.count_try(connection, symbol, interval, from_ms, to_ms, NO_CANDLE, wall_ms)
        old = connection.execute(
            "SELECT gap.from_ms, gap.to_ms FROM gap JOIN symbol ON symbol.id = gap.symbol_id"
            " WHERE symbol.name = ? AND gap.interval = ? AND gap.state = 'open'"
            " AND gap.from_ms < ? AND gap.to_ms > ? AND gap.tries >= ?"
            " AND gap.first_seen_wall_ms <= ?",
            (symbol, interval, to_ms, from_ms, HOLE_AFTER_TRIES, wall_ms - HOLE_AFTER_MS),
        ).fetchall()
        for a, b in old:
            inside = (max(a, from_ms), min(b, to_ms))
            gaps.mark(
                connection, symbol, interval, *inside, "exchange_hole", wall_ms, error=NO_CANDLE
            )


def open_gaps(reader: Reader) -> list[OpenGap]:
    """Return the open ranges of all series."""
    rows = reader.query(
        "SELECT symbol.name AS symbol, gap.interval AS interval, gap.from_ms AS from_ms,"
        " gap.to_ms AS to_ms FROM gap JOIN symbol ON symbol.id = gap.symbol_id"
        " WHERE gap.state = 'open' ORDER BY gap.from_ms"
    )
    return [OpenGap(**row) for row in rows]
