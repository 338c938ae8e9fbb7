"""What becomes of candles that are put: inserted, merged, refused."""

import json
import sqlite3
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.market.candle import Candle
from engine.store import PutResult, Source, Store, StoreError

Minute = Callable[..., Candle]
SERIES = ("BTCUSDT", "1m")


def put(store: Store, candles: list[Candle], source: Source = Source.STREAM) -> PutResult:
    return store.writer.put_candles(*SERIES, candles, source).result(10)


def candle_of(index: int, close: float, trades: int) -> Candle:
    return Candle(index * 60_000, 100.0, 110.0, 90.0, close, 5.5, 550.5, trades)


def revisions(store: Store) -> list[dict[str, object]]:
    return store.reader.query("SELECT * FROM revision ORDER BY id")


def test_a_candle_is_there_when_its_future_is_done(store: Store, minute: Minute) -> None:
    assert put(store, [minute(0), minute(1)]) == PutResult(inserted=2)
    assert store.reader.candles(*SERIES) == [minute(0), minute(1)]
    counters = store.writer.counters
    assert (counters.rows_committed, counters.queued, counters.failures) == (2, 0, 0)
    assert counters.rows_per_minute == 2.0
    assert counters.last_commit_ms is not None
    assert counters.last_commit_wall_ms is not None


def test_the_same_again_changes_nothing(store: Store, minute: Minute) -> None:
    put(store, [minute(0)])
    assert put(store, [minute(0)]) == PutResult(unchanged=1)
    assert store.reader.count_by_source() == {"stream": 1, "rest": 0, "both": 0, "import": 0}
    assert revisions(store) == []


@pytest.mark.parametrize(
    ("first", "second", "agreed"),
    [
        (Source.STREAM, Source.REST, "both"),
        (Source.REST, Source.STREAM, "both"),
        (Source.BOTH, Source.REST, "both"),
        (Source.IMPORT, Source.REST, "rest"),
        (Source.STREAM, Source.IMPORT, "stream"),
    ],
)
def test_two_sources_that_tell_the_same(
    store: Store, minute: Minute, first: Source, second: Source, agreed: str
) -> None:
    put(store, [minute(0)], first)
    assert put(store, [minute(0)], second) == PutResult(unchanged=1)
    counts = store.reader.count_by_source()
    assert counts.pop(agreed) == 1
    assert set(counts.values()) == {0}
    assert store.reader.candle_count() == 1


def test_rest_wins_and_the_revision_tells_both_values(store: Store, minute: Minute) -> None:
    put(store, [minute(0, trades=9)])
    assert put(store, [minute(0, close=105.0, trades=4)], Source.REST) == PutResult(changed=1)
    assert store.reader.candles(*SERIES) == [minute(0, close=105.0, trades=4)]
    assert store.reader.count_by_source()["rest"] == 1
    [row] = revisions(store)
    assert (row["old_source"], row["new_source"], row["applied"]) == (1, 2, 1)
    assert json.loads(str(row["old_values"]))[3] == 101.0
    assert json.loads(str(row["new_values"]))[3] == 105.0
    assert json.loads(str(row["new_values"]))[6] == 4


def test_a_stream_candle_with_fewer_trades_loses(store: Store, minute: Minute) -> None:
    put(store, [minute(0, trades=9)], Source.REST)
    assert put(store, [minute(0, close=105.0, trades=8)]) == PutResult(unchanged=1)
    assert store.reader.candles(*SERIES) == [minute(0, trades=9)]
    assert [row["applied"] for row in revisions(store)] == [0]
    assert put(store, [minute(0, close=105.0, trades=9)]) == PutResult(changed=1)
    assert store.reader.candles(*SERIES) == [minute(0, close=105.0, trades=9)]


def test_what_is_not_told_erases_nothing_and_fills_what_was_unknown(
    store: Store, minute: Minute
) -> None:
    vague = msgspec.structs.replace(
        minute(0), trades=None, taker_buy_volume=None, taker_buy_quote_volume=None
    )
    put(store, [minute(0)])
    assert put(store, [vague], Source.IMPORT) == PutResult(unchanged=1)
    assert store.reader.candles(*SERIES) == [minute(0)]
    later = msgspec.structs.replace(vague, open_time_ms=minute(1).open_time_ms)
    put(store, [later], Source.IMPORT)
    assert put(store, [minute(1)], Source.STREAM) == PutResult(changed=1)
    assert store.reader.candles(*SERIES) == [minute(0), minute(1)]
    assert revisions(store) == []


def test_one_batch_may_name_a_minute_twice(store: Store, minute: Minute) -> None:
    twice = [minute(0), minute(1), minute(0, close=104.0, trades=5), minute(2)]
    assert put(store, twice) == PutResult(inserted=3, changed=1)
    assert store.reader.candles(*SERIES)[0].close == 104.0
    assert store.reader.candle_count() == 3


def test_far_apart_candles_meet_stored_ones(store: Store, minute: Minute) -> None:
    put(store, [minute(index) for index in range(250)])
    far = [minute(0), minute(249, close=99.0), minute(500_000)]
    assert put(store, far, Source.REST) == PutResult(inserted=1, changed=1, unchanged=1)


