"""Esc is quick, and a sequence that a link splits is a key and not its letters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual import events

from tui.key_parser import LONE_ESC_S, SEQUENCE_S, KeyParser, lone_escape_s

SEQUENCES = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1bOC": "right",
    "\x1b[D": "left",
    "\x1b[5~": "pageup",
    "\x1b[1;5C": "ctrl+right",
    "\x1b[Z": "shift+tab",
    "\x1bOP": "f1",
}


class Line:
    """A parser with a clock, and the keys that came out of it."""

    def __init__(self, lone_esc_s: float = LONE_ESC_S) -> None:
        self.now = 100.0
        self.parser = KeyParser(lone_esc_s=lone_esc_s, clock=lambda: self.now)
        self.keys: list[str] = []

    def feed(self, data: str) -> None:
        self._keep(self.parser.feed(data))

    def wait(self, seconds: float) -> None:
        """Let time pass; the parser is asked when it wants to be, and at the end."""
        end = self.now + seconds
        while (wait_s := self.parser.wait_s) is not None and self.now + wait_s <= end:
            self.now += wait_s
            self._keep(self.parser.tick())
        self.now = end
        self._keep(self.parser.tick())

    def _keep(self, messages) -> None:
        self.keys += [item.key for item in messages if isinstance(item, events.Key)]


def test_a_lone_escape_is_a_key_after_a_moment():
    line = Line()
    line.feed("\x1b")
    line.wait(LONE_ESC_S - 0.001)
    assert line.keys == []
    line.wait(0.002)
    assert line.keys == ["escape"]
    assert line.parser.wait_s is None


@given(
    sequence=st.sampled_from(sorted(SEQUENCES)),
    cut=st.integers(1, 8),
    pause_s=st.floats(0.0, SEQUENCE_S - 0.001),
)
def test_a_sequence_in_two_packets_is_one_key(sequence, cut, pause_s):
    line = Line(lone_esc_s=SEQUENCE_S)
    line.feed(sequence[:cut])
    line.wait(pause_s)
    line.feed(sequence[cut:] or "x")
    assert line.keys[0] == SEQUENCES[sequence]


@given(sequence=st.sampled_from(sorted(SEQUENCES)), pause_s=st.floats(0.02, SEQUENCE_S))
def test_a_rest_that_comes_after_escape_was_taken_for_a_key_is_never_letters(sequence, pause_s):
    line = Line()
    line.feed("\x1b")
    line.wait(pause_s)
    line.feed(sequence[1:])
    line.wait(1.0)
    assert line.keys == ["escape", SEQUENCES[sequence]]


def test_a_bracket_typed_later_is_a_bracket():
    line = Line()
    line.feed("\x1b")
    line.wait(LONE_ESC_S + SEQUENCE_S + 0.001)
    line.feed("[")
    assert line.keys == ["escape", "left_square_bracket"]


def test_letters_right_after_escape_stay_letters():
    line = Line()
    line.feed("\x1b")
    line.wait(LONE_ESC_S)
    line.feed("gq")
    assert line.keys == ["escape", "g", "q"]


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, LONE_ESC_S),
        ({"ESCDELAY": "250"}, 0.25),
        ({"ESCDELAY": "0"}, 0.001),
        ({"ESCDELAY": "soon"}, LONE_ESC_S),
        ({"ESCDELAY": "²"}, LONE_ESC_S),
    ],
)
def test_the_environment_sets_the_wait(environ, seconds):
    assert lone_escape_s(environ) == seconds
