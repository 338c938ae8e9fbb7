"""What a quality report of one day says."""

from __future__ import annotations

import msgspec


class SeriesQuality(msgspec.Struct, frozen=True):
    """Capture of one series on that day.

    Attributes:
        status: The exchange's word for the market's state at the end; empty when unknown.
        expected: Candles that closed while captured and traded, exchange holes left out.
        stored: Those of them that are stored: `by_stream` told by the stream only, `by_rest` by
            REST only, `by_both` by both alike, `by_import` from files.
        missing: Expected candles that are not stored; `unfillable` of them never will be.
        exchange_holes: Candles that the exchange itself does not have.
        stream_percent: Expected candles that the stream brought, in percent; None without any.
        final_percent: Expected candles that are stored.
        revisions: Candles of that day of which another value was told later.
        untraded: Those of `by_rest` in which nobody traded; the exchange need not push them.
        cells: Stored share for each of the day's 24 hours, None without anything expected; empty
            when the candles are pruned and only the day's sums are known.
    """

    symbol: str
    interval: str
    status: str
    expected: int
    stored: int
    by_stream: int
    by_rest: int
    by_both: int
    by_import: int
    missing: int
    unfillable: int
    exchange_holes: int
    stream_percent: float | None
    final_percent: float | None
    revisions: int = 0
    untraded: int = 0
    cells: tuple[float | None, ...] = ()


class Totals(msgspec.Struct, frozen=True):
    """The sums over all series, by the same names."""

    markets: int
    series: int
    expected: int
    stored: int
    by_stream: int
    by_rest: int
    by_both: int
    by_import: int
    missing: int
    unfillable: int
    exchange_holes: int
    stream_percent: float | None
    final_percent: float | None
    revisions: int = 0
    untraded: int = 0
    cells: tuple[float | None, ...] = ()


class GapSpan(msgspec.Struct, frozen=True):
    """Ranges of the gap ledger that belong together: one state and reason, times that touch.

    Attributes:
        from_ms: First open time, within the day; `to_ms` is exclusive.
        ranges: How many stretches of time between these two were affected.
        markets: How many markets; `symbols` are the first of them by name.
        candles: Candles in all markets.
        state: `open`, `filled`, `exchange_hole` or `unfillable`.
        reason: Why they were not captured, in words.
        tries: How often REST was asked at most, and `last_error` what came of it.
    """

    interval: str
    from_ms: int
    to_ms: int
    ranges: int
    markets: int
    symbols: tuple[str, ...]
    candles: int
    state: str
    reason: str
    tries: int
    last_error: str


class Loss(msgspec.Struct, frozen=True):
    """Lost connections of one reason: how many times, the first and the last (exchange time).

    Attributes:
        connections: How many different ones of those that are open side by side.
    """

    reason: str
    count: int
    connections: int
    first_ms: int
    last_ms: int


class StatusChange(msgspec.Struct, frozen=True):
    """A market's state as of `from_ms` in the exchange's words."""

    symbol: str
    from_ms: int
    status: str


class Streams(msgspec.Struct, frozen=True):
    """What streams and clock did, over all hours of which there are figures.

    Attributes:
        messages: Messages received; `bad` could not be read, `dropped` were not kept.
        reconnects: Connections made after one was lost; `renewals` those replaced in time.
        offline_s: Seconds of exchange time without a stream while the engine ran.
        clock_offset_ms: Lowest, median, highest local wall clock minus exchange clock.
        latency_ms: 50th, 95th, 99th percentile and maximum of receipt minus event time.
        clock_note: Why the last two are unknown; empty when they are not.
    """

    messages: int
    reconnects: int
    renewals: int
    bad: int
    dropped: int
    offline_s: float
    hours: int
    clock_offset_ms: tuple[float, float, float] | None
    latency_ms: tuple[float, float, float, float] | None
    clock_note: str
    losses: tuple[Loss, ...]


class DayReport(msgspec.Struct, frozen=True):
    """The quality of capture on one UTC day of exchange time.

    Attributes:
        day: Such as `2026-11-21`; it begins at `day_ms`.
        until_ms: Exchange time up to which it is told; `is_running` when the day is not over.
        source: `live`, `demo` or `replay`, with a note such as the seed or the files.
        series: By name.
        gaps: The most important first.
        quarantined: Rows and messages refused that day by wall clock; None where the exchange's
            clock does not run at 1.
        reread: Closed candles that were compared with REST once more, and how many differed; None
            when that was not done.
        status_changes: Changes of markets' states.
        joined: Markets whose capture began on that day, `left` those whose capture ended, and
            `listed` those whose first candle is of that day.
        markets_left_out: Markets that a selection left out of this report.
    """

    day: str
    day_ms: int
    until_ms: int
    is_running: bool
    source: str
    source_note: str
    version: str
    made_wall_ms: int
    totals: Totals
    streams: Streams
    series: tuple[SeriesQuality, ...]
    gaps: tuple[GapSpan, ...]
    quarantined: int | None
    reread: tuple[int, int] | None
    status_changes: tuple[StatusChange, ...]
    joined: tuple[str, ...]
    left: tuple[str, ...]
    listed: tuple[str, ...]
    markets_left_out: int = 0
