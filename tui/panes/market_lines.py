"""The focused market's day in a few lines: range, volume, best bid and ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tui.cells import fit, spread, width_of
from tui.widgets import formats

if TYPE_CHECKING:
    from engine.service.contract import TickerRow
    from tui.cells import Cell, Line
    from tui.model import DeskModel
    from tui.widgets.glyphs import Glyphs

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
        _pair(model, ("bid", bid), ("bps", spread_bps(row)), width),
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
    """Return where the last price stands between the day's low and high: `low ─────●── high`."""
    palette, glyphs = model.palette, model.glyphs
    cells = min(_TRACK_MAX, room - len("low  high"))
    track = range_track(row, cells, glyphs)
    if not track:
        return ((formats.UNKNOWN, palette.dim),)
    before, _, after = track.partition(glyphs.dot)
    return (
        ("low ", palette.dim),
        (before, palette.dim),
        (glyphs.dot, palette.bright),
        (after, palette.dim),
        (" high", palette.dim),
    )


def range_track(row: TickerRow, cells: int, glyphs: Glyphs) -> str:
    """Return a track from the day's low to its high with a mark where the last price stands.

    Empty where that is not known, or `cells` is no room for it.
    """
    if row.last is None or row.low is None or row.high is None or row.high <= row.low:
        return ""
    if cells < 5:
        return ""
    place = min(1.0, max(0.0, (row.last - row.low) / (row.high - row.low)))
    at = round(place * (cells - 1))
    return glyphs.dash * at + glyphs.dot + glyphs.dash * (cells - 1 - at)


def _spread(row: TickerRow) -> str:
    if row.bid is None or row.ask is None:
        return formats.UNKNOWN
    return formats.price(row.ask - row.bid, row.price_decimals)


def spread_bps(row: TickerRow) -> str:
    """Return the spread in basis points of the mid price; empty where it is not known."""
    if row.bid is None or row.ask is None or row.bid + row.ask <= 0:
        return ""
    return f"{(row.ask - row.bid) / (row.ask + row.bid) * 20_000:.2f}"
