import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.geometry import Region

from tui.widgets.glyphs import ASCII, UNICODE
from tui.widgets.ladder import Ladder
from tui.widgets.palette import palettes

ASKS = [(100.5, 1.25), (100.75, 0.5), (101.0, 2.0), (102.0, 4.0)]
BIDS = [(100.25, 2.0), (100.0, 1.0), (99.5, 3.5), (99.0, 1.0)]


def ladder(palette: str = "default", glyphs=UNICODE) -> Ladder:
    return Ladder(palettes(palette), glyphs)


@pytest.mark.parametrize(
    ("palette", "glyphs", "expected"),
    [
        (
            "default",
            UNICODE,
            [
                "  price  size                   sum",
                " 101.00 2.000 ████████▋       3.750",
                " 100.75 0.500 ████            1.750",
                " 100.50 1.250 ██▉             1.250",
                " ──── spread 0.25 · 24.91 bps ─────",
                " 100.25 2.000 ████▋           2.000",
                " 100.00 1.000 ██████▉         3.000",
                "  99.50 3.500 ███████████████ 6.500",
                " bids  63 % ███████▋░░░░  37 % asks",
            ],
        ),
        (
            "mono",
            ASCII,
            [
                "  price  size                   sum",
                " 101.00 2.000 #########       3.750",
                " 100.75 0.500 ####            1.750",
                " 100.50 1.250 ###             1.250",
                " ---- spread 0.25 | 24.91 bps -----",
                " 100.25 2.000 #####           2.000",
                " 100.00 1.000 #######         3.000",
                "  99.50 3.500 ############### 6.500",
                " bids  63 % ########....  37 % asks",
            ],
        ),
    ],
)
async def test_golden(one_widget, texts, palette, glyphs, expected) -> None:
    widget = ladder(palette, glyphs)
    async with one_widget(widget).run_test(size=(36, 9)):
        widget.show(BIDS, ASKS, 2, 3, live=True)
        assert texts(widget) == expected


async def test_a_book_that_is_not_live_is_dim_and_says_why(one_widget, texts) -> None:
    palette = palettes()
    widget = Ladder(palette, UNICODE)
    async with one_widget(widget).run_test(size=(24, 7)):
        widget.show(BIDS, ASKS, 2, 3, live=False, note="resynchronising")
        assert texts(widget) == [
            " 101.00 2.000 █████████",
            " 100.75 0.500 ████▎",
            " 100.50 1.250 ███",
            " ── resynchronising ───",
            " 100.25 2.000 ████▊",
            " 100.00 1.000 ███████▎",
            " bids  44 % ████▉░░░░░░",
        ]
        styles = {(text.strip(), style) for line in widget.lines for text, style in line}
        assert ("resynchronising", palette.warn) in styles
        assert {style for text, style in styles if text != "resynchronising"} == {palette.dim}


@pytest.mark.parametrize("width", [24, 90])
async def test_a_long_reason_is_folded_and_moves_nothing(one_widget, texts, width) -> None:
    widget = Ladder(palettes(), UNICODE)
    reason = "the snapshot was older than the events; another one is being fetched"
    async with one_widget(widget).run_test(size=(width, 16)):
        for sides in ((BIDS, ASKS), ((), ())):
            widget.show(*sides, 2, 3, live=False, note=reason)
            shown = texts(widget)
            assert len(shown) <= 16
            words = " ".join(shown).replace("─", " ").split()
            assert [word for word in words if word in reason.split()] == reason.split()


@pytest.mark.parametrize(
    ("size", "row"),
    [
        ((36, 5), " 100.50 1.250 ████            1.250"),
        ((24, 5), " 100.50 1.250 ████▏"),
        ((15, 5), " 100.50 1.250"),
    ],
)
async def test_a_narrow_ladder_drops_the_sum_then_the_bars(one_widget, texts, size, row) -> None:
    widget = ladder()
    async with one_widget(widget).run_test(size=size):
        widget.show(BIDS, ASKS, 2, 3, live=True)
        rows = texts(widget)
        assert any(text.startswith(row.split("█")[0].rstrip()) for text in rows)
        shown = next(text for text in rows if text.startswith(" 100.50"))
        assert ("█" in shown) == (size[0] > 15)
        assert shown.endswith("1.250") == (size[0] != 24)
        assert len(shown) <= size[0]


