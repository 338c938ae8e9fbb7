"""What a series of longer candles lacks, and why, in one sentence for whoever reads it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from engine.market.interval import MINUTE_MS
from engine.market.times import time_text
from engine.store.holes import Holes
from engine.store.ranges import candle_count, union
from engine.store.series import needs_minutes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from engine.market.candle import Candle
    from engine.market.interval import Interval
    from engine.store.ranges import Range
    from engine.store.reader import Reader

_MINUTE = "1m"


class Lacks:
    """Watches candles pass, ascending, and tells what is incomplete or left out among them.

    Args:
        reader: The store that they come from.
        symbol: Binance's name of the market.
        grid: Their interval. Of 1m and 1s, which are not made of others, nothing is told.
    """

    def __init__(self, reader: Reader, symbol: str, grid: Interval) -> None:
        self._reader = reader
        self._symbol = symbol
        self._grid = grid
        self._holes = Holes(reader, symbol)
        self._first_ms: int | None = None
        self._next_ms: int | None = None
        self._between: list[Range] = []
        self._incomplete = 0
        self._first_incomplete_ms = 0
        self._count = 0

    def passing(self, pages: Iterable[Sequence[Candle]]) -> Iterator[Candle]:
        """Yield the candles of `pages`, watching them."""
        for page in pages:
            self.see(page)
            yield from page

    def see(self, candles: Sequence[Candle]) -> None:
        """Take the next candles."""
        for candle in candles:
            open_ms = candle.open_time_ms
            if self._next_ms is None:
                self._first_ms = open_ms
            elif open_ms > self._next_ms:
                self._between.append((self._next_ms, open_ms))
            self._next_ms = self._grid.next(open_ms)
            if not candle.complete:
                self._first_incomplete_ms = self._first_incomplete_ms or open_ms
                self._incomplete += 1
        self._count += len(candles)

    def sentence(self, start_ms: int | None, end_ms: int | None, limit: int | None) -> str:
        """Return what to tell of the candles asked for by these; empty when nothing is missing."""
        if not needs_minutes(self._grid):
            return ""
        is_cut = limit is not None and self._count >= limit
        edges = self._edges(start_ms, end_ms, is_cut=is_cut)
        holes = [piece for piece in self._between if self._is_hole(piece)]
        lacked = union([*(piece for piece in self._between if piece not in holes), *edges])
        parts = [
            *([self._incomplete_words()] if self._incomplete else []),
            *([self._absent_words(holes)] if holes else []),
            *([self._lacked_words(lacked)] if lacked else []),
        ]
        return f"{'; '.join(parts)}." if parts else ""

    def _is_hole(self, piece: Range) -> bool:
        return self._holes.cover(self._reader.missing(self._symbol, _MINUTE, *piece))

    def _edges(self, start_ms: int | None, end_ms: int | None, *, is_cut: bool) -> list[Range]:
        """Return the buckets before the first and after the last candle that hold some minutes."""
        grid = self._grid
        skips_head, skips_tail = is_cut and start_ms is None, is_cut and start_ms is not None
        first = self._reader.candle_rows(
            self._symbol, _MINUTE, start_ms=start_ms or 0, end_ms=end_ms, limit=1
        )
        if not first:
            return []
        last = self._reader.candle_rows(self._symbol, _MINUTE, end_ms=end_ms, limit=1)
        head_ms = grid.floor(first[0][0])
        if start_ms is not None and head_ms < start_ms:
            head_ms = grid.next(head_ms)
        tail_ms = grid.next(grid.floor(last[-1][0]))
        if tail_ms > time.time_ns() // 1_000_000:
            tail_ms = grid.floor(last[-1][0])  # it is not over yet
        if self._first_ms is None or self._next_ms is None:
            return [(head_ms, tail_ms)] if head_ms < tail_ms else []
        edges = []
        if head_ms < self._first_ms and not skips_head:
            edges.append((head_ms, self._first_ms))
        if self._next_ms < tail_ms and not skips_tail:
            edges.append((self._next_ms, tail_ms))
        return edges

    def _incomplete_words(self) -> str:
        open_ms = self._first_incomplete_ms
        lacking = self._reader.missing(self._symbol, _MINUTE, open_ms, self._grid.next(open_ms))
        minutes = sum(end - start for start, end in lacking) // MINUTE_MS
        first = "it" if self._incomplete == 1 else "the first"
        return (
            f"{self._candles(self._incomplete)} incomplete, as the exchange itself lacks minutes: "
            f"{first} opens at {time_text(open_ms)} UTC and lacks {minutes:,} from "
            f"{time_text(lacking[0][0])} on"
        )

    def _absent_words(self, holes: list[Range]) -> str:
        count = candle_count(self._grid, holes)
        return (
            f"{self._candles(count)} not there, as the exchange itself has none of that time "
            f"(first {time_text(holes[0][0])} UTC)"
        )

    def _lacked_words(self, lacked: list[Range]) -> str:
        count = candle_count(self._grid, lacked)
        start, end = (time_text(time_ms).replace(" 00:00", "") for time_ms in lacked[0])
        fetch = f"`klinetop backfill {self._symbol} --start '{start}' --end '{end}'`"
        return (
            f"{self._candles(count)} left out, as minutes of {'it' if count == 1 else 'them'} are "
            f"not stored; {fetch} fetches {'those' if len(lacked) == 1 else 'the first'}"
        )

    def _candles(self, count: int) -> str:
        return f"{count:,} {self._grid.name} candle{'s are' if count != 1 else ' is'}"
