"""Candles of a longer interval out of shorter ones."""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING

from engine.market.candle import Candle
from engine.market.interval import INTERVALS, Interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

VOLUME_DECIMALS = 8
MINUTE = INTERVALS["1m"]


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
    if not can_resample(source, interval):
        raise ValueError(f"{interval.name} candles can not be made of {source.name} candles.")
    made = []
    floor = interval.floor
    for open_time_ms, parts in groupby(candles, lambda candle: floor(candle.open_time_ms)):
        bucket = list(parts)
        span_ms = interval.next(open_time_ms) - open_time_ms
        is_whole = len(bucket) * source.length_ms == span_ms and bucket[-1].closed
        if is_whole or not complete_only:
            made.append(_join(open_time_ms, bucket, closed=is_whole))
    return made


def can_resample(source: Interval, interval: Interval) -> bool:
    """Tell whether candles of `source` fill those of `interval` exactly."""
    if interval.name == source.name:
        return True
    if source.name in {"3d", "1w", "1M"}:
        return False  # their grids fit no longer one
    return interval.length_ms > source.length_ms and interval.length_ms % source.length_ms == 0


def _join(open_time_ms: int, parts: Sequence[Candle], *, closed: bool) -> Candle:
    return Candle(
        open_time_ms,
        parts[0].open,
        max([part.high for part in parts]),
        min([part.low for part in parts]),
        parts[-1].close,
        _sum([part.volume for part in parts]),
        _sum([part.quote_volume for part in parts]),
        _count([part.trades for part in parts]),
        _sum_known([part.taker_buy_volume for part in parts]),
        _sum_known([part.taker_buy_quote_volume for part in parts]),
        closed,
    )


def _sum(values: Sequence[float]) -> float:
    return round(math.fsum(values), VOLUME_DECIMALS)


def _sum_known(values: Sequence[float | None]) -> float | None:
    return None if None in values else _sum(values)  # type: ignore[arg-type]


def _count(values: Sequence[int | None]) -> int | None:
    return None if None in values else sum(values)  # type: ignore[arg-type]
