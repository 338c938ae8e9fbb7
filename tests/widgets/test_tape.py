import pytest

from tui.widgets.glyphs import ASCII, UNICODE
from tui.widgets.palette import palettes
from tui.widgets.tape import Tape, TapeRow

START_MS = 1_795_381_200_000
ROWS = [TapeRow(START_MS + i * 1234, 100.0 + i, 0.5 * i + 0.001, i % 2 == 1) for i in range(5)]


@pytest.mark.parametrize(
    ("palette", "glyphs", "width", "expected"),
    [
        (
            "default",
            UNICODE,
            40,
            [
                "21:00:04.936 ▲ 104.00  2.001",
                "21:00:03.702 ▼ 103.00  1.501",
                "21:00:02.468 ▲ 102.00  1.001",
            ],
        ),
        (
            "mono",
            ASCII,
            40,
            [
                "21:00:04.936 ^ 104.00  2.001",
                "21:00:03.702 v 103.00  1.501",
                "21:00:02.468 ^ 102.00  1.001",
            ],
        ),
        (
            "default",
            UNICODE,
            26,
            ["21:00:04 ▲ 104.00  2.001", "21:00:03 ▼ 103.00  1.501", "21:00:02 ▲ 102.00  1.001"],
        ),
        ("default", UNICODE, 18, ["▲ 104.00  2.001", "▼ 103.00  1.501", "▲ 102.00  1.001"]),
    ],
)
async def test_golden(one_widget, texts, palette, glyphs, width, expected) -> None:
    widget = Tape(palettes(palette), glyphs)
    async with one_widget(widget).run_test(size=(width, 3)):
        widget.show(ROWS, 2, 3)
        assert texts(widget) == expected


async def test_the_same_trades_repaint_nothing_and_none_show_the_note(
    one_widget, texts, regions_of
) -> None:
    widget = Tape(palettes(), UNICODE)
    async with one_widget(widget).run_test(size=(40, 3)) as pilot:
        widget.show(ROWS, 2, 3)
        await pilot.pause()
        seen = regions_of(widget)
        widget.show(list(ROWS), 2, 3)
        assert seen == []
        widget.show([], note="no trades yet")
        assert texts(widget) == ["no trades yet", "", ""]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (36, ["21:00:01.000 ▲ 100.00  0.00002", "21:00:00.000 ▼ 100.00  1.50000"]),
        (27, ["21:00:01 ▲ 100.00  0.00002", "21:00:00 ▼ 100.00  1.50000"]),
        (25, ["21:00:01 ▲ 100.00  <.0001", "21:00:00 ▼ 100.00  1.5000"]),
    ],
)
async def test_a_tiny_quantity_never_reads_as_zero(one_widget, texts, width, expected) -> None:
    widget = Tape(palettes(), UNICODE)
    async with one_widget(widget).run_test(size=(width, 2)):
        rows = [
            TapeRow(START_MS, 100.0, 1.5, True),
            TapeRow(START_MS + 1000, 100.0, 0.00002, False),
        ]
        widget.show(rows, 2, 5)
        assert texts(widget) == expected


async def test_a_wide_tape_goes_on_in_further_columns(one_widget, texts) -> None:
    widget = Tape(palettes(), UNICODE)
    async with one_widget(widget).run_test(size=(80, 2)):
        widget.show(ROWS, 2, 3)
        assert widget.rows_wanted == 4
        assert [row.split()[2] for row in texts(widget)] == ["104.00", "103.00"]
        assert [row[40:].split()[2] for row in texts(widget)] == ["102.00", "101.00"]
