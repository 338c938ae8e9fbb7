"""The focused market's day in a few lines: range, volume, best bid and ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tui.cells import fit, spread, width_of
from tui.widgets import formats

if TYPE_CHECKING:
    from engine.service.contract import TickerRow
    from tui.cells import Cell, Line
    from tui.model import DeskModel

ROWS: Final = 7
_LABEL: Final = 10
_TRACK_MAX: Final = 40


def market_lines(model: DeskModel, row: TickerRow, width: int) -> list[Line]:
    """Return `ROWS` lines of at most `width` cells about one market."""
    palette, glyphs = model.palette, model.glyphs
    decimals = row.price_decimals
    figures = [formats.price(price, decimals) for price in (row.high, row.low, row.ask, row.bid)]
    high, low, ask, bid = (text.rjust(max(map(len, figures))) for text in figures)
    rule = glyphs.dash * max(0, width - len(row.symbol) - 9)
    lines: list[Line] = [
        ((f" {row.symbol} ", palette.bright), (rule, palette.frame), (" 24 h", palette.dim)),
        _pair(model, ("high", high), ("volume", formats.compact(row.volume)), width),
        _pair(model, ("low", low), ("in quote", formats.compact(row.quote_volume)), width),
        (_label(model, "last at"), *_range(model, row, width - _LABEL - 1)),
        (),
        _pair(model, ("ask", ask), ("spread", _spread(row)), width),
        _pair(model, ("bid", bid), ("", _spread_bps(row)), width),
    ]
    return [fit(line, width, glyphs.ellipsis) for line in lines]


def _label(model: DeskModel, text: str) -> Cell:
    return (f" {text:<{_LABEL - 1}}", model.palette.dim)


def _pair(model: DeskModel, one: tuple[str, str], other: tuple[str, str], width: int) -> Line:
    palette = model.palette
    left = (_label(model, one[0]), (one[1], palette.text))
    right = ((f"{other[0]} ", palette.dim), (other[1], palette.text), (" ", palette.text))
    both = width_of(left) + width_of(right) + 2 <= width
    return spread(left, right if both else right[1:], width)


def _range(model: DeskModel, row: TickerRow, room: int) -> Line:
    """Return a track from the day's low to its high with a mark where the last price stands.

    `low ─────●── high`, or the share of the way from low to high where that does not fit.
    """
    palette, glyphs = model.palette, model.glyphs
    if row.last is None or row.low is None or row.high is None or row.high <= row.low:
        return ((formats.UNKNOWN, palette.dim),)
    place = min(1.0, max(0.0, (row.last - row.low) / (row.high - row.low)))
    cells = min(_TRACK_MAX, room - len("low  high"))
    if cells < 5:
        return ((f"{place * 100:.0f} % of low to high", palette.text),)
    at = round(place * (cells - 1))
    return (
        ("low ", palette.dim),
        (glyphs.dash * at, palette.dim),
        (glyphs.dot, palette.bright),
        (glyphs.dash * (cells - 1 - at), palette.dim),
        (" high", palette.dim),
    )


def _spread(row: TickerRow) -> str:
    if row.bid is None or row.ask is None:
        return formats.UNKNOWN
    return formats.price(row.ask - row.bid, row.price_decimals)


def _spread_bps(row: TickerRow) -> str:
    if row.bid is None or row.ask is None or row.bid + row.ask <= 0:
        return ""
    return f"{(row.ask - row.bid) / (row.ask + row.bid) * 20_000:.2f} bps"
