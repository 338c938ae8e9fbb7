"""Output with the same picture in fewer bytes, checked against a small terminal."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.screen_diff import BEGIN, END, NARROW, ScreenDiff
from tui.sgr import DEFAULT, applied, blank

SEQUENCE = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])|\x1b\](?:[^\x07]*)\x07")


class SmallTerminal:
    """Cells with characters and styles; knows moves, SGR, erasing, modes and wide characters."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], tuple[str, object]] = {}
        self.row, self.column = 1, 1
        self.style = DEFAULT
        self.modes: list[str] = []

    def feed(self, data: str) -> None:
        at = 0
        while at < len(data):
            found = SEQUENCE.match(data, at)
            if found is not None:
                at = found.end()
                if found[3]:
                    self._control(found[1], found[2], found[3])
            elif data[at] == "\n":
                at += 1
                self.row, self.column = self.row + 1, 1
            else:
                self._print(data[at])
                at += 1

    def _control(self, private: str, codes: str, final: str) -> None:
        first = codes.split(";", maxsplit=1)[0]
        if private:
            self.modes.append(codes + final)
        elif final == "m":
            style = applied(self.style, codes)
            assert style is not None
            self.style = style
        elif final == "H":
            row, _, column = codes.partition(";")
            self.row, self.column = max(1, int(row or 1)), max(1, int(column or 1))
        elif final == "C":
            self.column += int(first or 1)
        elif final == "J":
            self.cells.clear()
            # The erased cells take the background of the moment; tests look at rows 1 to 9.
            for row in range(1, 10):
                for column in range(1, 60):
                    self.cells[row, column] = (" ", self.style)
        elif final == "K":
            for column in range(self.column, 60):
                self.cells[self.row, column] = (" ", self.style)
        else:
            raise AssertionError(f"not known: {codes}{final}")

    def _print(self, char: str) -> None:
        place = (self.row, self.column)
        width = cell_len(char)
        for column in range(self.column, self.column + width):
            self._break(self.row, column)
        self.cells[place] = (char, self.style)
        if width == 2:
            self.cells[self.row, self.column + 1] = ("right half", self.style)
        self.column += width

    def _break(self, row: int, column: int) -> None:
        """Blank the other half of a wide character."""
        char, style = self.cells.get((row, column), (" ", DEFAULT))
        if char == "right half":
            self.cells[row, column - 1] = (" ", style)
        elif char and cell_len(char) == 2:
            self.cells[row, column + 1] = (" ", style)

    def picture(self) -> dict[tuple[int, int], tuple[str, object]]:
        seen = {}
        for place, (char, style) in self.cells.items():
            shown = (char, blank(style) if char == " " else style)
            if shown != (" ", DEFAULT):
                seen[place] = shown
        return seen


def assert_same(chunks: list[str]) -> int:
    """Feed both terminals; return how many bytes the second one was sent."""
    diff, plain, spared = ScreenDiff(), SmallTerminal(), SmallTerminal()
    count = 0
    for chunk in chunks:
        written = diff.feed(chunk)
        count += len(written.encode())
        plain.feed(chunk)
        spared.feed(written)
        assert spared.picture() == plain.picture()
        assert (spared.row, spared.column) == (plain.row, plain.column)
    return count


places = st.tuples(st.integers(1, 6), st.integers(1, 12)).map(lambda at: f"\x1b[{at[0]};{at[1]}H")
words = st.text("ab  │█▲", min_size=1, max_size=9)
wide = st.sampled_from(["币安", "a币b", "e\u0301x"])
codes = st.sampled_from(
    [
        "1",
        "2",
        "38;2;1;2;3",
        "38;2;9;9;9;48;2;5;5;5",
        "1;31;44",
        "7;32",
        "48;5;9",
        "4",
        "39",
        "22;27",
    ]
)
pieces = st.one_of(
    st.tuples(codes, st.one_of(words, words, words, wide)).map(
        lambda one: f"\x1b[{one[0]}m{one[1]}\x1b[0m"
    ),
    codes.map(lambda code: f"\x1b[{code}m"),
    words,
)
runs = st.tuples(places, st.lists(pieces, max_size=4)).map(lambda one: one[0] + "".join(one[1]))
strange = st.sampled_from(["\x1b[2J", "\x1b[0m\x1b[K", "\x1b[K", "\x1b]0;title\x07", "\n", "\nx"])
chunks = st.one_of(
    st.lists(runs, min_size=1, max_size=5).map("".join),
    st.lists(runs, min_size=1, max_size=5).map("\n".join),
    st.lists(st.one_of(runs, strange), min_size=1, max_size=4).map("".join),
    st.sampled_from([BEGIN, END, "\x1b[?25l", "\x1b[?1000h\x1b[?1003h"]),
)


