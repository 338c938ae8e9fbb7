"""From key to screen while a training job runs and 5,000 messages a second come in.

Run as `python -m benchmarks.keys`. A number key focuses a pane; the answer has come when the heavy
corner of the focused pane's frame was written.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import time

from benchmarks.desk import ask, command, engine, scratch, terminal, wait_until
from benchmarks.terminal import Terminal

SIZE = (160, 48)
PRESSES = 200
CORNER = "┏".encode()


def answer_ms(opened: Terminal, key: str) -> float:
    """Press `key` and return the milliseconds until the frame of its pane is drawn."""
    while opened.read(0.0):
        pass
    opened.press(key)
    start = time.perf_counter()
    seen = b""
    while CORNER not in seen:
        seen += opened.read(2.0)
        if time.perf_counter() - start > 2.0:
            return float("inf")
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    """Print percentiles."""
    with scratch() as directory, engine(directory, "--demo", "--activity", "60"):
        wait_until(lambda: ask(directory, "status")["engine"]["state"] == "running", 120, "running")
        with terminal(directory, SIZE, "--demo") as opened:
            opened.drain(5.0)
            job = subprocess.Popen(
                command("train", "BTCUSDT", "1m", "--data-dir", str(directory), "--json"),
                stdout=subprocess.DEVNULL,
            )
            opened.drain(8.0)
            rate = ask(directory, "status")["stream"]["messages_per_s"]
            times, key = [], "1"
            choice = random.Random(1)
            for _ in range(PRESSES):
                key = choice.choice([other for other in "123456" if other != key])
                times.append(answer_ms(opened, key))
                opened.drain(choice.uniform(0.02, 0.12))
            running = job.poll() is None
            job.terminate()
            job.wait(10)
    times.sort()
    training = "ran throughout" if running else "ended early"
    print(f"{PRESSES} keys, {rate:.0f} messages/s, training {training}")
    print(
        f"median {statistics.median(times):.1f} ms   p95 {times[int(0.95 * len(times))]:.1f} ms   "
        f"p99 {times[int(0.99 * len(times))]:.1f} ms   max {times[-1]:.1f} ms"
    )


if __name__ == "__main__":
    main()
