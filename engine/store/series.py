"""Candles of any interval: the stored ones, and where there are none, made of stored minutes."""

from __future__ import annotations

import logging
from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from engine.market.interval import DAY_MS, parse_interval
from engine.market.resample import MINUTE, can_resample, differing, resample_rows
from engine.store.gaps import missing_ranges
from engine.store.holes import Holes

if TYPE_CHECKING:
    from engine.market.candle import Candle
    from engine.market.interval import Interval
    from engine.store.reader import Reader

log = logging.getLogger(__name__)

PIECE_ROWS = 10_000
MOST_MINUTES = 1_000_000  # read for one answer with a limit: two years, a second or two


def candle_series(
    reader: Reader,
    symbol: str,
    interval: str,
    *,
    start_ms: int | None = None,
    end_ms: int | None = None,
    limit: int | None = None,
) -> list[Candle]:
    """Return candles with open times in [start_ms, end_ms), ascending.

    With `limit` the first so many from `start_ms` on, and without a `start_ms` the newest.
    What is stored of this interval (the exchange's own candles) wins. What is missing between is
    made of stored 1m candles: a bucket that lacks some which the exchange itself does not have
    (`engine.store.holes`) comes with `complete=False`, one that lacks others is left out. Where
    both are at hand and differ, the log says so once for each call.

    Raises:
        UnknownInterval: for an interval that Binance does not have.
    """
    grid = parse_interval(interval)
    own = reader.candles(symbol, interval, start_ms=start_ms, end_ms=end_ms, limit=limit)
    if not needs_minutes(grid):
        return own
    if _is_whole(reader, symbol, grid, own, start_ms, end_ms, limit):
        return own
    made = made_of_minutes(reader, symbol, interval, start_ms=start_ms, end_ms=end_ms, limit=limit)
    if not made:
        return own
    _log_differences(symbol, interval, own, made)
    merged = {candle.open_time_ms: candle for candle in made}
    merged.update((candle.open_time_ms, candle) for candle in own)
    ordered = [merged[time_ms] for time_ms in sorted(merged)]
    if limit is None or limit >= len(ordered):
        return ordered
    return ordered[:limit] if start_ms is not None else ordered[len(ordered) - limit :]


def _is_whole(
    reader: Reader,
    symbol: str,
    grid: Interval,
    own: list[Candle],
    start_ms: int | None,
    end_ms: int | None,
    limit: int | None,
) -> bool:
    """Tell whether stored minutes can add nothing to the stored candles of this interval."""
    if not own:
        return False
    last = own[-1].open_time_ms
    is_full = limit is not None and len(own) >= limit
    if start_ms is None and not is_full:
        return False
    first = own[0].open_time_ms if start_ms is None else start_ms
    if missing_ranges([candle.open_time_ms for candle in own], grid.name, first, last + 1):
        return False
    if start_ms is not None and is_full:
        return True
    after = grid.next(last)
    if end_ms is not None and after >= end_ms:
        return True
    newest = reader.last_open_time(symbol, MINUTE.name)
    return newest is None or newest < grid.next(after) - MINUTE.length_ms


def made_of_minutes(
    reader: Reader,
    symbol: str,
    interval: str,
    *,
    start_ms: int | None = None,
    end_ms: int | None = None,
    limit: int | None = None,
) -> list[Candle]:
    """Return the candles of `interval` that stored 1m candles make, ascending.

    Minutes that the exchange does not have leave a candle with `complete=False`. Ranges and
    `limit` as in `candle_series`. The minutes are read in pieces, so that others who read from the
    same connection get their turn.

    Raises:
        ValueError: when 1m candles do not fill `interval`.
    """
    grid = parse_interval(interval)
    if start_ms is not None and grid.floor(start_ms) < start_ms:
        start_ms = grid.next(grid.floor(start_ms))
    if end_ms is not None and grid.floor(end_ms) < end_ms:
        end_ms = grid.next(grid.floor(end_ms))  # the last bucket opens before and ends after it
    if start_ms is None and limit is not None:
        return _newest(reader, symbol, grid, end_ms, limit)
    return _from(reader, symbol, grid, start_ms or 0, end_ms, limit)


def needs_minutes(grid: Interval) -> bool:
    """Tell whether candles of this interval may be made of stored minutes."""
    return grid != MINUTE and can_resample(MINUTE, grid)


def _from(
    reader: Reader,
    symbol: str,
    grid: Interval,
    start_ms: int,
    end_ms: int | None,
    limit: int | None,
) -> list[Candle]:
    made: list[Candle] = []
    carried: list[tuple[Any, ...]] = []
    holes = Holes(reader, symbol)
    while True:
        piece = reader.candle_rows(
            symbol, MINUTE.name, start_ms=start_ms, end_ms=end_ms, limit=PIECE_ROWS
        )
        rows = carried + piece
        if len(piece) == PIECE_ROWS:
            cut = bisect_left(rows, (grid.floor(rows[-1][0]),))
            rows, carried = rows[:cut], rows[cut:]
        made += resample_rows(rows, grid, holes.cover)
        if len(piece) < PIECE_ROWS or (limit is not None and len(made) >= limit):
            return made[:limit]
        start_ms = piece[-1][0] + 1


def _newest(
    reader: Reader, symbol: str, grid: Interval, end_ms: int | None, limit: int
) -> list[Candle]:
    made: list[Candle] = []
    carried: list[tuple[Any, ...]] = []
    holes = Holes(reader, symbol)
    longest_ms = 31 * DAY_MS if grid.name == "1M" else grid.length_ms
    size = min(PIECE_ROWS, (limit + 1) * longest_ms // MINUTE.length_ms)
    for _ in range(MOST_MINUTES // size + 1):
        piece = reader.candle_rows(symbol, MINUTE.name, end_ms=end_ms, limit=size)
        rows = piece + carried
        if len(piece) == size:
            cut = bisect_left(rows, (grid.next(grid.floor(rows[0][0])),))
            carried, rows = rows[:cut], rows[cut:]
        made = resample_rows(rows, grid, holes.cover) + made
        if len(made) >= limit or len(piece) < size:
            break
        end_ms = piece[0][0]
    return made[max(0, len(made) - limit) :]


def _log_differences(symbol: str, interval: str, own: list[Candle], made: list[Candle]) -> None:
    theirs = {candle.open_time_ms: candle for candle in own}
    different = [
        candle.open_time_ms
        for candle in made
        if (stored := theirs.get(candle.open_time_ms)) is not None and differing(stored, candle)
    ]
    if different:
        log.info(
            "%s %s: %d stored candles differ from their minutes, the first opens at %d",
            symbol,
            interval,
            len(different),
            different[0],
        )
