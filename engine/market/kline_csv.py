"""Kline CSV in the columns of Binance's public archive, read leniently and written exactly.

The archive's files have twelve columns, with a header in some years and without in others, and
open times in milliseconds until 2024 and in microseconds (16 digits) since 2025-01-01.
"""

from __future__ import annotations

import gzip
import io
import math
import re
import zipfile
import zlib
from contextlib import contextmanager
from decimal import Decimal
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from engine.market.candle import Candle, fault_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import BinaryIO

    from engine.market.interval import Interval

COLUMNS: tuple[str, ...] = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)
_NEEDED = ("open_time", "open", "high", "low", "close", "volume", "quote_volume")
_OPTIONAL = ("count", "taker_buy_volume", "taker_buy_quote_volume")
_SYNONYMS: dict[str, tuple[str, ...]] = {
    "open_time": ("opentime", "open_time_ms", "timestamp", "time", "unix"),
    "open": ("open_price",),
    "high": ("high_price",),
    "low": ("low_price",),
    "close": ("close_price",),
    "volume": ("base_volume", "base_asset_volume"),
    "close_time": ("closetime", "close_time_ms"),
    "quote_volume": ("quote_asset_volume", "quote_av", "quoteassetvolume", "quotevolume"),
    "count": (
        "trades",
        "number_of_trades",
        "num_trades",
        "trade_count",
        "tradecount",
        "numberoftrades",
    ),
    "taker_buy_volume": (
        "taker_buy_base_asset_volume",
        "taker_buy_base_volume",
        "taker_buy_base",
        "taker_base_volume",
        "tb_base_av",
    ),
    "taker_buy_quote_volume": (
        "taker_buy_quote_asset_volume",
        "taker_buy_quote",
        "taker_quote_volume",
        "tb_quote_av",
    ),
}
_NAMES = {name: name for name in COLUMNS} | {
    synonym: name for name, synonyms in _SYNONYMS.items() for synonym in synonyms
}
_HEADER_NAMES = 3  # so many known names make a line a header
_NUMBER = re.compile(r"\s*[-+]?[0-9]*\.?[0-9]+\.?([eE][-+]?[0-9]+)?\s*")
_OLDEST_MS = 10**11
_MICROSECONDS_FROM = 10**14
_NEWEST_MICROSECONDS = 10**17
_RAW_LENGTH = 500


class UnreadableKlineFile(ValueError):
    """Raised when a whole file can not be read; its text is a sentence for users."""


class BadRow(NamedTuple):
    """A line that holds no candle.

    Attributes:
        line_number: Counted from 1, blank lines and header included.
        reason: What is wrong, in words.
        raw: The line without its end, cut after 500 characters.
    """

    line_number: int
    reason: str
    raw: str


class Layout(NamedTuple):
    """Where the columns of a file are.

    Attributes:
        width: How many columns there are.
        needed: Positions of open time, open, high, low, close, volume and quote volume.
        optional: Positions of count and the two taker volumes, None where there is none.
    """

    width: int
    needed: tuple[int, int, int, int, int, int, int]
    optional: tuple[int | None, int | None, int | None]


DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile)
POSITIONAL = Layout(12, (0, 1, 2, 3, 4, 5, 7), (8, 9, 10))


@contextmanager
def unpacked(file: BinaryIO, name: str) -> Iterator[IO[bytes]]:
    """Give the content of a plain, gzip or zip file (its first member), told apart by content.

    Args:
        file: Opened in binary mode; it stays open.
        name: What error messages call it.

    Raises:
        UnreadableKlineFile: when the compressed data is damaged or ends early, from within the
            block that reads it.
    """
    source = file if file.seekable() else io.BytesIO(file.read())
    start = source.read(4)
    source.seek(-len(start), io.SEEK_CUR)
    try:
        if start[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=source, mode="rb") as content:
                yield cast("IO[bytes]", content)
        elif start == b"PK\x03\x04":
            with zipfile.ZipFile(source) as archive, archive.open(_first_member(archive)) as member:
                yield member
        else:
            yield source
    except DAMAGE as error:
        raise damaged(name, error) from error
    except (NotImplementedError, RuntimeError) as error:
        raise UnreadableKlineFile(f"{name} can not be unpacked: {error}.") from error


def damaged(name: str, error: Exception) -> UnreadableKlineFile:
    """Return the sentence for a compressed file `name` that is damaged (one of `DAMAGE`)."""
    return UnreadableKlineFile(f"{name} is damaged or half-written ({error}); fetch it again.")


def text_lines(file: BinaryIO, name: str) -> Iterator[str]:
    """Yield the lines of a plain, gzip or zip file (its first member).

    Args:
        file: Opened in binary mode; it stays open.
        name: What error messages call it.

    Raises:
        UnreadableKlineFile: when the compressed data is damaged or ends early; the lines before
            that place have been yielded by then.
    """
    with unpacked(file, name) as content:
        yield from _decoded(content)


def _first_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    for member in archive.infolist():
        if not member.is_dir() and not member.filename.startswith("__MACOSX/"):
            return member
    raise zipfile.BadZipFile("the archive holds no file")


def _decoded(stream: IO[bytes]) -> Iterator[str]:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace")
    try:
        # `yield from` would close the wrapper, and with it the caller's file, on an early end.
        for line in text:  # noqa: UP028
            yield line
    finally:
        if not text.closed:
            text.detach()


