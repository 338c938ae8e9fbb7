"""How large the database is, what is in it, and how it grows."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.market.interval import DAY_MS, parse_interval
from engine.store.promises import captured_series
from engine.store.prune import KEPT_INTERVALS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from engine.store.reader import Reader

BYTES_PER_CANDLE = 96.0  # measured in live order, while there are too few to measure here
COUNT_UP_TO = 20_000_000  # candles that are counted one by one; above, spans tell about how many


class SeriesStats(NamedTuple):
    """One stored series: candles, and open times (epoch ms) of the first and the last."""

    symbol: str
    interval: str
    candles: int
    first_ms: int
    last_ms: int


class DatabaseStats(NamedTuple):
    """Size and growth of a database.

    Attributes:
        candles: Stored in all.
        database_bytes: Size on disk with the write-ahead log.
        free_bytes_inside: Pages that are free for what comes.
        bytes_per_candle: All pages in use by the candles stored.
        is_exact: Whether candles of series are counted, or worked out from their spans.
        series: What is stored.
        captured: Series captured now.
        bytes_per_day: What these add a day.
        disk_free_bytes: What is left on the disk.
    """

    candles: int
    database_bytes: int
    free_bytes_inside: int
    bytes_per_candle: float
    is_exact: bool
    series: tuple[SeriesStats, ...]
    captured: int
    bytes_per_day: float
    disk_free_bytes: int

    def days_until_full(self) -> float | None:
        """Return after how many days of growth the disk is full; None without growth."""
        if not self.bytes_per_day:
            return None
        return (self.disk_free_bytes + self.free_bytes_inside) / self.bytes_per_day


def database_stats(reader: Reader, directory: Path) -> DatabaseStats:
    """Measure the database that `reader` reads, in `directory`.

    Raises:
        StoreError: when it can not be read.
    """
    candles = reader.candle_count()
    is_exact = candles <= COUNT_UP_TO
    page = _pragma(reader, "page_size")
    free = _pragma(reader, "freelist_count")
    used = (_pragma(reader, "page_count") - free) * page
    each = used / candles if candles >= 100_000 else BYTES_PER_CANDLE
    captured = captured_series(reader)
    daily = sum(DAY_MS / parse_interval(interval).length_ms for _, interval in captured)
    return DatabaseStats(
        candles=candles,
        database_bytes=reader.database_bytes(),
        free_bytes_inside=free * page,
        bytes_per_candle=each,
        is_exact=is_exact,
        series=tuple(_counted(reader) if is_exact else _estimated(reader)),
        captured=len(captured),
        bytes_per_day=daily * each,
        disk_free_bytes=shutil.disk_usage(directory).free,
    )


def freed_by_keeping(reader: Reader, now_ms: int, days: Sequence[float]) -> dict[float, int]:
    """Return about how many bytes of candles are older than each of `days`, as pruning counts.

    Candles are told from the first and the last of each series, and scaled to how many there are;
    1,400 series take some milliseconds.

    Raises:
        StoreError: when the database can not be read.
    """
    series = _estimated(reader)
    spanned = sum(one.candles for one in series)
    candles = reader.candle_count()
    if not spanned or not candles:
        return dict.fromkeys(days, 0)
    page = _pragma(reader, "page_size")
    used = (_pragma(reader, "page_count") - _pragma(reader, "freelist_count")) * page
    each = min(1.0, candles / spanned) * (used / candles)
    return {kept: round(each * _older(series, now_ms - int(kept * DAY_MS))) for kept in days}


def _older(series: Sequence[SeriesStats], before_ms: int) -> int:
    count = 0
    for one in series:
        length_ms = parse_interval(one.interval).length_ms
        if one.interval not in KEPT_INTERVALS and one.first_ms < before_ms:
            count += (min(before_ms, one.last_ms + length_ms) - one.first_ms) // length_ms
    return count


def by_interval(series: tuple[SeriesStats, ...]) -> list[SeriesStats]:
    """Return sums over all markets for each interval, shortest first, with `symbol` empty."""
    sums: dict[str, SeriesStats] = {}
    for one in series:
        sofar = sums.get(one.interval)
        sums[one.interval] = SeriesStats(
            "",
            one.interval,
            one.candles + (sofar.candles if sofar else 0),
            min(one.first_ms, sofar.first_ms) if sofar else one.first_ms,
            max(one.last_ms, sofar.last_ms) if sofar else one.last_ms,
        )
    return sorted(sums.values(), key=lambda row: parse_interval(row.interval).length_ms)


def _counted(reader: Reader) -> list[SeriesStats]:
    rows = reader.query(
        "SELECT symbol.name AS symbol, interval, candles, first_ms, last_ms FROM (SELECT symbol_id,"
        " interval, count(*) AS candles, min(open_time_ms) AS first_ms,"
        " max(open_time_ms) AS last_ms FROM candle GROUP BY symbol_id, interval)"
        " JOIN symbol ON symbol.id = symbol_id ORDER BY 1, 2"
    )
    return [SeriesStats(**row) for row in rows]


def _estimated(reader: Reader) -> list[SeriesStats]:
    found = []
    for symbol in reader.symbols():
        for interval in reader.intervals(symbol):
            first = reader.first_open_time(symbol, interval)
            last = reader.last_open_time(symbol, interval)
            if first is not None and last is not None:
                candles = (last - first) // parse_interval(interval).length_ms + 1
                found.append(SeriesStats(symbol, interval, candles, first, last))
    return found


def _pragma(reader: Reader, name: str) -> int:
    rows: list[dict[str, Any]] = reader.query(f"PRAGMA {name}")
    return int(next(iter(rows[0].values())))
