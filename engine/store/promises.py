"""What klinetop promised to capture, and when the exchange traded it: the source of "expected".

A candle is expected when its series was captured and its market was TRADING at its open time, from
the first candle on that the exchange ever had of it.
Times are open times or exchange times in epoch milliseconds, ranges are [from_ms, to_ms).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from engine.market.interval import parse_interval
from engine.store.symbols import symbol_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from engine.market.interval import Interval
    from engine.store.gaps import Range
    from engine.store.reader import Reader

TRADING = "TRADING"
_FOR_EVER = 1 << 62


def promise(
    connection: sqlite3.Connection, series: Iterable[tuple[str, str]], from_ms: int
) -> None:
    """Note that (symbol, interval) pairs are captured from `from_ms` on.

    That includes the candle that is open then, since streams push it whole when it closes. A series
    that is captured already keeps its beginning. Works inside a transaction.
    """
    for symbol, interval in series:
        grid = parse_interval(interval)
        connection.execute(
            "INSERT INTO captured (symbol_id, interval, from_ms)"
            " SELECT :symbol_id, :interval, :from_ms"
            " WHERE NOT EXISTS (SELECT 1 FROM captured WHERE symbol_id = :symbol_id"
            " AND interval = :interval AND to_ms IS NULL) ON CONFLICT DO UPDATE SET to_ms = NULL",
            {
                "symbol_id": symbol_id(connection, symbol),
                "interval": interval,
                "from_ms": grid.floor(from_ms),
            },
        )


def end_promise(
    connection: sqlite3.Connection, series: Iterable[tuple[str, str]], to_ms: int
) -> None:
    """Note that (symbol, interval) pairs are captured no longer; works inside a transaction."""
    connection.executemany(
        "UPDATE captured SET to_ms = max(from_ms, ?) WHERE to_ms IS NULL AND interval = ?"
        " AND symbol_id = (SELECT id FROM symbol WHERE name = ?)",
        [(parse_interval(interval).floor(to_ms), interval, symbol) for symbol, interval in series],
    )


def note_statuses(
    connection: sqlite3.Connection, statuses: Mapping[str, str], from_ms: int
) -> list[str]:
    """Note the statuses of markets as of `from_ms`; returns the symbols whose status changed.

    Works inside a transaction. A symbol that is seen for the first time has not changed.
    """
    changed = []
    for symbol, status in statuses.items():
        key = symbol_id(connection, symbol)
        last = connection.execute(
            "SELECT status FROM market_status WHERE symbol_id = ? ORDER BY from_ms DESC LIMIT 1",
            (key,),
        ).fetchone()
        if last is not None and last[0] == status:
            continue
        connection.execute(
            "INSERT INTO market_status (symbol_id, from_ms, status) VALUES (?, ?, ?)"
            " ON CONFLICT (symbol_id, from_ms) DO UPDATE SET status = excluded.status",
            (key, 0 if last is None else from_ms, status),
        )
        if last is not None:
            changed.append(symbol)
    return changed


def latest_statuses(reader: Reader) -> dict[str, tuple[str, int]]:
    """Return the newest noted status of each market, and the time from which it holds."""
    rows = reader.rows(
        "SELECT symbol.name, max(from_ms), market_status.status"
        " FROM market_status JOIN symbol ON symbol.id = market_status.symbol_id"
        " GROUP BY market_status.symbol_id"
    )
    return {symbol: (status, from_ms) for symbol, from_ms, status in rows}


def captured_series(reader: Reader) -> list[tuple[str, str]]:
    """Return the (symbol, interval) pairs that are captured now."""
    return reader.rows(
        "SELECT symbol.name, captured.interval FROM captured"
        " JOIN symbol ON symbol.id = captured.symbol_id WHERE to_ms IS NULL ORDER BY 1, 2"
    )


def expected_ranges(
    reader: Reader, interval: str, start_ms: int, end_ms: int, symbols: Sequence[str] | None = None
) -> dict[str, list[Range]]:
    """Return for each captured symbol the ranges of [start_ms, end_ms) in which it was TRADING.

    A market whose status was never noted counts as trading. The ranges are ascending, disjoint
    and on the interval's grid; symbols without any are left out. `symbols` limits the answer.
    """
    grid = parse_interval(interval)
    spans = reader.rows(
        "SELECT symbol.name, from_ms, to_ms FROM captured"
        " JOIN symbol ON symbol.id = captured.symbol_id"
        " WHERE interval = ? AND from_ms < ? AND (to_ms IS NULL OR to_ms > ?)"
        " ORDER BY symbol.name, from_ms",
        (interval, end_ms, start_ms),
    )
    wanted = None if symbols is None else set(symbols)
    trading = _trading(reader)
    starts = series_starts(reader, interval)
    found: dict[str, list[Range]] = {}
    for symbol, from_ms, to_ms in spans:
        if wanted is not None and symbol not in wanted:
            continue
        first = max(from_ms, start_ms, starts.get(symbol, 0))
        last = end_ms if to_ms is None else min(to_ms, end_ms)
        for a, b in trading.get(symbol, ((0, _FOR_EVER),)):
            inside = (_ceil(grid, max(a, first)), _ceil(grid, min(b, last)))
            if inside[0] < inside[1]:
                found.setdefault(symbol, []).append(inside)
    return found


def series_starts(reader: Reader, interval: str) -> dict[str, int]:
    """Return the open time of each series' first candle ever, of those that were asked for."""
    rows = reader.rows(
        "SELECT symbol.name, first_ms FROM series_start"
        " JOIN symbol ON symbol.id = series_start.symbol_id WHERE interval = ?",
        (interval,),
    )
    return dict(rows)


def _trading(reader: Reader) -> dict[str, list[Range]]:
    """Return when each market was TRADING, of those whose status is known."""
    rows = reader.rows(
        "SELECT symbol.name, from_ms, market_status.status FROM market_status"
        " JOIN symbol ON symbol.id = market_status.symbol_id ORDER BY symbol.name, from_ms"
    )
    by_symbol: dict[str, list[tuple[int, str]]] = {}
    for symbol, from_ms, status in rows:
        by_symbol.setdefault(symbol, []).append((from_ms, status))
    return {
        symbol: [
            (from_ms, to_ms)
            for (from_ms, status), (to_ms, _) in pairwise([*changes, (_FOR_EVER, "")])
            if status == TRADING
        ]
        for symbol, changes in by_symbol.items()
    }


def _ceil(grid: Interval, time_ms: int) -> int:
    floor = grid.floor(time_ms)
    return floor if floor == time_ms else grid.next(floor)
