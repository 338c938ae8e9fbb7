"""Follows where a program writes on its terminal: just enough of ECMA-48 to find a character."""

from __future__ import annotations

import codecs
import re

from rich.cells import cell_len

_TOKEN = re.compile(
    r"\x1b\[(?P<row>\d*);?(?P<column>\d*)H"
    r"|\x1b\[(?P<count>\d*)(?P<move>[ABCDG])"
    r"|\x1b\[[0-9;?<>=]*[a-zA-Z$]+|\x1b[()][A-Z0-9]|\x1b[=>]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|(?P<line>\n)|(?P<start>\r)|(?P<text>[^\x00-\x1f\x7f]+)"
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9;?<>=]*|\][^\x07\x1b]*)?\Z")
Cell = tuple[int, int]  # row, column, both counted from 1


class Cursor:
    """Keeps the cursor's place through all output, and tells which cells a character went to."""

    def __init__(self) -> None:
        self._row = self._column = 1
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""

    def feed(self, data: bytes, wanted: str) -> list[Cell]:
        """Return the cells to which `data` wrote the character `wanted`."""
        text = self._rest + self._decode(data)
        unfinished = _UNFINISHED.search(text)
        self._rest = unfinished[0] if unfinished else ""
        found: list[Cell] = []
        for token in _TOKEN.finditer(text, 0, len(text) - len(self._rest)):
            if token["row"] is not None:
                self._row, self._column = int(token["row"] or 1), int(token["column"] or 1)
            elif token["move"]:
                self._move(token["move"], int(token["count"] or 1))
            elif token["line"]:
                self._row += 1
            elif token["start"]:
                self._column = 1
            elif token["text"]:
                found += self._write(token["text"], wanted)
        return found

    def _move(self, letter: str, count: int) -> None:
        match letter:
            case "A":
                self._row -= count
            case "B":
                self._row += count
            case "C":
                self._column += count
            case "D":
                self._column -= count
            case _:
                self._column = count

    def _write(self, text: str, wanted: str) -> list[Cell]:
        places = [
            (self._row, self._column + cell_len(text[:at]))
            for at, character in enumerate(text)
            if character == wanted
        ]
        self._column += cell_len(text)
        return places
