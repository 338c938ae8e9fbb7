"""Coverage of each captured market, hour by hour, as viewers see it."""

from __future__ import annotations

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


def market_rows(
    reader: Reader, counts: HourCounts, interval: str, hours: int
) -> tuple[int, tuple[MarketCoverage, ...]]:
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
    gaps = {row["symbol"]: row["n"] for row in reader.query(_OPEN_GAPS, (interval,))}
    statuses = {row["symbol"]: row["status"] for row in reader.query(_STATUSES)}
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
