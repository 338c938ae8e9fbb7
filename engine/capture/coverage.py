"""Counting what is stored of what was expected, series by series: one definition for every figure.

Expected is what `engine.store.promises` says. A hole of the exchange is a candle that the ledger of
gaps calls one and that is not stored; every share leaves holes out of its denominator, and whoever
shows a share shows the holes beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from engine.market.interval import parse_interval
from engine.store.promises import TRADING, expected_ranges

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from engine.market.interval import Interval
    from engine.store import Reader
    from engine.store.gaps import Range

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_BY_SOURCE = (
    "count(*) FILTER (WHERE source = 1) AS stream, count(*) FILTER (WHERE source = 2) AS rest,"
    " count(*) FILTER (WHERE source = 3) AS both, count(*) FILTER (WHERE source = 4) AS import,"
    " count(*) FILTER (WHERE source = 2 AND trades = 0) AS untraded"
)
_PROMISED = (
    f"SELECT (SELECT name FROM symbol WHERE id = captured.symbol_id) AS symbol, {_BY_SOURCE}"  # noqa: S608
    " FROM captured CROSS JOIN candle"
    " ON candle.symbol_id = captured.symbol_id AND candle.interval = captured.interval"
    " AND open_time_ms >= max(captured.from_ms, :from_ms)"
    " AND open_time_ms < min(coalesce(captured.to_ms, :to_ms), :to_ms)"
    " WHERE captured.interval = :interval AND captured.from_ms < :to_ms"
    " AND (captured.to_ms IS NULL OR captured.to_ms > :from_ms) GROUP BY captured.symbol_id"
)
_WITHIN = (
    f"SELECT {_BY_SOURCE} FROM candle WHERE symbol_id = (SELECT id FROM symbol WHERE name = ?)"  # noqa: S608
    " AND interval = ? AND open_time_ms >= ? AND open_time_ms < ?"
)
_GIVEN_UP = (
    "SELECT symbol.name AS symbol, from_ms, to_ms, state FROM gap"
    " JOIN symbol ON symbol.id = gap.symbol_id WHERE state IN ('exchange_hole', 'unfillable')"
    " AND from_ms < ? AND to_ms > ? AND interval = ?"
)
_HALTED = (
    "SELECT DISTINCT symbol.name AS symbol FROM market_status AS was"
    " JOIN symbol ON symbol.id = was.symbol_id WHERE was.from_ms < ? AND was.status <> ?"
)


class Count(NamedTuple):
    """Candles of one series in one span of time.

    Attributes:
        expected: Candles that were captured and traded, holes included.
        by_stream: Stored ones that only the stream told; `by_rest`, `by_both` and `by_import`
            likewise.
        holes: Expected ones that the exchange itself does not have.
        unfillable: Expected ones that are missing for good.
        untraded: Those of `by_rest` in which nobody traded; the exchange need not push them.
    """

    expected: int = 0
    by_stream: int = 0
    by_rest: int = 0
    by_both: int = 0
    by_import: int = 0
    holes: int = 0
    unfillable: int = 0
    untraded: int = 0

    @property
    def stored(self) -> int:
        """Expected candles that are stored."""
        return self.by_stream + self.by_rest + self.by_both + self.by_import

    @property
    def streamed(self) -> int:
        """Expected candles that the stream brought, whether or not REST told them too."""
        return self.by_stream + self.by_both

    @property
    def due(self) -> int:
        """Expected candles without the holes of the exchange."""
        return self.expected - self.holes

    @property
    def missing(self) -> int:
        """Expected candles that the exchange has and the store has not."""
        return max(0, self.due - self.stored)

    @property
    def share(self) -> float | None:
        """Stored share of what is due; None where nothing is."""
        return min(1.0, self.stored / self.due) if self.due > 0 else None

    @property
    def stream_share(self) -> float | None:
        """Share of what is due that the stream brought; None where nothing is due."""
        return min(1.0, self.streamed / self.due) if self.due > 0 else None


NOTHING = Count()


class _BySource(NamedTuple):
    stream: int
    rest: int
    both: int
    imported: int
    untraded: int = 0


_NONE = _BySource(0, 0, 0, 0)


def total(counts: Iterable[Count]) -> Count:
    """Return the sum of counts."""
    sums = [sum(column) for column in zip(*counts, strict=True)]
    return Count(*sums) if sums else NOTHING


def count_span(
    reader: Reader, interval: str, start_ms: int, end_ms: int, until_ms: int
) -> dict[str, Count]:
    """Count the candles of all captured series of `interval` in a span.

    Args:
        reader: A database; its lock is held for one query at a time.
        interval: Binance's name of it.
        start_ms: First open time; on the hour.
        end_ms: Exclusive.
        until_ms: Exchange time: candles that close later are not expected yet.

    Returns:
        Counts by symbol, in the order of their names; symbols of which nothing is expected are
        left out. One hour of 1,400 minute series takes about 30 ms.

    Raises:
        StoreError: when the database can not be read.
    """
    grid = parse_interval(interval)
    end_ms = min(end_ms, grid.floor(until_ms))
    if end_ms <= start_ms:
        return {}
    expected = expected_ranges(reader, interval, start_ms, end_ms)
    if not expected:
        return {}
    stored = _stored(reader, grid, start_ms, end_ms, expected)
    given_up = _given_up(reader, grid, start_ms, end_ms, expected)
    return {
        symbol: _settled(
            sum(candles_between(grid, a, b) for a, b in ranges),
            stored.get(symbol, _NONE),
            given_up.get(symbol, (0, 0)),
        )
        for symbol, ranges in expected.items()
    }


def _settled(expected: int, by_source: _BySource, given_up: tuple[int, int]) -> Count:
    sources = by_source[:4]
    lacking = expected - sum(sources)
    holes = max(0, min(given_up[0], lacking))
    unfillable = max(0, min(given_up[1], lacking - holes))
    return Count(expected, *sources, holes, unfillable, by_source.untraded)


def _stored(
    reader: Reader, grid: Interval, start_ms: int, end_ms: int, expected: Mapping[str, list[Range]]
) -> dict[str, _BySource]:
    """Count stored candles by symbol: all at once, and singly where trading ever paused."""
    found = {
        symbol: _BySource(*counts)
        for symbol, *counts in reader.rows(
            _PROMISED, {"from_ms": start_ms, "to_ms": end_ms, "interval": grid.name}
        )
    }
    for (symbol,) in reader.rows(_HALTED, (end_ms, TRADING)):
        parts = [
            _BySource(*part)
            for a, b in expected.get(symbol, ())
            for part in reader.rows(_WITHIN, (symbol, grid.name, a, b))
        ]
        found[symbol] = _BySource(*(sum(column) for column in zip(_NONE, *parts, strict=True)))
    return found


def _given_up(
    reader: Reader, grid: Interval, start_ms: int, end_ms: int, expected: Mapping[str, list[Range]]
) -> dict[str, tuple[int, int]]:
    """Return for each symbol how many candles are (holes, unfillable) by the ledger of gaps."""
    found: dict[str, tuple[int, int]] = {}
    for row in reader.query(_GIVEN_UP, (end_ms, start_ms, grid.name)):
        candles = sum(
            candles_between(grid, max(a, row["from_ms"]), min(b, row["to_ms"]))
            for a, b in expected.get(row["symbol"], ())
        )
        holes, unfillable = found.get(row["symbol"], (0, 0))
        if row["state"] == "exchange_hole":
            holes += candles
        else:
            unfillable += candles
        found[row["symbol"]] = (holes, unfillable)
    return found


def candles_between(grid: Interval, from_ms: int, to_ms: int) -> int:
    """Return how many open times of the grid lie in [from_ms, to_ms)."""
    if grid.floor(from_ms) < from_ms:
        from_ms = grid.next(grid.floor(from_ms))
    if to_ms <= from_ms:
        return 0
    if grid.name != "1M":
        return -(-(to_ms - from_ms) // grid.length_ms)
    found = 0
    while from_ms < to_ms:
        found += 1
        from_ms = grid.next(from_ms)
    return found


def captured_intervals(reader: Reader, start_ms: int, end_ms: int) -> list[str]:
    """Return the intervals of which something was captured in [start_ms, end_ms), shortest first.

    Raises:
        StoreError: when the database can not be read.
    """
    rows = reader.query(
        "SELECT DISTINCT interval FROM captured WHERE from_ms < ? AND (to_ms IS NULL OR to_ms > ?)",
        (end_ms, start_ms),
    )
    return sorted((row["interval"] for row in rows), key=_length)


def _length(interval: str) -> int:
    return parse_interval(interval).length_ms
