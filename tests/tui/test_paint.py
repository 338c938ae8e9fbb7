"""Partial updates: what a terminal shows after the short form is what it shows after the long."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate
from textual.strip import Strip

from tui.paint import _PLAIN, TightUpdate, codes_of, encode

STYLES = [
    None,
    Style(),
    Style(color="#ff0000"),
    Style(color="#ff0000", bgcolor="#101010"),
    Style(bold=True, bgcolor="#101010"),
    Style(reverse=True, dim=True),
    Style(color="color(3)", strike=True),
]
SYSTEM = ColorSystem.TRUECOLOR


def played(text: str) -> list[tuple[str, frozenset[str], str, str]]:
    """Play SGR sequences and return each letter with attributes, foreground and background."""
    attributes: set[str] = set()
    front, back = "39", "49"
    cells = []
    for part in re.split(r"(\x1b\[[0-9;]*m)", text):
        if not part.startswith("\x1b"):
            cells += [(letter, frozenset(attributes), front, back) for letter in part]
            continue
        codes = part[2:-1].split(";")
        while codes:
            code = codes.pop(0)
            if code == "0":
                attributes, front, back = set(), "39", "49"
            elif code in ("38", "48"):
                count = 4 if codes[0] == "2" else 2
                value = ";".join([code, *codes[:count]])
                del codes[:count]
                front, back = (value, back) if code == "38" else (front, value)
            elif len(code) == 1:
                attributes.add(code)
            elif code.startswith(("3", "9")):
                front = code
            else:
                back = code
    return cells


@given(st.lists(st.tuples(st.text("abc ", min_size=1, max_size=4), st.sampled_from(STYLES))))
def test_short_sequences_draw_the_same_cells(pieces):
    text, _ = encode([Segment(text, style) for text, style in pieces], _PLAIN, SYSTEM)
    wanted = []
    for piece, style in pieces:
        attributes, front, back = codes_of(style, SYSTEM)
        marks = frozenset(attributes.split(";")) - {""}
        wanted += [(letter, marks, front, back) for letter in piece]
    assert played(text) == wanted


def test_a_style_that_goes_on_is_written_once():
    red = Style(color="#ff0000")
    text, _ = encode([Segment("a", red), Segment("b", red)], _PLAIN, SYSTEM)
    assert text == "\x1b[38;2;255;0;0mab"


def test_no_colours_are_written_where_the_terminal_has_none():
    text, _ = encode([Segment("a", Style(color="red", bold=True))], _PLAIN, None)
    assert text == "\x1b[0;1ma"


def test_only_the_changed_span_is_written():
    strip = Strip([Segment("0123456789")])
    update = ChopsUpdate([{0: strip}], [(0, 4, 6)], [[10]])
    console = Console(color_system="truecolor", force_terminal=True)
    assert TightUpdate(update).render_segments(console) == "\x1b[1;5H45"


def test_a_span_across_two_widgets_is_one_run():
    chops = [{0: Strip([Segment("abcde")]), 5: Strip([Segment("fghij")])}]
    update = ChopsUpdate(chops, [(0, 3, 7)], [[5, 10]])
    console = Console(color_system="truecolor", force_terminal=True)
    assert TightUpdate(update).render_segments(console) == "\x1b[1;4Hdefg"
