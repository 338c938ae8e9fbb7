import pytest

from tui.widgets import formats
from tui.widgets.glyphs import ASCII, UNICODE, Glyphs
from tui.widgets.heat import heat_strip
from tui.widgets.meter import bar, meter
from tui.widgets.number_column import NumberColumn
from tui.widgets.sparkline import sparkline

NOON_MS = 1_795_348_086_912  # 2026-11-22 11:48:06.912 UTC


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formats.price(84212.5, 2), "84,212.50"),
        (formats.price(0.00001234, 8), "0.00001234"),
        (formats.price(-1234.5, 1), "-1,234.5"),
        (formats.price(None, 2), "-"),
        (formats.price(float("nan"), 2), "-"),
        (formats.count(1_204_331), "1,204,331"),
        (formats.compact(950), "950"),
        (formats.compact(1204), "1.20 k"),
        (formats.compact(12_340_000), "12.3 M"),
        (formats.compact(999_999), "1.00 M"),
        (formats.compact(0.5), "0.50"),
        (formats.compact(-2_500_000), "-2.50 M"),
        (formats.byte_size(115_000_000), "115 MB"),
        (formats.byte_size(1_240_000_000), "1.2 GB"),
        (formats.byte_size(512), "512 B"),
        (formats.percent(1.02), "+1.02 %"),
        (formats.percent(-0.37), "-0.37 %"),
        (formats.percent(-0.001), "0.00 %"),
        (formats.percent(None), "-"),
        (formats.share(0.613), "61 %"),
        (formats.signed(12.4), "+12.40"),
        (formats.age(41), "41 ms"),
        (formats.age(200), "0.2 s"),
        (formats.age(12_000), "12 s"),
        (formats.age(300_000), "5 min"),
        (formats.age(7_200_000), "2 h"),
        (formats.age(3 * 86_400_000), "3 d"),
        (formats.age(-5), "0 ms"),
        (formats.duration(41), "0:41"),
        (formats.duration(725), "12:05"),
        (formats.duration(15_120), "4:12:00"),
        (formats.duration(3 * 86_400 + 15_120), "3 d 04:12"),
        (formats.clock(NOON_MS), "11:48:06"),
        (formats.clock_ms(NOON_MS), "11:48:06.912"),
        (formats.minute(NOON_MS), "11:48"),
        (formats.day(NOON_MS), "22 Nov"),
        (formats.stamp(NOON_MS), "2026-11-22 11:48"),
        (formats.clock(1e300), "-"),
        (formats.month_name(2026 * 12), "2026"),
        (formats.month_name(2026 * 12 + 10), "Nov"),
    ],
)
def test_numbers_and_times_read_as_documented(text: str, expected: str) -> None:
    assert text == expected


def test_sparkline_scales_to_its_own_range_and_keeps_its_width() -> None:
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8], 8, UNICODE) == "▁▂▃▄▅▆▇█"
    assert sparkline([1, 8], 4, UNICODE) == "  ▁█"
    assert sparkline([5, 5, 5], 3, UNICODE) == "▄▄▄"
    assert sparkline([], 3, UNICODE) == "   "
    assert sparkline([0.0, 1.0], 2, ASCII) == "_#"
    assert sparkline(list(range(100)), 5, UNICODE) == "▁▃▅▆█"
    assert sparkline([1.0, float("nan"), 2.0], 2, UNICODE) == "▁█"
    assert sparkline([1.0], 0, UNICODE) == ""


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [
        (0.0, "░░░░░░░░"),
        (1.0, "████████"),
        (0.5, "████░░░░"),
        (0.61, "████▉░░░"),
        (0.0001, "▏░░░░░░░"),
        (7.0, "████████"),
        (float("nan"), "░░░░░░░░"),
    ],
)
def test_meter(fraction: float, expected: str) -> None:
    assert meter(fraction, 8, UNICODE) == expected


def test_ascii_meter_and_bar_have_whole_cells() -> None:
    assert meter(0.5, 8, ASCII) == "####...."
    assert bar(0.26, 8, ASCII) == "##"


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_heat_strip_never_rounds_a_loss_away(glyphs: Glyphs) -> None:
    full, nearly, none, unknown = heat_strip([1.0, 0.9999, 0.0, None], glyphs)
    assert full == glyphs.levels[-1]
    assert nearly == glyphs.levels[-2]
    assert (none, unknown) == (" ", glyphs.middot)


def test_ascii_glyphs_are_ascii() -> None:
    for name in ASCII.__struct_fields__:
        value = getattr(ASCII, name)
        assert isinstance(value, bool) or value.isascii(), name


def test_a_number_column_aligns_points_and_never_narrows() -> None:
    column = NumberColumn()
    column.see([0.31, 12.5], 5)
    assert (column.text(0.31, 5), column.text(12.5, 5)) == ("0.310", "12.500")
    column.see([0.1], 5)
    assert column.text(0.1, 5) == "0.100"
    assert column.width == len("12.500")


def test_a_number_column_counts_large_quantities_in_one_unit() -> None:
    column = NumberColumn()
    column.see([123_456_789.0, 1_000.0], 0)
    assert column.unit == "k"
    assert column.text(123_456_789.0, 0) == "123,457"
    column.reset()
    column.see([5.0], 2)
    assert (column.unit, column.text(5.0, 2)) == ("", "5.00")


def test_a_quantity_too_small_for_its_column_does_not_read_as_zero() -> None:
    column = NumberColumn()
    column.see([12.5, 0.00001], 5)
    assert column.text(0.00001, 5) == "<.001"
    assert column.text(0.0, 5) == "0.000"
    column.reset()
    column.see([0.00001], 4)
    assert column.text(0.00001, 4) == "<.0001"
    assert column.width == len("<.0001")


def test_a_number_column_shows_all_places_where_there_is_room() -> None:
    column = NumberColumn()
    column.see([12.5, 0.00001], 5, room=8)
    assert (column.text(12.5, 5), column.text(0.00001, 5)) == ("12.50000", "0.00001")
    column.see([123.5], 5, room=8)
    assert (column.text(123.5, 5), column.text(0.00001, 5)) == ("123.50", "<.01")
