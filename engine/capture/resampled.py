"""Charts of longer intervals out of 1m candles: stored ones at once, then the live bar."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from engine.market.interval import MINUTE_MS, parse_interval
from engine.market.live_bar import LiveBar
from engine.market.resample import MINUTE, can_resample, lacking_ranges
from engine.store import StoreError
from engine.store.holes import Holes
from engine.store.series import PIECE_ROWS, made_of_minutes
from engine.task_supervisor import log_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.capture.board import Board
    from engine.capture.series import Series
    from engine.market.candle import Candle
    from engine.market.interval import Interval
    from engine.store import Reader

log = logging.getLogger(__name__)

BARS = 500
_REST_SHARE = 20.0  # a month takes long to read: that must not become most of what is done
_RECENT = 8  # closed minutes that may not be committed yet


class Resampler:
    """Keeps the series of longer intervals that somebody looks at filled from 1m candles.

    The exchange's own candles win by open time: a made bar stands only where none came.

    Args:
        reader: Of the store; it is used in worker threads.
        board: Holds the series, and hands over the 1m candles that are pushed.
        now_ms: Exchange time.
    """

    def __init__(self, reader: Reader, board: Board, now_ms: Callable[[], int]) -> None:
        self._reader = reader
        self._board = board
        self._now_ms = now_ms
        self._charts: dict[str, list[_Chart]] = {}
        self._rebuilding: set[asyncio.Task[None]] = set()

    async def open(self, symbol: str, interval: str) -> None:
        """Fill a series of the board from stored minutes, and keep its last bar up to date.

        Raises:
            StoreError: when the store can not be read.
        """
        series = self._board.series.get((symbol, interval))
        grid = parse_interval(interval)
        if series is None or grid == MINUTE or not can_resample(MINUTE, grid):
            return
        chart = _Chart(series, grid)
        known = [item for item in self._charts.get(symbol, []) if self._is_shown(item)]
        self._charts[symbol] = [item for item in known if item.grid != grid] + [chart]
        self._board.minute_listeners[symbol] = lambda minute: self._minute(symbol, minute)
        await self._fill(chart, None)
        await self._rebuild(chart)

    async def older(self, symbol: str, interval: str, before_ms: int) -> None:
        """Join the bars that stored minutes make of the time before `before_ms`.

        Raises:
            StoreError: when the store can not be read.
        """
        series = self._board.series.get((symbol, interval))
        grid = parse_interval(interval)
        if series is not None and grid != MINUTE and can_resample(MINUTE, grid):
            await self._fill(_Chart(series, grid), before_ms)

    async def close(self) -> None:
        """Stop what is read."""
        self._board.minute_listeners.clear()
        rebuilding = list(self._rebuilding)
        for task in rebuilding:
            task.cancel()
        await asyncio.gather(*rebuilding, return_exceptions=True)

    def _is_shown(self, chart: _Chart) -> bool:
        key = (chart.series.symbol, chart.grid.name)
        return self._board.series.get(key) is chart.series

    def _minute(self, symbol: str, minute: Candle) -> None:
        charts = self._charts[symbol]
        if not all(map(self._is_shown, charts)):
            charts = self._charts[symbol] = [chart for chart in charts if self._is_shown(chart)]
        for chart in charts:
            if chart.take(minute):
                self._start_rebuild(chart)
            self._show(chart)
        if not charts:
            del self._charts[symbol], self._board.minute_listeners[symbol]

    def _show(self, chart: _Chart) -> None:
        bar = chart.candle()
        if bar is not None and chart.series.put_made(bar, self._board.revision + 1):
            self._board.revision += 1

    def _start_rebuild(self, chart: _Chart) -> None:
        if chart.is_rebuilding:
            return
        chart.is_rebuilding = True
        name = f"bars of {chart.series.symbol}"
        task = asyncio.create_task(self._rebuild_quietly(chart), name=name)
        self._rebuilding.add(task)
        task.add_done_callback(self._rebuilding.discard)
        task.add_done_callback(log_failure)

    async def _rebuild_quietly(self, chart: _Chart) -> None:
        try:
            await asyncio.sleep(max(0.0, chart.rests_until_s - time.monotonic()))
            await self._rebuild(chart)
        except StoreError as error:
            log.warning("the bars of %s could not be made: %s", chart.series.symbol, error)

    async def _fill(self, chart: _Chart, before_ms: int | None) -> None:
        symbol, name = chart.series.symbol, chart.grid.name
        made = await asyncio.to_thread(
            made_of_minutes, self._reader, symbol, name, end_ms=before_ms, limit=BARS
        )
        if made:
            chart.series.merge_made(made, self._board.next_revision())

    async def _rebuild(self, chart: _Chart) -> None:
        """Make the last two bars anew from what is stored."""
        chart.is_rebuilding = True
        begun_s = time.monotonic()
        try:
            bucket_ms = chart.grid.floor(chart.newest_ms or self._now_ms())
            start_ms = chart.grid.back(bucket_ms, 1)
            over_ms = MINUTE.floor(chart.newest_ms or self._now_ms())
            minutes, holes = await asyncio.to_thread(
                self._read, chart.series.symbol, start_ms, over_ms
            )
        finally:
            chart.is_rebuilding = False
            ended_s = time.monotonic()
            chart.rests_until_s = ended_s + _REST_SHARE * (ended_s - begun_s)
        before = chart.restart(bucket_ms, minutes, holes)
        if before is not None and before.closed:
            chart.series.merge_made([before], self._board.next_revision())
        self._show(chart)

    def _read(
        self, symbol: str, start_ms: int, over_ms: int
    ) -> tuple[list[Candle], list[tuple[int, int]]]:
        """Return the stored minutes from `start_ms` on, and those that the exchange has not."""
        minutes = self._minutes(symbol, start_ms)
        lacking = lacking_ranges((minute.open_time_ms for minute in minutes), start_ms, over_ms)
        return minutes, Holes(self._reader, symbol).within(lacking) if lacking else []

    def _minutes(self, symbol: str, start_ms: int) -> list[Candle]:
        minutes: list[Candle] = []
        while True:
            piece = self._reader.candles(symbol, MINUTE.name, start_ms=start_ms, limit=PIECE_ROWS)
            minutes += piece
            if len(piece) < PIECE_ROWS:
                return minutes
            start_ms = piece[-1].open_time_ms + 1


class _Chart:
    """One series, and the bar of it that its minutes are filling."""

    def __init__(self, series: Series, grid: Interval) -> None:
        self.series = series
        self.grid = grid
        self.is_rebuilding = False
        self.rests_until_s = 0.0
        self.newest_ms: int | None = None
        self._bar: LiveBar | None = None
        self._open: Candle | None = None
        self._recent: deque[Candle] = deque(maxlen=_RECENT)

    def take(self, minute: Candle) -> bool:
        """Take a pushed minute; True when the bar has to be made anew from the store."""
        time_ms = minute.open_time_ms
        bucket_ms = self.grid.floor(time_ms)
        bar = self._bar
        was_whole = bar is not None and not bar.lacks_before(bar.end_ms)
        if bar is None or bucket_ms > bar.open_time_ms:
            self._bar = LiveBar(self.grid, bucket_ms)
            self._open = None
        elif bucket_ms < bar.open_time_ms:
            return minute.closed
        is_new_bar = bar is not self._bar
        self.newest_ms = max(self.newest_ms or 0, time_ms)
        assert self._bar is not None
        if not minute.closed:
            self._open = minute
            return is_new_bar and (not was_whole or self._bar.lacks_before(time_ms))
        changed = any(m.open_time_ms == time_ms and m != minute for m in self._recent)
        self._recent.append(minute)
        self._bar.add(minute)
        lacks = self._bar.lacks_before(time_ms + MINUTE_MS)
        return changed or lacks or (is_new_bar and not was_whole)

    def candle(self) -> Candle | None:
        """Return the bar as it stands."""
        return None if self._bar is None else self._bar.candle(self._open)

    def restart(
        self, bucket_ms: int, minutes: list[Candle], holes: list[tuple[int, int]]
    ) -> Candle | None:
        """Fill the bar of `bucket_ms` anew, and return what the minutes make of the one before.

        A bar that has begun in the meantime stays. `holes` are minutes that the exchange lacks.
        """
        before = LiveBar(self.grid, self.grid.back(bucket_ms, 1))
        bar = LiveBar(self.grid, bucket_ms)
        for minute in (*reversed(self._recent), *minutes):
            for target in (before, bar):
                if target.open_time_ms <= minute.open_time_ms < target.end_ms:
                    target.add(minute)
        before.excuse(holes)
        bar.excuse(holes)
        if self._bar is None or self._bar.open_time_ms <= bucket_ms:
            self._bar = bar
        return before.candle()
