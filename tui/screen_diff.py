"""Writes only the cells that differ from those on the screen.

Textual repaints a changed row from the left edge of its widget on, with the whole style before and
a reset behind each piece. A `ScreenDiff` stands between it and the terminal, remembers what each
cell shows, and passes on the difference, grouped by style: a move takes 8 bytes, a change of a
24-bit colour 18.

It understands absolute moves, SGR and printable text. A piece of output with anything else in it
passes through as it is, and what was known of the screen is forgotten.
"""

from __future__ import annotations

import re
from functools import lru_cache

from rich.cells import cell_len

from tui.sgr import DEFAULT, CellStyle, applied, blank, change

BEGIN = "\x1b[?2026h"
END = "\x1b[?2026l"

_TOKEN = re.compile(
    r"\x1b\[(\d+);(\d+)H"
    r"|\x1b\[([\d;]*)m([^\x00-\x1f\x7f-\x9f]*)(\x1b\[0m)?"
    r"|([^\x00-\x1f\x7f-\x9f]+)"
    r"|\n+(?=\x1b\[\d+;\d+H)"
)
_HARMLESS = re.compile(
    r"(?:\x1b\[\?(?:7|25|1000|1003|1004|1006|1015|1016|2004|2026|2048)[hl]"
    r"|\x1b\[\?\d+\$p|\x1b\[[<>]\d*u)+"
)
_SCREEN_SWITCHED = "\x1b[?1049h"
_ENDS_PLAIN = re.compile(r"\x1b\[0?m(?:[^\x1b]|\x1b\[\d+;\d+H)*\Z")
NARROW = re.compile(
    "[\x20-\x7e\xa0-\xac\xae-\u02ff\u0370-\u0377\u0400-\u0482"
    "\u2010-\u2027\u2030-\u205e\u2190-\u21ff\u2500-\u25fc\u2800-\u28ff]*"
)
_MOVE_COST = 4
"""Bytes of a short move to the right: unchanged cells that take fewer are written again."""

_CACHED = 4096

_Known = tuple[str, CellStyle]
"""Character and style of a cell; no character where it is not known."""

_Place = tuple[int, int]
"""Row and column, counted from 1."""

_UNKNOWN: _Known = ("", DEFAULT)


@lru_cache(_CACHED)
def _narrow(text: str, style: CellStyle) -> list[_Known] | None:
    """Return the cells of `text`, None where a character may be wider than one; not to be changed.

    The same texts come again with each repaint, and equal cells of one text are the same object.
    """
    return [(char, style) for char in text] if NARROW.fullmatch(text) else None


