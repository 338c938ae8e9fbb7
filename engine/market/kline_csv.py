"""Kline CSV: rows as candles, read leniently, and candles as rows, written exactly.

What is written has the twelve columns of Binance's public archive. What is read may have any that
`kline_layout` understands.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from itertools import chain, islice
from typing import TYPE_CHECKING

from engine.market.candle import Candle, fault_of
from engine.market.kline_columns import COLUMNS, NEEDED, OPTIONAL
from engine.market.kline_errors import BadRow, DamagedKlineFile, UnreadableKlineFile
from engine.market.kline_layout import (
    NUMBER,
    SAMPLE_LINES,
    KlineHints,
    Layout,
    layout_of,
    split,
)
from engine.market.kline_times import OLDEST_MS, OLDEST_US, open_time_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from engine.market.interval import Interval

__all__ = [
    "COLUMNS",
    "BadRow",
    "UnreadableKlineFile",
    "format_row",
    "is_plausible",
    "number",
    "read_rows",
]

_RAW_LENGTH = 500
_UNKNOWN = frozenset(("", "nan", "null", "none", "na", "n/a", "nil", "-", "\\n"))
_COMMA = re.compile(r"[-+]?[0-9][0-9.]*(?:,[0-9.]+)+")
_POWER = re.compile(r"\s*[-+]?([0-9]+)\.?([0-9]*)[eE]\+?([0-9]+)\s*")
_FLOAT_DIGITS = 16
_PLAIN_MS_DIGITS = 13


def read_rows(
    lines: Iterable[str],
    layout: Layout | None = None,
    first_line: int = 1,
    hints: KlineHints | None = None,
) -> Iterator[Candle | BadRow]:
    """Turn the lines of a kline CSV into candles, and those that hold none into `BadRow`.

    A row with another number of columns than its file counts as half-written. What a source does
    not tell (quote volume, count, taker volumes) becomes None. Prices are in the quote asset, open
    times become milliseconds whatever each row has, and every candle is marked as closed.

    Args:
        lines: With or without their ends.
        layout: Where the columns are, when `lines` are not the beginning of a file.
        first_line: The number of the first line.
        hints: What the user says about the file, where the layout is still to be told.

    Raises:
        UnreadableKlineFile: when the first lines do not tell how to make candles of the file.
    """
    if layout is None:
        sample, lines = _sampled(lines)
        if not any(line.strip("\r\n\ufeff").strip() for line in sample):
            return
        layout, skipped = layout_of(sample, hints or KlineHints())
        lines = chain(sample[skipped:], lines)
        first_line += skipped
    for line_number, line in enumerate(lines, first_line):
        text = line.strip("\r\n\ufeff")
        if not text or text.isspace():
            continue
        cells = split(text, layout.separator)
        row: Candle | BadRow
        try:
            row = _candle(cells, layout, plain=text.isascii() and "_" not in text)
        except ValueError as error:
            if _is_header_again(cells, layout):
                continue
            row = BadRow(line_number, str(error), text[:_RAW_LENGTH])
        yield row


def _sampled(lines: Iterable[str]) -> tuple[list[str], Iterator[str]]:
    """Return the first lines and the rest, which raises where the file breaks off."""
    rest = iter(lines)
    sample: list[str] = []
    try:
        for line in islice(rest, SAMPLE_LINES):
            sample.append(line)  # noqa: PERF402  what came before an error counts
    except DamagedKlineFile as error:
        if not sample:
            raise
        return sample, _raising(error)
    return sample, rest


def _raising(error: DamagedKlineFile) -> Iterator[str]:
    yield from ()
    raise error


def _is_header_again(cells: Sequence[str], layout: Layout) -> bool:
    """Tell whether a row is the header once more, as in files that were put together."""
    return bool(layout.names) and [cell.strip() for cell in cells[: len(layout.names)]] == list(
        layout.names
    )


def _candle(cells: Sequence[str], layout: Layout, *, plain: bool) -> Candle:
    if len(cells) != layout.width and (len(cells) != layout.width + 1 or cells[-1].strip()):
        raise ValueError(f"it has {len(cells)} columns where {layout.width} are expected")
    if not plain and (reason := _reason(cells, layout)):  # float() takes 1_0 and foreign digits
        raise ValueError(reason)
    if layout.symbol is not None and cells[layout.symbol].strip() != layout.market:
        raise ValueError(f"it is of the market {cells[layout.symbol].strip()[:40]}")
    open_at, high_at, low_at, close_at, volume_at = layout.needed
    try:
        candle = Candle(
            _open_time_ms(cells, layout),
            float(cells[open_at]),
            float(cells[high_at]),
            float(cells[low_at]),
            float(cells[close_at]),
            float(cells[volume_at]),
            *_optional(cells, layout.optional),
        )
    except ValueError as error:
        raise ValueError(_reason(cells, layout) or str(error)) from None
    if not is_plausible(candle):
        raise ValueError(fault_of(candle) or "a value can not be true")
    _check_digits(cells, layout)
    return candle


def _open_time_ms(cells: Sequence[str], layout: Layout) -> int:
    text = cells[layout.time]
    if len(text) == _PLAIN_MS_DIGITS and text.isdecimal() and not layout.form.pattern:
        time_ms = int(text)
        if OLDEST_MS <= time_ms < OLDEST_US:
            return time_ms
    return open_time_ms(layout.time_text(cells), layout.form)


def _optional(
    cells: Sequence[str], where: tuple[int | None, int | None, int | None, int | None]
) -> tuple[float | None, int | None, float | None, float | None]:
    total_at, trades_at, base_at, quote_at = where
    return (
        _amount(cells, total_at),
        _count(cells, trades_at),
        _amount(cells, base_at),
        _amount(cells, quote_at),
    )


def _amount(cells: Sequence[str], at: int | None) -> float | None:
    if at is None or cells[at].strip().lower() in _UNKNOWN:
        return None
    return float(cells[at])


def _count(cells: Sequence[str], at: int | None) -> int | None:
    if at is None:
        return None
    text = cells[at].strip()
    if text.isdecimal():
        return int(text)
    if text.lower() in _UNKNOWN:
        return None
    value = float(text)
    if not value.is_integer():
        raise ValueError(f"count is no whole number: '{text}'")
    return int(value)


def _check_digits(cells: Sequence[str], layout: Layout) -> None:
    """Refuse a number in scientific notation whose digits do not reach its unit's place.

    Floats of 17 digits and more are written so without a loss.

    Raises:
        ValueError: with the reason.
    """
    named = zip((*NEEDED[1:], *OPTIONAL), (*layout.needed, *layout.optional), strict=True)
    for name, at in named:
        if at is None or ("e" not in cells[at] and "E" not in cells[at]):
            continue
        match = _POWER.fullmatch(cells[at])
        if match is None or int(match[3]) >= _FLOAT_DIGITS:
            continue
        missing = int(match[3]) - len(match[2])
        if missing > 0 and match[1].strip("0"):
            raise ValueError(
                f"{name} '{cells[at].strip()[:40]}' has lost its last {missing} digits to "
                "scientific notation; format the column as a plain number and save again"
            )


def _reason(cells: Sequence[str], layout: Layout) -> str | None:
    """Name the first cell that is empty or no number; None when all look like numbers."""
    for name, at in zip(NEEDED[1:], layout.needed, strict=True):
        if not cells[at].strip():
            return f"{name} is empty"
        if not NUMBER.fullmatch(cells[at]) and not _is_not_finite(cells[at]):
            return _no_number(name, cells[at].strip())
    for name, optional_at in zip(OPTIONAL, layout.optional, strict=True):
        cell = "" if optional_at is None else cells[optional_at].strip()
        if cell.lower() not in _UNKNOWN and not NUMBER.fullmatch(cell):
            return _no_number(name, cell)
    return None


def _no_number(name: str, cell: str) -> str:
    hint = "; write numbers with a point and without thousands" if _COMMA.fullmatch(cell) else ""
    return f"{name} is no number: '{cell[:40]}'{hint}"


def _is_not_finite(cell: str) -> bool:
    return cell.strip().lower().lstrip("+-") in ("nan", "inf", "infinity")


def is_plausible(candle: Candle) -> bool:
    """Tell whether `fault_of` finds nothing, at a fraction of its cost."""
    low, high = candle.low, candle.high
    total, base, quote = (
        candle.quote_volume,
        candle.taker_buy_volume,
        candle.taker_buy_quote_volume,
    )
    return (
        0.0 < low <= candle.open <= high
        and low <= candle.close <= high < math.inf
        and 0.0 <= candle.volume < math.inf
        and (total is None or 0.0 <= total < math.inf)
        and (candle.trades is None or candle.trades >= 0)
        and (base is None or 0.0 <= base < math.inf)
        and (quote is None or 0.0 <= quote < math.inf)
    )


def format_row(candle: Candle, interval: Interval) -> tuple[str, ...]:
    """Return `candle` as the twelve texts of `COLUMNS`.

    Numbers are the shortest decimals (never in exponent form) that parse to the same float.
    Unknown values are empty; `ignore` is 0 as in the archive, empty where the taker volumes are
    unknown.
    """
    known = candle.taker_buy_volume is not None and candle.taker_buy_quote_volume is not None
    return (
        str(candle.open_time_ms),
        number(candle.open),
        number(candle.high),
        number(candle.low),
        number(candle.close),
        number(candle.volume),
        str(interval.close_time(candle.open_time_ms)),
        "" if candle.quote_volume is None else number(candle.quote_volume),
        "" if candle.trades is None else str(candle.trades),
        "" if candle.taker_buy_volume is None else number(candle.taker_buy_volume),
        "" if candle.taker_buy_quote_volume is None else number(candle.taker_buy_quote_volume),
        "0" if known else "",
    )


def number(value: float) -> str:
    """Return the shortest decimal text that parses to `value`, without an exponent."""
    text = repr(value)
    return format(Decimal(text), "f") if "e" in text else text
