"""Select-graphic-rendition codes: what they mean, and the shortest way from style to style."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.sgr import DEFAULT, CellStyle, applied, blank, change

ATTRIBUTE_CODES = (1, 2, 3, 4, 5, 7, 8, 9)
COLORS = ("", "31", "97", "38;5;208", "38;2;224;0;18")
BACKGROUNDS = ("", "41", "107", "48;5;17", "48;2;18;18;18")

styles = st.builds(
    CellStyle, st.integers(0, 255), st.sampled_from(COLORS), st.sampled_from(BACKGROUNDS)
)


@given(styles, styles)
def test_a_change_leads_from_one_style_to_the_other(now, wanted):
    sequence = change(now, wanted)
    found = applied(now, sequence[2:-1]) if sequence else now
    assert found == wanted


@given(styles)
def test_a_change_from_an_unknown_style_leads_there_from_any(wanted):
    codes = change(None, wanted)[2:-1]
    assert applied(None, codes) == wanted
    assert applied(CellStyle(255, "31", "41"), codes) == wanted


@given(styles, styles)
def test_a_change_is_never_longer_than_beginning_anew(now, wanted):
    assert len(change(now, wanted)) <= len(change(None, wanted))


@pytest.mark.parametrize("code", ATTRIBUTE_CODES)
def test_attributes_add_up_until_a_reset(code):
    style = applied(CellStyle(0, "31"), str(code))
    assert style is not None
    assert style.attributes
    assert style.foreground == "31"
    assert applied(style, "0") == applied(style, "") == DEFAULT


def test_bold_and_dim_end_together():
    assert applied(applied(DEFAULT, "1;2"), "22") == DEFAULT


@pytest.mark.parametrize("codes", ["21", "38", "38;2;1;2", "38;7;1", "48;5", "58;5;1", "73"])
def test_what_is_not_known_is_never_guessed(codes):
    assert applied(DEFAULT, codes) is None


def test_an_unknown_style_stays_unknown_until_a_reset():
    assert applied(None, "31") is None
    assert applied(None, "0;31") == CellStyle(0, "31")


@pytest.mark.parametrize(
    ("style", "seen"),
    [
        (CellStyle(1, "31", "41"), CellStyle(0, "", "41")),
        (CellStyle(32, "31", "41"), CellStyle(32, "31", "41")),
        (CellStyle(8, "31"), CellStyle(8, "31")),
    ],
)
def test_a_blank_shows_its_background_and_lines_only(style, seen):
    assert blank(style) == seen
