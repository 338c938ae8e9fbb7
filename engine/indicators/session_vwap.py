"""Volume-weighted average price that starts anew with each UTC day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.market.interval import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def session_vwap(columns: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float64]:
    """Return quote volume over volume since 00:00 UTC, in the quote asset.

    Unlike `ta`'s rolling VWAP it uses the exchange's own quote volumes, not typical prices.

    Args:
        columns: `open_time_ms`, `volume` and `quote_volume`, shape (rows,), ascending. Rows that
            do not know one of the two (nan) do not count.

    Returns:
        Shape (rows,); nan until the day's first trade.
    """
    open_time_ms = np.asarray(columns["open_time_ms"], dtype=np.int64)
    if not open_time_ms.size:
        return np.empty(0)
    volume = np.asarray(columns["volume"], dtype=np.float64)
    quote = np.asarray(columns["quote_volume"], dtype=np.float64)
    unknown = np.isnan(volume) | np.isnan(quote)
    volume, quote = np.where(unknown, 0.0, volume), np.where(unknown, 0.0, quote)
    day = open_time_ms // DAY_MS
    out = np.full(len(day), np.nan)
    edges = np.flatnonzero(np.diff(day)) + 1
    for rows in np.split(np.arange(len(day)), edges):
        amount = np.cumsum(volume[rows])
        np.divide(np.cumsum(quote[rows]), amount, out=out[rows[0] : rows[-1] + 1], where=amount > 0)
    return out
