"""A block of kline CSV parsed and checked at once, where nothing is unusual in it.

The archive's own columns become one JSON array, which msgspec decodes. Other layouts are split into
columns, each of which one function converts. numpy checks the rows of both.
"""

from __future__ import annotations

import re
from itertools import repeat
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from engine.market.kline_layout import Layout
from engine.market.kline_times import OLDEST_MS, OLDEST_NS, OLDEST_US, parse_zone
from engine.store.flat_rows import WIDTH, FlatRows

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from numpy.typing import NDArray

    from engine.market.interval import Interval

    Parse = Callable[[bytes, int], FlatRows | None]
    Times = NDArray[np.int64]

_PLAIN = b"0123456789.,-+eE\n"
_NEWLINE = ord("\n")
_POSITIVE_POWER = re.compile(rb"[0-9.][eE]\+?[0-9]")
_SECONDS = range(10**9, 10**10)
_OLDEST_SURE_MS = 10**12
_NEWEST_SURE_MS = 10**13
_NEWEST_NS = 9 * 10**18
_MOST_TRADES = 2**53
_FIRST_MONDAY_MS = 4 * 86_400_000
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)?"
    r"(Z| ?UTC|[+-][0-9]{2}:?[0-9]{2})?"
)
_ARCHIVE = Layout(",", 12, 0, (1, 2, 3, 4, 5), (7, 8, 9, 10))


def table_parser(layout: Layout, grid: Interval, over_ms: int) -> Parse | None:
    """Return a function that gives the rows of a block in which nothing is wrong, else None.

    There is none for calendar months, which are few, and for layouts that need a look at each row.

    Args:
        layout: Of the block.
        grid: The interval that the candles are to be of.
        over_ms: Candles that open at or after this time (epoch ms) are not over yet.
    """
    if grid.name == "1M" or layout.clock is not None or layout.form.pattern:
        return None
    if layout._replace(names=(), form=_ARCHIVE.form) == _ARCHIVE:
        return _archive_parser(grid, over_ms)
    return _column_parser(layout, grid, over_ms)


def _archive_parser(grid: Interval, over_ms: int) -> Parse:
    decoder = msgspec.json.Decoder()
    columns = _column_parser(_ARCHIVE, grid, over_ms)

    def parse(block: bytes, lines: int) -> FlatRows | None:
        body = block.rstrip(b"\n")
        if block.translate(None, _PLAIN) or _has_power(block):
            return columns(block, lines)
        if not _is_table(body, lines, 12, ","):
            return None
        try:
            flat = _numbers(decoder, body)
        except msgspec.DecodeError:
            return None
        del flat[11::12]  # ignore
        del flat[6::11]  # close_time, which follows from the interval
        if set(map(type, flat[::WIDTH])) != {int} or float in set(map(type, flat[7::WIDTH])):
            return None
        try:
            numbers = np.array(flat[::WIDTH], dtype=np.int64)
        except OverflowError:
            return None
        times = _milliseconds(numbers)
        if times is None:
            return None
        if times is not numbers:
            flat[::WIDTH] = times.tolist()
        return _checked(flat, times, grid, over_ms)

    return parse


def _has_power(body: bytes) -> bool:
    """Tell whether a number may be in scientific notation with a positive exponent."""
    return (b"e" in body or b"E" in body) and _POSITIVE_POWER.search(body) is not None


def _is_table(body: bytes, lines: int, width: int, separator: str) -> bool:
    """Tell whether each of so many lines has so many cells."""
    signs = np.frombuffer(body, dtype=np.uint8)
    signs = signs[(signs == ord(separator)) | (signs == _NEWLINE)]
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


def _column_parser(layout: Layout, grid: Interval, over_ms: int) -> Parse:
    width = layout.width + layout.is_trailed

    def parse(block: bytes, lines: int) -> FlatRows | None:
        body = block.replace(b'"', b"").rstrip(b"\n")
        if not body.isascii() or b"_" in body or _has_power(body):
            return None
        if not _is_table(body, lines, width, layout.separator):
            return None
        cells = body.decode().replace("\n", layout.separator).split(layout.separator)
        columns = [cells[at::width] for at in range(width)]
        try:
            return _of_columns(columns, layout, grid, over_ms)
        except (ValueError, OverflowError):
            return None

    return parse


def _of_columns(
    columns: list[list[str]], layout: Layout, grid: Interval, over_ms: int
) -> FlatRows | None:
    """Return the rows of a block.

    Raises:
        ValueError: when a cell is of an unusual form; so does OverflowError.
    """
    if layout.is_trailed and any(columns[layout.width]):
        return None
    if layout.symbol is not None and set(columns[layout.symbol]) != {layout.market}:
        return None
    times = _times(columns[layout.time], layout)
    if times is None:
        return None
    flat: list[Any] = [None] * (len(times) * WIDTH)
    flat[::WIDTH] = times.tolist()
    for at, column in enumerate(layout.needed, 1):
        flat[at::WIDTH] = map(float, columns[column])
    for at, optional in enumerate(layout.optional, 1 + len(layout.needed)):
        if optional is not None:
            convert = _count if at == 7 else float
            flat[at::WIDTH] = _known(columns[optional], convert)
    return _checked(flat, times, grid, over_ms)


