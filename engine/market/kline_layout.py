"""Where the columns of a kline file are and how its times are written, told by its first lines."""

from __future__ import annotations

import csv
import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from engine.market.kline_columns import (
    COLUMNS,
    NEEDED,
    Places,
    is_header,
    places_of,
    places_without_header,
)
from engine.market.kline_errors import UnreadableKlineFile
from engine.market.kline_times import (
    EitherOrder,
    TimeForm,
    check_pattern,
    open_time_ms,
    parse_zone,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SAMPLE_LINES = 60
NUMBER = re.compile(r" *[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)? *")
_SEPARATORS = "\t;|,"
_PREAMBLE_LINES = 12
_DATA_NUMBERS = 4  # so many numbers make a line a row
_SNIFFED_TIMES = 20
_LEAST_ROWS = 3
_SHORTEST_QUOTE = 3
_KNOWN_WIDTHS = (6, 11, 12)
_CLOCK_ONLY = re.compile(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?")
_DATE_ONLY = re.compile(r"\S*[-/.]\S*|[0-9]{8}|[A-Za-z]+ [0-9]{1,2},? [0-9]{4}")
_DECIMAL_COMMA = re.compile(r"[0-9]+,[0-9]+")


class KlineHints(NamedTuple):
    """What a user says about a file.

    Attributes:
        columns: Our column names to the file's, or to numbers of columns counted from 1.
        form: Zone and pattern of the times.
        symbol: The market; it tells base from quote asset, and a column with it must agree.
    """

    columns: Mapping[str, str] = {}
    form: TimeForm = TimeForm()
    symbol: str = ""


def kline_hints(columns: Mapping[str, str], zone: str = "UTC", date_format: str = "") -> KlineHints:
    """Return hints made of what a user typed.

    Raises:
        UnreadableKlineFile: for a zone that there is not, or a pattern that tells no day.
    """
    if date_format:
        check_pattern(date_format)
    return KlineHints(columns, TimeForm(parse_zone(zone), date_format))


class Layout(NamedTuple):
    """How the lines of a file are made. Positions count from 0.

    Attributes:
        separator: Between the columns.
        width: How many columns there are; one more that is empty may follow.
        time: Position of the open time, or of its date.
        needed: Of open, high, low, close and volume.
        optional: Of quote volume, count and the two taker volumes; None where there is none.
        clock: Of the time of day, where it has a column of its own.
        symbol: Of the market's name.
        market: What the column of the market says in every row.
        form: Zone and pattern of the times.
        names: What the header calls the columns; empty without a header.
        is_trailed: A separator follows the last column.
    """

    separator: str
    width: int
    time: int
    needed: tuple[int, int, int, int, int]
    optional: tuple[int | None, int | None, int | None, int | None]
    clock: int | None = None
    symbol: int | None = None
    market: str = ""
    form: TimeForm = TimeForm()
    names: tuple[str, ...] = ()
    is_trailed: bool = False

    def time_text(self, cells: Sequence[str]) -> str:
        """Return date and time of day of a row."""
        text = cells[self.time]
        return text if self.clock is None else f"{text.strip()} {cells[self.clock].strip()}"


class Sniffed(NamedTuple):
    """What the first lines of a file tell.

    Attributes:
        layout: Of the rows.
        skipped: Lines before the first row.
    """

    layout: Layout
    skipped: int


def split(line: str, separator: str) -> list[str]:
    """Return the cells of a line; quotes around them are taken off."""
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader((line,), delimiter=separator, strict=False), [])
    except csv.Error:
        return line.replace('"', "").split(separator)


def layout_of(lines: Sequence[str], hints: KlineHints) -> Sniffed:
    """Return how a file is made that begins with `lines`.

    Args:
        lines: The first `SAMPLE_LINES`, or all.
        hints: What the user says.

    Raises:
        UnreadableKlineFile: when it holds no klines, or what it means can not be told for sure.
    """
    sample = [line.strip("\r\n\ufeff") for line in lines]
    found = [
        (separator, at, named)
        for separator in _SEPARATORS
        for at, named in [_first_row(sample, separator, hints)]
        if at is not None
    ]
    if not found:
        raise UnreadableKlineFile(_no_rows(sample))
    separator, at, named = max(found, key=lambda one: len(split(sample[one[1]], one[0])))
    header = split(sample[at], separator)
    if _is_numbered(header):
        header, named = _names_of_numbered(header), True
    rows = [split(line, separator) for line in sample[at + named :] if line.strip()]
    if named:
        if not header[-1].strip() and len(header) > 1:
            header = header[:-1]
        places = places_of(header, hints.columns, hints.symbol)
        width = len(header)
    else:
        width = len(header)
        if width not in (11, 12) and not header[-1].strip():
            width -= 1
        places = places_without_header(width, hints.columns)
    _check_decimal_comma(rows, places, separator)
    rows = [row for row in rows if len(row) in (width, width + 1)]
    if not named and width not in (11, 12):
        _check_order(rows, places, hints.columns)
    layout = _layout(separator, width, places, rows, hints)
    return Sniffed(layout, at + 1 if named else 0)


def _layout(
    separator: str, width: int, places: Places, rows: Sequence[Sequence[str]], hints: KlineHints
) -> Layout:
    time, clock = _time_columns(rows, places, hints.form)
    return Layout(
        separator,
        width,
        time,
        places.needed,
        places.optional,
        clock,
        places.symbol,
        _market(rows, places.symbol, hints.symbol),
        hints.form,
        places.names,
        bool(rows) and len(rows[0]) == width + 1,
    )


def _first_row(
    sample: Sequence[str], separator: str, hints: KlineHints
) -> tuple[int, bool] | tuple[None, bool]:
    """Return where header or first row are, and whether it is a header."""
    seen = 0
    before: int | None = None
    for at, line in enumerate(sample):
        if not line.strip():
            continue
        cells = split(line, separator)
        if is_header(cells, hints.columns):
            return at, True
        if sum(1 for cell in cells if NUMBER.fullmatch(cell)) >= _DATA_NUMBERS:
            if before is not None and _are_names(split(sample[before], separator), cells):
                return before, True
            return at, False
        before = at
        seen += 1
        if seen >= _PREAMBLE_LINES:
            break
    return None, False


def _is_numbered(cells: Sequence[str]) -> bool:
    """Tell whether a line counts the columns, as the header of a table without names does."""
    bare = [cell.strip() for cell in cells]
    numbers = bare[1:] if bare[0] == "" else bare
    return len(numbers) in _KNOWN_WIDTHS and numbers == [str(at) for at in range(len(numbers))]


def _names_of_numbered(cells: Sequence[str]) -> list[str]:
    index = ["index of rows"] if cells[0].strip() == "" else []
    width = len(cells) - len(index)
    return [*index, *(NEEDED if width == len(NEEDED) else COLUMNS[:width])]


def _are_names(cells: Sequence[str], row: Sequence[str]) -> bool:
    """Tell whether the line before the first row may name its columns, in words unknown to us."""
    return len(cells) == len(row) and all(
        cell.strip() and not NUMBER.fullmatch(cell) for cell in cells
    )


def _no_rows(sample: Sequence[str]) -> str:
    first = next((line.strip() for line in sample if line.strip()), "")
    for separator in _SEPARATORS:
        cells = first.split(separator)
        if separator != "," and sum(bool(_DECIMAL_COMMA.fullmatch(one)) for one in cells) > 1:
            return _decimal_comma(next(one for one in cells if _DECIMAL_COMMA.fullmatch(one)))
    if len(first.split()) > _DATA_NUMBERS and not any(mark in first for mark in _SEPARATORS):
        return (
            "Its columns are separated by spaces; separate them by commas, as "
            "`tr -s ' ' ,` does, and name the columns with --columns if they have no header."
        )
    return (
        "The first line names no kline columns; klines have the columns "
        f"{','.join(COLUMNS)}, and it is '{first[:60]}'. If it names them in "
        "another way, say which is which, such as --columns open_time=Date,close=Last."
    )


def _check_decimal_comma(rows: Sequence[Sequence[str]], places: Places, separator: str) -> None:
    if separator == ",":
        return
    for row in rows[:_SNIFFED_TIMES]:
        for at in places.needed:
            if at < len(row) and _DECIMAL_COMMA.fullmatch(row[at].strip()):
                raise UnreadableKlineFile(_decimal_comma(row[at].strip()))


def _decimal_comma(text: str) -> str:
    return (
        f"Its numbers have a comma ('{text}'), which may stand for decimals or thousands; write "
        "them with a point and no thousands, as `tr , .` does for decimals."
    )


def _check_order(rows: Sequence[Sequence[str]], places: Places, wanted: Mapping[str, str]) -> None:
    """Refuse a file without a header whose columns contradict the usual order."""
    checked = contradicting = 0
    for row in rows:
        cells = [row[at] for at in places.needed[:4]]
        if all(NUMBER.fullmatch(cell) for cell in cells):
            opened, high, low, close = map(float, cells)
            checked += 1
            contradicting += not low <= min(opened, close) <= max(opened, close) <= high
    if contradicting >= _LEAST_ROWS and contradicting * 4 > checked and not wanted:
        example = ",".join(f"{name}={at}" for at, name in enumerate(NEEDED, 1))
        raise UnreadableKlineFile(
            "The file has no header, and its rows contradict the usual order of columns "
            f"({', '.join(NEEDED)}); say which are which, such as --columns {example}."
        )


def _time_columns(
    rows: Sequence[Sequence[str]], places: Places, form: TimeForm
) -> tuple[int, int | None]:
    """Return the positions of the open time and, where it is apart, of the time of day.

    Raises:
        UnreadableKlineFile: when the times may be day-first or month-first.
    """
    some = rows[:_SNIFFED_TIMES]
    clocks = [
        at
        for at in (*places.times, *_beside(places))
        if some and all(at < len(row) and _CLOCK_ONLY.fullmatch(row[at].strip()) for row in some)
    ]
    either = ""
    for at in places.times:
        if at in clocks:
            continue
        is_date = bool(some) and all(_DATE_ONLY.fullmatch(row[at].strip()) for row in some)
        clock = clocks[0] if clocks and is_date else None
        for row in some:
            text = row[at] if clock is None else f"{row[at].strip()} {row[clock].strip()}"
            try:
                open_time_ms(text, form)
            except EitherOrder as error:
                either = either or str(error)
            except ValueError:
                continue
            else:
                return at, clock
    if either:
        raise UnreadableKlineFile(either)
    return places.times[0], None


def _beside(places: Places) -> tuple[int, ...]:
    """Return the column after the open time, where a file without a header may have the clock."""
    at = places.times[0] + 1
    return () if places.names or at in places.needed else (at,)


def _market(rows: Sequence[Sequence[str]], at: int | None, symbol: str) -> str:
    """Return what the column of the market says.

    Raises:
        UnreadableKlineFile: when it says several things, or not what the user says.
    """
    if at is None or not rows:
        return ""
    counts = Counter(row[at].strip() for row in rows)
    if len(counts) > 1:
        raise UnreadableKlineFile(
            f"It holds several markets ({', '.join(sorted(counts)[:5])}); split it into one file "
            "for each."
        )
    market = next(iter(counts))
    told, wanted = (re.sub(r"[\W_]", "", text).upper() for text in (market, symbol))
    if wanted and told and not told.isdecimal() and not _is_same(told, wanted):
        raise UnreadableKlineFile(
            f"Its rows are of the market {market}, not of {symbol}; say --symbol {told} if that is "
            "what they are."
        )
    return market


def _is_same(told: str, wanted: str) -> bool:
    is_base = wanted.startswith(told) and len(wanted) - len(told) >= _SHORTEST_QUOTE
    return told == wanted or is_base or told.startswith(wanted) or told.endswith(wanted)
