"""Figures about capture that engine and viewers exchange: progress, quality, gaps, disk."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Completeness(enum.Enum):
    """Whether what the last 24 hours should have brought is stored."""

    UNKNOWN = "unknown"
    """It was not counted yet."""
    NOTHING_EXPECTED = "nothing expected"
    INCOMPLETE = "incomplete"
    COMPLETE = "complete"


def completeness(
    coverage: Sequence[float | None],
    day: DayQuality | None,
    gaps: Mapping[str, int],
    dropped: int,
) -> Completeness:
    """Return how complete capture is.

    Args:
        coverage: Stored share for each of the last hours, None where nothing was expected; empty
            until it was counted.
        day: The same in candles; None until it was counted.
        gaps: Rows of the ledger by state; those that are `open`, however old, are missing.
        dropped: Messages and rows that were not kept.
    """
    if gaps.get("open", 0) or dropped:
        return Completeness.INCOMPLETE
    if not coverage:
        return Completeness.UNKNOWN
    if all(share is None for share in coverage):
        return Completeness.NOTHING_EXPECTED
    is_short = day is not None and day.stored < day.expected
    return Completeness.INCOMPLETE if is_short else Completeness.COMPLETE


class BackfillProgress(msgspec.Struct, frozen=True):
    """How far the fetching of missing candles is, gaps and jobs together.

    Attributes:
        what: What is fetched right now, such as `BTCUSDT 1m`.
        rows: Candles fetched since the work began that still goes on.
        wanted: Candles that this work needs in all, as far as is known.
        rows_per_s: Candles a wall second, lately.
        eta_s: Wall seconds until it is done; None while unknown.
        series_left: Series that still wait.
        note: Why it waits, in words; empty while it works.
    """

    what: str
    rows: int
    wanted: int
    rows_per_s: float
    eta_s: float | None
    series_left: int
    note: str = ""


class DayQuality(msgspec.Struct, frozen=True):
    """Quality of capture in the last 24 hours of exchange time, over all captured series.

    Attributes:
        markets: Markets captured now.
        series: Series (market and interval) captured now.
        expected: Candles that the exchange closed while captured, exchange holes left out.
        stored: Those of them that are stored.
        by_stream: Those of them that the stream brought, whether or not REST told them too.
        holes: Candles that the exchange itself does not have.
        clock_offset_ms: Local wall clock minus exchange clock; None unknown.
        latency_ms: 50th, 95th and 99th percentile of receipt minus event time; None unknown.
        reconnects: Reconnects in that time.
        untraded: Stored ones that REST alone told and in which nobody traded; the exchange need
            not push them.
    """

    markets: int
    series: int
    expected: int
    stored: int
    by_stream: int
    holes: int
    clock_offset_ms: float | None = None
    latency_ms: tuple[float, float, float] | None = None
    reconnects: int = 0
    untraded: int = 0


class DiskState(msgspec.Struct, frozen=True):
    """The disk of the data directory.

    Attributes:
        free_bytes: What is left on it.
        level: `fine`, `low` or `floor`; below the floor only candles are written. `gone` when the
            database's file was deleted or replaced, `damaged` when one of its pages is.
        note: What that means, in words; empty while it is fine.
    """

    free_bytes: int
    level: str = "fine"
    note: str = ""


class MarketCoverage(msgspec.Struct, frozen=True):
    """Coverage of one series, hour by hour.

    Attributes:
        status: The exchange's word for the market's state.
        expected: Candles expected in these hours, exchange holes left out.
        stored: Those of them that are stored, and `by_stream` of these that the stream brought.
        holes: Candles that the exchange itself does not have.
        open_gaps: Ranges that are missing and asked for.
        cells: Share of expected candles stored for each hour, oldest first; None without any.
        untraded: Stored ones that REST alone told and in which nobody traded.
    """

    symbol: str
    interval: str
    status: str
    expected: int
    stored: int
    by_stream: int
    holes: int
    open_gaps: int
    cells: tuple[float | None, ...]
    untraded: int = 0


class GapRow(msgspec.Struct, frozen=True):
    """One row of the gap ledger: open times in [from_ms, to_ms) that are or were missing.

    Attributes:
        candles: How many candles that is.
        state: `open`, `filled`, `exchange_hole` or `unfillable`.
        reason: Why they were not captured, in words.
        tries: How often REST was asked, and `last_error` what came of the last time.
        first_seen_ms: Exchange time at which the gap was noted; None unknown.
        changed_wall_ms: Wall time of the last change.
    """

    symbol: str
    interval: str
    from_ms: int
    to_ms: int
    candles: int
    state: str
    reason: str
    tries: int
    last_error: str
    first_seen_ms: int | None
    changed_wall_ms: int
