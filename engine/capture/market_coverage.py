"""Coverage of each captured market, hour by hour, as viewers see it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from engine.capture.coverage import HOUR_MS, NOTHING, Count, total
from engine.capture.hour_counts import HOURS
from engine.market.capture_figures import MarketCoverage

if TYPE_CHECKING:
    from engine.capture.hour_counts import HourCounts
    from engine.store import Reader

_OPEN_GAPS = (
    "SELECT symbol.name AS symbol, count(*) AS n FROM gap JOIN symbol ON symbol.id = symbol_id"
    " WHERE state = 'open' AND interval = ? GROUP BY 1"
)
_STATUSES = (
    "SELECT symbol.name AS symbol, was.status AS status, max(was.from_ms) FROM market_status AS was"
    " JOIN symbol ON symbol.id = was.symbol_id GROUP BY was.symbol_id"
)


Rows = tuple[int, tuple["MarketCoverage", ...]]
MOST_KEPT = 4


class MarketTable:
    """Rows of all captured series, put together when somebody asks, once for each count.

    A table of 1,400 series takes 40 ms and some megabytes of short-lived objects. It may be asked
    from several threads.

    Args:
        reader: Where open gaps and statuses are read.
        counts: What is put together; its `revision` tells when rows are out of date.

    Attributes:
        built: How many tables were put together.
    """

    def __init__(self, reader: Reader, counts: HourCounts) -> None:
        self._reader = reader
        self._counts = counts
        self._lock = threading.Lock()
        self._revision = 0
        self._kept: dict[tuple[str, int], Rows] = {}
        self.built = 0

    @property
    def kept_rows(self) -> int:
        """How many rows are in memory."""
        return sum(len(rows) for _, rows in tuple(self._kept.values()))

    def rows(self, interval: str, hours: int) -> Rows:
        """Return the first hour's open time, and a row with a cell an hour for each series.

        Raises:
            StoreError: when the database can not be read.
        """
        with self._lock:
            if self._revision != self._counts.revision or len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._revision = self._counts.revision
            kept = self._kept.get((interval, hours))
            if kept is None:
                kept = market_rows(self._reader, self._counts, interval, hours)
                self._kept[interval, hours] = kept
                self.built += 1
            return kept

    def forget(self) -> None:
        """Drop rows that are out of date; who asks gets them made anew."""
        with self._lock:
            if self._revision != self._counts.revision:
                self._kept.clear()


def market_rows(reader: Reader, counts: HourCounts, interval: str, hours: int) -> Rows:
    """Return the first hour's open time, and a row with a cell an hour for each series, by name.

    Raises:
        StoreError: when the database can not be read.
    """
    first_ms = counts.first_hour_ms + (HOURS - hours) * HOUR_MS
    columns = [
        counts.counts(interval, hour_ms)
        if hour_ms >= counts.first_hour_ms
        else counts.older(interval, hour_ms)
        for hour_ms in range(first_ms, first_ms + hours * HOUR_MS, HOUR_MS)
    ]
    gaps = dict(reader.rows(_OPEN_GAPS, (interval,)))
    statuses = {symbol: status for symbol, status, _ in reader.rows(_STATUSES)}
    names = sorted({name for column in columns for name in column})
    return first_ms, tuple(
        _row(
            name,
            interval,
            statuses.get(name, ""),
            gaps.get(name, 0),
            [column.get(name, NOTHING) for column in columns],
        )
        for name in names
    )


def _row(
    symbol: str, interval: str, status: str, open_gaps: int, cells: list[Count]
) -> MarketCoverage:
    whole = total(cells)
    return MarketCoverage(
        symbol=symbol,
        interval=interval,
        status=status,
        expected=whole.due,
        stored=whole.stored,
        by_stream=whole.streamed,
        holes=whole.holes,
        open_gaps=open_gaps,
        cells=tuple(cell.share for cell in cells),
        untraded=whole.untraded,
    )


def badness(row: MarketCoverage) -> tuple[int, int, int, str]:
    """Return what sorts rows with most missing candles first, then those the stream failed."""
    pushed = row.by_stream + row.untraded
    return row.stored - row.expected, pushed - row.expected, -row.open_gaps, row.symbol
