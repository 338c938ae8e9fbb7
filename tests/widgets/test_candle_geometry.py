from math import isfinite

from hypothesis import given, settings
from hypothesis import strategies as st

from tui.widgets.candle_geometry import (
    BODY,
    EMPTY,
    WICK,
    Bar,
    Mark,
    PriceScale,
    average_rows,
    bar_step_ms,
    candle_shape,
    fit_scale,
    join_bars,
    moving_average,
    volume_eighths,
)
from tui.widgets.chart_painter import ChartPainter
from tui.widgets.chart_scene import build_scene
from tui.widgets.chart_view import ZOOMS, ChartView
from tui.widgets.glyphs import ASCII, UNICODE
from tui.widgets.palette import palettes

MINUTE_MS = 60_000
any_price = st.floats(allow_nan=False, allow_infinity=False)
price = st.floats(min_value=1e-8, max_value=1e8)


@st.composite
def bars(draw: st.DrawFn, prices: st.SearchStrategy[float] = price, most: int = 40) -> list[Bar]:
    count = draw(st.integers(1, most))
    start = draw(st.integers(-5, 30_000_000)) * MINUTE_MS
    skips = draw(st.lists(st.integers(1, 3), min_size=count, max_size=count))
    made = []
    time_ms = start
    for skip in skips:
        four = sorted(draw(st.tuples(prices, prices, prices, prices)))
        first, last = (four[1], four[2]) if draw(st.booleans()) else (four[2], four[1])
        volume = draw(st.floats(min_value=0, max_value=1e12))
        made.append(Bar(time_ms, first, four[3], four[0], last, volume, closed=True))
        time_ms += skip * MINUTE_MS
    made[-1] = made[-1]._replace(closed=draw(st.booleans()))
    return made


def exact_position(value: float, scale: PriceScale) -> float:
    """Half rows from the top edge, as a fraction."""
    return (scale.high - value) / (scale.high - scale.low) * 2 * scale.rows


@given(bars(), st.integers(1, 60), st.integers(0, 8))
def test_candles_lie_within_half_a_cell_of_the_truth(
    made: list[Bar], rows: int, decimals: int
) -> None:
    scale = fit_scale(made, rows, decimals)
    for bar in made:
        shape = candle_shape(bar, scale)
        assert 0 <= shape.top <= shape.body_top <= shape.body_bottom <= shape.bottom < 2 * rows
        for value, half_row in ((bar.high, shape.top), (bar.low, shape.bottom)):
            # A half row n covers positions from n to n + 1.
            assert half_row - 1e-6 <= exact_position(value, scale) <= half_row + 1 + 1e-6


@given(bars(), st.integers(1, 60), st.integers(0, 8))
def test_the_scale_holds_all_bars_and_wastes_little(
    made: list[Bar], rows: int, decimals: int
) -> None:
    scale = fit_scale(made, rows, decimals)
    low, high = min(bar.low for bar in made), max(bar.high for bar in made)
    assert scale.low <= low <= high <= scale.high
    least = max(high - low, 4 * 10.0**-decimals, high * 1e-9)
    assert scale.high - scale.low <= 1.3 * least + 1e-12


@settings(max_examples=150, deadline=None)
@given(
    bars(any_price),
    st.integers(1, 200),
    st.integers(1, 60),
    st.integers(0, len(ZOOMS) - 1),
    st.booleans(),
    st.sampled_from(["default", "mono"]),
    st.data(),
)
def test_any_finite_bars_paint_at_any_size(
    made, width, height, zoom, ascii_set, name, data
) -> None:
    view = ChartView(zoom_index=zoom)
    if data.draw(st.booleans()):
        view.end_ms = data.draw(st.sampled_from(made)).time_ms
        view.crosshair_ms = data.draw(st.sampled_from(made)).time_ms
    marks = [Mark(made[0].time_ms, True, "hit"), Mark(made[-1].time_ms, False, "miss")]
    scene = build_scene(made, view, (width, height), 2, marks)
    painter = ChartPainter(palettes(name), ASCII if ascii_set else UNICODE)
    layout = scene.layout
    columns = [painter.column(scene, x) for x in range(layout.plot_width)]
    for y in range(layout.plot_rows + layout.volume_rows):
        text = "".join(text for text, _ in painter.row(scene, columns, y))
        assert len(text) == width
        assert not ascii_set or text.isascii()
    assert sum(len(text) for text, _ in painter.time_axis(scene)) == width
    assert sum(len(text) for text, _ in painter.header(scene, "note")) <= width
    rows = layout.header + layout.plot_rows + layout.volume_rows + layout.time_rows
    assert rows == height


