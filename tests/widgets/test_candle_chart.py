import pytest
from textual.events import MouseScrollUp
from textual.geometry import Region

from tui.widgets.candle_chart import Bar, CandleChart, Mark
from tui.widgets.glyphs import ASCII, UNICODE
from tui.widgets.palette import palettes

MINUTE_MS = 60_000
START_MS = 1_795_381_200_000  # 2026-11-22 21:00 UTC
PRICES = [
    (100, 104, 98, 103),
    (103, 106, 101, 102),
    (102, 103, 96, 97),
    (97, 101, 95, 100),
    (100, 108, 99, 107),
    (107, 109, 104, 105),
    (105, 105, 101, 101),
    (101, 104, 100, 103.5),
]
BARS = [
    Bar(START_MS + i * MINUTE_MS, *map(float, prices), volume=5.0 + i % 3 * 10, closed=i < 7)
    for i, prices in enumerate(PRICES)
]
MARKS = [Mark(BARS[3].time_ms, True, "hit"), Mark(BARS[5].time_ms, False, "miss")]


def many(count: int, first: int = 0) -> list[Bar]:
    """Bars whose close is their number, on a scale that new bars do not move."""
    return [
        Bar(START_MS + i * MINUTE_MS, 500.0, 1000.0, 0.0, float(i), 10.0, closed=True)
        for i in range(first, first + count)
    ]


def chart(palette: str = "default", glyphs=UNICODE) -> CandleChart:
    return CandleChart(palettes(palette), glyphs)


UNICODE_ROWS = [
    "─MA10 -  ─MA20 -  ─MA30 -",
    "        ·         ▽       110.00",
    "                ╽ ╽",
    "          ╷     ┃ ┃",
    "        ╷ │     ┃ ╿ ┃ ╷",
    "        ┃ ┃ │   ┃   ┃ ┃  ◂103.50",
    "        ┃ ╿ ┃ ╷ ┃   ┃ ┃",
    "        ╿   ┃ ┃ ╿ ·   ╵   100.00",
    "        │   ┃ ┃",
    "            ╿ ╿",
    "              ▲",
    "          ▂ █   ▂ █   ▂",
    "        ▃ █ █ ▃ █ █ ▃ █",
    "        ╵21:00    ╵21:05",
]
ASCII_ROWS = [
    ".MA10 -  :MA20 -  ~MA30 -",
    "        .         x       110.00",
    "                O #",
    "          |     O #",
    "        | |     O # # |",
    "        O # |   O   # O  <103.50",
    "        O # # | O   # O",
    "        O   # O O .   |   100.00",
    "        |   # O",
    "            # O",
    "              ^",
    "          . #   . #   .",
    "        - # # - # # - #",
    "        '21:00    '21:05",
]


@pytest.mark.parametrize(
    ("palette", "glyphs", "expected"),
    [("default", UNICODE, UNICODE_ROWS), ("mono", ASCII, ASCII_ROWS)],
)
async def test_golden(one_widget, texts, palette, glyphs, expected) -> None:
    widget = chart(palette, glyphs)
    async with one_widget(widget).run_test(size=(32, 14)) as pilot:
        widget.show(BARS, 2, marks=MARKS)
        await pilot.pause()
        assert texts(widget) == expected


async def test_wide_bodies(one_widget, texts) -> None:
    widget = chart()
    async with one_widget(widget).run_test(size=(34, 9)) as pilot:
        widget.focus()
        widget.show(BARS[2:6], 2)
        await pilot.press("plus", "plus")
        assert texts(widget) == [
            "─MA10 -  ─MA20 -  ─MA30 -",
            "                   ╷   │",
            "                  ███ ███  ◂105.00",
            "           ╷      ███  ╵",
            "          ███ ▄▄▄ ███  ·    100.00",
            "          ███ ███  ╵",
            "           ╵   │",
            "          ███ ▂▂▂ ▅▅▅ ███",
            "                       ╵21:05",
        ]


