from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.widgets.chart_axes import DAY_MS, HOUR_MS, MINUTE_MS, nice_step, price_ticks, time_ticks


def ms(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("least", "smallest", "step"),
    [
        (0.9, 0, 1),
        (1.1, 0, 2),
        (2.1, 0, 2.5),
        (2.6, 0, 5),
        (5.1, 0, 10),
        (0.021, 0.01, 0.05),
        (0.0001, 0.01, 0.01),
        (21, 1, 25),
        (2.1, 1, 5),
    ],
)
def test_nice_steps(least: float, smallest: float, step: float) -> None:
    assert nice_step(least, smallest) == pytest.approx(step)


@given(
    st.floats(min_value=1e-6, max_value=1e7),
    st.floats(min_value=1e-4, max_value=1e5),
    st.integers(1, 20),
    st.integers(0, 8),
)
def test_price_ticks_are_few_inside_and_evenly_spaced(low, span, count, decimals) -> None:
    ticks = price_ticks(low, low + span, count, decimals)
    assert len(ticks) <= count
    assert all(low - span * 1e-6 <= tick <= low + span * (1 + 1e-6) for tick in ticks)
    gaps = [later - earlier for earlier, later in pairwise(ticks)]
    assert all(gap == pytest.approx(gaps[0], rel=1e-6, abs=low * 1e-15 + 1e-9) for gap in gaps)


def labels(start_ms: int, step_ms: int, count: int, cells: int = 2) -> list[tuple[int, str]]:
    times = [start_ms + index * step_ms for index in range(count)]
    columns = [index * cells for index in range(count)]
    return [tuple(tick) for tick in time_ticks(times, columns, step_ms, cells, count * cells)]


def test_minutes_get_round_times_and_midnight_its_date() -> None:
    assert labels(ms(2026, 11, 21, 23, 52), MINUTE_MS, 20) == [
        (6, "23:55"),
        (16, "22 Nov"),
        (26, "00:05"),
    ]


def test_hours_and_days() -> None:
    assert labels(ms(2026, 11, 21, 20), HOUR_MS, 14) == [(8, "22 Nov"), (20, "06:00")]
    weeks = labels(ms(2026, 10, 1), DAY_MS, 40)
    assert [text for _, text in weeks] == ["5 Oct", "12 Oct", "19 Oct", "26 Oct", "2 Nov"]


def test_weeks_and_months_get_month_names_and_years() -> None:
    weeks = labels(ms(2026, 10, 5), 7 * DAY_MS, 30, cells=1)
    assert [text for _, text in weeks] == ["2027", "Apr"]
    months = [ms(2026 + month // 12, month % 12 + 1, 1) for month in range(6, 20)]
    ticks = time_ticks(months, list(range(0, 56, 4)), 28 * DAY_MS, 4, 56)
    assert [tick.label for tick in ticks] == ["Jul", "Oct", "2027", "Apr", "Jul"]


def test_a_gap_gets_no_label_at_a_time_that_is_missing() -> None:
    times = [ms(2026, 11, 21, 10, minute) for minute in (8, 9, 13, 14, 15, 16)]
    ticks = time_ticks(times, list(range(0, 48, 8)), MINUTE_MS, 8, 60)
    assert [tick.label for tick in ticks if tick.label == "10:10"] == []


@given(st.integers(0, 40_000_000), st.sampled_from([1, 5, 60, 1440, 10080]), st.integers(1, 6))
def test_labels_never_overlap_or_leave_the_axis(start_minute, step_minutes, cells) -> None:
    found = labels(start_minute * MINUTE_MS, step_minutes * MINUTE_MS, 60, cells)
    for (column, text), (following, _) in pairwise(found):
        assert column + 1 + len(text) < following
    assert all(column + 1 + len(text) <= 60 * cells for column, text in found)
