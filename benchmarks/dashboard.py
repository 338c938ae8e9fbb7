"""Cost of the terminal: full dashboard with 30 symbols, then with nothing arriving.

Run as `python -m benchmarks.dashboard`. The demo's market runs at its default speed; then the
simulated exchange is stopped (SIGSTOP), so that nothing arrives.
"""

from __future__ import annotations

import os
import signal
import time

import psutil

from benchmarks.desk import ask, engine, scratch, terminal, wait_until
from benchmarks.loaded_exchange import SYMBOLS as MARKETS
from benchmarks.terminal import Terminal

SIZE = (160, 48)
SETTLE_S = 15.0
MEASURE_S = 30.0
SILENCE_S = 10.0  # the feed is called stale after 5 s, and drawn so once
SYMBOLS = ",".join(MARKETS)


def measure(opened: Terminal, seconds: float) -> tuple[float, float]:
    """Return processor share (% of a core) and KB/s written over `seconds`."""
    cpu, start = opened.cpu_seconds(), time.perf_counter()
    written = opened.drain(seconds)
    elapsed = time.perf_counter() - start
    return 100 * (opened.cpu_seconds() - cpu) / elapsed, written / elapsed / 1000


def main() -> None:
    """Print processor, bytes and memory for both states."""
    with scratch() as directory, engine(directory, "--demo", "--symbols", SYMBOLS) as serving:
        wait_until(lambda: ask(directory, "status")["engine"]["state"] == "running", 120, "running")
        with terminal(directory, SIZE, "--demo", "--symbols", SYMBOLS) as opened:
            opened.drain(SETTLE_S)
            cpu, rate = measure(opened, MEASURE_S)
            status = ask(directory, "status")
            engine_usage = psutil.Process(serving.pid)
            engine_usage.cpu_percent()
            opened.drain(10.0)
            engine_cpu = engine_usage.cpu_percent()
            print(
                f"30 symbols, {status['stream']['messages_per_s']:.0f} messages/s, "
                f"{SIZE[0]}x{SIZE[1]}"
            )
            print(
                f"terminal  {cpu:5.1f} % of a core   {rate:6.2f} KB/s   "
                f"{opened.resident_mb():.0f} MB"
            )
            print(
                f"engine    {engine_cpu:5.1f} % of a core   "
                f"{engine_usage.memory_info().rss / 1e6:.0f} MB"
            )
            exchange = next(
                child for child in engine_usage.children() if "engine.simulator" in child.cmdline()
            )
            os.kill(exchange.pid, signal.SIGSTOP)
            opened.drain(SILENCE_S)
            cpu, rate = measure(opened, MEASURE_S)
            os.kill(exchange.pid, signal.SIGCONT)
            print(f"nothing arriving: terminal {cpu:5.2f} % of a core   {rate:6.2f} KB/s")


if __name__ == "__main__":
    main()