class ScreenDiff:
    """Turns output into shorter output with the same picture."""

    def __init__(self) -> None:
        self._rows: dict[int, list[_Known]] = {}
        self._out: list[str] = []
        # Text to write, by style; its cells are disjoint, so that the order does not matter.
        self._pending: dict[CellStyle, list[tuple[int, int, str]]] = {}
        self._last_pending: CellStyle | None = None
        self._reached: _Place = (0, 0)
        self._held = ""
        # Where the program believes the cursor to be, and its style, counted from 1; None: unknown.
        self._row: int | None = None
        self._column = 1
        self._style: CellStyle | None = DEFAULT
        # The same of the terminal.
        self._at: _Place | None = None
        self._real_style: CellStyle | None = None

    def forget(self) -> None:
        """Take the screen for unknown, as after a resize: whatever is painted next is written."""
        self._rows.clear()
        self._at = None

    def feed(self, data: str) -> str:
        """Return what to write instead of `data`; it may be empty."""
        if data == BEGIN:
            self._held = data
            return ""
        if data == END and self._held:
            self._held = ""
            return ""
        written = data if _HARMLESS.fullmatch(data) else self._painted(data)
        if written and self._held:
            written, self._held = self._held + written, ""
        return written

    def _painted(self, data: str) -> str:
        before = (self._row, self._column, self._style, self._at, self._real_style)
        self._begin()
        end = 0
        for token in _TOKEN.finditer(data):
            if token.start() != end or not self._take(*token.groups()):
                break
            end = token.end()
        if end < len(data):
            self._begin()
            self._row, self._column, self._style, self._at, self._real_style = before
            return self._passed_through(data)
        self._flush()
        self._settle()
        return "".join(self._out)

    def _begin(self) -> None:
        self._out = []
        self._pending.clear()
        self._last_pending = None
        self._reached = (0, 0)

    def _take(
        self,
        row: str | None,
        column: str,
        codes: str | None,
        styled: str | None,
        reset: str | None,
        plain: str | None,
    ) -> bool:
        """Carry out a token; return whether it is understood."""
        if row is not None:
            self._row, self._column = int(row) or 1, int(column) or 1
            return True
        if codes is not None:
            self._style = applied(self._style, codes)
            if self._style is None:
                return False
        text = styled or plain
        if text:
            if self._row is None or self._style is None:
                return False
            if (self._row, self._column) < self._reached:
                self._flush()
            cells = self._rows.setdefault(self._row, [])
            wanted = _narrow(text, self._style)
            if wanted is not None:
                self._write(cells, text, self._style, wanted)
            else:
                self._write_wide(cells, text, self._style)
            self._reached = (self._row, self._column)
        if reset:
            self._style = DEFAULT
        return True

    def _passed_through(self, data: str) -> str:
        """Bring the terminal to where the program believes it, hand on `data`, forget all."""
        self._settle()
        if self._style is not None:
            self._out.append(change(self._real_style, self._style))
        self._out.append(data)
        written = "".join(self._out)
        self.forget()
        self._row = None
        if data != _SCREEN_SWITCHED:
            self._style = DEFAULT if _ENDS_PLAIN.search(data) else None
        self._real_style = None
        return written

    def _settle(self) -> None:
        """Put the terminal's cursor where the program left it."""
        if self._row is not None and self._at != (self._row, self._column):
            self._move(self._row, self._column)

    def _move(self, row: int, column: int) -> None:
        at = self._at
        self._at = (row, column)
        if at is not None and at[0] == row:
            distance = column - at[1]
            if distance == 0:
                return
            if distance > 0:
                self._out.append(f"\x1b[{distance}C" if distance > 1 else "\x1b[C")
                return
        self._out.append(f"\x1b[{row};{column}H" if column > 1 else f"\x1b[{row}H")

    def _write(
        self, cells: list[_Known], text: str, style: CellStyle, wanted: list[_Known]
    ) -> None:
        """Write the cells of `text`, each one column wide, that the screen does not show yet."""
        start = self._column - 1
        end = start + len(text)
        self._column = end + 1
        if end > len(cells):
            cells.extend([_UNKNOWN] * (end - len(cells)))
        shown = cells[start:end]
        if shown == wanted:
            return
        unseen = blank(style)
        changed = [
            index
            for index, (old, new) in enumerate(zip(shown, wanted, strict=True))
            if old != new and not (old[0] == new[0] == " " and blank(old[1]) == unseen)
        ]
        if not changed:
            return
        if len(changed) == len(text):
            self._put(cells, start, text, style)
            return
        first = last = changed[0]
        for index in changed[1:]:
            if index - last > 1 and len(text[last + 1 : index].encode()) > _MOVE_COST:
                self._put(cells, start + first, text[first : last + 1], style)
                first = index
            last = index
        self._put(cells, start + first, text[first : last + 1], style)

    def _put(self, cells: list[_Known], start: int, text: str, style: CellStyle) -> None:
        """Have `text` written from column `start` (from 0) of the current row."""
        assert self._row is not None
        last = self._last_pending or self._real_style
        if last is not None and text.isspace() and blank(last) == blank(style):
            style = last
        cells[start : start + len(text)] = _narrow(text, style) or ()
        self._pending.setdefault(style, []).append((self._row, start + 1, text))
        self._last_pending = style

    def _flush(self) -> None:
        """Write what is pending, the style that the terminal has already first."""
        pending, real = self._pending, self._real_style
        if real is not None and real in pending:
            self._write_all(real, pending.pop(real))
        for style, pieces in pending.items():
            self._write_all(style, pieces)
        pending.clear()
        self._last_pending = None

    def _write_all(self, style: CellStyle, pieces: list[tuple[int, int, str]]) -> None:
        self._out.append(change(self._real_style, style))
        self._real_style = style
        for row, column, text in pieces:
            self._move(row, column)
            self._out.append(text)
            self._at = (row, column + len(text))

    def _write_wide(self, cells: list[_Known], text: str, style: CellStyle) -> None:
        """Write text whose width a terminal may see in another way; the rest of the row is unknown.

        It may run over what follows, which must therefore follow.
        """
        assert self._row is not None
        self._flush()
        self._at = None
        self._move(self._row, self._column)
        self._out.append(change(self._real_style, style) + text)
        self._real_style = style
        self._at = None
        del cells[max(0, self._column - 2) :]
        self._column += cell_len(text)
