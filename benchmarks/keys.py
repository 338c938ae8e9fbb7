"""From key to screen: each key of a round, at rest and while a model trains.

Run as `python -m benchmarks.keys [rounds] [loaded]`; it takes 3 minutes. A key is answered when the
last byte of the first frame that shows its answer has come: help its heading, Esc the dashboard, a
number the heavy corner of its pane, an arrow the cursor in another row or the crosshair at another
time. An engine with a demo runs at its default pace; then one training job follows the other on it.
With `loaded` the exchange is one that sends 5,000 messages a second, in a process of its own. The
fixed computation (the sum of a million numbers, between the keys) tells how busy the machine was.
"""

from __future__ import annotations

import contextlib
import random
import re
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.desk import ask, command, engine, scratch, terminal, wait_until
from benchmarks.grid import Grid, Screen
from benchmarks.loaded_exchange import loaded_exchange

SIZE = (160, 48)
ROUNDS = 9
TOO_LATE_S = 2.0
FIXED_STEPS = 1_000_000
DOWN, UP, RIGHT, LEFT = "\x1b[B", "\x1b[A", "\x1b[C", "\x1b[D"
ESC = "\x1b"
Answered = Callable[[list[str], list[str]], bool]
"""Tells from the rows before and after whether a key was answered."""


class Step(NamedTuple):
    """A key and its answer."""

    name: str
    key: str
    answered: Answered


def shows(pattern: str) -> Answered:
    """Answered when `pattern` stands on the screen."""
    wanted = re.compile(pattern)
    return lambda _, now: any(wanted.search(line) for line in now)


def lacks(pattern: str) -> Answered:
    """Answered when `pattern` stands there no longer."""
    shown = shows(pattern)
    return lambda before, now: not shown(before, now)


def changes(pattern: str) -> Answered:
    """Answered when other rows hold `pattern` than before, or it reads otherwise there."""
    wanted = re.compile(pattern)

    def found(rows: list[str]) -> list[tuple[int, str]]:
        return [(at, hit[0]) for at, row in enumerate(rows) for hit in wanted.finditer(row)]

    return lambda before, now: found(before) != found(now)


FOCUS = "┏"
DASHBOARD = shows(rf"{FOCUS}\d ")
BACK = Step("Esc", ESC, DASHBOARD)
CURSOR = changes("▸")
CROSSHAIR = changes(rf"{FOCUS}3 chart.*?\d\d:\d\d|{FOCUS}3 chart  \w+ \w+ O")
INTERVAL = changes(r"chart  \w+ \w+")


def focus(number: int) -> Answered:
    """Answered when the pane `number` has the heavy frame."""
    return shows(f"{FOCUS}{number} ")


ROUND = (
    *(Step("1-6", str(number), focus(number)) for number in (1, 2, 4, 5, 6, 3)),
    Step("Tab", "\t", focus(4)),
    Step("Tab", "\t", focus(5)),
    Step("? help", "?", shows("klinetop: keys")),
    BACK,
    Step("Ctrl+P palette", "\x10", lacks(rf"{FOCUS}\d ")),
    BACK,
    Step("/ find", "/", shows("find a market")),
    Step("typing", "e", shows("^ ?e ")),
    Step("typing", "t", shows("^ ?et ")),
    Step("typing", "h", shows("^ ?eth ")),
    BACK,
    Step("1-6", "4", focus(4)),
    Step("g gaps", "g", shows("gaps of all markets")),
    BACK,
    Step("c coverage", "c", shows("coverage of the last")),
    BACK,
    Step("1-6", "1", focus(1)),
    Step("arrows", DOWN, CURSOR),
    Step("arrows", UP, CURSOR),
    Step("1-6", "3", focus(3)),
    Step("arrows", LEFT, CROSSHAIR),
    Step("arrows", LEFT, CROSSHAIR),
    Step("Esc", ESC, CROSSHAIR),
    Step("[ ]", "]", INTERVAL),
    Step("[ ]", "[", INTERVAL),
    Step("space", " ", shows("FROZEN")),
    Step("space", " ", lacks("FROZEN")),
)


