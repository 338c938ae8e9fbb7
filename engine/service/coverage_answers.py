"""Answers how complete each captured market is, hour by hour."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from engine.capture.market_coverage import badness, market_rows
from engine.market.interval import parse_interval
from engine.market.symbol import has_letters
from engine.service import contract

if TYPE_CHECKING:
    from engine.capture.quality import QualityKeeper
    from engine.market.capture_figures import MarketCoverage

MOST_HOURS = 168
MOST_ROWS = 1_000
FRESH_S = 2.0


class CoverageAnswers:
    """Puts together what the quality keeper counted; the work is done in a thread.

    Rows of all series are kept for two seconds, so that paging and several viewers cost nothing.
    """

    def __init__(self, quality: QualityKeeper) -> None:
        self._quality = quality
        self._kept: dict[tuple[str, int], tuple[float, int, tuple[MarketCoverage, ...]]] = {}
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
        found = [row for row in rows if has_letters(row.symbol.casefold(), query)]
        if request.worst_first:
            found.sort(key=badness)
        offset, limit = max(0, request.offset), max(0, min(request.limit, MOST_ROWS))
        return contract.Coverage(first_ms, len(found), tuple(found[offset : offset + limit]))

    async def _all(self, interval: str, hours: int) -> tuple[int, tuple[MarketCoverage, ...]]:
        async with self._lock:
            kept = self._kept.get((interval, hours))
            if kept is None or time.monotonic() - kept[0] >= FRESH_S:
                counted = self._quality.counted
                if counted is None:
                    return 0, ()
                first_ms, rows = await asyncio.to_thread(market_rows, *counted, interval, hours)
                kept = time.monotonic(), first_ms, rows
                self._kept = {(interval, hours): kept}
            return kept[1], kept[2]
