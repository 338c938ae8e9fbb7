import pytest
from rich.style import Style
from textual.events import MouseScrollDown

from tui.widgets.glyphs import ASCII, UNICODE
from tui.widgets.live_table import Column, LiveTable, TableRow
from tui.widgets.palette import palettes
from tui.widgets.table_layout import column_widths, fit

PLAIN = Style()
COLUMNS = [
    Column("symbol", "symbol"),
    Column("last", "last", 9, "right"),
    Column("change", "chg", 7, "right", priority=1),
]


def sent(messages, kind):
    """Messages of a kind, each once, however often it bubbled."""
    return list(
        {id(message): message for message in messages if isinstance(message, kind)}.values()
    )


def row(key: str, last: str = "1.00", change: str = "+0.10%") -> TableRow:
    return TableRow(key, ((key, PLAIN), (last, PLAIN), (change, PLAIN)))


def table(glyphs=UNICODE, palette: str = "default") -> LiveTable:
    return LiveTable(COLUMNS, palettes(palette), glyphs)


@pytest.mark.parametrize(
    ("glyphs", "expected"),
    [
        (
            UNICODE,
            [
                " symbol         last    chg▾",
                "▸BTCUSDT   84,212.50  +1.02%",
                " 币安人生…      0.12  -3.10%",
                "",
            ],
        ),
        (
            ASCII,
            [
                " symbol         last   chg v",
                ">BTCUSDT   84,212.50  +1.02%",
                " 币安人生~      0.12  -3.10%",
                "",
            ],
        ),
    ],
)
async def test_golden_with_wide_characters(one_widget, texts, glyphs, expected) -> None:
    widget = table(glyphs)
    async with one_widget(widget).run_test(size=(28, 4)) as pilot:
        widget.set_sort("change", True)
        widget.set_rows(
            [row("BTCUSDT", "84,212.50", "+1.02%"), row("币安人生USDT", "0.12", "-3.10%")]
        )
        await pilot.pause()
        assert texts(widget) == expected


async def test_a_note_stands_in_for_rows(one_widget, texts) -> None:
    widget = table()
    async with one_widget(widget).run_test(size=(28, 3)) as pilot:
        widget.set_rows([], note="no markets yet")
        await pilot.pause()
        assert texts(widget)[1] == " no markets yet"
        widget.set_rows([row("A")], note="no markets yet")
        assert texts(widget)[1].startswith("▸A")


async def test_only_cells_that_changed_are_repainted(one_widget, regions_of) -> None:
    widget = table()
    async with one_widget(widget).run_test(size=(28, 12)) as pilot:
        rows = [row(f"S{i}") for i in range(8)]
        widget.set_rows(rows)
        await pilot.pause()
        seen = regions_of(widget)
        widget.set_rows(list(rows))
        assert seen == []
        rows[5] = row("S5", "2.00")
        widget.set_rows(rows)
        assert [(region.y, region.height) for region in seen] == [(6, 1)]
        left = 1 + (28 - 1 - 9 - 7 - 2) + 1
        assert left <= seen[0].x
        assert seen[0].right <= left + 9


async def test_the_cursor_stays_on_its_key_when_rows_are_sorted_anew(one_widget, texts) -> None:
    widget = table()
    async with one_widget(widget).run_test(size=(28, 12)) as pilot:
        widget.focus()
        rows = [row(key) for key in "ABCDE"]
        widget.set_rows(rows)
        await pilot.press("down", "j")
        assert widget.cursor_key == "C"
        widget.set_rows(rows[::-1][:4] + rows[:1])
        assert widget.cursor_key == "C"
        assert texts(widget)[3].startswith("▸C")
        assert sum("▸" in text for text in texts(widget)) == 1
        widget.set_rows([row("A"), row("B"), row("D")])
        assert widget.cursor_key == "D", "the row in the place of one that is gone"
        widget.set_rows([])
        assert widget.cursor_key is None