async def test_a_note_is_centred_without_bars(one_widget, texts) -> None:
    widget = chart()
    async with one_widget(widget).run_test(size=(30, 5)) as pilot:
        widget.show([], 2, note="No candles yet: fetching 500 of BTCUSDT 1m.")
        await pilot.pause()
        assert texts(widget) == [
            "",
            " No candles yet: fetching 500",
            "        of BTCUSDT 1m.",
            "",
            "",
        ]


async def test_the_same_data_repaint_nothing(one_widget, regions_of) -> None:
    widget = chart()
    async with one_widget(widget).run_test(size=(100, 30)) as pilot:
        widget.show(BARS, 2, marks=MARKS)
        await pilot.pause()
        seen = regions_of(widget)
        widget.show(list(BARS), 2, marks=list(MARKS))
        assert seen == []


async def test_an_open_candle_repaints_its_own_cells_only(one_widget, regions_of, texts) -> None:
    widget = chart()
    async with one_widget(widget).run_test(size=(100, 30)) as pilot:
        bars = many(60)
        widget.show(bars, 2)
        await pilot.pause()
        seen = regions_of(widget)
        changed = [*bars[:-1], bars[-1]._replace(close=700.0)]
        widget.show(changed, 2)
        assert seen
        assert None not in seen
        edge = widget._scene.layout.plot_width - 4
        for region in seen:
            assert isinstance(region, Region)
            assert region.height == 1
            assert region.y == 0 or region.x >= edge, region
        partial = texts(widget)
        widget._scene = None
        widget.draw()
        assert partial == texts(widget), "a partial update shows what a full one shows"


async def test_random_updates_show_what_a_full_redraw_shows(one_widget, texts) -> None:
    import random

    dice = random.Random(5)
    widget = chart()
    async with one_widget(widget).run_test(size=(70, 20)) as pilot:
        bars = many(80)
        keys = ["left", "left", "right", "plus", "minus", "pageup", "end", "escape"]
        widget.focus()
        for step in range(24):
            last = bars[-1]
            if dice.random() < 0.3:
                bars = [*bars, last._replace(time_ms=last.time_ms + MINUTE_MS, close=500.0)]
            else:
                bars = [*bars[:-1], last._replace(close=dice.uniform(0, 1000), volume=step + 1.0)]
            widget.show(bars, 2, marks=[Mark(bars[-3].time_ms, True)] if step % 3 else [])
            await pilot.press(dice.choice(keys))
            shown = texts(widget)
            widget._scene = None
            widget.draw()
            assert texts(widget) == shown


async def test_zoom_and_history_stay_when_a_new_candle_arrives(one_widget, texts) -> None:
    widget = chart()
    async with one_widget(widget).run_test(size=(60, 20)) as pilot:
        widget.focus()
        bars = many(200)
        widget.show(bars, 2)
        await pilot.press("plus", "pageup", "pageup")
        assert not widget.is_live
        before = texts(widget)
        zoom = widget._view.zoom
        widget.show([*bars, *many(1, 200)], 2)
        assert widget._view.zoom == zoom
        strip = [row[: widget._scene.layout.plot_width] for row in before]
        assert [row[: widget._scene.layout.plot_width] for row in texts(widget)] == strip
        await pilot.press("0")
        assert widget.is_live
        assert widget._scene.bars[-1].close == 200.0


async def test_crosshair_tells_its_candle_and_stays_on_it(one_widget, texts) -> None:
    widget = chart()
    async with one_widget(widget).run_test(size=(80, 20)) as pilot:
        widget.focus()
        bars = many(100)
        widget.show(bars, 2)
        assert widget.readout() == bars[-1]
        await pilot.press("left", "left", "h")
        assert widget.readout() == bars[-3]
        assert texts(widget)[0].startswith("O 500.00 H 1,000.00 L 0.00 C 97.00 ▼-80.60 % V 10")
        assert " 2026-11-22 22:37 " in texts(widget)[-1] + " "
        widget.show([*bars, *many(2, 100)], 2)
        assert widget.readout() == bars[-3]
        await pilot.press("l")
        assert widget.readout() == bars[-2]
        await pilot.press("escape")
        assert not widget.has_crosshair


