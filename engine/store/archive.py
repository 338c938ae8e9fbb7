"""Kline files by name: what the usual names tell, and the checksums of the public archive."""

from __future__ import annotations

import hashlib
import re
import zipfile
from typing import TYPE_CHECKING, NamedTuple

from engine.market.interval import INTERVALS
from engine.store.errors import BadFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CHECKSUM_SUFFIX = ".CHECKSUM"
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


def series_in(path: Path) -> Named | None:
    """Return what the name of `path` tells, or else the names in it, where it is a zip archive.

    None when they tell nothing, or several series.
    """
    told = series_of(path.name)
    if told is not None or not zipfile.is_zipfile(path):
        return told
    try:
        with zipfile.ZipFile(path) as archive:
            found = {series_of(info.filename) for info in archive.infolist() if not info.is_dir()}
    except zipfile.BadZipFile:
        return None
    found.discard(None)
    return found.pop() if len(found) == 1 else None


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


def kline_files(paths: Sequence[Path]) -> list[Path]:
    """Return files as they are and, for directories, all kline files below them by name.

    Raises:
        BadFile: for a path that does not exist, or a directory without any such file.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(
                file
                for file in path.rglob("*")
                if file.suffix.lower() in SUFFIXES and file.is_file()
            )
            if not inside:
                raise BadFile(
                    f"The directory {path} holds no kline file ({' '.join(SUFFIXES)}) to import."
                )
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise BadFile(f"There is no file {path} to import.")
    return found


def check_sum(path: Path) -> bool:
    """Compare `path` with the SHA-256 in the file `<name>.CHECKSUM` beside it.

    Returns:
        Whether there is such a file.

    Raises:
        BadFile: when the sums differ, or the file holds none.
        OSError: when one of both can not be read.
    """
    beside = path.with_name(path.name + CHECKSUM_SUFFIX)
    if not beside.is_file():
        return False
    words = beside.read_text("utf-8", "replace").split()
    wanted = words[0].lower() if words else ""
    if not re.fullmatch(r"[0-9a-f]{64}", wanted):
        raise BadFile(f"{beside} holds no SHA-256 sum; fetch it again, or delete it.")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != wanted:
        raise BadFile(f"{path} does not fit the sum in {beside.name}; fetch both again.")
    return True