def _known(cells: list[str], convert: Callable[[str], float]) -> list[float | None]:
    """Convert cells, of which empty ones become None.

    Raises:
        ValueError: when one is no number that there is.
    """
    return [convert(cell) if cell else None for cell in cells]


def _count(cell: str) -> int:
    try:
        return int(cell)
    except ValueError:
        value = float(cell)
        if not value.is_integer():
            raise
        return int(value)


def _times(cells: list[str], layout: Layout) -> Times | None:
    """Return open times in milliseconds; None when one of them is of an unusual form."""
    first = cells[0]
    if first.isdecimal():
        return _milliseconds(np.array(list(map(int, cells)), dtype=np.int64))
    whole, mark, rest = first.partition(".")
    if whole.isdecimal() and not rest.strip("0"):
        ending = mark + rest
        if all(map(str.endswith, cells, repeat(ending))):
            numbers = [int(cell[: -len(ending)]) for cell in cells]
            return _milliseconds(np.array(numbers, dtype=np.int64))
        return None
    return _iso_times(cells, layout)


def _iso_times(cells: list[str], layout: Layout) -> Times | None:
    """Return ISO times of one form and one offset in milliseconds."""
    match = _ISO.fullmatch(cells[0])
    if match is None:
        return None
    suffix = match[1] or ""
    zone = layout.form.zone if not suffix else parse_zone(suffix.strip())
    offset_ms = _fixed_ms(zone)
    if offset_ms is None or not _are_alike(cells, suffix):
        return None
    texts = [cell[: -len(suffix)] for cell in cells] if suffix else cells
    times_us = np.array(texts, dtype="datetime64[us]").astype(np.int64)
    if np.any(times_us % 1000):
        return None
    times: Times = times_us // 1000 - offset_ms
    return times


def _fixed_ms(zone: tzinfo) -> int | None:
    """Return the offset of a zone without changes of the clock, else None."""
    offset = zone.utcoffset(None)
    return None if offset is None else round(offset.total_seconds() * 1000)


def _are_alike(cells: list[str], suffix: str) -> bool:
    """Tell whether all texts have their digits in the same places, and end alike."""
    length = len(cells[0])
    if set(map(len, cells)) != {length}:
        return False
    signs = np.frombuffer("".join(cells).encode("ascii"), dtype=np.uint8).reshape(-1, length)
    digits = (signs >= ord("0")) & (signs <= ord("9"))
    bare = length - len(suffix)
    same = digits[:, :bare] == digits[0, :bare]
    marks = ~digits[0]
    marks[bare:] = True
    return bool(np.all(same)) and bool(np.all(signs[:, marks] == signs[0, marks]))


def _milliseconds(numbers: Times) -> Times | None:
    """Return seconds, milliseconds, microseconds and nanoseconds as milliseconds.

    None when one of them may mean something else.
    """
    least, most = int(numbers.min()), int(numbers.max())
    if least >= OLDEST_MS and most < _NEWEST_SURE_MS:
        return numbers if least >= _OLDEST_SURE_MS else None
    if least < _SECONDS.start or most >= _NEWEST_NS:
        return None
    seconds = numbers < _SECONDS.stop
    micro = (numbers >= OLDEST_US) & (numbers < OLDEST_NS)
    nano = numbers >= OLDEST_NS
    milli = (numbers >= _OLDEST_SURE_MS) & (numbers < _NEWEST_SURE_MS)
    if not np.all(seconds | milli | micro | nano):
        return None
    if np.any(numbers[micro] % 1000) or np.any(numbers[nano] % 1_000_000):
        return None
    made: Times = np.select(
        [seconds, micro, nano], [numbers * 1000, numbers // 1000, numbers // 1_000_000], numbers
    )
    return made


def _has_word(flat: list[Any], amounts: NDArray[np.float64]) -> bool:
    """Tell whether an amount is no number and no empty cell either."""
    unknown = int(np.isnan(amounts).sum())
    return unknown > 0 and unknown != flat.count(None)


def _checked(flat: list[Any], times: Times, grid: Interval, over_ms: int) -> FlatRows | None:
    """Return the rows, or None when there is a fault in any of them."""
    try:
        table: NDArray[np.float64] = np.array(flat, dtype=np.float64).reshape(-1, WIDTH)
    except OverflowError:
        return None
    opens, highs, lows, closes = table[:, 1:5].T
    shift = _FIRST_MONDAY_MS if grid.name == "1w" else 0
    amounts = table[:, 5:]
    # NaN stands for an empty cell here, and every comparison with it is false.
    is_false = (
        np.any((times - shift) % grid.length_ms)
        or times.min() < OLDEST_MS
        or times.max() >= over_ms
        or np.any(np.isnan(table[:, :6]))
        or lows.min() <= 0
        or np.any(lows > np.minimum(opens, closes))
        or np.any(highs < np.maximum(opens, closes))
        or np.any(amounts < 0)
        or np.any(amounts[:, 2] > _MOST_TRADES)
        or np.any(np.isinf(table))
        or _has_word(flat, amounts)
    )
    return None if is_false else FlatRows(flat)
