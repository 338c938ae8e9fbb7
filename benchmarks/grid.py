"""A terminal's screen as cells: just enough of ECMA-48 to see what klinetop shows.

It shares no code with the terminal under test, so that each can be checked against the other.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from rich.cells import cell_len

from benchmarks.terminal import Size, Terminal

FRAME_END = b"\x1b[?2026l"
ASKS_FOR_FRAMES = b"\x1b[?2026$p"
MARKS_FRAMES = "\x1b[?2026;2$y"

_TOKEN = re.compile(
    r"\x1b\[(?P<codes>[0-9;:]*)m"
    r"|\x1b\[(?P<row>\d*);?(?P<column>\d*)H"
    r"|\x1b\[(?P<count>\d*)(?P<move>[ABCDGJK])"
    r"|\x1b\[[0-9;?<>=]*[a-zA-Z$]+|\x1b[()][A-Z0-9]|\x1b[=>]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|(?P<line>\n)|(?P<start>\r)|(?P<text>[^\x00-\x1f\x7f]+)"
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9;?<>=]*|\][^\x07\x1b]*)?\Z")

Style = tuple[tuple[str, str], ...]
"""Attribute codes by kind (`fg`, `bg`, `1`, `2` …), ascending."""

Cell = tuple[str, Style]
PLAIN: Style = ()
BLANK: Cell = (" ", PLAIN)
_FLAGS = {"1", "2", "3", "4", "5", "7", "8", "9"}
_OFF = {"22": ("1", "2"), "23": ("3",), "24": ("4",), "25": ("5",), "27": ("7",), "28": ("8",),
        "29": ("9",), "39": ("fg",), "49": ("bg",)}  # fmt: skip


class Grid:
    """Rows of cells, kept up to date with what a program writes."""

    def __init__(self, size: Size) -> None:
        self.columns, self.height = size
        self.rows: list[list[Cell]] = [[BLANK] * self.columns for _ in range(self.height)]
        self._row = self._column = 0
        self._style: Style = PLAIN
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""

    def feed(self, data: bytes) -> None:
        """Carry out what was written."""
        text = self._rest + self._decode(data)
        unfinished = _UNFINISHED.search(text)
        self._rest = unfinished[0] if unfinished else ""
        for token in _TOKEN.finditer(text, 0, len(text) - len(self._rest)):
            self._take(token)

    def lines(self) -> list[str]:
        """Return the text of each row."""
        return ["".join(char for char, _ in row) for row in self.rows]

    def text(self) -> str:
        """Return all rows, each with a line end."""
        return "\n".join(self.lines())

    def copy(self) -> list[list[Cell]]:
        """Return the cells as they are now."""
        return [list(row) for row in self.rows]

    def _take(self, token: re.Match[str]) -> None:
        if token["text"]:
            self._write(token["text"])
        elif token["codes"] is not None:
            self._style = styled(self._style, token["codes"])
        elif token["row"] is not None:
            self._row, self._column = int(token["row"] or 1) - 1, int(token["column"] or 1) - 1
        elif token["move"]:
            self._move(token["move"], token["count"])
        elif token["line"]:
            self._row = min(self._row + 1, self.height - 1)
        elif token["start"]:
            self._column = 0

    def _move(self, letter: str, count: str) -> None:
        by = int(count or 1)
        match letter:
            case "A":
                self._row -= by
            case "B":
                self._row += by
            case "C":
                self._column += by
            case "D":
                self._column -= by
            case "G":
                self._column = by - 1
            case "J":
                self.rows = [[BLANK] * self.columns for _ in range(self.height)]
            case _:
                row = self.rows[self._row]
                row[self._column :] = [BLANK] * (self.columns - self._column)

    def _write(self, text: str) -> None:
        row = self.rows[min(self._row, self.height - 1)]
        for char in text:
            width = 1 if char.isascii() else cell_len(char)
            if width and self._column + width <= self.columns:
                row[self._column] = (char, self._style)
                row[self._column + 1 : self._column + width] = [("", self._style)] * (width - 1)
            self._column += width


def styled(style: Style, codes: str) -> Style:
    """Return `style` after an SGR sequence with `codes`."""
    parts = dict(style)
    items = iter(codes.replace(":", ";").split(";"))
    for code in items:
        if code in ("", "0"):
            parts.clear()
        elif code in _FLAGS:
            parts[code] = code
        elif code in _OFF:
            for kind in _OFF[code]:
                parts.pop(kind, None)
        elif code in ("38", "48"):
            kind = "fg" if code == "38" else "bg"
            parts[kind] = ";".join((code, *_color(items)))
        elif code.isdigit():
            parts["bg" if code[0] == "4" or code.startswith("10") else "fg"] = code
    return tuple(sorted(parts.items()))


def _color(items: Iterator[str]) -> tuple[str, ...]:
    kind = next(items, "5")
    return (kind, *(next(items, "0") for _ in range(3 if kind == "2" else 1)))


class Screen:
    """A terminal with its grid, which tells the program that frames may be marked.

    Attributes:
        grid: What is shown.
    """

    def __init__(self, opened: Terminal, size: Size) -> None:
        self.opened = opened
        self.grid = Grid(size)
        self._rest = b""

    def frames(self, timeout_s: float) -> Iterator[bytes]:
        """Read once, at most for `timeout_s` (s); yield what each finished frame took.

        When a frame is yielded the grid shows it, and nothing after it.
        """
        data = self.opened.read(timeout_s)
        if ASKS_FOR_FRAMES in data:
            self.opened.press(MARKS_FRAMES)
        self._rest += data
        while FRAME_END in self._rest:
            frame, _, self._rest = self._rest.partition(FRAME_END)
            self.grid.feed(frame + FRAME_END)
            yield frame + FRAME_END