async def test_a_low_ladder_keeps_the_best_levels(one_widget, texts) -> None:
    widget = ladder()
    async with one_widget(widget).run_test(size=(36, 3)):
        widget.show(BIDS, ASKS, 2, 3, live=True)
        rows = texts(widget)
        assert rows[0].startswith(" 100.50")
        assert "spread" in rows[1]
        assert rows[2].startswith(" 100.25")
        assert widget.levels_wanted == 1


async def test_one_level_repaints_only_its_own_row(one_widget, regions_of) -> None:
    widget = ladder()
    async with one_widget(widget).run_test(size=(36, 8)) as pilot:
        widget.show(BIDS, ASKS, 2, 3, live=True)
        await pilot.pause()
        seen = regions_of(widget)
        widget.show(list(BIDS), list(ASKS), 2, 3, live=True)
        assert seen == []
        # A new best ask quantity changes its own sum and those above, so take the outermost one.
        widget.show(BIDS, [*ASKS[:2], (101.0, 2.001), ASKS[3]], 2, 3, live=True)
        assert {region.y for region in seen} == {0}
        assert all(isinstance(region, Region) and region.height == 1 for region in seen)


async def test_columns_do_not_narrow_again(one_widget, texts) -> None:
    widget = ladder()
    async with one_widget(widget).run_test(size=(40, 7)):
        widget.show(BIDS, [(100.5, 1234.5)], 2, 3, live=True)
        widget.show(BIDS, [(100.5, 1.5)], 2, 3, live=True)
        assert " 100.50     1.5 " in texts(widget)[2]


@pytest.mark.parametrize(
    ("bids", "asks", "words"),
    [
        ([], ASKS, "one side is empty"),
        (BIDS, [], "one side is empty"),
        ([(101.0, 1.0)], [(100.0, 1.0)], "crossed"),
    ],
)
async def test_a_book_without_a_spread_says_so(one_widget, texts, bids, asks, words) -> None:
    widget = ladder()
    async with one_widget(widget).run_test(size=(36, 9)):
        widget.show(bids, asks, 2, 3, live=True)
        assert any(words in row for row in texts(widget))


sides = st.lists(st.tuples(st.floats(1e-8, 1e8), st.floats(0, 1e15)), max_size=30)


@settings(max_examples=60, deadline=None)
@given(sides, sides, st.integers(1, 120), st.integers(1, 60), st.integers(0, 8), st.booleans())
def test_any_book_draws_at_any_size(bids, asks, width, height, decimals, live) -> None:
    class Sized(Ladder):
        size = property(lambda self: __import__("textual.geometry").geometry.Size(width, height))

        def refresh(self, *regions, **options):
            return self

    widget = Sized(palettes(), UNICODE)
    widget.show(bids, asks, decimals, decimals, live=live, note="x" * 50)
    assert len(widget.lines) == height


async def test_the_spread_of_grouped_levels_is_that_of_the_best_prices(one_widget, texts) -> None:
    widget = ladder()
    async with one_widget(widget).run_test(size=(36, 9)):
        widget.show([(100.0, 3.0)], [(101.0, 3.75)], 2, 3, live=True, best=(100.25, 100.5))
        assert " ──── spread 0.25 · 24.91 bps ─────" in texts(widget)


async def test_in_a_wide_place_bids_and_asks_stand_beside_each_other(one_widget, texts) -> None:
    widget = ladder()
    async with one_widget(widget).run_test(size=(74, 9)):
        widget.show(BIDS, ASKS, 2, 3, live=True)
        rows = texts(widget)
        assert "spread 0.25" in rows[0]
        assert rows[1].split() == ["price", "size", "sum"] * 2
        assert [row.split()[0] for row in rows[2:6]] == ["100.25", "100.00", "99.50", "99.00"]
        asks = [row[37:].split()[0] for row in rows[2:6]]
        assert asks == ["100.50", "100.75", "101.00", "102.00"]
        assert rows[-1].startswith(" bids  49 %")
        assert widget.levels_wanted == 6
        assert Ladder.levels_for(36, 9) == 3
