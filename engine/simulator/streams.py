"""Stream names: what `btcusdt@kline_1m` asks for."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from engine.market.interval import INTERVALS, Interval
from engine.simulator.protocol.zones import OTHER_ZONE_MS, shifted

_PLAIN = frozenset(
    {
        "trade", "aggTrade", "ticker", "miniTicker", "bookTicker", "avgPrice", "referencePrice",
    }
)  # fmt: skip
_PARTIAL = {"depth5": 5, "depth10": 10, "depth20": 20}
_DEPTH_PACES = frozenset({"", "1000ms", "100ms"})
_ROLLING = {"ticker_1h": "1h", "ticker_4h": "4h", "ticker_1d": "1d"}
_ZONES = {"": 0, "+08:00": OTHER_ZONE_MS}
_SECOND = "@1000ms"
_WELL_FORMED = re.compile(r"!?[\w.\-]+(@[\w+:.\-]+)*")


class StreamName(NamedTuple):
    """A stream name taken apart.

    Attributes:
        name: The name that the exchange publishes it under; some streams have a second one.
        symbol: Upper case, such as `BTCUSDT`; empty for an all-market stream.
        kind: `kline`, `depth`, `partial`, `rolling`, or the name itself (`trade`, `ticker`, ...).
        interval: Of a kline stream, on the grid of its time zone; None otherwise.
        levels: Of a partial depth stream; 0 otherwise.
        fast: Whether a depth stream is pushed every 100 ms, not every 1000 ms.
        window: Of a rolling window stream, such as `4h`; empty otherwise.
    """

    name: str
    symbol: str
    kind: str
    interval: Interval | None = None
    levels: int = 0
    fast: bool = False
    window: str = ""


_OF_ALL = {
    "!miniTicker@arr": StreamName("!miniTicker@arr", "", "miniTicker"),
    "!miniTicker@arr@1000ms": StreamName("!miniTicker@arr", "", "miniTicker"),
} | {
    f"!{kind}@arr": StreamName(f"!{kind}@arr", "", "rolling", window=window)
    for kind, window in _ROLLING.items()
}


def is_well_formed(name: str) -> bool:
    """Tell whether `name` has the form of a stream name, whether there is such a stream or not."""
    return _WELL_FORMED.fullmatch(name) is not None


def canonical(name: str) -> str:
    """Return the name that the exchange publishes under what `name` asks for."""
    stream = parse_stream(name)
    return name if stream is None else stream.name


@lru_cache(maxsize=65_536)
def parse_stream(name: str) -> StreamName | None:
    """Return what `name` asks for, None for a name that no stream has (it stays silent)."""
    stream = _OF_ALL.get(name)
    if stream is not None:
        return stream
    stem, _, rest = name.partition("@")
    if not is_well_formed(name) or stem != stem.lower():
        return None
    kind, _, suffix = rest.partition("@")
    symbol = stem.upper()
    if kind.startswith("kline_"):
        return _kline(stem, symbol, kind[6:], suffix)
    if kind.startswith("depth"):
        return _depth(name, symbol, kind, suffix)
    if suffix:
        return None
    if kind in _ROLLING:
        return StreamName(name, symbol, "rolling", window=_ROLLING[kind])
    return StreamName(name, symbol, kind) if kind in _PLAIN else None


def _kline(stem: str, symbol: str, interval: str, zone: str) -> StreamName | None:
    if interval not in INTERVALS or zone not in _ZONES:
        return None
    grid = shifted(INTERVALS[interval], _ZONES[zone])
    return StreamName(f"{stem}@kline_{grid.name}", symbol, "kline", interval=grid)


def _depth(name: str, symbol: str, kind: str, pace: str) -> StreamName | None:
    if pace not in _DEPTH_PACES:
        return None
    name, fast = name.removesuffix(_SECOND), pace == "100ms"
    if kind == "depth":
        return StreamName(name, symbol, "depth", fast=fast)
    if kind in _PARTIAL:
        return StreamName(name, symbol, "partial", levels=_PARTIAL[kind], fast=fast)
    return None