async def test_the_crosshair_pans_at_the_edge_and_stops_at_the_oldest(one_widget) -> None:
    widget = chart()
    async with one_widget(widget).run_test(size=(30, 12)) as pilot:
        widget.focus()
        bars = many(18)
        widget.show(bars, 2)
        await pilot.press(*["left"] * 20)
        assert widget.readout() == bars[0]
        assert not widget.is_live
        await pilot.press(*["right"] * 20)
        assert widget.readout() == bars[-1]
        assert widget.is_live


async def test_joined_candles_say_so_and_are_true(one_widget, texts) -> None:
    widget = chart()
    async with one_widget(widget).run_test(size=(60, 20)) as pilot:
        widget.focus()
        widget.show(many(400), 2)
        await pilot.press("minus", "minus")
        assert widget._view.zoom == (2, 1)
        assert "2 candles a column" in texts(widget)[0]
        assert all(bar.volume == 20.0 for bar in widget._scene.bars)


async def test_mouse_sets_the_crosshair_and_the_wheel_zooms(one_widget) -> None:
    widget = chart()
    async with one_widget(widget).run_test(size=(60, 20)) as pilot:
        bars = many(100)
        widget.show(bars, 2)
        await pilot.pause()
        scene = widget._scene
        await pilot.click(CandleChart, offset=(scene.column(3), 5))
        assert widget.readout() == scene.bars[3]
        zoom = widget._view.zoom_index
        await pilot._post_mouse_events([MouseScrollUp], CandleChart)
        await pilot.pause()
        assert widget._view.zoom_index == zoom + 1


async def test_needs_older_is_sent_once_for_each_oldest_bar(one_widget) -> None:
    widget = chart()
    messages = []
    app = one_widget(widget)
    async with app.run_test(size=(60, 20), message_hook=messages.append) as pilot:
        widget.focus()
        older = lambda: [m for m in messages if isinstance(m, CandleChart.NeedsOlder)]  # noqa: E731
        widget.show(many(200), 2)
        await pilot.pause()
        assert older() == []
        await pilot.press("home", "left", "left")
        assert {m.oldest_ms for m in older()} == {START_MS}
        count = len(older())
        await pilot.press("left", "left")
        assert len(older()) == count
        assert older()[-1].bars > 200


async def test_the_last_price_is_marked_even_when_out_of_sight(one_widget, texts) -> None:
    widget = chart()
    async with one_widget(widget).run_test(size=(40, 12)) as pilot:
        widget.focus()
        calm = [bar._replace(open=5.0, high=6.0, low=4.0, close=5.0) for bar in many(60)]
        widget.show(
            [*calm, calm[-1]._replace(time_ms=calm[-1].time_ms + MINUTE_MS, high=99.0, close=99.0)],
            2,
        )
        await pilot.press("pageup", "pageup")
        assert any("▲99.00" in row.replace(" ", "") for row in texts(widget))


async def test_mono_candles_differ_in_shape(one_widget, texts) -> None:
    widget = chart("mono")
    async with one_widget(widget).run_test(size=(34, 16)) as pilot:
        widget.focus()
        rise = Bar(START_MS, 100.0, 110.0, 90.0, 108.0, 1.0)
        fall = Bar(START_MS + MINUTE_MS, 108.0, 110.0, 90.0, 100.0, 1.0)
        widget.show([rise, fall], 2)
        await pilot.press("plus", "plus")
        page = "\n".join(texts(widget))
        assert "▛▀▜" in page or "▌ ▐" in page
        assert "███" in page


async def test_a_repaired_candle_in_the_middle_redraws_its_averages(one_widget, texts) -> None:
    widget = chart()
    async with one_widget(widget).run_test(size=(90, 30)) as pilot:
        bars = [bar._replace(open=500.0, high=501.0, low=499.0, close=500.0) for bar in many(80)]
        bars[0] = bars[0]._replace(high=1000.0, low=0.0)
        bars[-1] = bars[-1]._replace(high=1000.0, low=0.0)
        widget.show(bars, 2)
        await pilot.pause()
        for close in (999.0, 1.0):
            bars[60] = bars[60]._replace(close=close, high=max(501.0, close), low=min(499.0, close))
            widget.show(bars, 2)
            shown = texts(widget)
            widget._scene = None
            widget.draw()
            assert texts(widget) == shown
