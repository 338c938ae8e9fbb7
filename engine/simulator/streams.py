"""Stream names: what `btcusdt@kline_1m` asks for."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from engine.market.interval import INTERVALS

MINI_TICKERS = "!miniTicker@arr"

_PLAIN = frozenset({"trade", "aggTrade", "ticker", "miniTicker", "bookTicker", "avgPrice"})
_PARTIAL = {"depth5": 5, "depth10": 10, "depth20": 20}


class StreamName(NamedTuple):
    """A stream name taken apart.

    Attributes:
        symbol: Upper case, such as `BTCUSDT`; empty for an all-market stream.
        kind: `kline`, `depth`, `partial`, or the name itself (`trade`, `ticker`, ...).
        interval: Of a kline stream, such as `1m`; empty otherwise.
        levels: Of a partial depth stream; 0 otherwise.
        fast: Whether a depth stream is pushed every 100 ms, not every 1000 ms.
    """

    symbol: str
    kind: str
    interval: str = ""
    levels: int = 0
    fast: bool = False


@lru_cache(maxsize=65_536)
def parse_stream(name: str) -> StreamName | None:
    """Return what `name` asks for, None for a name that no stream has (it stays silent)."""
    if name == MINI_TICKERS:
        return StreamName("", MINI_TICKERS)
    lower, _, rest = name.partition("@")
    symbol = lower.upper()
    kind, _, suffix = rest.partition("@")
    if kind in _PLAIN and not suffix:
        return StreamName(symbol, kind)
    if kind.startswith("kline_") and kind[6:] in INTERVALS and not suffix:
        return StreamName(symbol, "kline", interval=kind[6:])
    if suffix not in ("", "100ms"):
        return None
    if kind == "depth":
        return StreamName(symbol, "depth", fast=bool(suffix))
    if kind in _PARTIAL:
        return StreamName(symbol, "partial", levels=_PARTIAL[kind], fast=bool(suffix))
    return None
