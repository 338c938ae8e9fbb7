"""Kline CSV in blocks: a whole block is parsed and checked in C, or else row by row.

A block of plain numbers is turned into one JSON array, which msgspec decodes, and numpy checks it
at once. A block with anything unusual in it (a blank line, a word, a value
that can not be true) is read row by row, so that both ways tell the same about every row.
"""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from engine.market.kline_csv import DAMAGE, POSITIONAL, BadRow, damaged, layout_of, read_rows
from engine.store.checks import candle_values, grid_fault
from engine.store.flat_rows import WIDTH, FlatRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from engine.market.interval import Interval
    from engine.market.kline_csv import Layout

Values = tuple[Any, ...]  # open_time_ms … taker_buy_quote_volume, in the order of Candle's fields

BLOCK_BYTES = 1 << 20
_LONGEST_BYTES = 1 << 24  # a "line" of more is cut, whatever the file is
_RAW_LENGTH = 500
_PLAIN = b"0123456789.,-+eE\n"
_COMMA, _NEWLINE = b",\n"
_BOM = b"\xef\xbb\xbf"
_OLDEST_MS = 10**11
_MICROSECONDS_FROM = 10**14
_NEWEST_MICROSECONDS = 10**17
_MOST_TRADES = 2**53
_FIRST_MONDAY_MS = 4 * 86_400_000


class Block(NamedTuple):
    """Some consecutive lines of a file.

    Attributes:
        rows: Stored values of the closed candles in them, checked.
        bad: Line number, fault and raw text of each line that holds none.
    """

    rows: Sequence[Values]
    bad: list[tuple[int, str, str]]


class BlockReader:
    """Reads a kline CSV block by block.

    Args:
        stream: The content, not compressed.
        name: What error messages call it.
        grid: The interval that the candles are to be of.
        over_ms: Candles that open at or after this time (epoch ms) are not over yet.
    """

    def __init__(self, stream: IO[bytes], name: str, grid: Interval, over_ms: int) -> None:
        self._name = name
        self._grid = grid
        self._over_ms = over_ms
        self._blocks = _line_blocks(stream)
        self._line_number = 1
        self._layout: Layout | None = None
        self._parse: Callable[[bytes, int], Sequence[Values] | None] | None = None
        self._first = self._begin()

    def first_times(self, rows: int) -> list[int]:
        """Return the open times (ms) of the first `rows` lines that hold candles, on any grid."""
        lines = self._first.decode("utf-8", "replace").split("\n", rows)[:rows]
        found = read_rows(lines, self._layout)
        return [row.open_time_ms for row in found if not isinstance(row, BadRow)]

    def __iter__(self) -> Iterator[Block]:
        """Yield all blocks; a file that breaks off ends with a bad row that says so."""
        if self._first:
            yield self._read(self._first)
        try:
            for block in self._blocks:
                yield self._read(block)
        except DAMAGE as error:
            yield Block([], [(self._line_number, str(damaged(self._name, error)), "")])

    def _begin(self) -> bytes:
        """Return the first block without header, when the layout is known from it."""
        for raw in self._blocks:
            block = raw.removeprefix(_BOM) if self._line_number == 1 else raw
            content = block.lstrip(b" \t\n")
            if not content:
                self._line_number += block.count(b"\n")
                continue
            line, _, rest = content.partition(b"\n")
            self._layout, is_header = layout_of(line.decode("utf-8", "replace"))
            self._parse = _parser(self._layout, self._grid, self._over_ms)
            if is_header:
                self._line_number += block.count(b"\n") - rest.count(b"\n")
                return rest
            return block
        return b""

    def _read(self, block: bytes) -> Block:
        lines = block.count(b"\n") + (not block.endswith(b"\n"))
        rows = self._parse(block, lines) if self._parse else None
        found = self._read_slowly(block) if rows is None else Block(rows, [])
        self._line_number += lines
        return found

    def _read_slowly(self, block: bytes) -> Block:
        rows: list[Values] = []
        bad: list[tuple[int, str, str]] = []
        lines = block.decode("utf-8", "replace").split("\n")
        for number, line in enumerate(lines, self._line_number):
            for row in read_rows((line,), self._layout, number):
                if isinstance(row, BadRow):
                    bad.append((number, row.reason, row.raw))
                elif fault := self._fault(row.open_time_ms):
                    bad.append((number, fault, line[:_RAW_LENGTH]))
                else:
                    rows.append(candle_values(row))
        return Block(rows, bad)

    def _fault(self, open_time_ms: int) -> str | None:
        fault = grid_fault(open_time_ms, self._grid)
        if fault is None and open_time_ms >= self._over_ms:
            return "the candle is not over yet"
        return fault


