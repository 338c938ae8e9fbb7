"""Start of the terminal: time to the first frame, memory, and what it imported.

Run as `python -m benchmarks.first_frame`. The first frame is there when the program has
written more than 60 visible letters and digits on the alternate screen. Two thirds of the starts
find a running engine, the others start one.
"""

from __future__ import annotations

import re
import statistics
import time

from benchmarks.desk import answers, engine, scratch, stop, terminal, wait_until
from benchmarks.terminal import Terminal

SIZE = (160, 48)
STARTS = 10
VISIBLE = 60
_CONTROL = re.compile(rb"\x1b\[[0-9;?<>=]*[a-zA-Z]|\x1b[()][A-Z0-9]|\x1b[=>]")
_FORBIDDEN = ("tensorflow", "pandas", "numpy", "Crypto", "sklearn", "h5py")


def first_frame_s(opened: Terminal) -> float:
    """Read until the first frame is on the screen; return the seconds since the start."""
    seen = b""
    while True:
        seen += opened.read(10.0)
        _, switched, after = seen.partition(b"\x1b[?1049h")
        letters = re.findall(rb"[A-Za-z0-9]", _CONTROL.sub(b"", after))
        if switched and len(letters) > VISIBLE:
            return time.perf_counter() - opened.started


def main() -> None:
    """Print medians, best and worst."""
    with scratch() as directory:
        attached, resident, found = [], [], set()
        with engine(directory, "--demo"):
            for start in range(STARTS + 1):
                with terminal(directory, SIZE, "--demo") as opened:
                    seconds = first_frame_s(opened)
                    opened.drain(3.0)
                    if start:
                        attached.append(seconds)
                        resident.append(opened.resident_mb())
                    maps = opened.modules()
                    found |= {name for name in _FORBIDDEN if f"/{name}/" in maps}
        cold = []
        for _ in range(STARTS // 2):
            with terminal(directory, SIZE, "--demo") as opened:
                cold.append(first_frame_s(opened))
                wait_until(lambda: answers(directory), 60, "the engine that the terminal started")
                stop(directory)
                wait_until(lambda: not answers(directory), 60, "the engine stopped")
    print(
        f"first frame, engine runs     median {statistics.median(attached):.3f} s"
        f"   best {min(attached):.3f} s   worst {max(attached):.3f} s"
    )
    print(
        f"first frame, engine started  median {statistics.median(cold):.3f} s"
        f"   best {min(cold):.3f} s   worst {max(cold):.3f} s"
    )
    print(f"resident memory after 3 s    median {statistics.median(resident):.0f} MB")
    print(f"heavy libraries loaded       {', '.join(sorted(found)) or 'none'}")


if __name__ == "__main__":
    main()
