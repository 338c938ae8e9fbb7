"""Start of the terminal beside that of a minimal Textual app: first frame, filled, memory, imports.

Run as `python -m benchmarks.first_frame [starts]`; it takes 2 minutes. Both start in turn in a
terminal of 160x48. The first frame is there when the program has written more than 60 visible
letters and digits on the alternate screen; klinetop, attached to a running engine with a demo, is
filled when it has written 600 digits. All programs run from compiled modules. Processor time is
that of the whole process up to then. At the end klinetop starts engines of its own.
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from benchmarks.desk import answers, command, engine, scratch, stop, wait_until
from benchmarks.terminal import Terminal

SIZE = (160, 48)
STARTS = 20
COLD_STARTS = 3
VISIBLE = 60
DIGITS = 600
SETTLE_S = 3.0
COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}
_CONTROL = re.compile(rb"\x1b\[[0-9;?<>=]*[a-zA-Z]|\x1b[()][A-Z0-9]|\x1b[=>]")
_FORBIDDEN = ("tensorflow", "pandas", "numpy", "Crypto", "sklearn", "h5py")
MINIMAL = """
from textual.app import App
from textual.widgets import Static

class Minimal(App):
    def compose(self):
        yield Static("a minimal app of Textual with one widget " * 10)

Minimal().run()
"""


class Start(NamedTuple):
    """Seconds until something was on the screen, and processor seconds of the process by then."""

    wall_s: float
    cpu_s: float


class Watch:
    """Reads what a program writes on the alternate screen."""

    def __init__(self, opened: Terminal) -> None:
        self._opened = opened
        self._seen = b""

    def until(self, wanted: Callable[[bytes], bool]) -> Start:
        """Read until what was written without control sequences is as wanted."""
        while True:
            _, switched, after = self._seen.partition(b"\x1b[?1049h")
            if switched and wanted(_CONTROL.sub(b"", after)):
                wall_s = perf_counter() - self._opened.started
                return Start(wall_s, self._opened.cpu_seconds())
            self._seen += self._opened.read(10.0)


def has_frame(text: bytes) -> bool:
    """Whether a first frame was written."""
    return len(re.findall(rb"[A-Za-z0-9]", text)) > VISIBLE


def is_filled(text: bytes) -> bool:
    """Whether the panes were filled."""
    return len(re.findall(rb"[0-9]", text)) >= DIGITS


class Starts:
    """Starts programs and keeps how long it took.

    Attributes:
        resident_mb: Memory of klinetop some seconds after its start (MB).
        heavy: Heavy libraries that it had loaded by then.
    """

    def __init__(self, directory: Path, minimal: Path) -> None:
        self._klinetop = command("--data-dir", str(directory), "--demo")
        self._minimal = [sys.executable, str(minimal)]
        self.minimal: list[Start] = []
        self.first: list[Start] = []
        self.filled: list[Start] = []
        self.resident_mb = 0.0
        self.heavy: set[str] = set()

    def minimal_app(self) -> None:
        """Start the minimal app."""
        opened = Terminal(self._minimal, SIZE, COMPILED)
        self.minimal.append(Watch(opened).until(has_frame))
        opened.close()

    def attached(self) -> None:
        """Start klinetop on the running engine."""
        opened = Terminal(self._klinetop, SIZE, COMPILED)
        watch = Watch(opened)
        self.first.append(watch.until(has_frame))
        self.filled.append(watch.until(is_filled))
        if not self.resident_mb:
            opened.drain(SETTLE_S)
            self.resident_mb = opened.resident_mb()
            maps = opened.modules()
            self.heavy = {name for name in _FORBIDDEN if f"/{name}/" in maps}
        opened.close()

    def with_engine(self, directory: Path) -> Start:
        """Start klinetop where no engine runs; end the engine that it started."""
        opened = Terminal(self._klinetop, SIZE, COMPILED)
        start = Watch(opened).until(has_frame)
        wait_until(lambda: answers(directory), 60, "the engine that the terminal started")
        stop(directory)
        wait_until(lambda: not answers(directory), 60, "the engine stopped")
        opened.close()
        return start

    def forget(self) -> None:
        """Forget the starts so far, which compiled the modules."""
        for starts in (self.minimal, self.first, self.filled):
            starts.clear()


def shown(title: str, starts: list[Start], beside: list[Start]) -> str:
    """Return medians in words, and how they compare with those of `beside`."""
    wall_s, cpu_s = (statistics.median(column) for column in zip(*starts, strict=True))
    least_s, least_cpu_s = (statistics.median(column) for column in zip(*beside, strict=True))
    return (
        f"{title:<28} {wall_s:.3f} s (best {min(starts).wall_s:.3f})   {wall_s / least_s:.2f} times"
        f"   processor {cpu_s:.2f} s   {cpu_s / least_cpu_s:.2f} times"
    )


def main() -> None:
    """Print medians and their ratios."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else STARTS
    with tempfile.TemporaryDirectory(prefix="klinetop-bench-") as folder, scratch() as directory:
        minimal = Path(folder) / "minimal.py"
        minimal.write_text(MINIMAL, encoding="utf-8")
        starts = Starts(directory, minimal)
        with engine(directory, "--demo"):
            starts.attached()
            starts.minimal_app()
            starts.forget()
            for _ in range(count):
                starts.minimal_app()
                starts.attached()
        cold = [starts.with_engine(directory) for _ in range(COLD_STARTS)]
    print(f"medians of {count} starts in turn, {COLD_STARTS} with an engine of their own")
    print(shown("minimal app of Textual", starts.minimal, starts.minimal))
    print(shown("klinetop, first frame", starts.first, starts.minimal))
    print(shown("klinetop, filled", starts.filled, starts.minimal))
    print(shown("klinetop, engine started", cold, starts.minimal))
    print(f"resident memory after {SETTLE_S:.0f} s   {starts.resident_mb:.0f} MB")
    print(f"heavy libraries loaded       {', '.join(sorted(starts.heavy)) or 'none'}")


if __name__ == "__main__":
    main()
