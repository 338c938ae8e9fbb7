"""Salvage of a damaged database: seconds, memory, and the share of rows outside that is saved.

`python -m benchmarks.salvage [CANDLES]`: a database of about 3.9 MB (or as many candles as told)
with 300 kB of 0xFF in its middle, then with half of its bytes overwritten. A row lies outside the
damage when its page does.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from engine.market.candle import Candle
from engine.store import Source, Store
from engine.store.page_file import PageFile
from engine.store.page_map import PageMap

CANDLES = 36_000
SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT")
MINUTE_MS = 60_000
START_MS = 1_700_000_100_000
_CHILD = """
import json, resource, sys, time
from pathlib import Path
from engine.store.salvage import salvage
started = time.perf_counter()
found = salvage(Path(sys.argv[1]), Path(sys.argv[2]))
took_s = time.perf_counter() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if Path("/proc/self/status").exists():  # ru_maxrss starts with the parent's
    text = Path("/proc/self/status").read_text()
    peak = int(text.partition("VmHWM:")[2].split()[0])
print(json.dumps({"s": took_s, "peak": peak, "candles": found.candles,
    "pages": sum(found.unreadable.values())}))
"""


def build(directory: Path, candles: int) -> int:
    """Make the database, its series written in turns; returns its bytes."""
    each = candles // len(SYMBOLS)
    with Store.open(directory, source="live") as store:
        for start in range(0, each, 100):
            for symbol in SYMBOLS:
                rows = [_candle(at) for at in range(start, min(each, start + 100))]
                store.writer.put_candles(symbol, "1m", rows, Source.STREAM).result(60)
    with closing(sqlite3.connect(directory / "klinetop.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return (directory / "klinetop.db").stat().st_size


def _candle(at: int) -> Candle:
    price = 27_000.0 + at % 977 / 7
    return Candle(
        START_MS + at * MINUTE_MS,
        price,
        price + 2.25,
        price - 1.5,
        price + 1.125,
        5.4321 + at % 13,
        146_667.12 + at,
        at % 4_000,
        2.7 + at % 7,
        72_000.5,
    )


def candles_outside(path: Path, first: int, last: int) -> tuple[int, int]:
    """Count the candles on pages outside [first, last], and all; by the sound file."""
    outside = total = 0
    with PageFile(path) as file:
        pages = PageMap(file)
        for visit in pages.walk(pages.roots["candle"]):
            rows = len(visit.page.cells) if visit.page is not None else 0
            total += rows
            outside += 0 if first <= visit.number <= last else rows
    return outside, total


def run(sound: Path, scratch: Path, start: int, length: int) -> dict[str, Any]:
    """Overwrite a copy and salvage it in a process of its own."""
    source, fresh = scratch / "damaged", scratch / "fresh"
    source.mkdir(parents=True)
    data = sound.read_bytes()
    (source / sound.name).write_bytes(data[:start] + b"\xff" * length + data[start + length :])
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(source), str(fresh)],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print a line for each kind of damage."""
    candles = int(sys.argv[1]) if len(sys.argv) > 1 else CANDLES
    scale = 1 if sys.platform == "darwin" else 1024
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        size = build(scratch / "sound", candles)
        sound = scratch / "sound" / "klinetop.db"
        print(f"{size / 1e6:.1f} MB, {candles:,} candles")
        half = size // 2
        for label, start, length in (
            ("300 kB of 0xFF", half, 300_000),
            ("50 % of 0xFF", size // 4, half),
        ):
            first, last = start // 4096 + 1, (start + length - 1) // 4096 + 1
            outside, total = candles_outside(sound, first, last)
            found = run(sound, scratch / label.replace(" ", "_"), start, length)
            print(
                f"{label:<15} {found['s']:6.2f} s   peak {found['peak'] * scale / 1e6:4.0f} MB   "
                f"{found['candles']:,} saved of {outside:,} outside and {total:,} in all, "
                f"{found['pages']:,} damaged pages"
            )


if __name__ == "__main__":
    main()
