"""Answers how complete each captured market is, hour by hour."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.capture.market_coverage import badness
from engine.market.interval import parse_interval
from engine.market.symbol import has_letters
from engine.service import contract

if TYPE_CHECKING:
    from engine.capture.quality import QualityKeeper

MOST_HOURS = 168
MOST_ROWS = 1_000


class CoverageAnswers:
    """Pages of the quality keeper's table, which is put together in a thread."""

    def __init__(self, quality: QualityKeeper) -> None:
        self._quality = quality

    async def coverage(self, request: contract.CoverageRequest) -> contract.Coverage:
        """Answer a request; hours beyond a week are left out.

        Raises:
            UnknownInterval: for an interval that Binance does not have.
            StoreError: when the database can not be read.
        """
        interval = parse_interval(request.interval).name
        hours = max(1, min(request.hours, MOST_HOURS))
        table = self._quality.table
        if table is None:
            return contract.Coverage(0, 0, ())
        first_ms, rows = await asyncio.to_thread(table.rows, interval, hours)
        query = request.query.casefold()
        found = [row for row in rows if has_letters(row.symbol.casefold(), query)]
        if request.worst_first:
            found.sort(key=badness)
        offset, limit = max(0, request.offset), max(0, min(request.limit, MOST_ROWS))
        return contract.Coverage(first_ms, len(found), tuple(found[offset : offset + limit]))
