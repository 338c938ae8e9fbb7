"""A report for people keeps to the screen's width and leaves nothing known out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.commands.plain_text import LINE_WIDTH, report_lines


def test_one_fact_a_line() -> None:
    report = {
        "engine": {"running": True, "pid": 4711, "exchange_time_ms": 1_733_007_600_000, "note": ""},
        "store": {"by_source": {"stream": 1200, "rest": 3}, "last_commit_ms": 0.25},
        "books": {},
    }
    assert report_lines(report) == [
        "engine",
        "  running            yes",
        "  pid                4,711",
        "  exchange_time_ms   2024-11-30 23:00:00 UTC",
        "store",
        "  by_source          stream 1,200 · rest 3",
        "  last_commit_ms     0.25",
    ]


def test_long_lists_are_wrapped() -> None:
    lines = report_lines({"store": {"symbols": [f"SYM{number}USDT" for number in range(40)]}})
    assert max(map(len, lines)) <= LINE_WIDTH
    assert " ".join(lines).count("USDT") == 40


def test_very_long_lists_are_cut() -> None:
    lines = report_lines({"store": {"symbols": [f"SYM{number}USDT" for number in range(1400)]}})
    assert len(lines) < 14
    assert lines[-1].endswith("and 1,340 more")


def test_lists_of_objects_stand_below_each_other() -> None:
    models = [{"symbol": "BTCUSDT", "model": {"version": "v1", "baselines": {"reversal": 0.51}}}]
    assert report_lines({"forecast": {"models": models}}) == [
        "forecast",
        "  models",
        "    symbol           BTCUSDT",
        "    model",
        "      version        v1",
        "      baselines      reversal 0.51",
    ]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text("abc é", max_size=9),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.text("abc", min_size=1, max_size=4), inner, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_any_report_is_shown(value: object) -> None:
    assert all(line == line.rstrip() for line in report_lines({"part": value}))
