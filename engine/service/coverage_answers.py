"""Answers how complete each captured market is, hour by hour."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from engine.capture.coverage import HOUR_MS, NOTHING, Count, total
from engine.capture.hour_counts import HOURS
from engine.market.capture_figures import MarketCoverage
from engine.market.interval import parse_interval
from engine.service import contract

if TYPE_CHECKING:
    from engine.capture.hour_counts import HourCounts
    from engine.capture.quality import QualityKeeper
    from engine.store import Reader

MOST_HOURS = 168
MOST_ROWS = 1_000
FRESH_S = 2.0
_OPEN_GAPS = (
    "SELECT symbol.name AS symbol, count(*) AS n FROM gap JOIN symbol ON symbol.id = symbol_id"
    " WHERE state = 'open' AND interval = ? GROUP BY 1"
)
_STATUSES = (
    "SELECT symbol.name AS symbol, was.status AS status, max(was.from_ms) FROM market_status AS was"
    " JOIN symbol ON symbol.id = was.symbol_id GROUP BY was.symbol_id"
)
_Rows = tuple[MarketCoverage, ...]


class CoverageAnswers:
    """Puts together what the quality keeper counted; the work is done in a thread.

    Rows of all series are kept for two seconds, so that paging and several viewers cost nothing.
    """

    def __init__(self, quality: QualityKeeper) -> None:
        self._quality = quality
        self._kept: dict[tuple[str, int], tuple[float, int, _Rows]] = {}
        self._lock = asyncio.Lock()

    async def coverage(self, request: contract.CoverageRequest) -> contract.Coverage:
        """Answer a request; hours beyond a week are left out.

        Raises:
            UnknownInterval: for an interval that Binance does not have.
            StoreError: when the database can not be read.
        """
        interval = parse_interval(request.interval).name
        hours = max(1, min(request.hours, MOST_HOURS))
        first_ms, rows = await self._all(interval, hours)
        query = request.query.casefold()
        found = [row for row in rows if _holds(row.symbol.casefold(), query)]
        if request.worst_first:
            found.sort(key=_badness)
        offset, limit = max(0, request.offset), max(0, min(request.limit, MOST_ROWS))
        return contract.Coverage(first_ms, len(found), tuple(found[offset : offset + limit]))

    async def _all(self, interval: str, hours: int) -> tuple[int, _Rows]:
        async with self._lock:
            kept = self._kept.get((interval, hours))
            if kept is None or time.monotonic() - kept[0] >= FRESH_S:
                counted = self._quality.counted
                if counted is None:
                    return 0, ()
                first_ms, rows = await asyncio.to_thread(_rows, *counted, interval, hours)
                kept = time.monotonic(), first_ms, rows
                self._kept = {(interval, hours): kept}
            return kept[1], kept[2]


def _rows(reader: Reader, counts: HourCounts, interval: str, hours: int) -> tuple[int, _Rows]:
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
    )


def _badness(row: MarketCoverage) -> tuple[int, int, int, str]:
    return row.stored - row.expected, row.by_stream - row.expected, -row.open_gaps, row.symbol


def _holds(name: str, letters: str) -> bool:
    """Tell whether `name` holds the letters in their order."""
    rest = iter(name)
    return all(letter in rest for letter in letters)