def read_rows(
    lines: Iterable[str], layout: Layout | None = None, first_line: int = 1
) -> Iterator[Candle | BadRow]:
    """Turn the lines of a kline CSV into candles, and those that hold none into `BadRow`.

    A header may name the columns in any order, by the archive's names or common synonyms; other
    columns are ignored. Without a header the archive's twelve columns are expected. A row with
    another number of columns than its file counts as half-written. An empty optional column
    (count, taker volumes) becomes None. Prices are in the quote asset, open times become
    milliseconds whatever each row has, and every candle is marked as closed.

    Args:
        lines: With or without their ends.
        layout: Where the columns are, when `lines` are not the beginning of a file.
        first_line: The number of the first line.

    Raises:
        UnreadableKlineFile: when the header names too few columns to make candles of.
    """
    for line_number, line in enumerate(lines, first_line):
        text = line.strip("\r\n\ufeff")
        if not text or text.isspace():
            continue
        if '"' in text:
            text = text.replace('"', "")
        cells = text.split(",")
        if layout is None:
            layout, is_header = _layout(cells)
            if is_header:
                continue
        row: Candle | BadRow
        try:
            row = _candle(cells, layout, plain=text.isascii() and "_" not in text)
        except ValueError as error:
            row = BadRow(line_number, str(error), text[:_RAW_LENGTH])
        yield row


def layout_of(line: str) -> tuple[Layout, bool]:
    """Return where the columns are in a file whose first line is `line`, and if it is a header.

    Raises:
        UnreadableKlineFile: when it is a header that names too few columns.
    """
    return _layout(line.strip("\r\n\ufeff").replace('"', "").split(","))


def _layout(cells: Sequence[str]) -> tuple[Layout, bool]:
    header = _header(cells)
    return (POSITIONAL, False) if header is None else (header, True)


def _header(cells: Sequence[str]) -> Layout | None:
    names = [re.sub(r"[\s\-.]+", "_", cell.strip().lower()) for cell in cells]
    known = [_NAMES.get(name, "") for name in names]
    if sum(1 for name in known if name) < _HEADER_NAMES:
        if any(_NUMBER.fullmatch(cell) for cell in cells):
            return None
        raise UnreadableKlineFile(
            f"The first line names no kline columns; klines have the columns {','.join(COLUMNS)}."
        )
    missing = [name for name in _NEEDED if name not in known]
    if missing:
        raise UnreadableKlineFile(f"The header lacks the columns {', '.join(missing)}.")
    where = {name: index for index, name in reversed(list(enumerate(known)))}
    a, b, c, d, e, f, g = (where[name] for name in _NEEDED)
    x, y, z = (where.get(name) for name in _OPTIONAL)
    return Layout(len(cells), (a, b, c, d, e, f, g), (x, y, z))


def _candle(cells: Sequence[str], layout: Layout, *, plain: bool) -> Candle:
    if len(cells) != layout.width:
        raise ValueError(f"it has {len(cells)} columns where {layout.width} are expected")
    if not plain and (reason := _reason(cells, layout)):  # float() takes 1_0 and foreign digits
        raise ValueError(reason)
    time_at, open_at, high_at, low_at, close_at, volume_at, quote_at = layout.needed
    try:
        candle = Candle(
            _open_time_ms(cells[time_at]),
            float(cells[open_at]),
            float(cells[high_at]),
            float(cells[low_at]),
            float(cells[close_at]),
            float(cells[volume_at]),
            float(cells[quote_at]),
            *_optional(cells, layout.optional),
        )
    except ValueError as error:
        raise ValueError(_reason(cells, layout) or str(error)) from None
    if not is_plausible(candle):
        raise ValueError(fault_of(candle) or "a value can not be true")
    return candle


def _optional(
    cells: Sequence[str], where: tuple[int | None, int | None, int | None]
) -> tuple[int | None, float | None, float | None]:
    trades_at, base_at, quote_at = where
    trades = cells[trades_at] if trades_at is not None else ""
    base = cells[base_at] if base_at is not None else ""
    quote = cells[quote_at] if quote_at is not None else ""
    return (
        _whole(trades) if trades and not trades.isspace() else None,
        float(base) if base and not base.isspace() else None,
        float(quote) if quote and not quote.isspace() else None,
    )


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        value = float(text)
        if not value.is_integer():
            raise ValueError(f"count is no whole number: '{text.strip()}'") from None
        return int(value)


def _open_time_ms(text: str) -> int:
    time = int(text)
    if time >= _MICROSECONDS_FROM:
        time, rest = divmod(time, 1000)
        if rest or time >= _NEWEST_MICROSECONDS // 1000:
            raise ValueError(f"open_time is neither milliseconds nor microseconds: '{text}'")
    elif time < _OLDEST_MS:
        raise ValueError(f"open_time is neither milliseconds nor microseconds: '{text}'")
    return time


def _reason(cells: Sequence[str], layout: Layout) -> str | None:
    """Name the first cell that is empty or no number; None when all look like numbers."""
    for name, index in zip(_NEEDED, layout.needed, strict=True):
        if not cells[index].strip():
            return f"{name} is empty"
        if not _NUMBER.fullmatch(cells[index]):
            return f"{name} is no number: '{cells[index].strip()[:40]}'"
    for name, at in zip(_OPTIONAL, layout.optional, strict=True):
        if at is not None and cells[at].strip() and not _NUMBER.fullmatch(cells[at]):
            return f"{name} is no number: '{cells[at].strip()[:40]}'"
    return None


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
