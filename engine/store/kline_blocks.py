"""Kline CSV in blocks: a whole block is parsed and checked at once, or else row by row.

A block with anything unusual in it (a blank line, a word, a value that can not be true) is read
row by row, so that both ways tell the same about every row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from engine.market.kline_csv import BadRow, read_rows
from engine.market.kline_errors import DamagedKlineFile
from engine.market.kline_layout import SAMPLE_LINES, KlineHints, layout_of, split
from engine.store.checks import candle_values, grid_fault
from engine.store.kline_table import table_parser

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from engine.market.interval import Interval
    from engine.market.kline_layout import Layout
    from engine.market.kline_packing import Stream

Values = tuple[Any, ...]  # open_time_ms … taker_buy_quote_volume, in the order of Candle's fields

BLOCK_BYTES = 1 << 20
_LONGEST_BYTES = 1 << 24  # a "line" of more is cut, whatever the file is
_RAW_LENGTH = 500
_BOM = b"\xef\xbb\xbf"


class BadLine(NamedTuple):
    """A line that holds nothing to store.

    Attributes:
        number: Counted from 1.
        fault: What is wrong, in words.
        raw: Its text, cut after 500 characters.
    """

    number: int
    fault: str
    raw: str


class Head(NamedTuple):
    """What the first rows of a file tell.

    Attributes:
        times: Open times (ms) of those that hold candles, on any grid.
        good: How many can be stored.
        bad: The others.
    """

    times: list[int]
    good: int
    bad: list[BadLine]


class Block(NamedTuple):
    """Some consecutive lines of a file.

    Attributes:
        rows: Stored values of the closed candles in them, checked.
        bad: The lines that hold none.
    """

    rows: Sequence[Values]
    bad: list[BadLine]


class BlockReader:
    """Reads a kline CSV block by block.

    Args:
        stream: The text in UTF-8, from its start.
        grid: The interval that the candles are to be of.
        over_ms: Candles that open at or after this time (epoch ms) are not over yet.
        hints: What the user says about the file.

    Attributes:
        layout: How the lines are made; None for a file without any.
        skipped: Lines before the first row.
        damage: Where the file breaks off, as a sentence; known after all blocks were read.

    Raises:
        UnreadableKlineFile: when the first lines do not tell how to make candles of the file.
    """

    def __init__(
        self, stream: Stream, grid: Interval, over_ms: int, hints: KlineHints | None = None
    ) -> None:
        self._grid = grid
        self._over_ms = over_ms
        self._blocks = _line_blocks(stream)
        self._line_number = 1
        self.damage = ""
        self._broken_at = 0
        self.layout: Layout | None = None
        self.skipped = 0
        self._first = self._begin(hints or KlineHints())
        layout = self.layout
        self._parse = None if layout is None else table_parser(layout, grid, over_ms)

    def broken_line(self) -> BadLine | None:
        """Return the line that lies behind the end of what could be unpacked, after all blocks."""
        return BadLine(self._broken_at, self.damage, "") if self._broken_at else None

    def first_line(self) -> str:
        """Return the first line after the header that is not blank."""
        lines = self._first.decode("utf-8", "replace").split("\n", SAMPLE_LINES)
        return next((line for line in lines if line.strip()), "")

    def head(self, rows: int) -> Head:
        """Return what the first `rows` lines after the header tell."""
        if self.layout is None:
            return Head([], 0, [])
        lines = self._first.split(b"\n", rows)[:rows]
        block = self._read_slowly(b"\n".join(lines))
        found = read_rows((line.decode("utf-8", "replace") for line in lines), self.layout)
        times = [row.open_time_ms for row in found if not isinstance(row, BadRow)]
        return Head(times, len(block.rows), block.bad)

    def __iter__(self) -> Iterator[Block]:
        """Yield all blocks; `damage` tells afterwards whether the file breaks off."""
        block = self._first
        if block:
            yield self._read(block)
        try:
            for block in self._blocks:
                yield self._read(block)
        except DamagedKlineFile as error:
            self.damage = str(error)
        if self.damage:
            self._broken_at = self._line_number
        else:
            self._look_at_end(block)

    def _begin(self, hints: KlineHints) -> bytes:
        """Return the first block without header, when the layout is known from it."""
        start = b""
        try:
            for block in self._blocks:
                start += block
                if start.count(b"\n") > 2 * SAMPLE_LINES:
                    break
        except DamagedKlineFile as error:
            if not start:
                raise
            self.damage = str(error)
        start = start.removeprefix(_BOM)
        lines = start.decode("utf-8", "replace").split("\n", SAMPLE_LINES)[:SAMPLE_LINES]
        if not any(line.strip() for line in lines):
            return b""
        self.layout, self.skipped = layout_of(lines, hints)
        self._line_number += self.skipped
        parts = start.split(b"\n", self.skipped)
        return parts[self.skipped] if len(parts) > self.skipped else b""

    def _look_at_end(self, block: bytes) -> None:
        if self.layout is None or not block or block.endswith(b"\n"):
            return
        last = block[block.rfind(b"\n") + 1 :].decode("utf-8", "replace")
        if last.strip() and len(split(last, self.layout.separator)) < self.layout.width:
            self.damage = "The last line breaks off; fetch the file again."

    def _read(self, block: bytes) -> Block:
        lines = block.count(b"\n") + (not block.endswith(b"\n"))
        rows = self._parse(block, lines) if self._parse else None
        found = self._read_slowly(block) if rows is None else Block(rows, [])
        self._line_number += lines
        return found

    def _read_slowly(self, block: bytes) -> Block:
        rows: list[Values] = []
        bad: list[BadLine] = []
        lines = block.decode("utf-8", "replace").split("\n")
        for number, line in enumerate(lines, self._line_number):
            for row in read_rows((line,), self.layout, number):
                if isinstance(row, BadRow):
                    bad.append(BadLine(*row))
                elif fault := self._fault(row.open_time_ms):
                    bad.append(BadLine(number, fault, line[:_RAW_LENGTH]))
                else:
                    rows.append(candle_values(row))
        return Block(rows, bad)

    def _fault(self, open_time_ms: int) -> str | None:
        fault = grid_fault(open_time_ms, self._grid)
        if fault is None and open_time_ms >= self._over_ms:
            return "the candle is not over yet"
        return fault


def _line_blocks(stream: Stream) -> Iterator[bytes]:
    r"""Yield whole lines of about `BLOCK_BYTES`; every line end becomes `\n`.

    What could be read before an error is yielded before it rises.
    """
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := stream.read1(BLOCK_BYTES):
            pieces.append(piece)
            size += len(piece)
            if size < BLOCK_BYTES:
                continue
            whole = b"".join(pieces)
            end = max(whole.rfind(b"\n"), whole.rfind(b"\r", 0, -1)) + 1
            if end or size > _LONGEST_BYTES:
                end = end or size
                yield _unified(whole[:end])
                whole = whole[end:]
            pieces, size = [whole], len(whole)
    except DamagedKlineFile:
        if whole := b"".join(pieces):
            yield _unified(whole[: whole.rfind(b"\n") + 1])
        raise
    if whole := b"".join(pieces):
        yield _unified(whole)


def _unified(block: bytes) -> bytes:
    if b"\r" in block:
        return block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return block
