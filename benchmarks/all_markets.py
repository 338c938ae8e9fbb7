"""All markets in real time: 1,416 candles, the ticker array and 100 books.

Run as `python -m benchmarks.all_markets [--seconds 180 | --minutes 100]`. The exchange is a process
of its own (`benchmarks.wide_exchange`: about 1,600 messages a second, and 1,416 closing candles in
one instant at each second zero), and so is the engine: `klinetop serve --markets all` with 100
open books (`benchmarks.engine_with_books`). Afterwards every candle that closed at the exchange
must be in the database with its values, and come by stream.

The engine's resident memory is taken every 2 s, and its parts (`klinetop status --json`, object
`memory`) once a minute; a table of them is printed every five minutes and at the end. Slopes are
those of least squares over the last hour, or without the first quarter of a shorter run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.desk import ask, scratch, wait_until
from benchmarks.wide_exchange import BOOKS, MARKETS, SYMBOLS
from engine.market.interval import MINUTE_MS
from engine.store import open_reader

SETTLE_S = 20.0
EVERY_S = 2.0
PARTS_EVERY_S = 60.0
TABLE_EVERY_S = 300.0
SLOPE_OVER_S = 3600.0
PARTS = (
    "anonymous_bytes",
    "allocator_used_bytes",
    "allocator_free_bytes",
    "sqlite_bytes",
    "python_blocks",
    "candles_in_memory",
    "trades_in_memory",
    "book_levels",
    "coverage_rows",
)
HISTORY_DAYS = "0.01"


class Exchange:
    """The exchange's process, and the lines it answers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self.addresses: dict[str, str] = json.loads(process.stdout.readline())

    def tell(self, command: str) -> dict[str, Any]:
        """Send a command and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(command, file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextlib.contextmanager
def wide_exchange(*arguments: str) -> Iterator[Exchange]:
    """Run the exchange beside the caller; `arguments` are those of `benchmarks.wide_exchange`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.wide_exchange", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Exchange(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


@contextlib.contextmanager
def engine_on(directory: Path, exchange: Exchange) -> Iterator[psutil.Process]:
    """Run the engine until all streams flow and no history is being fetched."""
    addresses = exchange.addresses
    arguments = ["serve", "--data-dir", str(directory), "--markets", "all"]
    arguments += ["--symbols", SYMBOLS[0], "--rest-url", addresses["rest_url"]]
    arguments += ["--stream-url", addresses["stream_url"]]
    log = (directory.parent / "serve.log").open("ab")
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.engine_with_books", *arguments],
        stdout=log,
        stderr=log,
        env=os.environ | {"KLINETOP_HISTORY_DAYS": HISTORY_DAYS},
    )
    try:
        wait_until((directory / "klinetop.db").exists, 60, "the engine starts")
        wait_until(lambda: _flows(directory), 120, "all streams flow")
        print(f"all streams confirmed after {time.monotonic() - started:.1f} s of the process")
        yield psutil.Process(process.pid)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
        log.close()


def status(directory: Path) -> dict[str, dict[str, Any]]:
    """Return the engine's own figures."""
    return ask(directory, "status")


def _flows(directory: Path) -> bool:
    with contextlib.suppress(subprocess.CalledProcessError):
        stream = status(directory)["stream"]
        return bool(stream["state"] == "live" and stream["streams"] >= MARKETS + BOOKS)
    return False


class Samples:
    """Memory and CPU of an engine's process over time."""

    def __init__(self, process: psutil.Process, directory: Path) -> None:
        self._process = process
        self._directory = directory
        self._parts_s = self._table_s = float("-inf")
        self._started = (time.perf_counter(), self._cpu_s())
        self.memory: list[tuple[float, float]] = []
        self.parts: list[tuple[float, dict[str, float]]] = []

    def _cpu_s(self) -> float:
        return float(sum(self._process.cpu_times()[:2]))

    def take(self) -> None:
        """Take one sample of the memory, and of its parts when their time has come."""
        now_s = time.perf_counter()
        self.memory.append((now_s, self._process.memory_info().rss / 1e6))
        if now_s - self._parts_s >= PARTS_EVERY_S:
            self._parts_s = now_s
            told = status(self._directory)["memory"]
            self.parts.append((now_s, {name: _megabytes(name, told[name]) for name in PARTS}))
        if now_s - self._table_s >= TABLE_EVERY_S:
            self._print_line(heads=not math.isfinite(self._table_s))
            self._table_s = now_s

    def _print_line(self, *, heads: bool) -> None:
        if heads:
            print("minute    rss  " + "  ".join(name.removesuffix("_bytes") for name in PARTS))
        at, resident = self.memory[-1]
        values = "  ".join(
            f"{value:{len(name.removesuffix('_bytes'))},.{1 if name.endswith('_bytes') else 0}f}"
            for name, value in self.parts[-1][1].items()
        )
        print(f"{(at - self._started[0]) / 60:6.0f}  {resident:5.1f}  {values}", flush=True)

    def print_parts(self) -> None:
        """Print the last line of the table, and the slope of each part by the hour."""
        self._print_line(heads=False)
        for name in PARTS:
            slope = _slope([(at, told[name]) for at, told in self.parts])
            print(f"  {name.removesuffix('_bytes'):20s}{slope:+12,.1f} an hour")

    def cpu_share(self) -> float:
        """Return the mean share of one core since the start."""
        at, cpu = self._started
        return (self._cpu_s() - cpu) / (time.perf_counter() - at)

    def slope_mb_per_h(self) -> float:
        """Return the slope of the resident memory."""
        return _slope(self.memory)

    def most_mb(self) -> float:
        """Return the largest resident memory."""
        return max(megabytes for _, megabytes in self.memory)


