"""Candles of a longer interval out of shorter ones."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from engine.market.candle import Candle
from engine.market.interval import INTERVALS, Interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    AreHoles = Callable[[Sequence[tuple[int, int]]], bool]

VOLUME_DECIMALS = 8
MINUTE = INTERVALS["1m"]
# A large amount with 8 decimals has more digits than a float.
_AMOUNTS_AGREE = 1e-15
_COMPARED = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trades",
    "taker_buy_volume",
    "taker_buy_quote_volume",
)


def resample(
    candles: Iterable[Candle],
    interval: Interval,
    *,
    source: Interval = MINUTE,
    complete_only: bool = True,
) -> list[Candle]:
    """Return candles of `interval` made of shorter ones.

    Open of the first, highest high, lowest low, close of the last; volumes are
    `round(math.fsum(x), 8)`, which gives the exchange's own decimals where a plain sum does not;
    an amount that one part does not know is unknown. Buckets follow the interval's UTC grid
    (weeks from Monday, calendar months).

    Args:
        candles: Ascending by open time, of one symbol.
        interval: No shorter than `source`.
        source: Interval of `candles`.
        complete_only: Leave out buckets that lack a part. Otherwise those come with
            `closed=False`, and so does one that holds an open part.

    Raises:
        ValueError: when `interval` is shorter than `source` or no multiple of it.
    """
    parts = [
        (
            part.open_time_ms,
            part.open,
            part.high,
            part.low,
            part.close,
            part.volume,
            part.quote_volume,
            part.trades,
            part.taker_buy_volume,
            part.taker_buy_quote_volume,
            part.closed,
        )
        for part in candles
    ]
    return _resampled(parts, interval, source, complete_only=complete_only)


def resample_rows(
    rows: Sequence[tuple[Any, ...]], interval: Interval, are_holes: AreHoles | None = None
) -> list[Candle]:
    """Return the candles of `interval` that closed 1m candles make.

    Args:
        rows: The values of candles in the order of `Candle`'s first fields, to
            `taker_buy_quote_volume`, ascending: what a database gives, for which no candle needs
            to be made first.
        interval: Any that 1m candles fill.
        are_holes: Tells of the minutes [from, to) that a bucket lacks whether the exchange itself
            has none of them; the bucket is then made of the others, as the exchange makes its own,
            with `complete=False`. None leaves out every bucket that lacks a minute.

    Raises:
        ValueError: when 1m candles do not fill `interval`.
    """
    return _resampled(rows, interval, MINUTE, complete_only=True, are_holes=are_holes)


def lacking_ranges(
    times: Iterable[int], start_ms: int, end_ms: int, step_ms: int = MINUTE.length_ms
) -> list[tuple[int, int]]:
    """Return the merged ranges of [start_ms, end_ms) that `times`, ascending, do not cover."""
    lacking: list[tuple[int, int]] = []
    expected = start_ms
    for time_ms in times:
        if time_ms > expected:
            lacking.append((expected, time_ms))
        expected = time_ms + step_ms
    if expected < end_ms:
        lacking.append((expected, end_ms))
    return lacking


def can_resample(source: Interval, interval: Interval) -> bool:
    """Tell whether candles of `source` fill those of `interval` exactly."""
    if interval.name == source.name:
        return True
    if source.name in {"3d", "1w", "1M"}:
        return False  # their grids fit no longer one
    return interval.length_ms > source.length_ms and interval.length_ms % source.length_ms == 0


def differing(own: Candle, made: Candle) -> tuple[str, ...]:
    """Return the names of the values in which the exchange's candle and a made one differ.

    What one of them does not know is not compared. Amounts are equal when they agree in 15 digits,
    which is all that a float holds of them.
    """
    return tuple(
        name
        for name in _COMPARED
        if not _is_equal(getattr(own, name), getattr(made, name), is_amount="volume" in name)
    )


def _is_equal(own: float | None, made: float | None, *, is_amount: bool) -> bool:
    if own is None or made is None or own == made:
        return True
    return is_amount and math.isclose(own, made, rel_tol=_AMOUNTS_AGREE)


def _resampled(
    rows: Sequence[tuple[Any, ...]],
    interval: Interval,
    source: Interval,
    *,
    complete_only: bool,
    are_holes: AreHoles | None = None,
) -> list[Candle]:
    if not can_resample(source, interval):
        raise ValueError(f"{interval.name} candles can not be made of {source.name} candles.")
    if not rows:
        return []
    columns = list(zip(*rows, strict=True))
    times: tuple[int, ...] = columns[0]
    closed = columns[10] if len(columns) > 10 else None
    made = []
    start, count = 0, len(times)
    while start < count:
        open_time_ms = interval.floor(times[start])
        next_ms = interval.next(open_time_ms)
        end = bisect_left(times, next_ms, start, count)
        is_whole = (end - start) * source.length_ms == next_ms - open_time_ms
        if closed is not None:
            is_whole = is_whole and closed[end - 1]
        if is_whole or not complete_only:
            made.append(_join(open_time_ms, columns, start, end, closed=is_whole))
        elif are_holes is not None:
            lacking = lacking_ranges(times[start:end], open_time_ms, next_ms, source.length_ms)
            if are_holes(lacking):
                made.append(_join(open_time_ms, columns, start, end, closed=True, complete=False))
        start = end
    return made


def _join(
    open_time_ms: int,
    columns: Sequence[Sequence[Any]],
    start: int,
    end: int,
    *,
    closed: bool,
    complete: bool = True,
) -> Candle:
    return Candle(
        open_time_ms,
        columns[1][start],
        max(columns[2][start:end]),
        min(columns[3][start:end]),
        columns[4][end - 1],
        _sum(columns[5][start:end]),
        _sum_known(columns[6][start:end]),
        _count(columns[7][start:end]),
        _sum_known(columns[8][start:end]),
        _sum_known(columns[9][start:end]),
        closed,
        complete,
    )


def _sum(values: Sequence[float]) -> float:
    return round(math.fsum(values), VOLUME_DECIMALS)


def _sum_known(values: Sequence[float | None]) -> float | None:
    return None if None in values else _sum(values)  # type: ignore[arg-type]


def _count(values: Sequence[int | None]) -> int | None:
    return None if None in values else sum(values)  # type: ignore[arg-type]