def _line_blocks(stream: IO[bytes]) -> Iterator[bytes]:
    r"""Yield whole lines of about `BLOCK_BYTES`; every line end becomes `\n`.

    What could be read before an error is yielded before it rises.
    """
    pieces: list[bytes] = []
    size = 0
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    try:
        while piece := read(BLOCK_BYTES):
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
    except DAMAGE:
        if whole := b"".join(pieces):
            yield _unified(whole[: whole.rfind(b"\n") + 1])
        raise
    if whole := b"".join(pieces):
        yield _unified(whole)


def _unified(block: bytes) -> bytes:
    if b"\r" in block:
        return block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return block


def _parser(
    layout: Layout, grid: Interval, over_ms: int
) -> Callable[[bytes, int], Sequence[Values] | None] | None:
    """Return a function that gives the rows of a block in which nothing is wrong, else None.

    There is one for the archive's own columns and fixed intervals; calendar months are few.
    """
    if layout != POSITIONAL or grid.name == "1M":
        return None
    decoder = msgspec.json.Decoder()

    def parse(block: bytes, lines: int) -> Sequence[Values] | None:
        body = block.rstrip(b"\n")
        if block.translate(None, _PLAIN) or not _is_table(body, lines, layout.width):
            return None
        try:
            flat = _numbers(decoder, body)
        except msgspec.DecodeError:
            return None
        del flat[11::12]  # ignore
        del flat[6::11]  # close_time, which follows from the interval
        return _checked(flat, grid, over_ms)

    return parse


def _is_table(body: bytes, lines: int, width: int) -> bool:
    """Tell whether each of so many lines has so many cells."""
    signs = np.frombuffer(body, dtype=np.uint8)
    signs = signs[(signs == _COMMA) | (signs == _NEWLINE)]
    if len(signs) != lines * width - 1:
        return False
    ends = signs[width - 1 :: width]
    return bool(np.all(ends == _NEWLINE)) and int(np.sum(signs == _NEWLINE)) == len(ends)


def _numbers(decoder: msgspec.json.Decoder[Any], body: bytes) -> list[Any]:
    """Return all cells as int, float or, where they are empty, None.

    Raises:
        msgspec.DecodeError: when a cell is no number as JSON knows them.
    """
    try:
        return _decoded(decoder, body)
    except msgspec.DecodeError:
        body = body.replace(b",,", b",null,").replace(b",,", b",null,")
        return _decoded(decoder, re.sub(rb",(?=\n|\Z)", b",null", body))


def _decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> list[Any]:
    numbers: list[Any] = decoder.decode(b"[" + body.replace(b"\n", b",") + b"]")
    return numbers


def _checked(flat: list[Any], grid: Interval, over_ms: int) -> FlatRows | None:
    """Return the rows with times in milliseconds, or None when there is a fault in any of them."""
    if set(map(type, flat[::WIDTH])) != {int} or float in set(map(type, flat[7::WIDTH])):
        return None
    try:
        table: NDArray[np.float64] = np.array(flat, dtype=np.float64).reshape(-1, WIDTH)
    except OverflowError:
        return None
    times, opens, highs, lows, closes = table[:, :5].T
    if times.min() < _OLDEST_MS or times.max() >= _NEWEST_MICROSECONDS:
        return None
    whole = times.astype(np.int64)
    if times.max() >= _MICROSECONDS_FROM:
        micro = whole >= _MICROSECONDS_FROM
        if np.any(whole[micro] % 1000):
            return None
        whole = np.where(micro, whole // 1000, whole)
        flat[::WIDTH] = whole.tolist()
    shift = _FIRST_MONDAY_MS if grid.name == "1w" else 0
    amounts = table[:, 5:]
    # NaN stands for an empty cell here, and every comparison with it is false.
    is_false = (
        np.any((whole - shift) % grid.length_ms)
        or whole.max() >= over_ms
        or np.any(np.isnan(table[:, :7]))
        or lows.min() <= 0
        or np.any(lows > np.minimum(opens, closes))
        or np.any(highs < np.maximum(opens, closes))
        or np.any(amounts < 0)
        or np.any(amounts[:, 2] > _MOST_TRADES)
        or np.any(np.isinf(table))
    )
    return None if is_false else FlatRows(flat)
