"""Keeps the ledger of gaps: looks for missing candles in exchange time, and has them fetched.

It looks at every minute five seconds after its end, at the start, after each reconnect, every hour
over a day and every day over thirty. What is missing becomes a row of the table `gap` with its
reason; the open rows are what the history keeper fetches.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from engine.binance.stream_names import kline
from engine.capture import sweeps
from engine.capture.gap_reasons import Reasons
from engine.market.interval import DAY_MS, MINUTE_MS, parse_interval
from engine.store import StoreError, gap_reads, gaps, open_reader
from engine.store.ranges import candle_count
from engine.store.symbols import put_meta

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Coroutine, Iterable

    from engine.binance.clock import ExchangeClock
    from engine.binance.stream_types import StreamState
    from engine.capture.history import HistoryKeeper
    from engine.capture.rereads import Rereads
    from engine.capture.sweeps import Missing
    from engine.store import Reader, Store
    from engine.store.ranges import Range

log = logging.getLogger(__name__)

GRACE_MS = 5_000
GRACE_S = 0.25
HOUR_MS = 3_600_000
HOURLY_OVER_MS = DAY_MS
DAILY_OVER_MS = 30 * DAY_MS
PAUSE_S = (0.1, 1.0)
ROWS_AT_ONCE = 300
_DAILY = "ledger_daily_ms"


class Ledger:
    """Looks for missing candles, for ever.

    Args:
        store: Open for writing.
        history: Fetches what is missing.
        clock: The exchange's.
        rereads: Compares stored candles with the exchange's, daily.
        speed: Exchange seconds per wall second.
        stream: Tells the state of the streams.
        trouble: Tells why one stream did not flow in so many wall seconds; empty when it did.
        looked_at: Tells the markets that somebody looks at.
        on_notice: Told what users should know, as level and text.

    Attributes:
        swept_ms: Exchange time up to which all minutes were looked at.
    """

    def __init__(
        self,
        store: Store,
        history: HistoryKeeper,
        clock: ExchangeClock,
        rereads: Rereads,
        *,
        speed: float,
        stream: Callable[[], StreamState],
        trouble: Callable[[str, float], str],
        looked_at: Callable[[], Collection[str]],
        on_notice: Callable[[str, str], None],
    ) -> None:
        self._store = store
        self._history = history
        self._clock = clock
        self._rereads = rereads
        self._speed = speed
        self._stream = stream
        self._stream_trouble = trouble
        self._looked_at = looked_at
        self._on_notice = on_notice
        # Frames need a moment of wall time, which is long for a clock that runs fast.
        self._grace_ms = (
            GRACE_MS if math.isinf(speed) else max(GRACE_MS, int(GRACE_S * 1e3 * speed))
        )
        # What was lost in a minute is looked for when its grace is over.
        self._lately_s = max(GRACE_S, (MINUTE_MS + self._grace_ms) / 1000 / speed)
        self._reasons = Reasons(0)
        self._reopened: list[tuple[tuple[str, str], str]] = []
        self._wake = asyncio.Event()
        self.swept_ms = 0
        self._hourly_ms = 0
        self._daily_ms = 0
        self._days: deque[Range] = deque()
        self._last: dict[tuple[str, str], int] | None = None
        self._trouble = ""

    def load(self) -> None:
        """Read where the stored candles end, before others are stored; blocks for milliseconds.

        The history keeper waits until what is missing after them is noted.
        """
        self._last = sweeps.last_stored(self._store.reader)
        self._history.hold()

    # --- what happened ------------------------------------------------------------------------

    def streams_opened(self, series: Iterable[tuple[str, str]], reason: str) -> None:
        """Take note that the streams of captured series flow from now on, and why not before."""
        self._reopened.extend((key, reason) for key in series)
        self._wake.set()

    def hole_seen(
        self, symbol: str, interval: str, from_ms: int, to_ms: int, reason: str = ""
    ) -> None:
        """Note at once that a captured series lacks [from_ms, to_ms), and have it fetched."""
        now_ms = self._clock.now_ms()
        pieces = (
            [((from_ms, to_ms), reason)]
            if reason
            else self._pieces(symbol, interval, (from_ms, to_ms))
        )
        noting = self._store.writer.run(
            lambda db: sum(
                gaps.note_missing(
                    db, symbol, interval, [piece], _wall_ms(), reason=why, now_ms=now_ms
                )
                for piece, why in pieces
            )
        )
        noted = asyncio.wrap_future(noting)
        noted.add_done_callback(lambda done: self._hole_noted(done, symbol, interval, to_ms))

    def _hole_noted(
        self, done: asyncio.Future[int], symbol: str, interval: str, to_ms: int
    ) -> None:
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            # The next look at the last hours finds it again.
            log.error("a gap of %s %s could not be noted: %s", symbol, interval, error)
        elif done.result():
            self._history.repair(symbol, interval, to_ms)

    async def retry(self, symbol: str = "") -> int:
        """Ask at once for the open and unfillable gaps of a market, or of all.

        Returns:
            How many series are asked for.

        Raises:
            StoreError: when the store refuses.
        """
        await asyncio.wrap_future(
            self._store.writer.run(lambda db: gaps.reopen(db, symbol, ("unfillable",), _wall_ms()))
        )
        due = await asyncio.to_thread(gap_reads.due_series, self._store.reader, 1 << 62, symbol)
        for series in due:
            self._history.repair(*series, at_once=True)
        return len(due)

    # --- the loop -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Look again and again, for ever."""
        await self._history.know_clock(keeps_trying=True)
        self._reasons = Reasons(self._clock.now_ms())
        with contextlib.closing(open_reader(self._store.directory)) as reader:
            await self._guarded(self._begin(reader))
            self._history.release()
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._pause_s())
                self._wake.clear()
                await self._guarded(self._tick(reader))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """Do one look; a failure is told, and the next look goes on."""
        try:
            await work
        except Exception as error:
            if not isinstance(error, StoreError):
                log.exception("looking for gaps failed")
            if str(error) != self._trouble:
                self._trouble = str(error)
                self._on_notice("warning", f"Gaps can not be looked for: {error}")
            await asyncio.sleep(PAUSE_S[1])
        else:
            self._trouble = ""

    def _pause_s(self) -> float:
        if self._days:
            return PAUSE_S[0]
        left_ms = self.swept_ms + MINUTE_MS + self._grace_ms - self._clock.now_ms()
        left_s = 0.0 if math.isinf(self._speed) else left_ms / 1000 / self._speed
        return min(max(left_s, PAUSE_S[0]), PAUSE_S[1])

    async def _begin(self, reader: Reader) -> None:
        stored = await asyncio.to_thread(reader.meta, _DAILY)
        now_ms = self._clock.now_ms()
        self._daily_ms = int(stored) if stored and stored.isdecimal() else 0
        over_ms = self._over_ms()
        await self._tails(reader, over_ms)
        self.swept_ms = over_ms
        self._hourly_ms = now_ms - HOUR_MS + MINUTE_MS

    async def _tick(self, reader: Reader) -> None:
        self._history.focus(self._looked_at())
        now_ms, over_ms = self._clock.now_ms(), self._over_ms()
        if self._reopened:
            await self._tails(reader, now_ms, self._note_reopened())
        if self._stream().connection == "ended":
            return
        if over_ms > self.swept_ms:
            await self._minute(reader, over_ms)
        if now_ms - self._hourly_ms >= HOUR_MS:
            self._hourly_ms = now_ms
            await self._window(reader, now_ms - HOURLY_OVER_MS, over_ms)
        elif self._days:
            await self._day(reader)
        elif now_ms - self._daily_ms >= DAY_MS:
            self._daily_ms = now_ms
            first_ms = over_ms - DAILY_OVER_MS
            self._days.extend(
                (first_ms + at, first_ms + at + DAY_MS) for at in range(0, DAILY_OVER_MS, DAY_MS)
            )

    def _over_ms(self) -> int:
        """Return up to where minutes are over for so long that their candles should be stored."""
        return (self._clock.now_ms() - self._grace_ms) // MINUTE_MS * MINUTE_MS

    def _note_reopened(self) -> frozenset[tuple[str, str]]:
        now_ms = self._clock.now_ms()
        for series, reason in self._reopened:
            self._reasons.flowed(series, now_ms, reason)
        reopened = frozenset(series for series, _ in self._reopened)
        self._reopened.clear()
        return reopened

    # --- looks --------------------------------------------------------------------------------

    async def _minute(self, reader: Reader, over_ms: int) -> None:
        await self._committed()
        missing = await asyncio.to_thread(sweeps.in_window, reader, self.swept_ms, over_ms)
        await self._note(missing)
        self.swept_ms = over_ms
        await self._ask(reader)

    async def _tails(
        self,
        reader: Reader,
        end_ms: int,
        series: Collection[tuple[str, str]] | None = None,
    ) -> None:
        """Look at what follows the last stored candles, and ask for it at once."""
        await self._committed()
        missing = await asyncio.to_thread(self._since_last, reader, end_ms, series)
        await self._note(missing, tells=True)
        await self._ask(reader, at_once=True)

    def _since_last(
        self, reader: Reader, end_ms: int, series: Collection[tuple[str, str]] | None
    ) -> Missing:
        last = sweeps.last_stored(reader) if self._last is None else self._last
        self._last = None
        return sweeps.since(reader, last, end_ms, series)

    async def _window(self, reader: Reader, start_ms: int, end_ms: int) -> None:
        await self._note(await asyncio.to_thread(sweeps.in_window, reader, start_ms, end_ms))
        await self._ask(reader)

    async def _day(self, reader: Reader) -> None:
        """Do one day of the daily look; after the last, ask anew about holes and read again."""
        await self._window(reader, *self._days.popleft())
        if self._days:
            return
        now_ms = self._clock.now_ms()
        since_ms = now_ms - DAILY_OVER_MS
        for series in await asyncio.to_thread(gap_reads.hole_series, reader, since_ms):
            self._history.repair(*series, states=("exchange_hole",))
        self._rereads.begin(now_ms)
        await asyncio.wrap_future(
            self._store.writer.run(lambda db: put_meta(db, _DAILY, str(self._daily_ms)))
        )

    async def _committed(self) -> None:
        """Wait until what the streams brought so far is committed."""
        await asyncio.wrap_future(self._store.writer.run(lambda _: None))

    async def _ask(self, reader: Reader, *, at_once: bool = False) -> None:
        due = await asyncio.to_thread(gap_reads.due_series, reader, self._clock.now_ms())
        for series in due:
            self._history.repair(*series, at_once=at_once)

    async def _note(self, missing: Missing, *, tells: bool = False) -> None:
        """Write missing ranges with their reasons into the ledger."""
        if not missing:
            return
        now_ms = self._clock.now_ms()
        rows = (
            (symbol, interval, piece, reason)
            for (symbol, interval), ranges in missing.items()
            for where in ranges
            for piece, reason in self._pieces(symbol, interval, where)
        )
        noted = 0
        reasons: set[str] = set()
        while some := list(itertools.islice(rows, ROWS_AT_ONCE)):
            reasons.update(reason for *_, reason in some)

            def work(db: sqlite3.Connection, some: list[tuple[str, str, Range, str]] = some) -> int:
                wall_ms = _wall_ms()
                return sum(
                    gaps.note_missing(
                        db, symbol, interval, [piece], wall_ms, reason=reason, now_ms=now_ms
                    )
                    for symbol, interval, piece, reason in some
                )

            noted += await asyncio.wrap_future(self._store.writer.run(work))
        if tells and noted:
            self._tell(missing, reasons)

    def _tell(self, missing: Missing, reasons: set[str]) -> None:
        candles = sum(
            candle_count(parse_interval(interval), ranges)
            for (_, interval), ranges in missing.items()
        )
        markets = len({symbol for symbol, _ in missing})
        why = next(iter(reasons)) if len(reasons) == 1 else "see the ledger of gaps"
        self._on_notice(
            "info",
            f"{candles:,} candle{'s' * (candles != 1)} of {markets:,}"
            f" market{'s' * (markets != 1)} were not captured ({why}); they are fetched now.",
        )

    def _pieces(self, symbol: str, interval: str, where: Range) -> list[tuple[Range, str]]:
        """Return the pieces of a missing range with the reason of each."""
        trouble = self._stream_trouble(kline(symbol, interval), self._lately_s)
        return self._reasons.of((symbol, interval), where, trouble)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
