"""klinetop on real candles, as a user runs it: replay a kline file, press t, watch forecasts.

Run as `KLINETOP_RECORDINGS=… python -m benchmarks.real_klines [speed] [outcomes]`. A terminal (in a
pseudo-terminal) starts the engine with `klinetop --replay BTCUSDT_1m.csv.gz --speed 120`; the first
60 % of the file are history, the rest comes live. The hotkey `t` trains a model; at the end every
stored candle is compared with the file's row.
"""

from __future__ import annotations

import csv
import gzip
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.desk import answers, ask, scratch, stop, terminal, wait_until
from benchmarks.recordings import kline_file
from benchmarks.terminal import Terminal
from engine.store import open_reader

SIZE = (160, 48)
SYMBOL, INTERVAL = "BTCUSDT", "1m"
TRAINING_LIMIT_S = 240.0
OUTCOMES_LIMIT_S = 300.0
Row = tuple[float, float, float, float, float, float, int | None]


def file_rows(path: Path) -> dict[int, Row]:
    """Return open, high, low, close, volume, quote volume and trades by open time (ms)."""
    with gzip.open(path, "rt", newline="") as lines:
        return {
            int(row["open_time"]): (
                *(float(row[name]) for name in ("open", "high", "low", "close")),
                float(row["volume"]),
                float(row["quote_volume"]),
                int(row["count"]) if row["count"] else None,
            )
            for row in csv.DictReader(lines)
        }


def watch(opened: Terminal, directory: Path, condition: Any, limit_s: float, what: str) -> Any:
    """Read the terminal until `condition` of the status report gives something; return that."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        opened.drain(1.0)
        found = condition(ask(directory, "status"))
        if found:
            return found
    raise TimeoutError(f"not within {limit_s:.0f} s: {what}")


def model_of(status: dict[str, Any]) -> dict[str, Any] | None:
    """Return model and record when there is one."""
    return next(iter(status["forecast"]["models"]), None)


def compare(directory: Path, rows: dict[int, Row]) -> tuple[int, int, int, int]:
    """Return stored candles, those equal to the file, those missing between first and last, NULLs.

    NULLs counts the candles whose taker volumes, which the file does not tell, are unknown.
    """
    reader = open_reader(directory)
    stored = {candle.open_time_ms: candle for candle in reader.candles(SYMBOL, INTERVAL)}
    reader.close()
    equal = sum(
        rows.get(at)
        == (row.open, row.high, row.low, row.close, row.volume, row.quote_volume, row.trades)
        for at, row in stored.items()
    )
    missing = sum(min(stored) <= at <= max(stored) and at not in stored for at in rows)
    unknown = sum(row.taker_buy_volume is None for row in stored.values())
    return len(stored), equal, missing, unknown


def run(directory: Path, speed: str, outcomes: int) -> dict[str, Any]:
    """Play, train, forecast; return the last status report."""
    arguments = ("--replay", str(kline_file()), "--speed", speed)
    with terminal(directory, SIZE, *arguments) as opened:
        opened.wait_for(b"BTCUSDT")
        wait_until(lambda: answers(directory), 60, "the engine answers")
        engine = psutil.Process(ask(directory, "status")["engine"]["pid"])
        try:
            watch(
                opened,
                directory,
                lambda status: status["engine"]["state"] == "running",
                120,
                "the engine runs",
            )
            opened.press("t")
            pressed = time.perf_counter()
            watch(opened, directory, model_of, TRAINING_LIMIT_S, "the model is trained")
            print(f"model {time.perf_counter() - pressed:.0f} s after the key t", flush=True)
            watch(
                opened,
                directory,
                lambda status: model_of(status)["record"]["resolved"] >= outcomes,  # type: ignore[index]
                OUTCOMES_LIMIT_S,
                f"{outcomes} forecasts resolved",
            )
            return ask(directory, "status")
        finally:
            stop(directory)
            if engine.is_running():
                engine.terminate()
                engine.wait(30)


def main() -> None:
    """Print what was stored and how the forecasts did."""
    speed = sys.argv[1] if len(sys.argv) > 1 else "120"
    outcomes = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    rows = file_rows(kline_file())
    with scratch() as directory:
        status = run(directory, speed, outcomes)
        stored, equal, missing, unknown = compare(directory, rows)
    found = model_of(status)
    assert found is not None
    print(f"file {len(rows):,} rows, played at {speed} times the speed of time")
    print(
        f"stored {stored:,} candles {status['store']['by_source']}: {equal:,} equal to the file, "
        f"{missing} missing in between, taker volumes unknown in {unknown:,}"
    )
    print(f"gaps {status['store']['gaps']}, dropped {status['stream']['dropped']}")
    print(f"model {found['model']}")
    print(f"record {found['record']}")


if __name__ == "__main__":
    main()