async def test_keys_move_choose_and_scroll(one_widget, texts) -> None:
    widget = table()
    messages = []
    app = one_widget(widget)
    async with app.run_test(size=(28, 6), message_hook=messages.append) as pilot:
        widget.focus()
        widget.set_rows([row(f"S{i:02}") for i in range(30)])
        await pilot.pause()
        await pilot.press("end")
        assert widget.cursor_key == "S29"
        assert texts(widget)[5].startswith("▸S29")
        assert texts(widget)[0].startswith(" symbol"), "the header does not scroll"
        await pilot.press("pageup")
        assert widget.cursor_key == "S24"
        await pilot.press("home", "down", "enter")
        assert texts(widget)[2].startswith("▸S01")
        chosen = [m.key for m in sent(messages, LiveTable.Chosen)]
        assert chosen == ["S01"]
        moved = [m.key for m in sent(messages, LiveTable.Highlighted)]
        assert moved[-1] == "S01"


async def test_the_mouse_selects_scrolls_and_reports_titles(one_widget, texts) -> None:
    widget = table()
    messages = []
    app = one_widget(widget)
    async with app.run_test(size=(28, 6), message_hook=messages.append) as pilot:
        widget.set_rows([row(f"S{i:02}") for i in range(30)])
        await pilot.pause()
        await pilot._post_mouse_events([MouseScrollDown], LiveTable)
        await pilot.pause()
        assert texts(widget)[1].startswith(" S03")
        assert widget.cursor_key == "S00", "the wheel leaves the cursor alone"
        await pilot.click(LiveTable, offset=(3, 2))
        assert [m.key for m in sent(messages, LiveTable.Chosen)] == ["S04"]
        await pilot.click(LiveTable, offset=(15, 0))
        titles = [m.key for m in sent(messages, LiveTable.HeaderClicked)]
        assert titles == ["last"]


async def test_a_row_that_moves_out_of_sight_is_followed(one_widget, texts) -> None:
    widget = table()
    async with one_widget(widget).run_test(size=(28, 6)) as pilot:
        widget.focus()
        rows = [row(f"S{i:02}") for i in range(30)]
        widget.set_rows(rows)
        await pilot.pause()
        await pilot.press("down")
        widget.set_rows([*rows[:1], *rows[2:], rows[1]])
        await pilot.pause()
        assert widget.cursor_key == "S01"
        assert any(text.startswith("▸S01") for text in texts(widget))


async def test_focus_changes_only_the_cursor_row(one_widget, regions_of) -> None:
    widget = table()
    async with one_widget(widget).run_test(size=(28, 6)) as pilot:
        widget.set_rows([row(f"S{i:02}") for i in range(3)])
        widget.blur()
        await pilot.pause()
        before = widget.render_line(1)
        widget.focus()
        await pilot.pause()
        assert widget.render_line(1) != before
        assert widget.render_line(1).text == before.text


def test_columns_share_share_out_and_drop_by_priority() -> None:
    assert column_widths(COLUMNS, 28) == (10, 9, 7)
    assert column_widths(COLUMNS, 20) == (10, 9, 0)
    assert column_widths(COLUMNS, 5) == (1, 9, 0)
    assert column_widths([Column("a", "a"), Column("b", "b")], 12) == (6, 5)
    reason = Column("reason", "reason", least=20)
    assert column_widths([reason, Column("answer", "answer", priority=1)], 24) == (24, 0)
    assert column_widths([reason, Column("answer", "answer", priority=1)], 25) == (12, 12)


@pytest.mark.parametrize(
    ("text", "width", "align", "expected"),
    [
        ("abc", 5, "left", "abc  "),
        ("abc", 5, "right", "  abc"),
        ("abcdef", 4, "left", "abc…"),
        ("币安人生", 4, "left", "币 …"),
        ("币安", 4, "left", "币安"),
        ("币安", 1, "left", "…"),
        ("币安", 0, "left", ""),
    ],
)
def test_fit_counts_cells(text, width, align, expected) -> None:
    assert fit(text, width, align, UNICODE) == expected


async def test_columns_end_before_the_scrollbar(one_widget, texts) -> None:
    widget = LiveTable([Column("why", "why")], palettes("default"), UNICODE)
    async with one_widget(widget).run_test(size=(20, 4)) as pilot:
        for count, width in ((2, 20), (9, 19), (2, 20)):
            rows = [
                TableRow(str(at), (("no connection: it was cut", PLAIN),)) for at in range(count)
            ]
            widget.set_rows(rows)
            await pilot.pause()
            line = texts(widget)[1]
            assert (line[-1], len(line)) == ("…", width)
