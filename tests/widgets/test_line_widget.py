from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.style import Style

from tui.widgets.line_widget import changed_span, line_width, to_strip
from tui.widgets.text_lines import TextLines

STYLES = [Style(), Style(bold=True), Style(color="red")]
pieces = st.tuples(st.text(alphabet="ab 币▲", max_size=5), st.sampled_from(STYLES))
lines = st.lists(pieces, max_size=5).map(tuple)


def cells(line, width: int) -> list[tuple[str, Style]]:
    """What each column of the screen shows; a wide character fills two."""
    shown = []
    for text, style in line:
        for char in text:
            shown += [(char, style)] * cell_len(char)
    return shown + [(" ", Style())] * (width - len(shown))


@given(lines, lines)
def test_everything_outside_the_changed_span_is_equal(old, new) -> None:
    width = max(line_width(old), line_width(new))
    span = changed_span(old, new)
    before, after = cells(old, width), cells(new, width)
    if span is None:
        assert before == after
    else:
        start, end = span
        assert before[:start] == after[:start]
        assert before[end:] == after[end:]


def test_the_span_is_narrow() -> None:
    old = (("price ", STYLES[0]), ("84,212.50", STYLES[1]), (" x", STYLES[0]))
    new = (("price ", STYLES[0]), ("84,212.70", STYLES[1]), (" x", STYLES[0]))
    assert changed_span(old, new) == (13, 15)
    assert changed_span(old, tuple(old)) is None


def test_strips_have_exactly_the_width() -> None:
    line = (("币安", STYLES[0]), ("abc", STYLES[1]))
    assert to_strip(line, 10, Style()).cell_length == 10
    assert to_strip(line, 3, Style()).cell_length == 3


async def test_text_lines_repaint_only_what_changed(one_widget, regions_of, texts) -> None:
    widget = TextLines()
    async with one_widget(widget).run_test(size=(20, 3)) as pilot:
        widget.show([(("gaps ", STYLES[0]), ("0", STYLES[1])), (("db", STYLES[0]),)])
        await pilot.pause()
        seen = regions_of(widget)
        widget.show([(("gaps ", STYLES[0]), ("1", STYLES[1])), (("db", STYLES[0]),)])
        assert [tuple(region) for region in seen] == [(5, 0, 1, 1)]
        assert texts(widget) == ["gaps 1", "db", ""]
        seen.clear()
        widget.show([])
        assert {region.y for region in seen} == {0, 1}
        assert texts(widget) == ["", "", ""]