class Keyboard:
    """Presses keys and waits for the frames that answer them."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._choice = random.Random(1)
        self.times: defaultdict[str, list[float]] = defaultdict(list)
        self.fixed: list[float] = []

    @property
    def grid(self) -> Grid:
        """What is shown."""
        return self._screen.grid

    def rest(self, seconds: float) -> None:
        """Read what comes for a while."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            for _ in self._screen.frames(left):
                pass

    def answer_ms(self, step: Step) -> float:
        """Press a key and return the milliseconds until its answer was written."""
        before = self.grid.lines()
        start = time.perf_counter()
        self._screen.opened.press(step.key)
        while (left := start + TOO_LATE_S - time.perf_counter()) > 0:
            for _ in self._screen.frames(left):
                came = time.perf_counter()
                if step.answered(before, self.grid.lines()):
                    return 1000 * (came - start)
        return float("inf")

    def play(self, rounds: int, *, keep: bool = True) -> None:
        """Press the keys of so many rounds at uneven intervals."""
        for _ in range(rounds):
            for step in ROUND:
                answer_ms = self.answer_ms(step)
                if keep:
                    self.times[step.name].append(answer_ms)
                self.rest(self._choice.uniform(0.1, 0.3))
                start = time.perf_counter()
                sum(range(FIXED_STEPS))
                self.fixed.append(1000 * (time.perf_counter() - start))

    def report(self, title: str) -> None:
        """Print the times of each key, and forget them."""
        print(title)
        everything = [answer for answers in self.times.values() for answer in answers]
        for name, answers in (*self.times.items(), ("all keys", everything)):
            print(f"    {name:<16} {percentiles(answers)}")
        late = sum(answer == float("inf") for answer in everything)
        print(f"    without an answer within {TOO_LATE_S} s: {late}")
        print(f"    fixed computation {percentiles(self.fixed)}", flush=True)
        self.times.clear()
        self.fixed.clear()


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


def percentiles(times: list[float]) -> str:
    """Return number, median, 95th percentile and maximum of times (ms) in words."""
    ordered = sorted(times)
    return (
        f"n {len(ordered):4d}   p50 {statistics.median(ordered):6.1f} ms   "
        f"p95 {ordered[int(0.95 * len(ordered))]:6.1f} ms   max {ordered[-1]:6.1f} ms"
    )


def phases(directory: Path, keyboard: Keyboard, rounds: int) -> Iterator[str]:
    """Play the rounds at rest and in training; yield the title of each phase when it is over."""
    keyboard.rest(5.0)
    keyboard.play(1, keep=False)
    keyboard.play(rounds)
    yield "at rest"
    with Training(directory) as training:
        wait_until(lambda: is_training(directory), 60, "the training job runs")
        keyboard.rest(5.0)
        keyboard.play(rounds)
        yield f"in training ({training.jobs} jobs, at the end one ran: {is_training(directory)})"


@contextlib.contextmanager
def exchange(*, loaded: bool) -> Iterator[list[str]]:
    """Yield the options that say which exchange to use."""
    if loaded:
        with loaded_exchange() as arguments:
            yield arguments
    else:
        yield ["--demo"]


def main() -> None:
    """Print percentiles."""
    words = sys.argv[1:]
    rounds = next((int(word) for word in words if word.isdecimal()), ROUNDS)
    with (
        exchange(loaded="loaded" in words) as arguments,
        scratch() as directory,
        engine(directory, *arguments),
    ):
        wait_until(lambda: ask(directory, "status")["engine"]["state"] == "running", 180, "running")
        with terminal(directory, SIZE, *arguments) as opened:
            keyboard = Keyboard(Screen(opened, SIZE))
            for title in phases(directory, keyboard, rounds):
                keyboard.report(title)


if __name__ == "__main__":
    main()
