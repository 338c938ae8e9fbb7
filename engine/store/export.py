"""Candles as CSV that imports again to equal values, as JSON, and as Parquet; page by page."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

from engine.market.interval import MINUTE_MS, parse_interval
from engine.market.kline_csv import COLUMNS, format_row
from engine.store.errors import StoreError
from engine.store.series import candle_series, needs_minutes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import TextIO

    from engine.market.candle import Candle
    from engine.market.interval import Interval
    from engine.store.reader import Reader

PAGE_ROWS = 20_000
COMPLETE = "complete"
_LEAST_ROWS = 200
_GROUP_ROWS = 100_000


class NoParquet(StoreError):
    """The library that writes Parquet is not installed.

    Attributes:
        usage: It is a mistake of the user.
    """

    usage = True


def candle_pages(
    reader: Reader,
    symbol: str,
    interval: str,
    start_ms: int | None = None,
    end_ms: int | None = None,
    limit: int | None = None,
) -> Iterator[list[Candle]]:
    """Yield what `candle_series` returns in pages, so that years need no memory.

    The newest so many (`limit` without `start_ms`) come as one page.
    """
    if limit is not None and start_ms is None:
        yield candle_series(reader, symbol, interval, end_ms=end_ms, limit=limit)
        return
    grid = parse_interval(interval)
    # A long candle may have to be made of its minutes.
    most = max(_LEAST_ROWS, PAGE_ROWS * MINUTE_MS // max(grid.length_ms, MINUTE_MS))
    at_ms, left = start_ms or 0, limit
    while left is None or left > 0:
        page = candle_series(
            reader,
            symbol,
            interval,
            start_ms=at_ms,
            end_ms=end_ms,
            limit=most if left is None else min(most, left),
        )
        if not page:
            return
        yield page
        left = None if left is None else left - len(page)
        at_ms = grid.next(page[-1].open_time_ms)


def write_csv(candles: Iterable[Candle], interval: str, out: TextIO) -> int:
    """Write candles in the columns of Binance's public archive, with header; returns the rows.

    Numbers are written so that they parse to the same floats; unknown values are empty. Intervals
    that minutes may make have a last column `complete`, `true` or `false`.
    """
    grid = parse_interval(interval)
    tells = needs_minutes(grid)
    out.write(",".join([*COLUMNS, COMPLETE] if tells else COLUMNS) + "\n")
    rows = 0
    for candle in candles:
        cells = format_row(candle, grid)
        if tells:
            cells = (*cells, "true" if candle.complete else "false")
        out.write(",".join(cells) + "\n")
        rows += 1
    return rows


def json_rows(candles: Iterable[Candle], interval: str) -> list[dict[str, Any]]:
    """Return candles as dicts by the CSV's column names, unknown as None.

    `ignore` is left out; `complete` is always there.
    """
    grid = parse_interval(interval)
    return [_as_dict(candle, grid) for candle in candles]


def write_json(candles: Iterable[Candle], interval: str, out: TextIO) -> int:
    """Write one JSON array of `json_rows`, a candle a line; returns the rows."""
    grid = parse_interval(interval)
    rows = 0
    out.write("[")
    for candle in candles:
        out.write(",\n " if rows else "")
        out.write(json.dumps(_as_dict(candle, grid)))
        rows += 1
    out.write("]\n")
    return rows


def write_parquet(candles: Iterable[Candle], interval: str, path: Path) -> int:
    """Write candles to a Parquet file; returns the rows.

    The columns are those of `json_rows`; `open_time` and `close_time` are timestamps in UTC,
    unknown values are null.

    Raises:
        NoParquet: when pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise NoParquet(
            "Parquet needs pyarrow, which is not installed: `pip install 'klinetop[parquet]'`."
        ) from None
    grid = parse_interval(interval)
    moment, number = pa.timestamp("ms", tz="UTC"), pa.float64()
    kinds = {"open_time": moment, "close_time": moment, "count": pa.int64(), COMPLETE: pa.bool_()}
    schema = pa.schema([(name, kinds.get(name, number)) for name in (*COLUMNS[:-1], COMPLETE)])
    source = iter(candles)
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while group := list(islice(source, _GROUP_ROWS)):
            found = [_as_dict(candle, grid) for candle in group]
            writer.write_table(pa.Table.from_pylist(found, schema=schema))
            rows += len(group)
    return rows


def _as_dict(candle: Candle, grid: Interval) -> dict[str, Any]:
    return {
        "open_time": candle.open_time_ms,
        "open": candle.open,
        "high": candle.high,
        "low": candle.low,
        "close": candle.close,
        "volume": candle.volume,
        "close_time": grid.close_time(candle.open_time_ms),
        "quote_volume": candle.quote_volume,
        "count": candle.trades,
        "taker_buy_volume": candle.taker_buy_volume,
        "taker_buy_quote_volume": candle.taker_buy_quote_volume,
        COMPLETE: candle.complete,
    }
