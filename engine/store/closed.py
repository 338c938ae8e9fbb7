"""The upsert of candles that closed together, one of each of many series.

Nearly all of them are new, and no gap of the ledger waits for them: those are found by one query
and inserted by few statements. The others take the way of every batch (`Batch`).
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.store.gaps import KNOWN_STATES
from engine.store.symbols import add_counts, symbol_id
from engine.store.upsert import CANDLE_COLUMNS, Batch, Values
from engine.store.values import SOURCE_NAMES, PutResult, Source

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from engine.market.interval import Interval

# Few texts of statements: the connection keeps each prepared, and long ones are large.
_SIZES = (100, 10)
_COLUMNS = f"symbol_id, interval, source, written_wall_ms, {CANDLE_COLUMNS}"
_STATES = ", ".join(f"'{state}'" for state in KNOWN_STATES)
_ONE = f"({', '.join('?' * 14)})"
_INSERT_ONE = f"INSERT INTO candle ({_COLUMNS}) VALUES {_ONE}"  # noqa: S608
_INSERT_MANY = f"INSERT INTO candle ({_COLUMNS}) VALUES {', '.join([_ONE] * _SIZES[0])}"  # noqa: S608


class Closed(NamedTuple):
    """One closed candle on its way: a row, or (origin, reason, raw text) of what is refused."""

    symbol: str
    interval: Interval
    row: Values | None
    refused: tuple[str, str, str] | None = None


class _Pushed(NamedTuple):
    place: int
    symbol_key: int
    interval: str
    open_ms: int
    end_ms: int


def write_closed(
    connection: sqlite3.Connection, closed: Sequence[Closed], source: Source, wall_ms: int
) -> list[PutResult]:
    """Insert or merge candles, and return in their order what became of them."""
    quick = _quick(connection, closed)
    added = PutResult(inserted=1)
    _insert(connection, closed, quick, source, wall_ms)
    add_counts(connection, {SOURCE_NAMES[source]: len(quick)})
    results: list[PutResult] = []
    for place, one in enumerate(closed):
        if place in quick:
            results.append(added)
            continue
        rows = [] if one.row is None else [one.row]
        refused = [] if one.refused is None else [one.refused]
        batch = Batch(one.symbol, one.interval, rows, refused, source)
        results.append(batch.write(connection, wall_ms))
    return results


def _quick(connection: sqlite3.Connection, closed: Sequence[Closed]) -> dict[int, int]:
    """Return symbol ids by place, for rows that are new and that no gap waits for."""
    keys = _symbol_ids(connection, [one.symbol for one in closed if one.row is not None])
    seen: set[tuple[int, str, int]] = set()
    pushed: list[_Pushed] = []
    for place, one in enumerate(closed):
        if one.row is None:
            continue
        open_ms, key, name = one.row[0], keys[one.symbol], one.interval.name
        if (key, name, open_ms) not in seen:
            seen.add((key, name, open_ms))
            pushed.append(_Pushed(place, key, name, open_ms, one.interval.next(open_ms)))
    known = set(chain.from_iterable(_known(connection, some) for some in _parts(pushed)))
    return {one.place: one.symbol_key for one in pushed if one.place not in known}


def _known(connection: sqlite3.Connection, pushed: Sequence[_Pushed]) -> Iterator[int]:
    """Yield the places of candles that are stored, or that lie in a gap of the ledger."""
    values = ", ".join(["(?, ?, ?, ?, ?)"] * len(pushed))
    found = connection.execute(
        f"WITH p (place, symbol_id, interval, open_ms, end_ms) AS (VALUES {values})"  # noqa: S608
        " SELECT place FROM p WHERE EXISTS (SELECT 1 FROM candle c WHERE"
        " c.symbol_id = p.symbol_id AND c.interval = p.interval AND c.open_time_ms = p.open_ms)"
        " OR EXISTS (SELECT 1 FROM gap g WHERE g.symbol_id = p.symbol_id"
        f" AND g.interval = p.interval AND g.state IN ({_STATES})"
        " AND g.from_ms < p.end_ms AND g.to_ms > p.open_ms)",
        list(chain.from_iterable(pushed)),
    )
    return (place for (place,) in found)


def _symbol_ids(connection: sqlite3.Connection, symbols: Iterable[str]) -> dict[str, int]:
    known: dict[str, int] = {}
    names = list(dict.fromkeys(symbols))
    for some in _parts(names):
        marks = ", ".join("?" * len(some))
        known |= connection.execute(
            f"SELECT name, id FROM symbol WHERE name IN ({marks})",  # noqa: S608
            some,
        ).fetchall()
    return known | {name: symbol_id(connection, name) for name in names if name not in known}


def _insert(
    connection: sqlite3.Connection,
    closed: Sequence[Closed],
    quick: dict[int, int],
    source: Source,
    wall_ms: int,
) -> None:
    rows = [
        (key, closed[place].interval.name, int(source), wall_ms, *(closed[place].row or ()))
        for place, key in quick.items()
    ]
    whole = len(rows) - len(rows) % _SIZES[0]
    for at in range(0, whole, _SIZES[0]):
        some = rows[at : at + _SIZES[0]]
        connection.execute(_INSERT_MANY, list(chain.from_iterable(some)))
    connection.executemany(_INSERT_ONE, rows[whole:])


def _parts(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Cut questions into pieces of one of the sizes; the last row is asked again to fill one."""
    size = next((size for size in reversed(_SIZES) if len(rows) <= size), _SIZES[0])
    for at in range(0, len(rows), size):
        some = list(rows[at : at + size])
        yield some + some[-1:] * (size - len(some))
