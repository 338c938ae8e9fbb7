"""The order book as a ladder: asks above, the spread between, bids below."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import accumulate
from math import isfinite
from typing import TYPE_CHECKING

import msgspec
from rich.style import Style

from tui.widgets import formats
from tui.widgets.line_widget import Line, PaintedWidget, Piece, line_width
from tui.widgets.meter import bar, meter
from tui.widgets.number_column import NumberColumn

if TYPE_CHECKING:
    from typing import Unpack

    from tui.widgets.glyphs import Glyphs
    from tui.widgets.line_widget import WidgetOptions
    from tui.widgets.palette import Palette

Level = tuple[float, float]
"""Price (quote asset) and quantity (base asset)."""

_HEADER_FROM = 9
_METER_FROM = 6
_LEAST_BAR = 4
_NOTE_MOST = 5
_NOTE_WIDTH = 20
_RULE = 4
SIDE_BY_SIDE = 72
"""Columns from which bids and asks stand beside each other, which doubles the depth."""
_DIM = Style(dim=True)


class _Book(msgspec.Struct, frozen=True):
    bids: Sequence[Level] = ()
    asks: Sequence[Level] = ()
    price_decimals: int = 2
    quantity_decimals: int = 4
    live: bool = False
    note: str = ""
    best: tuple[float, float] | None = None


class _Columns(msgspec.Struct, frozen=True):
    """Widths in cells; 0 leaves a column out."""

    price: int
    size: int
    bar: int
    total: int


class Ladder(PaintedWidget):
    """Asks from the worst to the best, the spread, bids from the best to the worst, and a meter.

    Where it is wide enough bids and asks stand beside each other, the best at the top.

    Bars show the cumulative quantity up to a level, both sides on one scale. The meter shows the
    bids' share in the quantity of all levels in sight.
    """

    def __init__(self, palette: Palette, glyphs: Glyphs, **options: Unpack[WidgetOptions]) -> None:
        super().__init__(palette, glyphs, **options)
        self._book = _Book()
        self._sizes = NumberColumn()
        self._totals = NumberColumn()
        self._price_width = 0

    @property
    def levels_wanted(self) -> int:
        """Levels a side that fit the current size."""
        return self.levels_for(*self.size)

    @classmethod
    def levels_for(cls, width: int, height: int) -> int:
        """Return how many levels a side fit `width` columns and `height` rows."""
        if width >= SIDE_BY_SIDE:
            return max(1, cls._room(height))
        return max(1, *cls._depth(height))

    def reset(self) -> None:
        """Forget the widths of columns (for another market)."""
        self._sizes.reset()
        self._totals.reset()
        self._price_width = 0

    def show(
        self,
        bids: Sequence[Level],
        asks: Sequence[Level],
        price_decimals: int,
        quantity_decimals: int,
        *,
        live: bool,
        note: str = "",
        best: tuple[float, float] | None = None,
    ) -> None:
        """Show a book.

        Args:
            bids: (price, quantity), best first. `asks` likewise.
            asks: (price, quantity), best first.
            price_decimals: Places of prices.
            quantity_decimals: Places of quantities, at most.
            live: False when the book is not to be trusted: it is then dimmed.
            note: Stands in the spread row when the book is not live, such as `resynchronising`.
            best: Best bid and ask that spread and mid are told of, where levels are grouped.
        """
        old = self._book
        if (price_decimals, quantity_decimals) != (old.price_decimals, old.quantity_decimals):
            self.reset()
        self._book = _Book(bids, asks, price_decimals, quantity_decimals, live, note, best)
        if not self._lines or self._book != old:
            self.draw()

    @staticmethod
    def _room(height: int) -> int:
        """Return the rows that header, spread and meter leave to levels."""
        return height - 1 - (height >= _HEADER_FROM) - (height >= _METER_FROM)

    @classmethod
    def _depth(cls, height: int) -> tuple[int, int]:
        """Return how many asks and bids fit, one above the other."""
        rest = cls._room(height)
        return rest - rest // 2, rest // 2

    def draw(self) -> None:
        """Draw the levels that fit."""
        width, height = self.size
        if not width or not height:
            return
        book = self._book
        if width >= SIDE_BY_SIDE:
            lines = self._beside(width, height)
        else:
            lines = self._stacked(width, height)
        self.set_lines(lines if book.live else [_dimmed(line, self.palette) for line in lines])

    def _beside(self, width: int, height: int) -> list[Line]:
        """Return bids at the left and asks at the right, the best of both at the top."""
        book, half = self._book, (width - 1) // 2
        spread = self._spread(width, height)
        rows = self._room(height - len(spread) + 1)
        asks, bids = list(book.asks[:rows]), list(book.bids[:rows])
        ask_sums = list(accumulate(quantity for _, quantity in asks))
        bid_sums = list(accumulate(quantity for _, quantity in bids))
        columns = self._columns(half, asks + bids, ask_sums + bid_sums)
        deepest = max([*ask_sums[-1:], *bid_sums[-1:]], default=0.0)
        left = [
            self._level(level, total, deepest, columns, is_bid=True)
            for level, total in zip(bids, bid_sums, strict=True)
        ]
        right = [
            self._level(level, total, deepest, columns, is_bid=False)
            for level, total in zip(asks, ask_sums, strict=True)
        ]
        if height >= _HEADER_FROM:
            left[:0] = right[:0] = [self._header(columns)]
        lines = spread
        for index in range(rows + (height >= _HEADER_FROM)):
            start = left[index] if index < len(left) else ()
            end = right[index] if index < len(right) else ()
            gap = (" " * (width - half - line_width(start)), self.palette.text)
            lines.append((*start, gap, *end) if end else start)
        if height >= _METER_FROM:
            lines.append(self._meter(width, bid_sums[-1:], ask_sums[-1:]))
        return lines

    def _stacked(self, width: int, height: int) -> list[Line]:
        """Return asks above the spread and bids beneath it."""
        book = self._book
        spread = self._spread(width, height)
        ask_rows, bid_rows = self._depth(height - len(spread) + 1)
        asks, bids = list(book.asks[:ask_rows]), list(book.bids[:bid_rows])
        ask_sums = list(accumulate(quantity for _, quantity in asks))
        bid_sums = list(accumulate(quantity for _, quantity in bids))
        columns = self._columns(width, asks + bids, ask_sums + bid_sums)
        deepest = max([*ask_sums[-1:], *bid_sums[-1:]], default=0.0)
        lines: list[Line] = [self._header(columns)] if height >= _HEADER_FROM else []
        lines += [()] * (ask_rows - len(asks))
        lines += [
            self._level(asks[index], ask_sums[index], deepest, columns, is_bid=False)
            for index in reversed(range(len(asks)))
        ]
        lines += spread
        lines += [
            self._level(level, total, deepest, columns, is_bid=True)
            for level, total in zip(bids, bid_sums, strict=True)
        ]
        lines += [()] * (bid_rows - len(bids))
        if height >= _METER_FROM:
            lines.append(self._meter(width, bid_sums[-1:], ask_sums[-1:]))
        return lines

    def _columns(self, width: int, levels: list[Level], sums: list[float]) -> _Columns:
        book = self._book
        self._sizes.see((quantity for _, quantity in levels), book.quantity_decimals)
        self._totals.see(sums, book.quantity_decimals)
        widest = max((len(formats.price(at, book.price_decimals)) for at, _ in levels), default=5)
        self._price_width = max(self._price_width, widest)
        price = self._price_width
        size = max(len(self._title("size", self._sizes)), self._sizes.width)
        total = max(len(self._title("sum", self._totals)), self._totals.width)
        rest = width - 2 - price - 1 - size
        if rest >= 1 + _LEAST_BAR + 1 + total:
            return _Columns(price, size, rest - 2 - total, total)
        if rest >= 1 + _LEAST_BAR // 2:
            return _Columns(price, size, rest - 1, 0)
        return _Columns(price, size, 0, 0)

    @staticmethod
    def _title(name: str, column: NumberColumn) -> str:
        return f"{name} {column.unit}".rstrip()

    def _header(self, columns: _Columns) -> Line:
        text = f" {'price':>{columns.price}} {self._title('size', self._sizes):>{columns.size}}"
        if columns.total:
            title = self._title("sum", self._totals)
            text += f" {'':{columns.bar}} {title:>{columns.total}}"
        return ((text, self.palette.header),)

    def _level(
        self, level: Level, total: float, deepest: float, columns: _Columns, *, is_bid: bool
    ) -> Line:
        book, palette = self._book, self.palette
        at, quantity = level
        price = formats.price(at, book.price_decimals).rjust(columns.price)
        size = self._sizes.text(quantity, book.quantity_decimals).rjust(columns.size)
        pieces: list[Piece] = [
            (f" {price} ", palette.bid if is_bid else palette.ask),
            (size, palette.text),
        ]
        if columns.bar:
            share = total / deepest if deepest > 0 and isfinite(deepest) else 0.0
            filled = bar(share, columns.bar, self.glyphs).ljust(columns.bar)
            pieces.append((f" {filled}", palette.bid_bar if is_bid else palette.ask_bar))
        if columns.total:
            sum_text = self._totals.text(total, book.quantity_decimals).rjust(columns.total)
            pieces.append((f" {sum_text}", palette.dim))
        return tuple(pieces)

    def _spread(self, width: int, height: int) -> list[Line]:
        """Return the row of the spread, or why there is none in as many rows as that takes."""
        if self._book.live:
            return [self._spread_line(width)]
        note, glyphs, warn = self._book.note or "not live", self.glyphs, self.palette.warn
        parts = [note]
        if height >= _HEADER_FROM + _NOTE_MOST and width >= _NOTE_WIDTH:
            parts = textwrap.wrap(
                note, width - _RULE, max_lines=_NOTE_MOST, placeholder=glyphs.ellipsis
            )
        return [_ruled(part, width, warn, glyphs) for part in parts]

    def _spread_line(self, width: int) -> Line:
        book, palette = self._book, self.palette
        if not book.bids or not book.asks:
            return _ruled("one side is empty", width, palette.warn, self.glyphs)
        bid, ask = book.best or (book.bids[0][0], book.asks[0][0])
        if bid >= ask:
            return _ruled("crossed", width, palette.warn, self.glyphs)
        spread, mid = ask - bid, bid / 2 + ask / 2
        bps = spread / mid * 10_000 if mid > 0 else 0.0
        parts = [
            f"spread {formats.price(spread, book.price_decimals)}",
            f"{bps:.2f} bps",
            f"mid {formats.price(mid, book.price_decimals + 1)}",
        ]
        between = f" {self.glyphs.middot if not self.glyphs.is_ascii else '|'} "
        while len(parts) > 1 and len(between.join(parts)) + 4 > width:
            parts.pop()
        return _ruled(between.join(parts), width, palette.text, self.glyphs)

    def _meter(self, width: int, bid_sum: list[float], ask_sum: list[float]) -> Line:
        palette = self.palette
        bids, asks = sum(bid_sum), sum(ask_sum)
        if bids + asks <= 0 or not isfinite(bids + asks):
            return ()
        fraction = bids / (bids + asks)
        left, right = (
            f" bids {formats.share(fraction):>5} ",
            f" {formats.share(1 - fraction):>5} asks ",
        )
        if width < len(left) + len(right) + 12:
            right = ""
        room = width - len(left) - (len(right) or 1)
        text = meter(fraction, room, self.glyphs)
        filled = len(text.rstrip(self.glyphs.track))
        return (
            (left, palette.bid),
            (text[:filled], palette.bid),
            (text[filled:], palette.ask),
            (right, palette.ask),
        )


def _ruled(text: str, width: int, style: Style, glyphs: Glyphs) -> Line:
    """Return `text` in the middle of a rule."""
    room = width - _RULE
    if room < 1:
        return ((text[:width], style),)
    if len(text) > room:
        text = text[: max(0, room - 1)] + glyphs.ellipsis
    dashes = room - len(text)
    left = dashes // 2
    return (
        (" " + glyphs.dash * left + " ", _DIM),
        (text, style),
        (" " + glyphs.dash * (dashes - left) + " ", _DIM),
    )


def _dimmed(line: Line, palette: Palette) -> Line:
    """Take the colours away, but for a warning."""
    return tuple((text, style if style == palette.warn else palette.dim) for text, style in line)
