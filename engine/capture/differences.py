"""Where the exchange's own candles differ from what its minutes make, noted once in the store."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from engine.market.interval import parse_interval
from engine.market.resample import MINUTE, can_resample, differing
from engine.store import StoreError
from engine.store.series import made_of_minutes
from engine.store.symbols import symbol_id

if TYPE_CHECKING:
    import sqlite3

    from engine.market.candle import Candle
    from engine.store import Store

log = logging.getLogger(__name__)

EVERY_S = 5.0
PIECE = 500
_SERIES_AT_ONCE = 50
_TURNS = 3


class Difference(NamedTuple):
    """One candle of the exchange that differs from what its minutes make."""

    symbol: str
    interval: str
    own: Candle
    made: Candle


class _Span(NamedTuple):
    """Open times of a series that wait to be compared, and how often that may be tried."""

    symbol: str
    interval: str
    first_ms: int
    last_ms: int
    turns: int


class DifferenceLog:
    """Compares stored candles of longer intervals with their minutes when both are there.

    Args:
        store: Read in worker threads; differences go into its table `resample_difference`.
        every_s: Wall seconds between looks.

    Attributes:
        found: Differences noted since the start.
    """

    def __init__(self, store: Store, *, every_s: float = EVERY_S) -> None:
        self._store = store
        self._every_s = every_s
        self._waiting: dict[tuple[str, str], _Span] = {}
        self.found = 0

    def stored(self, symbol: str, interval: str, first_ms: int, last_ms: int) -> None:
        """Have the candles of a series with these open times compared, soon."""
        if interval == MINUTE.name or not can_resample(MINUTE, parse_interval(interval)):
            return
        known = self._waiting.get((symbol, interval))
        if known is not None:
            first_ms, last_ms = min(first_ms, known.first_ms), max(last_ms, known.last_ms)
        self._waiting[symbol, interval] = _Span(symbol, interval, first_ms, last_ms, _TURNS)

    async def run(self) -> None:
        """Compare what was stored, for ever."""
        while True:
            await asyncio.sleep(self._every_s)
            spans = list(self._waiting.values())
            self._waiting = {}
            for at in range(0, len(spans), _SERIES_AT_ONCE):
                await self._compare_all(spans[at : at + _SERIES_AT_ONCE])

    async def _compare_all(self, spans: list[_Span]) -> None:
        try:
            compared = await asyncio.to_thread(lambda: [self._compare(span) for span in spans])
        except StoreError as error:
            log.warning("candles could not be compared with their minutes: %s", error)
            return
        found: list[Difference] = []
        for span, (differences, later) in zip(spans, compared, strict=True):
            found += differences
            # The last minute is committed a moment later, or is on its way by REST.
            if later is not None:
                self._waiting.setdefault((span.symbol, span.interval), later)
        if found:
            work = self._store.writer.run(lambda connection: _note(connection, found))
            try:
                self.found += await asyncio.wrap_future(work)
            except StoreError as error:
                log.warning("%d differing candles could not be noted: %s", len(found), error)

    def _compare(self, span: _Span) -> tuple[list[Difference], _Span | None]:
        """Return what differs, and what is to be compared again because minutes are missing."""
        reader = self._store.reader
        symbol, interval = span.symbol, span.interval
        grid = parse_interval(interval)
        found: list[Difference] = []
        if reader.last_open_time(symbol, MINUTE.name) is None:
            return found, None
        start_ms, newest_is_made = span.first_ms, True
        while start_ms <= span.last_ms:
            own = reader.candles(
                symbol, interval, start_ms=start_ms, end_ms=span.last_ms + 1, limit=PIECE
            )
            if not own:
                break
            end_ms = grid.next(own[-1].open_time_ms)
            bars = made_of_minutes(
                reader, symbol, interval, start_ms=own[0].open_time_ms, end_ms=end_ms
            )
            made = {bar.open_time_ms: bar for bar in bars if bar.complete}
            found += [
                Difference(symbol, interval, candle, other)
                for candle in own
                if (other := made.get(candle.open_time_ms)) is not None and differing(candle, other)
            ]
            newest_is_made = own[-1].open_time_ms in made
            start_ms = end_ms
        if newest_is_made or span.turns <= 1:
            return found, None
        return found, span._replace(first_ms=span.last_ms, turns=span.turns - 1)


def _note(connection: sqlite3.Connection, found: list[Difference]) -> int:
    """Write differences that are not written yet; return how many that were."""
    before = connection.total_changes
    wall_ms = time.time_ns() // 1_000_000
    connection.executemany(
        "INSERT OR IGNORE INTO resample_difference (symbol_id, interval, open_time_ms,"
        " exchange_values, resampled_values, wall_ms) VALUES (?, ?, ?, ?, ?, ?)",
        [
            (
                symbol_id(connection, item.symbol),
                item.interval,
                item.own.open_time_ms,
                _values(item.own),
                _values(item.made),
                wall_ms,
            )
            for item in found
        ],
    )
    return connection.total_changes - before


def _values(candle: Candle) -> str:
    values = msgspec.structs.asdict(candle)
    del values["closed"]
    return msgspec.json.encode(values).decode()
