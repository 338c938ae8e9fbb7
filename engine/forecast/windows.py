"""From candle columns to samples: segments without gaps, windows, labels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from engine.forecast.features import WARM_UP, make_features

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from engine.forecast.features import Columns
    from engine.market.interval import Interval

    Floats = NDArray[np.float64]
    Rows = NDArray[np.intp]

_LONGEST_MONTH_MS = 31 * 86_400_000


@dataclass(frozen=True, slots=True)
class Samples:
    """What a model learns from or is judged on.

    Attributes:
        features: Shape (rows, features), one row a candle, unscaled.
        open_time_ms: Shape (rows,), open times of the candles.
        ends: Shape (samples,), ascending: the row that each sample's window ends with.
        labels: Shape (samples,): 1 when the close `lookahead` candles later is higher, 0 lower.
        reversal: Shape (samples,): 1 when the last `lookahead` candles fell, else 0.
        ties: Ascending: rows that would have a sample, had the close not been the same.
        window: Rows of a window.
        lookahead: Candles from the window's end to the outcome.
    """

    features: Floats
    open_time_ms: NDArray[np.int64]
    ends: Rows
    labels: NDArray[np.int8]
    reversal: NDArray[np.int8]
    ties: Rows
    window: int
    lookahead: int

    @property
    def gap(self) -> int:
        """Rows to leave out between two slices: window plus lookahead, as they must not share."""
        return self.window + self.lookahead


def segments(open_time_ms: NDArray[np.int64], interval: Interval) -> list[tuple[int, int]]:
    """Return row ranges [from, to) inside which every candle follows the one before."""
    if not open_time_ms.size:
        return []
    step = _LONGEST_MONTH_MS if interval.name == "1M" else interval.length_ms
    breaks = np.flatnonzero(np.diff(open_time_ms) > step) + 1
    edges = [0, *breaks.tolist(), len(open_time_ms)]
    return list(pairwise(edges))


def window_view(features: Floats, window: int, ends: Rows) -> Floats:
    """Return the windows that end with the rows `ends`: shape (samples, window, features)."""
    view = sliding_window_view(features, window, axis=0)
    return np.ascontiguousarray(view[ends - (window - 1)].transpose(0, 2, 1))


def reversal_calls(close: Floats, ends: Rows, lookahead: int) -> NDArray[np.int8]:
    """Bet against the last `lookahead` candles: 1 where they fell, 0 where they did not."""
    return (close[ends] < close[ends - lookahead]).astype(np.int8)


def outcome_rows(
    columns: Columns, interval: Interval, window: int, lookahead: int, warm_up: int = WARM_UP
) -> tuple[Rows, Rows]:
    """Return the rows whose outcome is known: those whose close changed, and the ties.

    Both ascending; see `make_samples` for what is left out.
    """
    close = np.asarray(columns["close"], dtype=np.float64)
    ends: list[Rows] = []
    for start, stop in segments(np.asarray(columns["open_time_ms"], dtype=np.int64), interval):
        first = start + max(warm_up + window - 1, lookahead)
        ends.append(np.arange(first, max(first, stop - lookahead), dtype=np.intp))
    rows = np.concatenate(ends) if ends else np.empty(0, dtype=np.intp)
    has_changed = close[rows + lookahead] != close[rows]
    return rows[has_changed], rows[~has_changed]


def make_samples(
    columns: Columns,
    interval: Interval,
    window: int,
    lookahead: int,
    muted: Collection[str] = (),
    warm_up: int = WARM_UP,
) -> Samples:
    """Build samples from candles in ascending order.

    Neither window nor label crosses a missing candle; the first `warm_up` rows after a start or a
    gap are not used; rows whose outcome is not known, and ties, have no sample. The live ledger
    scores its outcomes by the same rule (`ledger.outcome_of`).

    Args:
        columns: As for `make_features`, of one symbol.
        interval: Interval of the candles.
        window: Rows of a window.
        lookahead: Candles to the outcome.
        muted: Features held at zero.
        warm_up: Rows to leave out after a start or a gap.
    """
    open_time_ms = np.asarray(columns["open_time_ms"], dtype=np.int64)
    close = np.asarray(columns["close"], dtype=np.float64)
    parts: list[Floats] = []
    for start, stop in segments(open_time_ms, interval):
        piece = {name: values[start:stop] for name, values in columns.items()}
        parts.append(make_features(piece, muted))
    rows, ties = outcome_rows(columns, interval, window, lookahead, warm_up)
    return Samples(
        features=np.concatenate(parts) if parts else make_features(columns, muted),
        open_time_ms=open_time_ms,
        ends=rows,
        labels=(close[rows + lookahead] > close[rows]).astype(np.int8),
        reversal=reversal_calls(close, rows, lookahead),
        ties=ties,
        window=window,
        lookahead=lookahead,
    )
