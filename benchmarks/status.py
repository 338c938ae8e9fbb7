"""`klinetop status` in fresh processes, as a shell prompt calls it: with an engine and without one.

Run as `python -m benchmarks.status [runs]`, on an idle machine. It prints the median and the worst
wall time, and the median processor time, which other work on the machine moves less.
"""

from __future__ import annotations

import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

RUNS = 20
START_TIMEOUT_S = 120.0
NO_ENGINE = 3
AIM_MS = 150.0


class Run(NamedTuple):
    """Wall and processor time of one process."""

    wall_ms: float
    cpu_ms: float


def command(*arguments: str) -> list[str]:
    """Return a command line of klinetop."""
    return [sys.executable, "-m", "tui.cli", *arguments]


def measured(directory: Path, wanted_status: int) -> Run:
    """Run `klinetop status` once."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(
        command("status", "--data-dir", str(directory)), stdout=subprocess.DEVNULL, check=False
    )
    wall_ms = (time.perf_counter() - began) * 1000
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == wanted_status, f"status ended with {done.returncode}"
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(wall_ms, cpu_s * 1000)


def report(name: str, runs: list[Run]) -> None:
    """Print what the runs took."""
    walls = [run.wall_ms for run in runs]
    cpu_ms = statistics.median(run.cpu_ms for run in runs)
    median_ms = statistics.median(walls)
    print(
        f"{name:<16} median {median_ms:6.1f} ms   worst {max(walls):6.1f} ms   "
        f"processor {cpu_ms:6.1f} ms   {'ok' if median_ms < AIM_MS else 'over the aim'}"
    )


def main() -> None:
    """Measure with a demo's engine, and then without it."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    with tempfile.TemporaryDirectory(prefix="kt") as scratch:
        directory = Path(scratch) / "data"
        os.environ["XDG_RUNTIME_DIR"] = scratch
        # As installed: with compiled modules, whatever this shell says of them.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(Path(scratch) / "compiled")
        with subprocess.Popen(
            command("serve", "--demo", "--data-dir", str(directory)), stderr=subprocess.DEVNULL
        ) as engine:
            try:
                until_s = time.monotonic() + START_TIMEOUT_S
                asking = command("status", "--data-dir", str(directory))
                while subprocess.run(asking, capture_output=True, check=False).returncode:
                    assert time.monotonic() < until_s, "the engine does not answer"
                    time.sleep(0.2)
                report("with an engine", [measured(directory, 0) for _ in range(count)])
            finally:
                engine.send_signal(signal.SIGTERM)
        measured(directory, NO_ENGINE)
        report("without one", [measured(directory, NO_ENGINE) for _ in range(count)])


if __name__ == "__main__":
    main()
