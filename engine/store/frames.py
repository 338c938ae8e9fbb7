"""Candles as a pandas DataFrame."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from engine.market.interval import parse_interval
from engine.market.times import time_ms
from engine.store.lacks import Lacks
from engine.store.reader import COLUMN_NAMES, Reader, open_reader
from engine.store.series import candle_series

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import pandas as pd

    from engine.market.candle import Candle

log = logging.getLogger(__name__)


def candles(
    symbol: str,
    interval: str = "1m",
    start: datetime | str | int | None = None,
    end: datetime | str | int | None = None,
    *,
    data_dir: str | Path | None = None,
    limit: int | None = None,
) -> pd.DataFrame:
    """Return stored candles as a DataFrame, whether or not an engine runs.

    The index is `open_time`, a UTC DatetimeIndex. The columns are `open high low close volume
    quote_volume taker_buy_volume taker_buy_quote_volume` as float64, NaN where the source does not
    tell, and `trades` as int64, or as float64 with NaN when some of them are unknown. Only closed
    candles are there. An interval that is not stored is made of stored 1m candles. `complete` is
    False for a candle made of the minutes that the exchange has, where it has not all of them
    (`engine.store.holes`); a candle of which klinetop lacks minutes is left out, and a log warning
    tells of both.

    Args:
        symbol: Such as `BTCUSDT`; case does not matter.
        interval: Binance's name, such as `1m` or `4h` (`1M` is a month).
        start: First open time; a datetime (naive means UTC), ISO text, epoch milliseconds, or
            words such as "22 May, 2021". None starts with the oldest.
        end: Open times before this one, in the same forms. None ends with the newest.
        data_dir: The data directory; None takes the default one of live data.
        limit: Only so many candles: the first from `start` on, without a `start` the newest.

    Raises:
        StoreError: when there is no database, with a sentence that says what to do.
        UnknownInterval: for an interval that Binance does not have.
        UnknownTime: when `start` or `end` can not be read as a time.
    """
    directory = default_directory() if data_dir is None else Path(data_dir)
    return candle_frame(directory, symbol.upper(), interval, start, end, limit=limit)


def candle_frame(
    where: Path | Reader,
    symbol: str,
    interval: str,
    start: datetime | str | int | None = None,
    end: datetime | str | int | None = None,
    *,
    limit: int | None = None,
) -> pd.DataFrame:
    """Return what `candles` returns, from a data directory or from a reader that is open."""
    grid = parse_interval(interval)
    start_ms = None if start is None else time_ms(start)
    end_ms = None if end is None else time_ms(end)
    reader = where if isinstance(where, Reader) else open_reader(where)
    try:
        rows = candle_series(
            reader, symbol, interval, start_ms=start_ms, end_ms=end_ms, limit=limit
        )
        lacks = Lacks(reader, symbol, grid)
        lacks.see(rows)
        if told := lacks.sentence(start_ms, end_ms, limit):
            log.warning(told)
    finally:
        if reader is not where:
            reader.close()
    return to_frame(rows)


def to_frame(rows: Sequence[Candle]) -> pd.DataFrame:
    """Return candles as the DataFrame that `candles` describes."""
    import numpy as np
    import pandas as pd

    names = COLUMN_NAMES[1:]
    table = np.array(
        [[getattr(row, name) for name in names] for row in rows], dtype=np.float64
    ).reshape(len(rows), len(names))
    times = np.array([row.open_time_ms for row in rows], dtype="datetime64[ms]")
    frame = pd.DataFrame(
        table, columns=list(names), index=pd.DatetimeIndex(times, tz="UTC", name="open_time")
    )
    if not frame["trades"].isna().any():
        frame["trades"] = frame["trades"].astype(np.int64)
    frame["complete"] = np.array([row.complete for row in rows], dtype=bool)
    return frame


def default_directory() -> Path:
    """Return the data directory of live data when none is named."""
    import platformdirs

    return Path(platformdirs.user_data_dir("klinetop", appauthor=False)) / "live"
