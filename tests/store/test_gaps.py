"""The ledger of gaps: what is missing, why, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.market.candle import Candle
from engine.market.interval import MINUTE_MS
from engine.store import Source, Store, gap_reads, gaps
from engine.store.gaps import NOT_PUSHED

SERIES = ("BTCUSDT", "1m")
START_MS = 1_734_652_800_000
HOUR_MS = 3_600_000


def at(minute: int) -> int:
    return START_MS + minute * MINUTE_MS


def candle(minute: int, trades: int | None = 5, close: float = 1.0) -> Candle:
    return Candle(at(minute), 1.0, 2.0, 1.0, close, 1.0, 1.0, trades, 0.5, 0.5)


def do(store: Store, work: Callable[..., Any]) -> Any:
    return store.writer.run(work).result(10)


def note(store: Store, first: int, last: int, reason: str = "no connection: cut") -> int:
    return do(
        store,
        lambda db: gaps.note_missing(
            db, *SERIES, [(at(first), at(last))], 5, reason=reason, now_ms=at(last)
        ),
    )


def put(store: Store, first: int, last: int, source: Source = Source.REST, **values: Any) -> None:
    rows = [candle(minute, **values) for minute in range(first, last)]
    store.writer.put_candles(*SERIES, rows, source).result(10)


def empty(store: Store, first: int, last: int, now_ms: int) -> int:
    return do(store, lambda db: gaps.note_empty(db, *SERIES, [(at(first), at(last))], now_ms, 9))


def rows(store: Store) -> list[tuple[int, int, str]]:
    found = store.reader.query("SELECT from_ms, to_ms, state FROM gap ORDER BY from_ms")
    return [
        ((r["from_ms"] - START_MS) // MINUTE_MS, (r["to_ms"] - START_MS) // MINUTE_MS, r["state"])
        for r in found
    ]


def test_a_range_is_noted_once_and_only_as_far_as_it_is_not_stored(store: Store) -> None:
    put(store, 12, 14)
    assert note(store, 10, 20) == 2
    assert note(store, 10, 20) == 0
    assert rows(store) == [(10, 12, "open"), (14, 20, "open")]
    (first, _) = store.reader.query("SELECT reason, first_seen_ms, tries FROM gap ORDER BY 1")
    assert first == {"reason": "no connection: cut", "first_seen_ms": at(20), "tries": 0}


def test_an_outage_that_goes_on_is_one_row(store: Store) -> None:
    for minute in range(5):
        note(store, minute, minute + 1)
    note(store, 5, 6, "another reason")
    assert rows(store) == [(0, 5, "open"), (5, 6, "open")]


def test_storing_settles_what_it_fills_and_neighbours_become_one_row(store: Store) -> None:
    note(store, 0, 20)
    put(store, 5, 8)
    assert rows(store) == [(0, 5, "open"), (5, 8, "filled"), (8, 20, "open")]
    put(store, 8, 20)
    assert rows(store) == [(0, 5, "open"), (5, 20, "filled")]
    put(store, 0, 5)
    assert rows(store) == [(0, 20, "filled")]


def test_what_was_filled_can_be_lost_again(store: Store) -> None:
    note(store, 0, 10)
    put(store, 0, 10)
    do(store, lambda db: db.execute("DELETE FROM candle WHERE open_time_ms = ?", (at(4),)).rowcount)
    assert note(store, 0, 10) == 1
    assert rows(store) == [(0, 4, "filled"), (4, 5, "open"), (5, 10, "filled")]


def test_marks_and_tries_touch_the_range_alone(store: Store) -> None:
    note(store, 0, 10)
    do(
        store,
        lambda db: gaps.mark(db, *SERIES, at(3), at(5), "unfillable", 7, "no such market"),
    )
    do(store, lambda db: gaps.count_try(db, *SERIES, at(0), at(2), "HTTP 500", 8))
    assert rows(store) == [(0, 3, "open"), (3, 5, "unfillable"), (5, 10, "open")]
    tries = store.reader.query("SELECT tries, last_error FROM gap ORDER BY from_ms")
    assert [tuple(row.values()) for row in tries] == [
        (1, "HTTP 500"), (0, "no such market"), (0, "")
    ]  # fmt: skip
    assert note(store, 0, 10) == 0, "why these are missing is known"
    assert do(store, lambda db: gaps.reopen(db, "ETHUSDT", ("unfillable",), 9)) == 0
    assert do(store, lambda db: gaps.reopen(db, "", ("unfillable",), 9)) == 1
    assert {state for *_, state in rows(store)} == {"open"}


def test_a_hole_takes_two_empty_answers_an_hour_of_exchange_time_apart(store: Store) -> None:
    note(store, 0, 3)
    assert empty(store, 0, 3, at(10)) == 0
    assert empty(store, 0, 3, at(10) + HOUR_MS - 1) == 0
    assert rows(store) == [(0, 3, "open")]
    assert empty(store, 0, 2, at(10) + HOUR_MS) == 1
    assert rows(store) == [(0, 2, "exchange_hole"), (2, 3, "open")]


def test_a_hole_that_the_exchange_repairs_becomes_filled(store: Store) -> None:
    empty(store, 0, 3, at(10))
    empty(store, 0, 3, at(10) + HOUR_MS)
    assert rows(store) == [(0, 3, "exchange_hole")]
    put(store, 1, 2)
    assert rows(store) == [(0, 1, "exchange_hole"), (1, 2, "filled"), (2, 3, "exchange_hole")]


def test_a_candle_that_the_stream_brings_late_was_no_gap(store: Store) -> None:
    note(store, 0, 3, NOT_PUSHED)
    put(store, 1, 2, Source.STREAM)
    assert rows(store) == [(0, 1, "open"), (2, 3, "open")]
    put(store, 0, 1, Source.REST)
    assert rows(store) == [(0, 1, "filled"), (2, 3, "open")]
    put(store, 0, 1, Source.STREAM)
    assert rows(store) == [(2, 3, "open")], "REST was faster than the late stream"


def test_tries_count_each_time_that_the_exchange_was_asked(store: Store) -> None:
    note(store, 0, 2)
    empty(store, 0, 2, at(5))
    put(store, 0, 2)
    assert store.reader.query("SELECT state, tries FROM gap") == [{"state": "filled", "tries": 2}]


def test_what_an_outage_lost_stays_in_the_ledger_whoever_brings_it(store: Store) -> None:
    note(store, 0, 2)
    put(store, 0, 2, Source.STREAM)
    assert rows(store) == [(0, 2, "filled")]


def test_a_minute_without_a_trade_that_was_not_pushed_is_no_gap(store: Store) -> None:
    note(store, 0, 2, NOT_PUSHED)
    put(store, 0, 1, trades=0)
    put(store, 1, 2, trades=1)
    assert rows(store) == [(1, 2, "filled")]


def test_nothing_was_missing_before_the_first_candle_ever(store: Store) -> None:
    note(store, 0, 10)
    empty(store, 0, 5, at(20))
    do(store, lambda db: gaps.note_series_start(db, *SERIES, at(8)))
    assert rows(store) == [(8, 10, "open")]
    assert gap_reads.beginnings(store.reader, *SERIES)[0] == at(8)


def test_open_gaps_are_due_at_once_then_ever_later(store: Store) -> None:
    def due(now_ms: int) -> bool:
        return bool(gap_reads.due_series(store.reader, now_ms))

    note(store, 0, 2)
    assert due(at(2))
    empty(store, 0, 2, at(5))
    assert [due(at(minute)) for minute in (6, 7)] == [False, True]
    empty(store, 0, 2, at(7))
    assert [due(at(minute)) for minute in (14, 15)] == [False, True]
    empty(store, 0, 2, at(15))
    assert [due(at(minute)) for minute in (64, 65)] == [False, True]
    empty(store, 0, 2, at(65))
    assert not due(at(1_000))
    assert gap_reads.hole_series(store.reader, at(0)) == [(*SERIES, at(2))]


def test_rows_are_told_newest_first_with_their_totals(store: Store) -> None:
    note(store, 0, 2)
    note(store, 10, 15, "another")
    put(store, 10, 15)
    told = gap_reads.gap_rows(store.reader, limit=1)
    assert [(row.symbol, row.candles, row.state, row.reason) for row in told] == [
        ("BTCUSDT", 5, "filled", "another")
    ]
    assert gap_reads.gap_totals(store.reader) == (2, {"open": 2, "filled": 5})
    (row,) = gap_reads.gap_rows(store.reader, "BTCUSDT", ("open",))
    assert (row.from_ms, row.to_ms) == (at(0), at(2))
    assert gap_reads.gap_rows(store.reader, "ETHUSDT") == []


minute_ranges = st.tuples(st.integers(0, 12), st.integers(1, 5)).map(lambda p: (p[0], p[0] + p[1]))
steps = st.lists(
    st.tuples(
        st.sampled_from(["note", "rest", "stream", "empty", "later"]),
        minute_ranges,
        st.booleans(),
    ),
    max_size=14,
)


class Model:
    """What each minute's state ought to be."""

    def __init__(self) -> None:
        self.stored: set[int] = set()
        self.state: dict[int, str] = {}
        self.reason: dict[int, str] = {}
        self.first_empty: dict[int, int] = {}
        self.now = 100

    def note(self, minute: int, reason: str) -> None:
        if minute in self.stored or self.state.get(minute) in gaps.KNOWN_STATES:
            return
        self.state[minute], self.reason[minute] = "open", reason
        self.first_empty.pop(minute, None)

    def put(self, minute: int, *, by_stream: bool) -> None:
        late = by_stream and self.reason.get(minute) == NOT_PUSHED
        known = self.state.get(minute)
        if late and (known in gaps.KNOWN_STATES or (known and minute in self.stored)):
            del self.state[minute], self.reason[minute]
        elif known in gaps.KNOWN_STATES:
            self.state[minute] = "filled"
        self.stored.add(minute)

    def empty(self, minute: int) -> None:
        if minute in self.stored:
            return
        self.note(minute, gaps.NO_CANDLE)
        if self.state[minute] != "open":
            return
        first = self.first_empty.setdefault(minute, self.now)
        if first <= self.now - 60:
            self.state[minute] = "exchange_hole"


def happen(store: Store, model: Model, what: str, where: tuple[int, int], reason: str) -> None:
    """Do one step to both."""
    if what == "note":
        note(store, *where, reason)
        for minute in range(*where):
            model.note(minute, reason)
    elif what in ("rest", "stream"):
        put(store, *where, Source.STREAM if what == "stream" else Source.REST)
        for minute in range(*where):
            model.put(minute, by_stream=what == "stream")
    elif what == "empty":
        for minute in set(range(*where)) - model.stored:
            empty(store, minute, minute + 1, at(model.now))
            model.empty(minute)
    else:
        model.now += 40


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps)
def test_the_ledger_equals_a_model_of_minutes(tmp_path_factory: Any, told: Any) -> None:
    with Store.open(tmp_path_factory.mktemp("gaps"), source="live") as store:
        store.writer._gather_s = 0.001
        model = Model()
        for what, where, flag in told:
            happen(store, model, what, where, reason=NOT_PUSHED if flag else "no connection")
        found: dict[int, str] = {}
        for first, last, state in rows(store):
            for minute in range(first, last):
                assert minute not in found, "rows overlap"
                found[minute] = state
        assert found == model.state
