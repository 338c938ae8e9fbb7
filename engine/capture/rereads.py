"""Reads a sample of closed candles again, since exchanges rewrite their history now and then."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from typing import TYPE_CHECKING, NamedTuple

from engine.binance.rest import PAGE, RestError
from engine.market.interval import DAY_MS, parse_interval
from engine.store import Source, StoreError
from engine.store.promises import captured_series
from engine.task_supervisor import log_failure

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from engine.binance.rest import RestClient
    from engine.capture.filler import CandleSink
    from engine.market.candle import Candle
    from engine.store import Store

log = logging.getLogger(__name__)

SHARE = 0.01
LEAST_CANDLES = 100
# Candles of the last minutes may still be on their way.
YOUNGEST_MS = 600_000
RETRY_S = 30.0


class Sample(NamedTuple):
    """Candles to be compared: so many (`rows`) of a series from `start_ms` on."""

    symbol: str
    interval: str
    start_ms: int
    rows: int


class Rereads:
    """Compares about one stored candle in a hundred of the last day with the exchange's own.

    What differs goes through the store's upsert, which logs every revision; how many were compared
    and how many differed stands in the table `reread`.

    Args:
        on_notice: Told what users should know, as level and text.
        dice: Chooses the sample.
    """

    def __init__(
        self,
        rest: RestClient,
        store: Store,
        sink: CandleSink,
        on_notice: Callable[[str, str], None],
        *,
        dice: random.Random | None = None,
    ) -> None:
        self._rest = rest
        self._store = store
        self._sink = sink
        self._on_notice = on_notice
        self._dice = dice or random.Random()  # noqa: S311
        self._task: asyncio.Task[None] | None = None

    def begin(self, now_ms: int) -> None:
        """Read a sample of the day before exchange time `now_ms`, unless that goes on already."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self.run(now_ms), name="reread")
            self._task.add_done_callback(log_failure)

    async def close(self) -> None:
        """Give up what goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def run(self, now_ms: int) -> None:
        """Compare one sample; a request that fails is tried again once, then left out."""
        try:
            samples = await asyncio.to_thread(self._samples, now_ms)
            for sample in samples:
                await self._compare(sample, now_ms // DAY_MS * DAY_MS)
        except StoreError as error:
            log.warning("stored candles could not be read again: %s", error)

    def _samples(self, now_ms: int) -> list[Sample]:
        reader = self._store.reader
        end_ms = now_ms - YOUNGEST_MS
        counts = {
            (symbol, interval): DAY_MS // parse_interval(interval).length_ms
            for symbol, interval in captured_series(reader)
        }
        counts = {series: count for series, count in counts.items() if count}
        left = max(LEAST_CANDLES, math.ceil(SHARE * sum(counts.values())))
        samples = []
        for symbol, interval in self._dice.sample(sorted(counts), len(counts)):
            if left <= 0:
                break
            day = counts[symbol, interval]
            count = min(left, PAGE, day)
            grid = parse_interval(interval)
            back = self._dice.randint(count, day)
            samples.append(Sample(symbol, interval, grid.back(grid.floor(end_ms), back), count))
            left -= count
        return samples

    async def _compare(self, sample: Sample, day_ms: int) -> None:
        symbol, interval, start_ms, rows = sample
        grid = parse_interval(interval)
        end_ms = grid.back(start_ms, -rows)
        stored = await asyncio.to_thread(
            self._store.reader.candles, symbol, interval, start_ms=start_ms, end_ms=end_ms
        )
        told = await self._asked(sample, end_ms)
        if not stored or not told:
            return
        pairs = _pairs(stored, told)
        differing = [new for old, new in pairs if _differ(old, new)]
        await asyncio.wrap_future(
            self._sink.store([new for _, new in pairs], symbol, interval, Source.REST)
        )
        await asyncio.wrap_future(
            self._store.writer.run(lambda db: _count(db, day_ms, len(pairs), len(differing)))
        )
        if differing:
            text = (
                f"{len(differing)} of {len(pairs)} stored {interval} candles of {symbol} differ "
                "from what the exchange tells now; they are revised, and the table revision of "
                "the database holds both."
            )
            log.warning("%s", text)
            self._on_notice("warning", text)

    async def _asked(self, sample: Sample, end_ms: int) -> list[Candle]:
        for wait_s in (RETRY_S, 0.0):
            try:
                rows = await self._rest.klines(
                    sample.symbol,
                    sample.interval,
                    start_ms=sample.start_ms,
                    end_ms=end_ms - 1,
                    limit=PAGE,
                    background=True,
                    bulk=True,
                )
            except RestError as error:
                log.info("%s could not be read again: %s", sample.symbol, error)
                await asyncio.sleep(wait_s)
            else:
                return [row for row in rows if row.closed]
        return []


def _pairs(stored: Sequence[Candle], told: Sequence[Candle]) -> list[tuple[Candle, Candle]]:
    """Return stored and told candles of the same open time."""
    by_time = {candle.open_time_ms: candle for candle in stored}
    return [(by_time[row.open_time_ms], row) for row in told if row.open_time_ms in by_time]


def _differ(old: Candle, new: Candle) -> bool:
    """Whether any value that both know differs by a bit."""
    values = ((getattr(old, name), getattr(new, name)) for name in old.__struct_fields__)
    return any(a != b for a, b in values if a is not None and b is not None)


def _count(connection: sqlite3.Connection, day_ms: int, candles: int, differing: int) -> None:
    connection.execute(
        "INSERT INTO reread (day_ms, candles, differing, wall_ms) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (day_ms) DO UPDATE SET candles = candles + excluded.candles,"
        " differing = differing + excluded.differing, wall_ms = excluded.wall_ms",
        (day_ms, candles, differing, time.time_ns() // 1_000_000),
    )