@settings(max_examples=100, deadline=None)
@given(bars(), st.sampled_from([1, 2, 3, 4, 6]), st.integers(10, 40))
def test_painted_candles_reach_their_high_and_low(made, cells, height) -> None:
    zoom = next(index for index, zoom in enumerate(ZOOMS) if zoom == (1, cells))
    scene = build_scene(made, ChartView(zoom_index=zoom), (60, height), 2)
    painter = ChartPainter(palettes(), UNICODE)
    lower_half, upper_half = set("╷╻▄▗▖"), set("╵╹▀▝▘")
    for slot, bar in enumerate(scene.bars):
        column = painter.column(scene, scene.column(slot))[: scene.layout.plot_rows]
        style = painter.candle_style(bar)
        rows = [y for y, (glyph, own) in enumerate(column) if own is style and glyph != " "]
        first = 2 * rows[0] + (column[rows[0]][0] in lower_half)
        last = 2 * rows[-1] + (column[rows[-1]][0] not in upper_half)
        shape = candle_shape(bar, scene.scale)
        assert abs(first - shape.top) <= 1
        assert abs(last - shape.bottom) <= 1
        assert rows == list(range(rows[0], rows[-1] + 1)), "a candle is one piece"


def test_states_of_a_candle() -> None:
    shape = candle_shape(Bar(0, 2.0, 4.0, 0.5, 3.0, 1.0), PriceScale(0.0, 5.0, 5))
    assert [shape.state(half) for half in range(10)] == [
        EMPTY, EMPTY, WICK, WICK, BODY, BODY, BODY, WICK, WICK, WICK,
    ]  # fmt: skip


def test_a_doji_has_a_body() -> None:
    shape = candle_shape(Bar(0, 2.0, 3.0, 1.0, 2.0, 1.0), PriceScale(0.0, 4.0, 4))
    assert shape.body_top == shape.body_bottom == 4


def test_a_creeping_price_does_not_move_the_scale() -> None:
    base = [Bar(i * MINUTE_MS, 100.0, 110.0, 90.0, 105.0, 1.0) for i in range(5)]
    crept = [*base[:-1], base[-1]._replace(high=110.05)]
    assert fit_scale(base, 20, 2) == fit_scale(crept, 20, 2)


@given(bars(), st.sampled_from([2, 4, 8]))
def test_joined_bars_are_the_true_candles_of_their_members(made: list[Bar], size: int) -> None:
    joined = join_bars(made, MINUTE_MS, size)
    assert sum(bar.volume for bar in joined) == sum(
        sum(bar.volume for bar in made if bar.time_ms // (MINUTE_MS * size) == key)
        for key in sorted({bar.time_ms // (MINUTE_MS * size) for bar in made})
    )
    for group in joined:
        key = group.time_ms // (MINUTE_MS * size)
        members = [bar for bar in made if bar.time_ms // (MINUTE_MS * size) == key]
        assert group.open == members[0].open
        assert group.close == members[-1].close
        assert group.high == max(bar.high for bar in members)
        assert group.low == min(bar.low for bar in members)
        assert group.closed == members[-1].closed


def test_joining_does_not_depend_on_where_the_series_begins() -> None:
    made = [Bar(i * MINUTE_MS, i, i + 1, i - 1, i, 1.0) for i in range(20)]
    assert join_bars(made, MINUTE_MS, 4)[1:] == join_bars(made[3:], MINUTE_MS, 4)[1:]


def test_moving_average_waits_until_it_has_all_its_values() -> None:
    assert moving_average([1, 2, 3, 4], 3) == [None, None, 2.0, 3.0]
    assert moving_average([1, 2, 3, 4], 3, [0, 3]) == [None, 3.0]
    assert moving_average([], 3) == []
    huge = moving_average([1.7e308] * 3, 3)[-1]
    assert huge is not None
    assert isfinite(huge)


def test_average_rows_are_interpolated_between_candles() -> None:
    scale = PriceScale(0.0, 8.0, 8)
    assert average_rows([None, 7.5, 1.5], scale, 3, 0, 9) == [None] * 4 + [0, 2, 4, 6, None]


def test_step_and_volume() -> None:
    made = [Bar(t * MINUTE_MS, 1, 1, 1, 1, 1) for t in (0, 3, 4)]
    assert bar_step_ms(made) == MINUTE_MS
    assert bar_step_ms(made[:1]) == MINUTE_MS
    assert volume_eighths(0.0, 10.0, 2) == 0
    assert volume_eighths(0.001, 10.0, 2) == 1
    assert volume_eighths(10.0, 10.0, 2) == 16
