"""Scoring the newest closed candle of one market with a saved model, by numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.forecast.features import LIVE_ROWS, make_features
from engine.forecast.windows import reversal_calls, segments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.forecast.features import Columns
    from engine.forecast.model import LoadedModel
    from engine.market.interval import Interval


@dataclass(frozen=True, slots=True)
class Score:
    """One forecast.

    Attributes:
        open_time_ms: Open time of the candle it was made from.
        price: That candle's close.
        p_up: Probability that the close `lookahead` candles later is higher.
        calls: Each live baseline's call on the same row, 1 higher, 0 lower.
    """

    open_time_ms: int
    price: float
    p_up: float
    calls: Mapping[str, int]


def score_newest(model: LoadedModel, columns: Columns, interval: Interval) -> Score | str:
    """Score the last row of `columns`.

    Args:
        model: A verified model.
        columns: Closed candles of one symbol, ascending; the last `LIVE_ROWS` are used.
        interval: Interval of the candles.

    Returns:
        The score, or a sentence that says why there is none.
    """
    open_time_ms = np.asarray(columns["open_time_ms"], dtype=np.int64)
    pieces = segments(open_time_ms, interval)
    length = pieces[-1][1] - pieces[-1][0] if pieces else 0
    if length < LIVE_ROWS:
        return (
            f"A forecast needs {LIVE_ROWS} closed candles without a gap, and there are {length} "
            "since the last one; history that is filled in brings it back."
        )
    tail = {name: values[-LIVE_ROWS:] for name, values in columns.items()}
    ends = np.array([LIVE_ROWS - 1], dtype=np.intp)
    windows = model.scaled_windows(make_features(tail, model.muted), ends)
    close = np.asarray(tail["close"], dtype=np.float64)
    reversal = reversal_calls(close, ends, model.lookahead)
    calls = model.baselines.calls(windows, reversal)
    return Score(
        open_time_ms=int(open_time_ms[-1]),
        price=float(close[-1]),
        p_up=float(model.probability(windows)[0]),
        calls={name: int(call[0]) for name, call in calls.items()},
    )
