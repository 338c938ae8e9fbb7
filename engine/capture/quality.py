"""Keeps the figures of capture: those of the running day, and those that the store keeps."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import heapq
import logging
import math
import statistics
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from engine.capture.collector import wall_ms
from engine.capture.coverage import HOUR_MS, total
from engine.capture.day_coverage import DayCoverage, write_coverage
from engine.capture.exchange_time import ExchangeTime, put_exchange_time
from engine.capture.hour_counts import HourCounts
from engine.capture.hour_figures import HourFigures, Tally, stream_figures
from engine.capture.market_coverage import MarketTable, badness
from engine.market.capture_figures import DayQuality
from engine.store import StoreError, open_reader
from engine.store.promises import captured_series

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from concurrent.futures import Future

    from engine.binance.clock import ExchangeClock
    from engine.binance.supervisor import StreamSupervisor
    from engine.capture.collector import Collector
    from engine.market.capture_figures import MarketCoverage
    from engine.store import Reader, Store

log = logging.getLogger(__name__)

TICK_S = 1.0
FLUSH_S = 15.0
CLOCK_S = 5.0
DAYS_S = 30.0
SETTLE_S = 5.0
REFRESH_LEAST_S, REFRESH_MOST_S = 2.0, 30.0
REFRESH_SHARE = 150.0
CLOCK_WAIT_S = 60.0
ALARM_MS, CALM_MS = 1_000.0, 500.0
_ALARM_SAMPLES = 60
WORST = 40
LOOKED_AT_S = 10.0


class QualityKeeper:
    """Watches streams and clock, counts what is stored, and writes both into the store.

    Args:
        store: What is counted, through a reader of its own.
        supervisor: The streams.
        collector: Knows candles that could not be stored.
        clock: Exchange clock.
        speed: Exchange seconds per wall second.
        on_notice: Told what users should know, as level and text.

    Attributes:
        day: The last 24 hours of exchange time; None until it is worked out.
        hourly: Stored share of those hours over all series, oldest first.
        counts_done: How often all was counted since the start.
        failures: How often figures could not be read or written; `last_error` says why.
    """

    def __init__(
        self,
        store: Store,
        supervisor: StreamSupervisor,
        collector: Collector,
        clock: ExchangeClock,
        *,
        speed: float,
        on_notice: Callable[[str, str], None],
    ) -> None:
        self._store = store
        self._supervisor = supervisor
        self._collector = collector
        self._clock = clock
        self._speed = speed
        self._on_notice = on_notice
        self._hours: dict[int, HourFigures] = {}
        self._before = Tally()
        self._last_ms: int | None = None
        self._passed: deque[tuple[float, int]] = deque()
        self._offsets: deque[float] = deque(maxlen=_ALARM_SAMPLES)
        self._is_alarmed = self._was_live = False
        self._began_s = time.monotonic()
        self._reader: Reader | None = None
        self._counts: HourCounts | None = None
        self._table: MarketTable | None = None
        self._days: DayCoverage | None = None
        self.day: DayQuality | None = None
        self.hourly: tuple[float | None, ...] = ()
        self._worst: tuple[MarketCoverage, ...] = ()
        self._looked_s = float("-inf")
        self._somebody_looks = asyncio.Event()
        self.counts_done = 0
        self.failures = 0
        self.last_error = ""
        clock.on_latency = self._on_latency

    # --- what others ask -----------------------------------------------------------------------

    @property
    def table(self) -> MarketTable | None:
        """Coverage of each market, for use in a thread; None before the first count."""
        return None if self.day is None else self._table

    def worst_markets(self) -> tuple[MarketCoverage, ...]:
        """Return the minute series that lack most in the last 24 hours, worst first.

        They are ranked while somebody asks, at each count; the first answer may be empty, and has
        the next count done at once.
        """
        if not self._is_looked_at:
            self._somebody_looks.set()
        self._looked_s = time.monotonic()
        return self._worst

    @property
    def _is_looked_at(self) -> bool:
        return time.monotonic() - self._looked_s < LOOKED_AT_S

    @property
    def settled_ms(self) -> int:
        """Exchange time up to which every closed candle had the time to be stored."""
        limit_s = time.monotonic() - SETTLE_S
        settled = [ms for at_s, ms in self._passed if at_s <= limit_s]
        return settled[-1] if settled else 0

    @property
    def dropped(self) -> int:
        """Messages and rows that were not kept since the start, each counted once."""
        return (
            self._collector.store_failures
            + self._supervisor.stats.handler_failures
            + self._store.writer.counters.refused
        )

    # --- life ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch and count for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._count())

    def source_ended(self) -> None:
        """Write all figures once what was under way has had the time to be stored."""
        asyncio.get_running_loop().call_later(SETTLE_S, self._write_all)

    def _write_all(self) -> None:
        self._observe()
        self._flush()
        if self._clock.is_set:
            self._put_clock(self._clock.now_ms())

    async def close(self) -> None:
        """Hand over what is not written yet; call it after `run` was cancelled and streams ended.

        It does not wait for the commit, which a full disk never lets happen.
        """
        self._write_all()
        reader, self._reader = self._reader, None
        if reader is not None:
            await asyncio.to_thread(reader.close)

    # --- the streams ---------------------------------------------------------------------------

    async def _watch(self) -> None:
        flushed_s = clock_s = time.monotonic()
        hour = 0
        while True:
            self._observe()
            before, hour = hour, (self._last_ms or 0) // HOUR_MS
            now_s = time.monotonic()
            if now_s - flushed_s >= FLUSH_S or hour != before:
                flushed_s = now_s
                self._flush()
            if now_s - clock_s >= CLOCK_S and self.settled_ms:
                clock_s = now_s
                self._put_clock(self.settled_ms)
            await asyncio.sleep(TICK_S)

    def _observe(self) -> None:
        """Take one sample of streams and clock."""
        now_s = time.monotonic()
        is_unknown = not self._clock.is_set
        if is_unknown and (self._speed != 1.0 or now_s - self._began_s < CLOCK_WAIT_S):
            return
        now_ms = self._clock.now_ms()
        passed_ms = 0 if self._last_ms is None else max(0, now_ms - self._last_ms)
        self._last_ms = now_ms
        if not is_unknown:
            self._passed.append((now_s, now_ms))
            while len(self._passed) > 2 and now_s - self._passed[1][0] > SETTLE_S:
                self._passed.popleft()
        hour = self._hour(now_ms)
        tally = self._tally()
        hour.add(Tally(*(b - a for a, b in zip(self._before, tally, strict=True))))
        self._before = tally
        state = self._supervisor.state.connection
        self._was_live = self._was_live or state == "live"
        is_off = state == "offline" or (state == "connecting" and self._was_live)
        if is_off and math.isfinite(self._speed):
            hour.offline_ms += passed_ms
        offset_ms = self._clock.wall_offset_ms
        if offset_ms is not None:
            hour.offsets_ms.append(offset_ms)
            self._offsets.append(offset_ms)
            self._judge_clock()

    def _hour(self, now_ms: int) -> HourFigures:
        return self._hours.setdefault(now_ms - now_ms % HOUR_MS, HourFigures())

    def _tally(self) -> Tally:
        stats = self._supervisor.stats
        return Tally(stats.messages, stats.reconnects, stats.renewals, stats.bad, self.dropped)

    def _on_latency(self, latency_ms: float) -> None:
        if self._last_ms is not None:
            self._hour(self._last_ms).latency.add(latency_ms)

    def _judge_clock(self) -> None:
        """Tell once when this machine's clock is off by more than a second."""
        if len(self._offsets) < 10:
            return
        offset_ms = statistics.median(self._offsets)
        if not self._is_alarmed and abs(offset_ms) > ALARM_MS:
            self._is_alarmed = True
            side = "ahead of" if offset_ms > 0 else "behind"
            self._on_notice(
                "warning",
                f"This machine's clock is {abs(offset_ms) / 1000:.1f} s {side} the exchange's; "
                "klinetop goes by the exchange's, set the machine's by NTP.",
            )
        elif self._is_alarmed and abs(offset_ms) < CALM_MS:
            self._is_alarmed = False

    # --- into the store ------------------------------------------------------------------------

    def _flush(self) -> list[Future[None]]:
        """Hand the figures to the writer; what it refuses is kept for the next time."""
        current_ms = max(self._hours, default=0)
        futures = []
        for hour_ms, hour in list(self._hours.items()):
            taken = hour.take()
            future = self._store.writer.run(functools.partial(_write, taken, hour_ms))
            futures.append(future)
            future.add_done_callback(self._when_written(hour_ms, taken))
            if hour_ms != current_ms:
                del self._hours[hour_ms]
        return futures

    def _when_written(self, hour_ms: int, taken: HourFigures) -> Callable[[Future[None]], None]:
        loop = asyncio.get_running_loop()

        def done(future: Future[None]) -> None:
            error = future.exception()
            if error is None:
                return
            try:
                loop.call_soon_threadsafe(self._not_written, hour_ms, taken, error)
            except RuntimeError:
                log.warning("the figures of an hour were not written: %s", error)

        return done

    def _not_written(self, hour_ms: int, taken: HourFigures, error: BaseException) -> None:
        self._failed(error)
        hour = self._hours.get(hour_ms)
        if hour is None:
            self._hours[hour_ms] = taken
        else:
            hour.give_back(taken)

    def _put_clock(self, settled_ms: int) -> Future[None]:
        known = ExchangeTime(self._clock.now_ms(), settled_ms, wall_ms(), self._speed_or_zero())
        return self._store.writer.run(lambda connection: put_exchange_time(connection, known))

    def _speed_or_zero(self) -> float:
        return self._speed if math.isfinite(self._speed) else 0.0

    # --- counting, in a thread -----------------------------------------------------------------

    async def _count(self) -> None:
        days_s = float("-inf")
        while True:
            began_s, took_s = time.monotonic(), 0.0
            settled_ms = self.settled_ms
            if settled_ms:
                try:
                    await asyncio.to_thread(self._refresh, settled_ms)
                    self.counts_done += 1
                    took_s = time.monotonic() - began_s
                    if began_s - days_s >= DAYS_S:
                        days_s = began_s
                        await self._write_day(settled_ms)
                except (StoreError, OSError, msgspec.DecodeError) as error:
                    self._failed(error)
            wait_s = min(REFRESH_MOST_S, max(REFRESH_LEAST_S, REFRESH_SHARE * took_s))
            await asyncio.sleep(REFRESH_LEAST_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self._somebody_looks.wait(), max(0.0, wait_s - REFRESH_LEAST_S)
                )
            self._somebody_looks.clear()

    def _refresh(self, settled_ms: int) -> None:
        reader, counts, table = self._opened()
        counts.refresh(settled_ms)
        hours = counts.hourly()
        figures = stream_figures(reader, counts.first_hour_ms, settled_ms + HOUR_MS)
        series = captured_series(reader)
        whole = total(hours)
        self.hourly = tuple(count.share for count in hours)
        table.forget()
        # Nobody may look for days, and a table of 1,400 markets is not built for nobody.
        rows = table.rows("1m", len(hours))[1] if self._is_looked_at else ()
        self._worst = tuple(heapq.nsmallest(WORST, rows, key=badness))
        self.day = DayQuality(
            markets=len({symbol for symbol, _ in series}),
            series=len(series),
            expected=whole.due,
            stored=min(whole.stored, whole.due),
            by_stream=min(whole.streamed, whole.due),
            holes=whole.holes,
            clock_offset_ms=statistics.median(self._offsets) if self._offsets else None,
            latency_ms=None if figures.latency_ms is None else figures.latency_ms[:3],
            reconnects=figures.reconnects,
            untraded=whole.untraded,
        )

    def _opened(self) -> tuple[Reader, HourCounts, MarketTable]:
        # A long count holds a reader's lock, and others wait for the store's own in the loop.
        if self._reader is None or self._counts is None or self._table is None:
            self._reader = open_reader(self._store.directory)
            self._counts = HourCounts(self._reader)
            self._table = MarketTable(self._reader, self._counts)
            self._days = DayCoverage(self._reader)
        return self._reader, self._counts, self._table

    async def _write_day(self, settled_ms: int) -> None:
        """Write the coverage of one day that is due."""
        days, now_ms = self._days, wall_ms()
        if days is None:
            return
        key = await asyncio.to_thread(days.next, settled_ms, now_ms)
        if key is None:
            return
        counts = await asyncio.to_thread(days.count, key, settled_ms)
        work = self._store.writer.run(
            lambda connection: write_coverage(connection, key, counts, now_ms)
        )
        await asyncio.wrap_future(work)
        days.written(key)

    def _failed(self, error: BaseException) -> None:
        self.failures += 1
        self.last_error = str(error)
        log.warning("figures of capture could not be kept: %s", error)


def _write(figures: HourFigures, hour_ms: int, connection: sqlite3.Connection) -> None:
    figures.write(connection, hour_ms)
