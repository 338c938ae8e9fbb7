"""Whether candles hold enough to learn from; what they lack is said in a sentence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from engine.forecast.features import WARM_UP
from engine.forecast.values import ForecastError
from engine.forecast.windows import outcome_rows, segments
from engine.market.interval import parse_interval

if TYPE_CHECKING:
    from engine.forecast.features import Columns
    from engine.forecast.protocol import JobConfig


def check_enough(columns: Columns, config: JobConfig) -> None:
    """Refuse candles that no model can be made of.

    Raises:
        ForecastError: the market is flat, hardly moves, or has too few candles without a gap; the
            text names which, and the way out.
    """
    check_not_flat(columns, config)
    interval = parse_interval(config.interval)
    changed, ties = outcome_rows(columns, interval, config.window, config.lookahead)
    if len(changed) >= config.minimum_rows:
        return
    if len(changed) + len(ties) >= config.minimum_rows:
        raise ForecastError(hardly_moves(config, len(changed), len(ties), config.minimum_rows))
    raise ForecastError(_too_few(columns, config, len(changed), len(ties)))


def check_not_flat(columns: Columns, config: JobConfig) -> None:
    """Refuse candles that all close at the same price.

    Raises:
        ForecastError: they do.
    """
    close = np.asarray(columns["close"], dtype=np.float64)
    if len(close) > config.lookahead and bool((close == close[0]).all()):
        raise ForecastError(
            f"{config.symbol} {config.interval} is flat: all {len(close):,} closed candles close "
            f"at {close[0]:g}, so no close is higher or lower than another and there is nothing "
            "to forecast; choose another market."
        )


def hardly_moves(config: JobConfig, changed: int, ties: int, needed: int) -> str:
    """Say that most closes equal the one that a forecast would be about."""
    return (
        f"{config.symbol} {config.interval} hardly moves: only {changed:,} of "
        f"{changed + ties:,} closes differ from the close {config.lookahead} candles later (the "
        f"other {ties:,} are ties), and a model needs {needed:,} that do; choose a longer "
        "interval or another market."
    )


def _too_few(columns: Columns, config: JobConfig, changed: int, ties: int) -> str:
    candles = len(columns["open_time_ms"])
    open_time_ms = np.asarray(columns["open_time_ms"], dtype=np.int64)
    gaps = max(0, len(segments(open_time_ms, parse_interval(config.interval))) - 1)
    share = changed / (changed + ties) if changed else 1.0
    wanted = math.ceil(config.minimum_rows / share) + WARM_UP + config.window + config.lookahead
    between = f" with {gaps:,} gaps between them" if gaps else ""
    tied = f" and {ties:,} ties" if ties else ""
    return (
        f"{config.symbol} {config.interval} has {candles:,} closed candles{between}, which give "
        f"{changed:,} samples{tied}, and a model needs {config.minimum_rows:,} samples: fetch "
        f"about {wanted:,} candles without gaps with 'klinetop backfill {config.symbol} "
        "--start …' and train again."
    )
