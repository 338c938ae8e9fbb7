"""The characters that widgets draw with: a Unicode set and an ASCII set for plain terminals.

Every glyph is one cell wide.
"""

from __future__ import annotations

import msgspec


class Glyphs(msgspec.Struct, frozen=True):
    """One set of characters.

    Attributes:
        is_ascii: True when every character is ASCII.
        up: Arrow of a rise; `down` of a fall; `flat` of no change.
        up_hollow: Arrow of a forecast of a rise that missed; `down_hollow` of a fall.
        cursor: Marks the selected row.
        pointer: Marks the last price, drawn left of its label.
        dot: The "live" mark; `hollow_dot` its opposite.
        hit: A forecast that was right; `miss` wrong; `tie` neither.
        levels: Characters of rising height, the lowest first, for sparklines and volume.
        partial: Growing parts of a cell from the left, without the full one.
        full: A full cell; `track` an empty cell of a meter.
        dash: A piece of a horizontal rule; `bar` of a vertical one; `middot` of a grid.
        ellipsis: The end of a text that was cut.
        tick: Marks the candle that a label of the time axis belongs to.
        candle: Glyph by the state of a cell's upper and lower half (index 3 * upper + lower;
            0 empty, 1 wick, 2 body).
        candle_up: Body glyphs for mono terminals, where shape alone tells a rise.
        candle_down: Likewise for a fall.
        averages: One mark for each moving average, for terminals without colour.
        sort_up: Mark of a column sorted with the smallest first; `sort_down` with the largest.
    """

    is_ascii: bool
    up: str
    down: str
    flat: str
    up_hollow: str
    down_hollow: str
    cursor: str
    pointer: str
    dot: str
    hollow_dot: str
    hit: str
    miss: str
    tie: str
    levels: str
    partial: str
    full: str
    track: str
    dash: str
    bar: str
    middot: str
    ellipsis: str
    tick: str
    candle: str
    candle_up: str
    candle_down: str
    averages: str
    sort_up: str
    sort_down: str


UNICODE = Glyphs(
    is_ascii=False,
    up="▲",
    down="▼",
    flat="·",
    up_hollow="△",
    down_hollow="▽",
    cursor="▸",
    pointer="◂",
    dot="●",
    hollow_dot="○",
    hit="✓",
    miss="✗",
    tie="·",
    levels="▁▂▃▄▅▆▇█",
    partial="▏▎▍▌▋▊▉",
    full="█",
    track="░",
    dash="─",
    bar="│",
    middot="·",
    ellipsis="…",
    tick="╵",
    candle=" ╷╻╵│╽╹╿┃",
    candle_up=" ╷╻╵│╽╹╿┃",
    candle_down=" ╷▄╵│▄▀▀█",
    averages="·∘•",
    sort_up="▴",
    sort_down="▾",
)

ASCII = Glyphs(
    is_ascii=True,
    up="^",
    down="v",
    flat="=",
    up_hollow="x",
    down_hollow="x",
    cursor=">",
    pointer="<",
    dot="*",
    hollow_dot="o",
    hit="+",
    miss="x",
    tie=".",
    levels="_.-=+*%#",
    partial="",
    full="#",
    track=".",
    dash="-",
    bar="|",
    middot=".",
    ellipsis="~",
    tick="'",
    candle=" |O||OOOO",
    candle_up=" |O||OOOO",
    candle_down=" |#||####",
    averages=".:~",
    sort_up="^",
    sort_down="v",
)


def glyphs(ascii: bool = False) -> Glyphs:  # noqa: A002
    """Return the ASCII set, or the Unicode set."""
    return ASCII if ascii else UNICODE
