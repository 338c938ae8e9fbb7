"""Bytes of a dashboard beside those of a plain differ that shows the same frames.

Run as `python -m benchmarks.bytes [seconds]`; it takes 80 s. 30 symbols of the demo at 160x48. The
plain differ compares the cells of each frame with those of the frame before, from the top left to
the bottom right, as a curses program does: each run of changed cells gets the shortest move of the
cursor, the attributes that differ from those written last, and the text. Bytes outside of marked
frames count for klinetop alone.
"""

from __future__ import annotations

import sys
import time

from benchmarks.desk import ask, engine, scratch, terminal, wait_until
from benchmarks.grid import Cell, Screen, Style
from benchmarks.loaded_exchange import SYMBOLS as MARKETS

SIZE = (160, 48)
SETTLE_S = 15.0
MEASURE_S = 60.0
SYMBOLS = ",".join(MARKETS)
Place = tuple[int, int]  # row, column, from 0


class PlainDiffer:
    """Encodes frames one after the other; remembers what the terminal shows."""

    def __init__(self, shown: list[list[Cell]]) -> None:
        self._shown = shown
        self._at: Place | None = None
        self._style: Style | None = None

    def encode(self, wanted: list[list[Cell]]) -> bytes:
        """Return what turns the last frame into `wanted`."""
        parts: list[str] = []
        for row, (old, new) in enumerate(zip(self._shown, wanted, strict=True)):
            for column, cell in enumerate(new):
                if cell != old[column] and cell[0]:
                    self._put(parts, row, column, cell)
        self._shown = wanted
        return "".join(parts).encode()

    def _put(self, parts: list[str], row: int, column: int, cell: Cell) -> None:
        char, style = cell
        parts.append(_moved(self._at, (row, column)))
        parts.append(_changed(self._style, style))
        parts.append(char)
        self._at, self._style = (row, column + 1), style


def _moved(at: Place | None, to: Place) -> str:
    if at == to:
        return ""
    if at is not None and at[0] == to[0] and at[1] < to[1]:
        return f"\x1b[{to[1] - at[1]}C"
    return f"\x1b[{to[0] + 1};{to[1] + 1}H"


def _changed(old: Style | None, new: Style) -> str:
    if old == new:
        return ""
    if old is not None and {kind for kind, _ in old} <= {kind for kind, _ in new}:
        return f"\x1b[{';'.join(code for kind, code in new if (kind, code) not in old)}m"
    return f"\x1b[{';'.join(('0', *(code for _, code in new)))}m"


def measure(screen: Screen, seconds: float) -> tuple[int, int, int]:
    """Return frames, bytes that klinetop wrote and bytes of the plain differ over `seconds`."""
    differ = PlainDiffer(screen.grid.copy())
    frames = plain = 0
    before, end = screen.opened.written, time.perf_counter() + seconds
    while (left := end - time.perf_counter()) > 0:
        for _ in screen.frames(left):
            frames += 1
            plain += len(differ.encode(screen.grid.copy()))
    return frames, screen.opened.written - before, plain


def main() -> None:
    """Print both rates and their ratio."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else MEASURE_S
    with scratch() as directory, engine(directory, "--demo", "--symbols", SYMBOLS):
        wait_until(lambda: ask(directory, "status")["engine"]["state"] == "running", 120, "running")
        with terminal(directory, SIZE, "--demo", "--symbols", SYMBOLS) as opened:
            screen = Screen(opened, SIZE)
            measure(screen, SETTLE_S)
            frames, own, plain = measure(screen, seconds)
    if not frames:
        raise RuntimeError("the terminal marked no frames")
    print(f"{frames} frames of {SIZE[0]}x{SIZE[1]} in {seconds:.0f} s, {len(MARKETS)} symbols")
    print(f"klinetop      {own / seconds / 1000:6.2f} KB/s")
    print(f"plain differ  {plain / seconds / 1000:6.2f} KB/s")
    print(f"ratio         {own / plain:6.2f}   (at most 0.6)")


if __name__ == "__main__":
    main()
