"""Fetches the candles that one fill needs, stores them, and notes what the exchange lacks."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple, Protocol

from engine.binance.lists import Listing
from engine.binance.rest import PAGE, BadAnswer
from engine.store import Source, gap_reads, gaps
from engine.store.ranges import candle_count, shared, spans, without

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence
    from concurrent.futures import Future

    from engine.binance.clock import ExchangeClock
    from engine.binance.rest import RestClient
    from engine.capture.fills import Fill
    from engine.market.candle import Candle
    from engine.store import PutResult, Store
    from engine.store.ranges import Range

# What ended less than this ago may still be on its way within the exchange.
WELL_PAST_MS = 60_000
NEVER_TRADED = "the market has had no candle yet"
REFUSED = "the exchange's candle can not be true or not be read; the table quarantine holds it"
_KNOWN = ("exchange_hole", "unfillable")


class CandleSink(Protocol):
    """Where fetched candles go."""

    def store(
        self, candles: list[Candle], symbol: str, interval: str, source: Source
    ) -> Future[PutResult]:
        """Store closed candles of one series; the future is done after COMMIT."""


class Page(NamedTuple):
    """One answer of the exchange.

    Attributes:
        candles: Closed candles, ascending.
        from_ms: It tells about open times from here on,
        until_ms: up to this one, exclusive; candles that it leaves out do not exist,
        odd: unless they are among so many rows that could not be understood.
    """

    candles: list[Candle]
    from_ms: int
    until_ms: int
    odd: int = 0


class Filler:
    """Makes series complete.

    Args:
        sink: Where fetched candles go.
        clock: The exchange's.
        on_page: Told after each page that was stored.
    """

    def __init__(
        self,
        rest: RestClient,
        store: Store,
        sink: CandleSink,
        clock: ExchangeClock,
        on_page: Callable[[Fill, int], None],
    ) -> None:
        self._rest = rest
        self._store = store
        self._sink = sink
        self._clock = clock
        self._on_page = on_page

    async def fill(self, fill: Fill, should_yield: Callable[[], bool]) -> bool:
        """Fetch what is missing; False when `should_yield` interrupted it between two pages.

        Raises:
            RestError: when the exchange can not be asked or answers nonsense.
            StoreError: when the store refuses.
        """
        ranges = await asyncio.to_thread(self._missing, fill)
        fill.wanted = fill.fetched + candle_count(fill.interval, ranges)
        self._on_page(fill, 0)
        groups = spans(ranges, fill.interval, PAGE)
        if fill.states:
            groups.reverse()  # the newest gaps first
        for group in groups:
            async with aclosing(self._pages(fill, group)) as pages:
                async for page in pages:
                    await self._take(fill, group, page)
                    if should_yield():
                        return False
        return True

    def _missing(self, fill: Fill) -> list[Range]:
        reader, (symbol, name) = self._store.reader, fill.series
        over_ms = fill.interval.floor(self._clock.now_ms())
        end_ms = over_ms if fill.end_ms is None else min(fill.end_ms, over_ms)
        if fill.states:
            ranges = gap_reads.ranges_in(reader, symbol, name, fill.states, fill.start_ms, 1 << 62)
            return shared(ranges, [(fill.start_ms, end_ms)])
        start_ms = max(fill.start_ms, gap_reads.beginnings(reader, symbol, name)[0] or 0)
        if start_ms >= end_ms:
            return []
        known = gap_reads.ranges_in(reader, symbol, name, _KNOWN, start_ms, end_ms)
        return without(reader.missing(symbol, name, start_ms, end_ms), known)

    async def _pages(self, fill: Fill, group: Sequence[Range]) -> AsyncGenerator[Page]:
        """Yield answers about all of `group`, oldest first."""
        grid, name = fill.interval, fill.interval.name
        cursor_ms, end_ms = group[0][0], group[-1][1]
        if self._rest.server_time_ms < end_ms + WELL_PAST_MS <= self._clock.now_ms():
            # Else an empty answer would not count, whose range is well past by now.
            await self._rest.server_time(background=fill.is_background)
        while cursor_ms < end_ms:
            rows = await self._rest.klines(
                fill.symbol,
                name,
                start_ms=cursor_ms,
                end_ms=end_ms - 1,
                limit=PAGE,
                background=fill.is_background,
                bulk=fill.is_bulk,
            )
            odd = len(rows.odd)
            rows = Listing(row for row in rows if cursor_ms <= row.open_time_ms < end_ms)
            _check(rows, fill)
            closed = [row for row in rows if row.closed]
            is_end = not rows or not rows[-1].closed
            # Without a row up to its end, the range is answered only as far as it is well past.
            past_ms = grid.floor(self._rest.server_time_ms - WELL_PAST_MS)
            told_ms = grid.next(grid.floor(closed[-1].open_time_ms)) if closed else cursor_ms
            until_ms = max(told_ms, min(end_ms, past_ms)) if is_end else told_ms
            yield Page(closed, cursor_ms, until_ms, odd)
            if is_end:
                return
            cursor_ms = until_ms

    async def _take(self, fill: Fill, group: Sequence[Range], page: Page) -> None:
        symbol, name = fill.series
        told = shared(group, [(page.from_ms, page.until_ms)])
        wanted = [c for c in page.candles if any(a <= c.open_time_ms < b for a, b in told)]
        refused = 0
        if wanted:
            put = self._sink.store(wanted, symbol, name, Source.REST)
            refused = (await asyncio.wrap_future(put)).quarantined
            fill.fetched += len(wanted) - refused
        is_refused = bool(refused or page.odd)
        if refused or len(wanted) < candle_count(fill.interval, told):
            reader = self._store.reader
            lacking = await asyncio.to_thread(
                lambda: [piece for a, b in told for piece in reader.missing(symbol, name, a, b)]
            )
            if lacking:
                await self._note_lacking(fill, lacking, REFUSED if is_refused else gaps.NO_CANDLE)
        self._on_page(fill, len(wanted) - refused)

    async def _note_lacking(self, fill: Fill, lacking: Sequence[Range], why: str) -> None:
        """Note what the exchange answered without, from its first candle of the series on."""
        symbol, name = fill.series
        first_ms = await self._first_candle_ms(fill, lacking[0][0])
        is_listed = first_ms is not None
        if first_ms is not None:
            listed = shared(lacking, [(first_ms, 1 << 62)])
            before = candle_count(fill.interval, lacking) - candle_count(fill.interval, listed)
            fill.wanted = max((fill.wanted or 0) - before, fill.fetched)
            lacking = listed
        elif not fill.states:
            return
        if not lacking:
            return
        now_ms, wall_ms = self._clock.now_ms(), time.time_ns() // 1_000_000
        await asyncio.wrap_future(
            self._store.writer.run(
                lambda connection: gaps.note_empty(
                    connection,
                    symbol,
                    name,
                    lacking,
                    now_ms,
                    wall_ms,
                    error=why if is_listed else NEVER_TRADED,
                    is_final=is_listed,
                )
            )
        )

    async def _first_candle_ms(self, fill: Fill, before_ms: int) -> int | None:
        """Return a time up to which the series may have had no candle yet; None: it has none."""
        symbol, name = fill.series
        reader = self._store.reader
        first_ms, stored_ms = await asyncio.to_thread(gap_reads.beginnings, reader, symbol, name)
        if first_ms is not None:
            return first_ms
        if stored_ms is not None and stored_ms < before_ms:
            return stored_ms
        rows = await self._rest.klines(
            symbol,
            name,
            start_ms=0,
            limit=1,
            background=fill.is_background,
            bulk=fill.is_bulk,
        )
        if not rows:
            return None
        found_ms = rows[0].open_time_ms
        if stored_ms is not None:
            found_ms = min(found_ms, stored_ms)
        await asyncio.wrap_future(
            self._store.writer.run(
                lambda connection: gaps.note_series_start(connection, symbol, name, found_ms)
            )
        )
        return found_ms


def _check(rows: Sequence[Candle], fill: Fill) -> None:
    """Refuse an answer whose rows are not ascending on the grid: nothing follows from it."""
    grid, last_ms = fill.interval, -1
    for row in rows:
        if row.open_time_ms <= last_ms:
            raise BadAnswer(
                f"The exchange answered for {fill.symbol} {grid.name} with candles out of order."
            )
        last_ms = row.open_time_ms
