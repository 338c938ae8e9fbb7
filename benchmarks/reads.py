"""Reads from a large database: the last 500 candles of one of 1,400 series in 10 million rows.

Run as `python -m benchmarks.reads [--rows N] [--keep DIRECTORY]`. The rows are inserted in live
order: minute by minute, one candle of each market, so that the pages of the markets lie mixed. With
--keep the database stays in DIRECTORY and is used again. Each read by the store's own reader is of
another series (the order is drawn), so that SQLite's cache (16 MB) helps as little as it does live.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.market.interval import MINUTE_MS
from engine.store import Reader, Store, open_reader
from engine.store.promises import expected_ranges, promise
from engine.store.symbols import add_counts, symbol_id

MARKETS = 1_400
ROWS = 10_000_000
START_MS = 1_700_006_400_000
MINUTES_A_COMMIT = 20
ROUNDS = 1_000
INSERT = (
    "INSERT INTO candle (symbol_id, interval, open_time_ms, open, high, low, close, volume,"
    " quote_volume, trades, taker_buy_volume, taker_buy_quote_volume, source, written_wall_ms)"
    " VALUES (?, '1m', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)"
)


def names() -> list[str]:
    """Return the names of the markets."""
    return [f"M{number:04d}USDT" for number in range(MARKETS)]


def build(directory: Path, rows: int) -> None:
    """Fill a database with `rows` candles in live order."""
    with Store.open(directory, source="live") as store:
        store.writer.run(_promise_all).result(60)
        ids = store.writer.run(lambda c: [symbol_id(c, name) for name in names()]).result(60)
    connection = sqlite3.connect(directory / "klinetop.db", isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    dice = random.Random(11)
    minutes = rows // MARKETS
    for first in range(0, minutes, MINUTES_A_COMMIT):
        connection.execute("BEGIN")
        for minute in range(first, min(first + MINUTES_A_COMMIT, minutes)):
            connection.executemany(INSERT, _minute(ids, START_MS + minute * MINUTE_MS, dice))
        connection.execute("COMMIT")
    add_counts(connection, {"stream": minutes * MARKETS})
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()


def _promise_all(connection: sqlite3.Connection) -> None:
    promise(connection, ((name, "1m") for name in names()), START_MS)


def _minute(ids: list[int], time_ms: int, dice: random.Random) -> Iterator[tuple[object, ...]]:
    for key in ids:
        price = 10.0 + dice.random()
        volume = dice.random() * 100
        yield (
            key,
            time_ms,
            price,
            price + 0.1,
            price - 0.1,
            price + 0.05,
            volume,
            volume * price,
            int(volume),
            volume / 2,
            volume * price / 2,
            time_ms + MINUTE_MS,
        )


def measure(name: str, work: Callable[[], object], rounds: int) -> None:
    """Print how long `work` takes: median, 99th percentile and maximum in milliseconds."""
    took = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        took.append((time.perf_counter() - started) * 1000)
    p99 = statistics.quantiles(took, n=100)[98] if rounds > 1 else took[0]
    print(
        f"{name:<44}p50 {statistics.median(took):8.2f}   p99 {p99:8.2f}   max {max(took):8.2f} ms"
    )


def run(reader: Reader, directory: Path) -> None:
    """Measure the reads that the engine and its commands do."""
    dice = random.Random(5)
    markets = names()
    some = lambda: dice.choice(markets)  # noqa: E731
    last_ms = reader.last_open_time(markets[0], "1m") or 0
    size = (directory / "klinetop.db").stat().st_size
    print(f"{reader.candle_count():,} candles, {MARKETS:,} series, {size / 1e6:,.0f} MB")
    measure("last 500 candles", lambda: reader.candles(some(), "1m", limit=500), ROUNDS)
    measure("last 500 candles as arrays", lambda: reader.columns(some(), "1m", limit=500), ROUNDS)
    measure("last open time", lambda: reader.last_open_time(some(), "1m"), ROUNDS)
    day = (last_ms - 1440 * MINUTE_MS, last_ms)
    measure("what is missing in a day", lambda: reader.missing(some(), "1m", *day), ROUNDS)
    hour = (last_ms - 60 * MINUTE_MS, last_ms)
    measure("what is expected of all in an hour", lambda: expected_ranges(reader, "1m", *hour), 20)
    measure(
        "which of all have one minute",
        lambda: reader.query(
            # CROSS JOIN: without statistics SQLite would rather scan all candles.
            "SELECT symbol_id FROM symbol CROSS JOIN candle ON symbol_id = symbol.id"
            " AND interval = '1m' AND open_time_ms = ?",
            (last_ms,),
        ),
        50,
    )


def main() -> None:
    """Build the database where it is not there yet, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="klinetop-reads-") as scratch:
        directory = options.keep or Path(scratch)
        if not (directory / "klinetop.db").exists():
            started = time.perf_counter()
            build(directory, options.rows)
            print(f"built in {time.perf_counter() - started:.0f} s")
        reader = open_reader(directory)
        try:
            run(reader, directory)
        finally:
            reader.close()


if __name__ == "__main__":
    main()
