"""Candles as text for people and programs: CSV that imports again to equal values, and JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from engine.market.interval import parse_interval
from engine.market.kline_csv import COLUMNS, format_row

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

    from engine.market.candle import Candle


def write_csv(candles: Iterable[Candle], interval: str, out: TextIO) -> int:
    """Write candles in the columns of Binance's public archive, with header; returns the rows.

    Numbers are written so that they parse to the same floats; unknown values are empty.
    """
    grid = parse_interval(interval)
    out.write(",".join(COLUMNS) + "\n")
    rows = 0
    for candle in candles:
        out.write(",".join(format_row(candle, grid)) + "\n")
        rows += 1
    return rows


def json_rows(candles: Iterable[Candle], interval: str) -> list[dict[str, Any]]:
    """Return candles as dicts by the CSV's column names (without `ignore`), unknown as None."""
    grid = parse_interval(interval)
    return [
        {
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
        }
        for candle in candles
    ]


def write_json(candles: Iterable[Candle], interval: str, out: TextIO) -> int:
    """Write one JSON array of `json_rows`, a candle a line; returns the rows."""
    rows = json_rows(candles, interval)
    out.write("[" + ",\n ".join(json.dumps(row) for row in rows) + "]\n")
    return len(rows)
