"""A series joins pushed and stored candles and tells each viewer what changed."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engine.capture.series import Series
from engine.market.candle import Candle
from engine.market.interval import parse_interval

MINUTE = 60_000


def candle(minute: int, close: float = 10.0, *, closed: bool = True) -> Candle:
    return Candle(minute * MINUTE, 10.0, 20.0, 5.0, close, 1.0, 10.0, 3, closed=closed)


def series() -> Series:
    return Series("BTCUSDT", parse_interval("1m"))


def test_an_open_candle_never_replaces_a_closed_one() -> None:
    made = series()
    made.put(candle(1, 11.0), 1)
    assert made.put(candle(1, 12.0, closed=False), 2) is False
    assert made.candles[-1].close == 11.0
    assert made.revision == 1


def test_the_same_candle_again_changes_nothing() -> None:
    made = series()
    made.put(candle(1, closed=False), 1)
    assert made.put(candle(1, closed=False), 2) is False
    assert made.revision == 1


def test_changes_after_a_revision_are_the_tail_only() -> None:
    made = series()
    for minute in range(5):
        made.put(candle(minute), minute + 1)
    made.put(candle(5, closed=False), 6)
    made.put(candle(5, 12.0, closed=False), 7)
    assert [c.open_time_ms // MINUTE for c in made.changed_since(5)] == [5]
    assert made.changed_since(7) == []
    assert made.reset_revision == 0


def test_an_older_candle_asks_for_a_reset() -> None:
    made = series()
    made.put(candle(1), 1)
    made.put(candle(3), 2)
    made.put(candle(2), 3)
    assert made.reset_revision == 3
    assert [c.open_time_ms // MINUTE for c in made.candles] == [1, 2, 3]


def test_history_does_not_undo_the_open_candle() -> None:
    made = series()
    made.put(candle(9, 15.0, closed=False), 1)
    made.merge([candle(7), candle(8), candle(9, 11.0, closed=False)], 2)
    assert [c.open_time_ms // MINUTE for c in made.candles] == [7, 8, 9]
    assert made.candles[-1].close == 11.0


def test_a_window_ends_where_it_is_told() -> None:
    made = series()
    made.merge([candle(minute) for minute in range(10)], 1)
    assert [c.open_time_ms // MINUTE for c in made.window(3, 6 * MINUTE)] == [4, 5, 6]
    assert [c.open_time_ms // MINUTE for c in made.window(3, None)] == [7, 8, 9]


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.integers(5, 20)), max_size=60))
def test_a_viewer_that_follows_the_changes_sees_what_the_series_holds(
    pushes: list[tuple[int, bool, int]],
) -> None:
    made = series()
    seen: dict[int, Candle] = {}
    since = 0
    for revision, (minute, closed, close) in enumerate(pushes, start=1):
        made.put(candle(minute, float(close), closed=closed), revision)
        if revision % 3:
            continue
        if made.reset_revision > since:
            seen = {}
            changed = made.candles
        else:
            changed = made.changed_since(since)
        seen |= {c.open_time_ms: c for c in changed}
        since = revision
        assert [seen[key] for key in sorted(seen)] == made.candles
    assert all(msgspec.structs.asdict(c) for c in made.candles)
