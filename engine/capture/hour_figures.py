"""Figures of the streams by hour of exchange time: gathered in memory, added up in the store."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from engine.capture.latency import LatencyHistogram

if TYPE_CHECKING:
    import sqlite3

    from engine.store import Reader

_UPSERT = """
INSERT INTO hour_figures (hour_ms, messages, reconnects, renewals, bad, dropped, offline_ms,
    offset_low_ms, offset_median_ms, offset_high_ms, latency_counts)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (hour_ms) DO UPDATE SET
    messages = messages + excluded.messages,
    reconnects = reconnects + excluded.reconnects,
    renewals = renewals + excluded.renewals,
    bad = bad + excluded.bad,
    dropped = dropped + excluded.dropped,
    offline_ms = offline_ms + excluded.offline_ms,
    offset_low_ms = min(coalesce(offset_low_ms, excluded.offset_low_ms),
        coalesce(excluded.offset_low_ms, offset_low_ms)),
    offset_median_ms = coalesce(excluded.offset_median_ms, offset_median_ms),
    offset_high_ms = max(coalesce(offset_high_ms, excluded.offset_high_ms),
        coalesce(excluded.offset_high_ms, offset_high_ms)),
    latency_counts = excluded.latency_counts
"""


class Tally(NamedTuple):
    """Running counters since the engine's start."""

    messages: int = 0
    reconnects: int = 0
    renewals: int = 0
    bad: int = 0
    dropped: int = 0


class HourFigures:
    """What happened in one hour, as far as the store does not hold it yet.

    Attributes:
        tally: Events by kind.
        offline_ms: Exchange time without a stream.
        offsets_ms: Samples of local wall clock minus exchange clock; they are kept when the rest
            is written, so that the median is that of the whole hour.
        latency: Latencies of events.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self.offline_ms = 0
        self.offsets_ms: list[float] = []
        self.latency = LatencyHistogram()

    def add(self, tally: Tally) -> None:
        """Add events."""
        self.tally = Tally(*map(sum, zip(self.tally, tally, strict=True)))

    def take(self) -> HourFigures:
        """Return these figures for writing, and begin anew."""
        taken = HourFigures()
        taken.tally, taken.offline_ms, taken.latency = self.tally, self.offline_ms, self.latency
        taken.offsets_ms = list(self.offsets_ms)
        self.tally, self.offline_ms, self.latency = Tally(), 0, LatencyHistogram()
        return taken

    def give_back(self, taken: HourFigures) -> None:
        """Add again what could not be written."""
        self.add(taken.tally)
        self.offline_ms += taken.offline_ms
        self.latency.merge(taken.latency)

    def write(self, connection: sqlite3.Connection, hour_ms: int) -> None:
        """Add these figures to the row of the hour; works inside a transaction."""
        row = connection.execute(
            "SELECT latency_counts FROM hour_figures WHERE hour_ms = ?", (hour_ms,)
        ).fetchone()
        latency = LatencyHistogram.merged([] if row is None else [row[0]])
        latency.merge(self.latency)
        offsets = self.offsets_ms
        spread = (
            (min(offsets), statistics.median(offsets), max(offsets)) if offsets else (None,) * 3
        )
        connection.execute(
            _UPSERT, (hour_ms, *self.tally, self.offline_ms, *spread, latency.to_json())
        )


class StreamFigures(msgspec.Struct, frozen=True):
    """What the streams did in a span of time.

    Attributes:
        messages: Frames received; `bad` could not be read, `dropped` were not kept.
        reconnects: Connections made after one was lost; `renewals` are those made before a loss.
        offline_s: Seconds of exchange time without any stream while the engine ran.
        clock_offset_ms: Lowest, median and highest local wall clock minus exchange clock.
        latency_ms: 50th, 95th and 99th percentile and maximum of receipt minus event time, the
            clocks' offset taken out.
        hours: Hours of which there are figures.
    """

    messages: int = 0
    reconnects: int = 0
    renewals: int = 0
    bad: int = 0
    dropped: int = 0
    offline_s: float = 0.0
    clock_offset_ms: tuple[float, float, float] | None = None
    latency_ms: tuple[float, float, float, float] | None = None
    hours: int = 0


def stream_figures(reader: Reader, start_ms: int, end_ms: int) -> StreamFigures:
    """Add up the stored figures of the hours that begin in [start_ms, end_ms).

    Raises:
        StoreError: when the database can not be read.
        msgspec.DecodeError: when a row's latencies can not be read.
    """
    rows = reader.query(
        "SELECT * FROM hour_figures WHERE hour_ms >= ? AND hour_ms < ? ORDER BY hour_ms",
        (start_ms, end_ms),
    )
    latency = LatencyHistogram.merged(row["latency_counts"] for row in rows)
    known = [row for row in rows if row["offset_median_ms"] is not None]
    offset = (
        (
            min(row["offset_low_ms"] for row in known),
            statistics.median(row["offset_median_ms"] for row in known),
            max(row["offset_high_ms"] for row in known),
        )
        if known
        else None
    )
    return StreamFigures(
        **{name: sum(row[name] for row in rows) for name in Tally._fields},
        offline_s=sum(row["offline_ms"] for row in rows) / 1000,
        clock_offset_ms=offset,
        latency_ms=_percentiles(latency),
        hours=len(rows),
    )


def _percentiles(latency: LatencyHistogram) -> tuple[float, float, float, float] | None:
    p50, p95, p99 = (latency.percentile(percent) for percent in (50, 95, 99))
    if p50 is None or p95 is None or p99 is None:
        return None
    return p50, p95, p99, latency.max_ms
