"""Reading the ledger of gaps, and what the store lacks of what is expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from engine.market.capture_figures import GapRow
from engine.market.interval import parse_interval
from engine.store import gaps
from engine.store.ranges import candle_count, union

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine.store.ranges import Range
    from engine.store.reader import Reader

# When an open range that REST answered without is asked for again, after so many tries: late data
# of the exchange come within minutes, and what an hour later is still not there is a hole.
_AGAIN_MS = "CASE WHEN tries <= 1 THEN 120000 WHEN tries = 2 THEN 600000 ELSE ? END"
_FEW = 8
_JOINED = "FROM gap JOIN symbol ON symbol.id = gap.symbol_id"


class OpenSeries(NamedTuple):
    """A series with open gaps; `newest_ms` is where the last of them ends."""

    symbol: str
    interval: str
    newest_ms: int


def due_series(reader: Reader, now_ms: int, symbol: str = "") -> list[OpenSeries]:
    """Return the series whose open gaps shall be asked for at exchange time `now_ms`.

    `symbol` takes all open gaps of one market, due or not.
    """
    rows = reader.query(
        f"SELECT symbol.name AS symbol, interval, max(to_ms) AS newest_ms {_JOINED}"
        f" WHERE gap.state = 'open' AND (symbol.name = ? OR (? = '' AND"
        f" (first_empty_ms IS NULL OR first_empty_ms + {_AGAIN_MS} <= ?)))"
        " GROUP BY gap.symbol_id, interval",
        (symbol, symbol, gaps.HOLE_AFTER_MS, now_ms),
    )
    return [OpenSeries(**row) for row in rows]


def hole_series(reader: Reader, since_ms: int) -> list[OpenSeries]:
    """Return the series with exchange holes that begin at `since_ms` or later."""
    rows = reader.query(
        f"SELECT symbol.name AS symbol, interval, max(to_ms) AS newest_ms {_JOINED}"
        " WHERE gap.state = 'exchange_hole' AND from_ms >= ? GROUP BY gap.symbol_id, interval",
        (since_ms,),
    )
    return [OpenSeries(**row) for row in rows]


def ranges_in(
    reader: Reader,
    symbol: str,
    interval: str,
    states: Sequence[str],
    start_ms: int = 0,
    end_ms: int = 1 << 62,
) -> list[Range]:
    """Return the ranges of one series in `states` that touch [start_ms, end_ms), ascending."""
    marks = ",".join("?" * len(states))
    rows = reader.query(
        f"SELECT from_ms, to_ms {_JOINED} WHERE symbol.name = ? AND interval = ?"
        f" AND gap.state IN ({marks}) AND from_ms < ? AND to_ms > ?",
        (symbol, interval, *states, end_ms, start_ms),
    )
    return union((row["from_ms"], row["to_ms"]) for row in rows)


def known_ranges(
    reader: Reader, interval: str, start_ms: int, end_ms: int
) -> dict[str, list[Range]]:
    """Return the ranges in [start_ms, end_ms) that the ledger holds as missing, by symbol."""
    rows = reader.query(
        f"SELECT symbol.name AS symbol, from_ms, to_ms {_JOINED} WHERE interval = ?"
        " AND gap.state IN ('open', 'exchange_hole', 'unfillable') AND from_ms < ? AND to_ms > ?"
        " ORDER BY from_ms",
        (interval, end_ms, start_ms),
    )
    found: dict[str, list[Range]] = {}
    for row in rows:
        found.setdefault(row["symbol"], []).append((row["from_ms"], row["to_ms"]))
    return found


def lacking(
    reader: Reader, interval: str, expected: Mapping[str, Sequence[Range]]
) -> dict[str, list[Range]]:
    """Return what is not stored of the expected ranges, by symbol; symbols without are left out.

    Series are counted first, all in one query where they share one range, and only those that
    lack something are read: 1,400 series take milliseconds for a minute and 0.3 s for a day.
    """
    alike: dict[Range, list[str]] = {}
    suspects: list[str] = []
    for symbol, ranges in expected.items():
        if len(ranges) == 1:
            alike.setdefault(ranges[0], []).append(symbol)
        else:
            suspects.append(symbol)
    grid = parse_interval(interval)
    for where, symbols in alike.items():
        if len(symbols) < _FEW:
            suspects.extend(symbols)
            continue
        stored = _counts(reader, interval, where)
        wanted = candle_count(grid, [where])
        suspects.extend(symbol for symbol in symbols if stored.get(symbol, 0) < wanted)
    found: dict[str, list[Range]] = {}
    for symbol in suspects:
        missing = [
            piece for a, b in expected[symbol] for piece in reader.missing(symbol, interval, a, b)
        ]
        if missing:
            found[symbol] = missing
    return found


def last_stored(reader: Reader, interval: str) -> dict[str, int]:
    """Return the newest stored open time of each captured series that has any."""
    rows = reader.rows(
        "SELECT symbol.name, (SELECT max(open_time_ms) FROM candle"
        " WHERE symbol_id = symbol.id AND interval = ?) FROM symbol"
        " WHERE id IN (SELECT symbol_id FROM captured WHERE interval = ?)",
        (interval, interval),
    )
    return {symbol: last_ms for symbol, last_ms in rows if last_ms is not None}


def gap_rows(
    reader: Reader,
    symbol: str = "",
    states: Sequence[str] = (),
    offset: int = 0,
    limit: int = 100,
) -> list[GapRow]:
    """Return rows of the ledger, the newest first; empty `symbol` and `states` take all."""
    where, parameters = _where(symbol, states)
    rows = reader.query(
        "SELECT symbol.name AS symbol, interval, from_ms, to_ms, gap.state AS state, reason,"
        f" tries, last_error, first_seen_ms, changed_wall_ms {_JOINED} WHERE {where}"
        " ORDER BY to_ms DESC, symbol.name LIMIT ? OFFSET ?",
        (*parameters, limit, offset),
    )
    return [
        GapRow(
            candles=candle_count(parse_interval(row["interval"]), [(row["from_ms"], row["to_ms"])]),
            **row,
        )
        for row in rows
    ]


def gap_totals(
    reader: Reader, symbol: str = "", states: Sequence[str] = ()
) -> tuple[int, dict[str, int]]:
    """Return how many rows there are, and how many candles by state."""
    where, parameters = _where(symbol, states)
    rows = reader.query(
        "SELECT gap.state AS state, interval, count(*) AS rows,"
        f" sum(to_ms - from_ms) AS length_ms {_JOINED} WHERE {where} GROUP BY 1, 2",
        parameters,
    )
    candles: dict[str, int] = {}
    for row in rows:
        count = round(row["length_ms"] / parse_interval(row["interval"]).length_ms)
        candles[row["state"]] = candles.get(row["state"], 0) + count
    return sum(row["rows"] for row in rows), candles


def beginnings(reader: Reader, symbol: str, interval: str) -> tuple[int | None, int | None]:
    """Return the first candle ever of a series, if it was asked for, and the first stored."""
    rows = reader.query(
        "SELECT first_ms FROM series_start WHERE interval = ?"
        " AND symbol_id = (SELECT id FROM symbol WHERE name = ?)",
        (interval, symbol),
    )
    return (rows[0]["first_ms"] if rows else None), reader.first_open_time(symbol, interval)


def _counts(reader: Reader, interval: str, where: Range) -> dict[str, int]:
    rows = reader.rows(
        "SELECT symbol.name, (SELECT count(*) FROM candle WHERE symbol_id = symbol.id"
        " AND interval = ? AND open_time_ms >= ? AND open_time_ms < ?) FROM symbol"
        " WHERE id IN (SELECT symbol_id FROM captured WHERE interval = ?)",
        (interval, *where, interval),
    )
    return dict(rows)


def _where(symbol: str, states: Sequence[str]) -> tuple[str, list[object]]:
    terms = ["1"]
    parameters: list[object] = []
    if symbol:
        terms.append("symbol.name = ?")
        parameters.append(symbol)
    if states:
        terms.append(f"gap.state IN ({','.join('?' * len(states))})")
        parameters.extend(states)
    return " AND ".join(terms), parameters