def test_an_open_candle_is_refused(store: Store, minute: Minute) -> None:
    still_open = msgspec.structs.replace(minute(0), closed=False)
    with pytest.raises(ValueError, match="still open"):
        put(store, [minute(1), still_open])
    store.writer.flush()
    assert store.reader.candle_count() == 0


def test_what_can_not_be_true_goes_to_quarantine_and_the_rest_is_stored(
    store: Store, minute: Minute
) -> None:
    bad = [
        msgspec.structs.replace(minute(1), high=float("nan")),
        msgspec.structs.replace(minute(2), low=-1.0),
        msgspec.structs.replace(minute(3), open_time_ms=minute(3).open_time_ms + 14_000),
        msgspec.structs.replace(minute(4), trades=2**70),
        msgspec.structs.replace(minute(5), open_time_ms=-60_000),
    ]
    assert put(store, [minute(0), *bad, minute(6)]) == PutResult(inserted=2, quarantined=5)
    assert store.reader.quarantine_count() == 5
    rows = store.reader.query("SELECT origin, reason, raw FROM quarantine ORDER BY id")
    assert [row["origin"] for row in rows] == ["stream BTCUSDT 1m"] * 5
    assert "finite" in rows[0]["reason"]
    assert rows[2]["reason"] == "the open time is 14000 ms off the 1m grid"
    assert "1733011394000" in rows[2]["raw"]


def test_weeks_and_months_are_checked_against_their_own_grid(store: Store, minute: Minute) -> None:
    monday = msgspec.structs.replace(minute(0), open_time_ms=1_733_097_600_000)
    assert store.writer.put_candles("X", "1w", [monday, minute(0)], Source.REST).result(
        10
    ) == PutResult(inserted=1, quarantined=1)
    assert store.writer.put_candles("X", "1M", [monday, minute(0)], Source.REST).result(
        10
    ) == PutResult(inserted=1, quarantined=1)
    assert store.reader.intervals("X") == ["1M", "1w"]


def test_names_may_hold_any_letters(store: Store, minute: Minute) -> None:
    store.writer.put_candles("币安人生USDT", "1m", [minute(0)], Source.STREAM).result(10)
    assert store.reader.symbols() == ["币安人生USDT"]
    assert store.reader.candles("币安人生USDT", "1m") == [minute(0)]


def test_the_tables_themselves_refuse_what_the_code_would_let_slip(store: Store) -> None:
    def insert(values: str) -> None:
        with pytest.raises(sqlite3.IntegrityError):
            store.writer.run(lambda c: c.execute(f"INSERT INTO candle VALUES ({values})")).result(
                10
            )

    put(store, [])
    store.writer.run(lambda c: c.execute("INSERT INTO symbol (id, name) VALUES (1, 'X')")).result(5)
    insert("1, '1m', 0, 1, 2, 0.5, 'abc', 1, 1, 1, 1, 1, 1, 0")
    insert("1, '1m', 0, 1, 2, 0.5, 3, 1, 1, 1, 1, 1, 1, 0")
    insert("1, '1m', 0, 1, 9e999, 0.5, 1, 1, 1, 1, 1, 1, 1, 0")
    insert("1, '1m', 0, 1, 2, 0.5, 1, NULL, 1, 1, 1, 1, 1, 0")
    insert("99, '1m', 0, 1, 2, 0.5, 1, 1, 1, 1, 1, 1, 1, 0")


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(Source)),
            st.lists(
                st.tuples(st.integers(0, 5), st.sampled_from([95.0, 101.0]), st.integers(1, 3)),
                max_size=6,
            ),
        ),
        max_size=6,
    )
)
def test_counters_equal_a_full_count_whatever_came(
    tmp_path_factory: pytest.TempPathFactory,
    puts: list[tuple[Source, list[tuple[int, float, int]]]],
) -> None:

    store = Store.open(tmp_path_factory.mktemp("counts"), source="live")
    try:
        futures = [
            store.writer.put_candles(*SERIES, [candle_of(*values) for values in batch], source)
            for source, batch in puts
        ]
        store.writer.flush()
        results = [future.result(0) for future in futures]
        rows = store.reader.query("SELECT source, count(*) AS n FROM candle GROUP BY source")
        full = {Source(row["source"]).name.lower(): row["n"] for row in rows}
        counted = {name: n for name, n in store.reader.count_by_source().items() if n}
        assert counted == full
        assert sum(result.inserted for result in results) == sum(full.values())
        assert sum(sum(result) for result in results) == sum(len(batch) for _, batch in puts)
    finally:
        store.close()


def test_reading_a_closed_store_is_a_sentence(store: Store) -> None:
    store.close()
    with pytest.raises(StoreError, match="can not be read"):
        store.reader.candle_count()


def test_a_nul_in_what_is_refused_becomes_its_symbol(store: Store) -> None:
    store.writer.quarantine("stream", "not \0 JSON", "a\0b")
    store.writer.run(lambda _: None).result(30)
    assert store.reader.query("SELECT reason, raw FROM quarantine") == [
        {"reason": "not \u2400 JSON", "raw": "a\u2400b"}
    ]
