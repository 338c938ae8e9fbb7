"""What each mark, colour and word on the screen means, for the help page."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from tui.cells import pad, width_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tui.cells import Cell, Line
    from tui.model import DeskModel

MARK_WIDTH: Final = 20

Entry = tuple["Sequence[Cell]", str]


def legend_lines(model: DeskModel, width: int) -> list[Line]:
    """Return the legend, pane by pane, in `width` cells."""
    palette = model.palette
    lines: list[Line] = []
    for title, entries in _groups(model):
        lines += [(), ((f" {title}", palette.bright),)]
        for mark, meaning in entries:
            start: Line = (pad(3), *mark, pad(MARK_WIDTH - width_of(mark)))
            for part in textwrap.wrap(meaning, max(20, width - MARK_WIDTH - 4)):
                lines.append((*start, (part, palette.text)))
                start = (pad(MARK_WIDTH + 3),)
    return lines


def _groups(model: DeskModel) -> Iterable[tuple[str, Sequence[Entry]]]:
    yield "colours", _colours(model)
    yield "status bar", _status(model)
    yield "tickers", _tickers(model)
    yield "order book and trades", _market(model)
    yield "chart", _chart(model)
    yield "storage and coverage", _storage(model)
    yield "forecast", _forecast(model)


def _words(model: DeskModel, *entries: tuple[str, str]) -> list[Entry]:
    return [(((word, model.palette.dim),), meaning) for word, meaning in entries]


def _colours(model: DeskModel) -> list[Entry]:
    palette, glyphs = model.palette, model.glyphs
    return [
        (((f"{glyphs.up} rising", palette.up),), "a rise, a bid, or a trade whose taker bought"),
        (
            ((f"{glyphs.down} falling", palette.down),),
            "a fall, an ask, or a trade whose taker sold",
        ),
        ((("warning", palette.warn),), "not to be trusted right now, or not from Binance"),
        ((("error", palette.error),), "went wrong"),
        ((("model", palette.accent),), "the model's: its training, and forecasts that came true"),
        ((("bold", palette.bright),), "what matters most, or that all is well"),
    ]


def _status(model: DeskModel) -> list[Entry]:
    palette, glyphs = model.palette, model.glyphs
    tag = palette.warn + palette.last_price
    return [
        (((f"{glyphs.dot} live", palette.fine),), "messages come, and all that was asked for"),
        (((f"{glyphs.hollow_dot} stale", palette.warn),), "they do not; the line below says why"),
        (((" DEMO ", tag), (" ", palette.text), (" SIM ", tag)), "an invented market"),
        (((" REPLAY ", tag),), "a market of the past: mind the date"),
        *_words(
            model,
            ("41 ms", "median time from the exchange's event to here"),
            ("0.2 s old", "since the last message"),
            ("-", "not known"),
        ),
    ]  # fmt: skip


def _tickers(model: DeskModel) -> list[Entry]:
    palette, glyphs = model.palette, model.glyphs
    return [
        (((glyphs.dot, palette.bright),), "the market that all panes show"),
        (((glyphs.cursor, palette.bright),), "the cursor"),
        (((glyphs.hit, palette.bright),), "on the watchlist already (where / finds markets)"),
        (((f"{glyphs.sort_up} {glyphs.sort_down}", palette.bright),),
         "sorted by this column, smallest or largest first"),
        (((f"{glyphs.up} {glyphs.down} {glyphs.flat}", palette.text),),
         "higher, lower than 24 h ago, or the same"),
        (((glyphs.levels, palette.text),), "the last closes, from their lowest to their highest"),
        (((f"low {glyphs.dash}{glyphs.dot}{glyphs.dash} high", palette.text),),
         "where the last price stands, in the range of 24 h"),
    ]  # fmt: skip


def _market(model: DeskModel) -> list[Entry]:
    palette, glyphs = model.palette, model.glyphs
    delta = "delta" if glyphs.is_ascii else "Δ"
    return [
        (((glyphs.full * 3, palette.bid_bar),), "quantity of all levels up to this one"),
        (((glyphs.full * 2 + glyphs.track * 2, palette.bid),),
         "the bids' share in all levels in sight, or the buyers' in a minute's trades"),
        *_words(
            model,
            ("step 0.1", "prices are joined in steps of 0.1 (g and G change that)"),
            ("bps", "hundredths of a per cent of the price: 1 bps is 0.01 %"),
            ("mid", "half way between best bid and best ask"),
            ("synced 2 s", "the book is whole; its last change came 2 s ago"),
            ("invented", "a replay of candles has no book and no trades: these are made up"),
            (delta, "bought less sold by takers in the last minute, in units of the base asset"),
        ),
    ]  # fmt: skip


def _chart(model: DeskModel) -> list[Entry]:
    palette, glyphs = model.palette, model.glyphs
    bodies = glyphs.candle_up[8] + glyphs.candle_down[8] if glyphs.is_ascii else glyphs.candle[8]
    return [
        (((bodies, palette.up), (" ", palette.text), (glyphs.candle[4], palette.up)),
         "from open to close, and from low to high; paler while the candle runs"),
        (((f"{glyphs.dash}MA10 ", palette.average_10), (f"{glyphs.dash}20 ", palette.average_20),
          (f"{glyphs.dash}30", palette.average_30)), "means of the last 10, 20 and 30 closes"),
        (((f"{glyphs.pointer}84,212.50", palette.last_price),), "the last price"),
        (((glyphs.levels[2::2], palette.volume_up),), "volume, in units of the base asset"),
        (((f"{glyphs.up} {glyphs.down}", palette.good),),
         "a forecast made here, of a higher or a lower close, that came true"),
        (((f"{glyphs.up_hollow} {glyphs.down_hollow}", palette.bad),), "one that did not"),
        (((f"{glyphs.up} {glyphs.down}", palette.dim),), "one whose outcome is not known yet"),
        (((glyphs.tick, palette.axis), (f"  {glyphs.middot}", palette.grid)),
         "the candle that a time belongs to, and the grid"),
    ]  # fmt: skip


def _storage(model: DeskModel) -> list[Entry]:
    palette, glyphs = model.palette, model.glyphs
    return [
        (((glyphs.levels[-1], palette.text),), "an hour of which every candle is stored"),
        (((glyphs.levels[1:-1], palette.warn),), "a part of them is; a blank: none"),
        (((glyphs.middot, palette.dim),), "an hour of which none was expected"),
        *_words(
            model,
            ("captured", "share of a day's candles that are stored"),
            ("by stream", "share that came at once, with no question asked"),
            ("holes", "candles that the exchange itself does not have"),
            ("lost", "candles that the exchange gives no more"),
            ("both", "candles that stream and REST brought alike"),
            ("weight", "what the requests of this minute cost, of what the exchange allows"),
            ("p50/95/99", "half, 95 and 99 of 100 messages took no longer"),
        ),
    ]  # fmt: skip


def _forecast(model: DeskModel) -> list[Entry]:
    palette, glyphs = model.palette, model.glyphs
    chance = "p(up) 52 %" if glyphs.is_ascii else "p↑ 52 %"
    return [
        (((chance, palette.up),), "the model's chance that the close some candles later is higher"),
        (((glyphs.hit, palette.good), (" ", palette.text), (glyphs.miss, palette.bad)),
         "a forecast that was right, and one that was wrong"),
        (((glyphs.tie, palette.text), (" ", palette.text), (glyphs.hollow_dot, palette.dim)),
         "one whose close was the same, and one whose outcome is not known yet"),
        *_words(
            model,
            ("hit 53 % [46, 60]", "share that was right, and in brackets its 95 % interval"),
            ("Brier", "mean squared error of the chances: 0 knows all, 0.25 is a coin"),
            ("beside", "what simple rules score on the same candles"),
            ("unseen", "candles that the model was not trained on"),
            ("coin toss", "not better than those rules, beyond what chance explains"),
        ),
        (
            (),
            (
                "Short-term direction is close to a coin toss. Trust a model only as far as its "
                "hit rate, with its interval, stands above what stands beside it."
            ),
        ),
    ]  # fmt: skip
