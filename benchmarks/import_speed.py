"""Import speed: a fresh series from a CSV file in the raw form of Binance's public archive.

Run as `python -m benchmarks.import_speed [rows]`. The file is generated before the clock starts,
which runs from opening it until the last COMMIT returned (synchronous=FULL), checks included. The
same file is then imported again, which must change nothing.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
from pathlib import Path

from engine.market.interval import MINUTE_MS
from engine.store import Store, import_kline_file

ROWS = 1_000_000
ROUNDS = 3
START_MS = 1_609_459_200_000  # 2021-01-01
SERIES = ("BTCUSDT", "1m")


def write_file(path: Path, rows: int) -> None:
    """Write `rows` one-minute klines: no header, twelve columns, prices with eight places."""
    dice = random.Random(7)
    price = 29_000.0
    with path.open("w", encoding="ascii") as file:
        for row in range(rows):
            time_ms = START_MS + row * MINUTE_MS
            close = max(1.0, price + dice.gauss(0, 12))
            high, low = max(price, close) + dice.random() * 9, min(price, close) * 0.9999
            volume = dice.expovariate(1 / 30)
            buys = volume * dice.random()
            file.write(
                f"{time_ms},{price:.8f},{high:.8f},{low:.8f},{close:.8f},{volume:.8f},"
                f"{time_ms + MINUTE_MS - 1},{volume * close:.8f},{dice.randrange(2000)},"
                f"{buys:.8f},{buys * close:.8f},0\n"
            )
            price = close


def main() -> None:
    """Print rows a second of each round and their median."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory(prefix="klinetop-import-") as scratch:
        path = Path(scratch) / "BTCUSDT-1m.csv"
        write_file(path, rows)
        print(f"{rows:,} rows, {path.stat().st_size / 1e6:.0f} MB of CSV")
        rates = []
        for number in range(ROUNDS):
            with Store.open(Path(scratch) / f"store{number}", source="live") as store:
                result = import_kline_file(store, path, *SERIES)
                assert result.inserted == store.reader.candle_count() == rows
                rates.append(rows / result.seconds)
                print(f"fresh series   {rates[-1]:10,.0f} rows/s   {result.seconds:.2f} s")
                if number == ROUNDS - 1:
                    again = import_kline_file(store, path, *SERIES)
                    assert again.unchanged == rows
                    print(f"the same again {rows / again.seconds:10,.0f} rows/s   nothing changed")
        print(f"median         {statistics.median(rates):10,.0f} rows/s")


if __name__ == "__main__":
    main()
