"""From key to screen while a training job runs and 5,000 messages a second come in.

Run as `python -m benchmarks.keys`. A number key focuses a pane; the answer has come when the heavy
corner of that pane's frame was written at its place (learned before: each key once). A simulated
exchange under load runs in a process of its own, and training jobs one after the other.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import threading
import time
from pathlib import Path

from benchmarks.desk import ask, command, engine, scratch, terminal, wait_until
from benchmarks.loaded_exchange import loaded_exchange
from benchmarks.screen import Cell, Cursor
from benchmarks.terminal import Terminal

SIZE = (160, 48)
PRESSES = 300
PANES = "123456"
CORNER = "┏"
TOO_LATE_S = 2.0
FIXED_STEPS = 1_000_000


class Keyboard:
    """Presses number keys in a terminal and waits for the frame of the pane to get heavy."""

    def __init__(self, opened: Terminal) -> None:
        self._opened = opened
        self._cursor = Cursor()
        self._corner: dict[str, Cell] = {}

    def rest(self, seconds: float) -> None:
        """Read what comes for a while."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self._cursor.feed(self._opened.read(left), CORNER)

    def learn(self) -> None:
        """Find the corner of each pane."""
        for key in (*PANES, PANES[0]):
            self._opened.press(key)
            end = time.perf_counter() + TOO_LATE_S
            found: list[Cell] = []
            while not found and time.perf_counter() < end:
                found = self._cursor.feed(self._opened.read(0.1), CORNER)
            if found:
                self._corner[key] = found[-1]
            self.rest(0.3)
        if len(set(self._corner.values())) != len(PANES):
            raise RuntimeError(f"the corners of the panes were not found: {self._corner}")

    def answer_ms(self, key: str) -> float:
        """Press `key` and return the milliseconds until the corner of its pane is written."""
        self.rest(0.0)
        while data := self._opened.read(0.0):
            self._cursor.feed(data, CORNER)
        start = time.perf_counter()
        self._opened.press(key)
        while (left := start + TOO_LATE_S - time.perf_counter()) > 0:
            cells = self._cursor.feed(self._opened.read(left), CORNER)
            if self._corner[key] in cells:
                return 1000 * (time.perf_counter() - start)
        return float("inf")


class Training:
    """Runs one training job after the other until it is left.

    Attributes:
        jobs: Jobs begun.
    """

    def __init__(self, directory: Path) -> None:
        self._command = command("train", "BTCUSDT", "1m", "--data-dir", str(directory), "--json")
        self._process: subprocess.Popen[bytes] | None = None
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.jobs = 0

    def __enter__(self) -> Training:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        if self._process is not None:
            self._process.terminate()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._leaving.is_set():
            self._process = subprocess.Popen(
                self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            self.jobs += 1
            self._process.wait()


def is_training(directory: Path) -> bool:
    """Whether a trainer is at work."""
    job = ask(directory, "status")["forecast"]["job"]
    return bool(job and job["state"] in ("starting", "training", "evaluating"))


def press_all(keyboard: Keyboard) -> tuple[list[float], list[float]]:
    """Press keys at uneven intervals.

    Returns:
        The times of their answers and those of a fixed computation in this process, made between
        the keys, which tell how busy the machine is (ms, ascending).
    """
    choice = random.Random(1)
    times, fixed, key = [], [], PANES[0]
    for _ in range(PRESSES):
        key = choice.choice([other for other in PANES if other != key])
        times.append(keyboard.answer_ms(key))
        keyboard.rest(choice.uniform(0.05, 0.25))
        start = time.perf_counter()
        sum(range(FIXED_STEPS))
        fixed.append(1000 * (time.perf_counter() - start))
    return sorted(times), sorted(fixed)


def percentiles(times: list[float]) -> str:
    """Return median, 95th and 99th percentile and maximum of ascending times (ms) in words."""
    return (
        f"median {statistics.median(times):.1f} ms   p95 {times[int(0.95 * len(times))]:.1f} ms   "
        f"p99 {times[int(0.99 * len(times))]:.1f} ms   max {times[-1]:.1f} ms"
    )


def main() -> None:
    """Print percentiles."""
    with (
        loaded_exchange() as arguments,
        scratch() as directory,
        engine(directory, *arguments),
    ):
        wait_until(lambda: ask(directory, "status")["engine"]["state"] == "running", 180, "running")
        with terminal(directory, SIZE) as opened:
            keyboard = Keyboard(opened)
            keyboard.rest(5.0)
            keyboard.learn()
            with Training(directory) as training:
                wait_until(lambda: is_training(directory), 60, "the training job runs")
                keyboard.rest(8.0)
                begun, rate = training.jobs, ask(directory, "status")["stream"]["messages_per_s"]
                times, fixed = press_all(keyboard)
                still, after = is_training(directory), training.jobs
    lost = sum(time == float("inf") for time in times)
    print(f"{PRESSES} keys, {rate:.0f} messages/s, {lost} without an answer within {TOO_LATE_S} s")
    print(f"training: {after - begun + 1} jobs one after the other, at the end one ran: {still}")
    print(f"key to screen      {percentiles(times)}")
    print(f"fixed computation  {percentiles(fixed)}")


if __name__ == "__main__":
    main()
