"""What the usual names of kline files tell."""

from __future__ import annotations

import re
from typing import NamedTuple

from engine.market.interval import INTERVALS

_KINDS = ("csv", "tsv", "txt", "json", "jsonl", "ndjson", "parquet", "feather", "arrow")
_PACKINGS = ("zip", "gz", "xz", "bz2", "zst")
SUFFIXES = tuple(f".{kind}" for kind in (*_KINDS, *_PACKINGS) if kind != "txt")
_ENDINGS = re.compile(rf"(?:\.(?:{'|'.join((*_KINDS, *_PACKINGS))}))+", re.IGNORECASE)
_COPY = re.compile(r"(?: ?\([0-9]+\)| - [Cc]opy| copy)+")
_NAME = re.compile(
    r"(?:BINANCE(?:US)?[-_])?(?P<symbol>[^\W_]+(?:[-_][^\W_]+)?)[-_ ]"
    r"(?P<count>[0-9]{1,2})(?P<unit>[a-zA-Z]+)(?P<rest>[-_. ].*)?",
    re.IGNORECASE,
)
_SPOKEN = re.compile(
    r"BINANCE_(?P<symbol>[^\W_]+)_(?:[0-9]{4}_)?(?P<unit>minute|hour|d)", re.IGNORECASE
)
_CHART = re.compile(r"BINANCE_(?P<symbol>[^\W_]+), (?P<interval>[0-9]*[SDWM]?)(?:_[0-9a-f]+)?")
_CHART_MINUTES = {str(interval.length_ms // 60_000): name for name, interval in INTERVALS.items()}
_UNITS = {
    "s": "s",
    "sec": "s",
    "m": "m",
    "min": "m",
    "minute": "m",
    "h": "h",
    "hour": "h",
    "d": "d",
    "day": "d",
    "w": "w",
    "week": "w",
    "mo": "M",  # the archive's word for 1M, as file names may not differ by case alone
    "month": "M",
}
_OTHER_MARKETS = re.compile(r"[-_](?:futures|mark|index|funding_rate|trades|aggTrades)(?![a-z])")
_QUOTES = frozenset(
    (
        *("USDT", "BUSD", "FDUSD", "TUSD", "USDC", "USD1", "DAI", "VAI"),
        *("BTC", "ETH", "BNB", "XRP", "TRX", "DOGE"),
        *("EUR", "GBP", "AUD", "TRY", "BRL", "RUB", "UAH", "NGN", "BKRW", "BIDR", "IDRT", "ZAR"),
        *("PLN", "RON", "ARS", "JPY", "MXN", "CZK", "COP"),
    )
)


class Named(NamedTuple):
    """What the name of a kline file tells, such as `BTCUSDT-1m-2024-12.zip`."""

    symbol: str
    interval: str


def series_of(name: str) -> Named | None:
    """Return symbol and interval that the name of a file tells; None when it tells them not.

    Args:
        name: With or without folders before it.
    """
    stem = re.split(r"[/\\]", name)[-1]
    if ending := re.search(rf"{_ENDINGS.pattern}$", stem, re.IGNORECASE):
        stem = stem[: ending.start()]
    else:
        return None
    stem = re.sub(rf"{_COPY.pattern}$", "", stem)
    if match := _CHART.fullmatch(stem):
        return _named(match["symbol"], _chart_interval(match["interval"]))
    if match := _SPOKEN.fullmatch(stem):
        return _named(match["symbol"], "1" + _UNITS[match["unit"].lower()])
    match = _NAME.fullmatch(stem)
    if match is None or _OTHER_MARKETS.search(stem):
        return None
    unit = "M" if match["unit"] == "M" else _UNITS.get(match["unit"].lower(), "")
    return _named(match["symbol"], match["count"] + unit)


def _named(symbol: str, interval: str) -> Named | None:
    base, mark, quote = re.sub(r"_", "-", symbol.upper()).partition("-")
    if interval not in INTERVALS or (mark and quote not in _QUOTES):
        return None
    return Named(base + quote, interval)


def _chart_interval(text: str) -> str:
    """Return the interval that TradingView calls `60`, `1D`, `W`."""
    if text[-1:] in ("S", "D", "W", "M"):
        unit = text[-1] if text[-1] == "M" else text[-1].lower()
        return (text[:-1] or "1") + unit
    return _CHART_MINUTES.get(text, "")