def _megabytes(name: str, value: float | None) -> float:
    if value is None:
        return math.nan
    return value / 1e6 if name.endswith("_bytes") else value


def _slope(samples: list[tuple[float, float]]) -> float:
    """Return the growth by the hour over the last hour at most, the first quarter left out."""
    first_s = max(samples[len(samples) // 4][0], samples[-1][0] - SLOPE_OVER_S)
    times_s, values = np.array([sample for sample in samples if sample[0] >= first_s]).T
    if len(times_s) < 2:
        return math.nan
    return float(np.polyfit((times_s - times_s[0]) / 3600, values, 1)[0])


def compare(directory: Path, exchange: Exchange, from_ms: int, to_ms: int) -> dict[str, int]:
    """Compare what is stored of [from_ms, to_ms) with the exchange's own record."""
    reader = open_reader(directory)
    found = {"sent": 0, "missing": 0, "different": 0, "extra": 0}
    for symbol, rows in exchange.tell(f"candles {from_ms} {to_ms}").items():
        stored = {
            candle.open_time_ms: (candle.open, candle.high, candle.low, candle.close, candle.volume)
            for candle in reader.candles(symbol, "1m", start_ms=from_ms, end_ms=to_ms)
        }
        found["extra"] += len(stored.keys() - {open_ms for open_ms, *_ in rows})
        for open_ms, *told in rows:
            found["sent"] += 1
            found["missing"] += open_ms not in stored
            found["different"] += stored.get(open_ms, tuple(told)) != tuple(told)
    return found


def run(seconds: float) -> None:
    """Run all and print the figures."""
    with (
        scratch() as directory,
        wide_exchange() as exchange,
        engine_on(directory, exchange) as process,
    ):
        time.sleep(SETTLE_S)
        before, published = status(directory), exchange.tell("sent")["published"]
        from_ms = before["engine"]["exchange_time_ms"] // MINUTE_MS * MINUTE_MS
        samples = Samples(process, directory)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            samples.take()
            time.sleep(EVERY_S)
        share = samples.cpu_share()
        samples.print_parts()
        published = exchange.tell("sent")["published"] - published
        after = status(directory)
        to_ms = after["engine"]["exchange_time_ms"] // MINUTE_MS * MINUTE_MS
        time.sleep(3.0)
        result = compare(directory, exchange, from_ms, to_ms)
    stream = after["stream"]
    by_stream = [told["store"]["by_source"].get("stream", 0) for told in (before, after)]
    books = [book["state"] for book in after["books"].values()]
    first, last = samples.memory[0][1], samples.memory[-1][1]
    print_figures(
        load=f"{published / seconds:,.0f} messages a second for {seconds:.0f} s, "
        f"{stream['streams']:,} streams on {stream['connections']} connections",
        engine=f"{100 * share:.1f} % of a core",
        memory=f"{first:.0f} MB, at the end {last:.0f} MB, at most {samples.most_mb():.0f} MB, "
        f"slope {samples.slope_mb_per_h():+.1f} MB/h",
        closed_candles=f"{result['sent']:,} at the exchange, {result['missing']} missing, "
        f"{result['different']} different, {result['extra']} extra, "
        f"{by_stream[1] - by_stream[0]:,} by stream",
        dropped_and_bad=f"{stream['dropped']} and {stream['bad']}",
        reconnects=f"{stream['reconnects']}",
        lag=f"{stream['loop_lag_ms']:.0f} ms of the loop, "
        f"{stream['latency_ms']:.0f} ms from exchange to engine",
        books=f"{books.count('synchronised')} of {len(books)} synchronised",
    )


def print_figures(**figures: str) -> None:
    """Print one line for each figure."""
    for name, text in figures.items():
        print(f"{name.replace('_', ' '):20s}{text}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--minutes", type=float)
    options = parser.parse_args()
    run(options.minutes * 60 if options.minutes else options.seconds)
