"""Training on real candles: seconds and accuracy of the honest and the tutorial recipe.

Run as `KLINETOP_RECORDINGS=… python -m benchmarks.training`. The recorded BTCUSDT 1m file is
imported into an empty database; then `klinetop train` runs without an engine, once for each recipe.
The exchange's address is one where nobody answers, so that nothing is fetched.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.desk import command, scratch
from benchmarks.recordings import kline_file

RECIPES = ("honest", "tutorial")
NOBODY = ("--rest-url", "http://127.0.0.1:9", "--stream-url", "ws://127.0.0.1:9")
LIMIT_S = 500.0


def run(directory: Path, *arguments: str) -> tuple[dict[str, Any], float]:
    """Return the JSON answer of a headless command and its seconds."""
    start = time.perf_counter()
    done = subprocess.run(
        command(*arguments, "--json", "--data-dir", str(directory), *NOBODY),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        timeout=LIMIT_S,
        text=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer, time.perf_counter() - start


def main() -> None:
    """Print the figures of both recipes."""
    with scratch() as directory:
        counts, seconds = run(
            directory, "import", str(kline_file()), "--symbol", "BTCUSDT", "--interval", "1m"
        )
        print(f"import    {seconds:5.1f} s   {json.dumps(counts)}")
        for recipe in RECIPES:
            report, seconds = run(directory, "train", "BTCUSDT", "1m", "--recipe", recipe)
            report.pop("message", None)
            print(f"{recipe:<9} {seconds:5.1f} s   {json.dumps(report)}", flush=True)


if __name__ == "__main__":
    main()
