"""Looking for candles that are expected, not stored and not noted as missing yet.

All functions read the database and block; the ledger calls them in a thread, with a reader of its
own. Times are exchange times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.market.interval import parse_interval
from engine.store import gap_reads
from engine.store.promises import captured_series, expected_ranges
from engine.store.ranges import shared, without

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from engine.store import Reader
    from engine.store.ranges import Range

_EVER = 1 << 62
Missing = dict[tuple[str, str], list["Range"]]


def in_window(reader: Reader, start_ms: int, end_ms: int) -> Missing:
    """Return what all captured series lack in [start_ms, end_ms), by symbol and interval."""
    found: Missing = {}
    for interval in _intervals(reader):
        grid = parse_interval(interval)
        a, b = grid.floor(start_ms), grid.floor(end_ms)
        if a < b:
            expected = expected_ranges(reader, interval, a, b)
            found |= _unknown(reader, interval, expected, a, b)
    return found


def last_stored(reader: Reader) -> dict[tuple[str, str], int]:
    """Return the newest stored open time of each captured series that has any."""
    return {
        (symbol, interval): last_ms
        for interval in _intervals(reader)
        for symbol, last_ms in gap_reads.last_stored(reader, interval).items()
    }


def since(
    reader: Reader,
    last: Mapping[tuple[str, str], int],
    end_ms: int,
    series: Collection[tuple[str, str]] | None = None,
) -> Missing:
    """Return what captured series, or those of `series`, lack after their `last` candle."""
    found: Missing = {}
    for interval in _intervals(reader):
        grid = parse_interval(interval)
        over_ms = grid.floor(end_ms)
        tails: dict[str, list[Range]] = {}
        for symbol, ranges in expected_ranges(reader, interval, 0, over_ms).items():
            key = (symbol, interval)
            if series is None or key in series:
                first_ms = grid.next(last[key]) if key in last else 0
                tails[symbol] = shared(ranges, [(first_ms, _EVER)])
        tails = {symbol: ranges for symbol, ranges in tails.items() if ranges}
        found |= _unknown(reader, interval, tails, 0, over_ms)
    return found


def _intervals(reader: Reader) -> list[str]:
    return sorted({interval for _, interval in captured_series(reader)})


def _unknown(
    reader: Reader, interval: str, expected: dict[str, list[Range]], start_ms: int, end_ms: int
) -> Missing:
    missing = gap_reads.lacking(reader, interval, expected)
    if not missing:
        return {}
    known = gap_reads.known_ranges(reader, interval, start_ms, end_ms)
    left = {
        (symbol, interval): without(ranges, known.get(symbol, []))
        for symbol, ranges in missing.items()
    }
    return {series: ranges for series, ranges in left.items() if ranges}