@settings(max_examples=600)
@given(st.lists(chunks, max_size=8))
def test_the_picture_is_the_same(chunks):
    assert_same(chunks)


@settings(max_examples=100)
@given(st.lists(st.lists(st.tuples(codes, words), min_size=1), min_size=1, max_size=5))
def test_painting_the_same_again_writes_nothing(rows):
    lines = [
        f"\x1b[{row};2H" + "".join(f"\x1b[{code}m{text}\x1b[0m" for code, text in pieces)
        for row, pieces in enumerate(rows, 1)
    ]
    chunk = "\n".join(lines) + "\x1b[1;1H"
    diff = ScreenDiff()
    assert diff.feed(chunk)
    assert diff.feed(chunk) == ""


@settings(max_examples=100)
@given(st.lists(chunks, max_size=3), st.lists(runs, min_size=1, max_size=5).map("".join))
def test_after_forgetting_all_that_is_painted_is_written(before, chunk):
    diff, plain, blind = ScreenDiff(), SmallTerminal(), SmallTerminal()
    for one in before:
        plain.feed(one)
        blind.feed(diff.feed(one))
    chunk = f"\x1b[0m{chunk}\x1b[0m"
    diff.forget()
    # A terminal that lost its picture, as after a resize.
    plain.cells.clear()
    blind.cells.clear()
    plain.feed(chunk)
    blind.feed(diff.feed(chunk))
    assert blind.picture() == plain.picture()


PAINT = (
    "\x1b[3;5H\x1b[38;2;1;1;1;48;2;2;2;2m70,446.60 \x1b[0m"
    "\x1b[38;2;9;9;9;48;2;2;2;2m0.0259\x1b[0m\x1b[1;1H"
)


def test_one_changed_digit_costs_one_digit():
    diff = ScreenDiff()
    diff.feed(PAINT)
    assert diff.feed(PAINT) == ""
    written = diff.feed(PAINT.replace("446.60", "446.61"))
    assert written == "\x1b[38;2;1;1;1m\x1b[3;13H1\x1b[1H"


def test_cells_of_one_style_are_written_together():
    diff = ScreenDiff()
    rows = [f"\x1b[{row};1H\x1b[31ma{{0}}\x1b[0m\x1b[32mb{{0}}\x1b[0m" for row in range(1, 20)]
    diff.feed("\n".join(rows).format(1))
    assert diff.feed("\n".join(rows).format(2)).count("m") == 1


def test_an_update_without_a_change_sends_no_brackets():
    diff = ScreenDiff()
    diff.feed(PAINT)
    assert [diff.feed(part) for part in (BEGIN, PAINT, END)] == ["", "", ""]
    written = [diff.feed(part) for part in (BEGIN, PAINT.replace("6", "7"), END)]
    assert written[0] == ""
    assert written[1].startswith(BEGIN)
    assert written[2] == END


@pytest.mark.parametrize(
    "strange", ["\x1b[2J", "\x1b[5;1r", "\x1bc", "\x1b]52;c;aGk=\x07", "\x07", "\t"]
)
def test_what_is_not_understood_passes_and_nothing_is_taken_for_known(strange):
    diff = ScreenDiff()
    diff.feed(PAINT)
    assert diff.feed(strange).endswith(strange)
    assert "70,446.60" in diff.feed(PAINT)


def test_text_of_a_width_that_terminals_disagree_on_is_always_written():
    line = "\x1b[2;3H\x1b[31m币安人生USDT\x1b[0m\x1b[32m 12.5\x1b[0m\x1b[1;1H"
    diff = ScreenDiff()
    first = diff.feed(line)
    assert "币安人生USDT" in first
    again = diff.feed(line)
    assert "币安人生USDT" in again
    # What follows stands where the program put it, whatever the terminal made of the name.
    assert re.search(r"\x1b\[2;15H[^币]* 12.5", again)


def test_every_narrow_character_is_one_cell_wide():
    narrow = [char for char in map(chr, range(0x20, 0x3000)) if NARROW.fullmatch(char)]
    assert len(narrow) > 1000
    assert [char for char in narrow if cell_len(char) != 1] == []
