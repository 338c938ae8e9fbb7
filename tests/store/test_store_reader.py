import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.market.candle import Candle
from engine.market.interval import INTERVALS
from engine.market.symbol import SymbolInfo
from engine.store import Source, Store
from engine.store.gaps import missing_ranges
from engine.store.symbols import put_meta, put_symbols, record_session

Minute = Callable[..., Candle]
SERIES = ("BTCUSDT", "1m")
START_MS = 1_733_011_200_000
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


def fill(store: Store, candles: list[Candle], symbol: str = "BTCUSDT") -> None:
    store.writer.put_candles(symbol, "1m", candles, Source.STREAM).result(10)


def test_ranges_and_limits(store: Store, minute: Minute) -> None:
    rows = [minute(index) for index in range(10)]
    fill(store, rows)
    fill(store, rows[:2], "ETHUSDT")
    read = store.reader.candles
    assert read(*SERIES) == rows
    assert (
        read(*SERIES, start_ms=START_MS + 2 * MINUTE_MS, end_ms=START_MS + 5 * MINUTE_MS)
        == (rows[2:5])
    )
    assert read(*SERIES, limit=3) == rows[-3:]
    assert read(*SERIES, end_ms=START_MS + 5 * MINUTE_MS, limit=2) == rows[3:5]
    assert read(*SERIES, start_ms=START_MS + 2 * MINUTE_MS, limit=3) == rows[2:5]
    assert (
        read(*SERIES, start_ms=START_MS + MINUTE_MS, end_ms=START_MS + 3 * MINUTE_MS, limit=5)
        == (rows[1:3])
    )
    first = store.reader.columns(*SERIES, start_ms=START_MS, limit=2)
    assert list(first["open_time_ms"]) == [row.open_time_ms for row in rows[:2]]
    assert read(*SERIES, limit=0) == read(*SERIES, start_ms=START_MS, limit=0) == []
    assert read("NOSUCH", "1m") == read("BTCUSDT", "5m") == []
    assert store.reader.first_open_time(*SERIES) == START_MS
    assert store.reader.last_open_time(*SERIES) == rows[-1].open_time_ms
    assert store.reader.last_open_time("NOSUCH", "1m") is None
    assert store.reader.symbols() == ["BTCUSDT", "ETHUSDT"]


def test_columns_are_arrays_with_nan_for_the_unknown(store: Store, minute: Minute) -> None:
    fill(store, [minute(0), minute(1, trades=None)])
    columns = store.reader.columns(*SERIES)
    assert list(columns) == [
        "open_time_ms",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "quote_volume",
        "trades",
        "taker_buy_volume",
        "taker_buy_quote_volume",
    ]
    assert columns["open_time_ms"].dtype == np.int64
    assert columns["open_time_ms"].tolist() == [START_MS, START_MS + MINUTE_MS]
    assert {columns[name].dtype for name in list(columns)[1:]} == {np.dtype(np.float64)}
    np.testing.assert_array_equal(columns["trades"], [3.0, np.nan])
    assert all(len(values) == 0 for values in store.reader.columns("NOSUCH", "1m").values())


def test_missing_of_years_is_read_in_pieces(
    store: Store, minute: Minute, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = {3, 4, 6, 11}  # within a piece, at its end and at its beginning
    rows = [minute(index) for index in range(12) if index not in lost]
    store.writer.put_candles(*SERIES, rows, Source.REST).result(10)
    span = (START_MS, START_MS + 12 * MINUTE_MS)
    whole = store.reader.missing(*SERIES, *span)
    assert sum((end - start) // MINUTE_MS for start, end in whole) == len(lost)
    for piece in (1, 2, 3, len(rows), len(rows) + 1):
        monkeypatch.setattr("engine.store.reader._PIECE_ROWS", piece)
        assert store.reader.missing(*SERIES, *span) == whole


def test_missing_is_merged_and_bounded_by_the_range(store: Store, minute: Minute) -> None:
    fill(store, [minute(index) for index in (0, 1, 4, 5, 9)])

    def missing(first: int, last: int) -> list[tuple[int, int]]:
        found = store.reader.missing(
            *SERIES, START_MS + first * MINUTE_MS, START_MS + last * MINUTE_MS
        )
        return [((a - START_MS) // MINUTE_MS, (b - START_MS) // MINUTE_MS) for a, b in found]

    assert missing(0, 10) == [(2, 4), (6, 9)]
    assert missing(-3, 3) == [(-3, 0), (2, 3)]
    assert missing(4, 6) == []
    assert missing(20, 22) == [(20, 22)]
    assert missing(5, 5) == []
    half = store.reader.missing(*SERIES, START_MS + MINUTE_MS + 1, START_MS + 2 * MINUTE_MS + 1)
    assert half == [(START_MS + 2 * MINUTE_MS, START_MS + 3 * MINUTE_MS)]


@given(
    st.sampled_from(["1m", "15m", "1w", "1M"]),
    st.integers(0, 60),
    st.integers(0, 60),
    st.sets(st.integers(0, 60)),
)
def test_missing_ranges_equal_a_walk_over_the_grid(
    name: str, first: int, last: int, stored: set[int]
) -> None:
    grid = INTERVALS[name]
    times = [grid.floor(START_MS)]
    for _ in range(61):
        times.append(grid.next(times[-1]))
    inside = set(range(first, last))
    ranges = missing_ranges(
        [times[at] for at in sorted(stored & inside)], name, times[first], times[last]
    )
    assert {time for start, end in ranges for time in times if start <= time < end} == {
        times[at] for at in inside - stored
    }
    assert all(start < end for start, end in ranges)
    assert all(end < start for (_, end), (start, _) in pairwise(ranges))


def test_a_month_is_a_month(store: Store) -> None:
    def month(number: int) -> int:
        return int(datetime(2024, number, 1, tzinfo=UTC).timestamp() * 1000)

    rows = [Candle(month(n), 1.0, 1.0, 1.0, 1.0, 1.0, 1.0) for n in (1, 2, 4)]
    store.writer.put_candles("BTCUSDT", "1M", rows, Source.REST).result(10)
    assert store.reader.missing("BTCUSDT", "1M", month(1), month(6)) == [
        (month(3), month(4)),
        (month(5), month(6)),
    ]


def test_symbols_sessions_and_meta(store: Store) -> None:
    info = SymbolInfo("BTCUSDT", "BTC", "USDT", "TRADING", "0.01000000", "0.00001000")
    halted = SymbolInfo("BTCUSDT", "BTC", "USDT", "HALT", "0.10000000", "0.00001000")
    store.writer.run(lambda c: put_symbols(c, [info], 1)).result(10)
    store.writer.run(lambda c: put_symbols(c, [halted], 2)).result(10)
    store.writer.run(lambda c: put_meta(c, "watchlist", "BTCUSDT")).result(10)
    store.writer.run(lambda c: record_session(c, "disconnect", "1", "silence", 3)).result(10)
    assert store.reader.symbol_infos() == [halted]
    assert store.reader.symbols() == []
    assert store.reader.meta("watchlist") == "BTCUSDT"
    assert store.reader.meta("nothing") is None
    assert store.reader.query("SELECT event, reason FROM session") == [
        {"event": "disconnect", "reason": "silence"}
    ]


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("prediction", "UPDATE prediction SET p_up = 0.9"),
        ("prediction", "DELETE FROM prediction"),
        (
            "prediction",
            "INSERT OR REPLACE INTO prediction VALUES (1, 1, '1m', 'v1', 0, 300, 1, 0.9, '', 1, 1)",
        ),
        ("outcome", "UPDATE outcome SET state = 'hit'"),
        ("outcome", "DELETE FROM outcome"),
        ("outcome", "REPLACE INTO outcome VALUES (1, 'hit', 1, 2.0, 300, 1, 1, 1)"),
    ],
)
def test_the_ledger_is_never_changed(
    tmp_path: Path, minute: Minute, table: str, change: str
) -> None:
    with Store.open(tmp_path, source="live") as store:
        store.writer._gather_s = 0.005
        fill(store, [minute(0)])
        for ledger in (
            "INSERT INTO prediction VALUES (1, 1, '1m', 'v1', 0, 300, 1, 0.6, 'abc', 60, 1)",
            "INSERT INTO outcome VALUES (1, 'miss', 0, 0.5, 300, 1, 0, NULL)",
        ):
            store.writer.run(lambda c, sql=ledger: c.execute(sql)).result(10)
    with Store.open(tmp_path, source="live") as store:
        store.writer._gather_s = 0.005
        before = store.reader.query(f"SELECT * FROM {table}")
        with pytest.raises(sqlite3.IntegrityError, match=r"is never (changed|deleted)"):
            store.writer.run(lambda c: c.execute(change)).result(10)
        assert store.reader.query(f"SELECT * FROM {table}") == before != []


def test_a_prediction_is_written_before_it_is_due_and_only_once(
    store: Store, minute: Minute
) -> None:
    fill(store, [minute(0)])
    insert = (
        "INSERT INTO prediction (symbol_id, interval, model, open_time_ms, due_ms, price, p_up,"
        " features_sha, scored_exchange_ms, scored_wall_ms) VALUES (1, '1m', 'v1', ?, 300, 1, ?,"
        " '', ?, 1)"
    )
    store.writer.run(lambda c: c.execute(insert, (0, 0.6, 299))).result(10)
    for values in ((0, 0.6, 299), (60, 1.5, 299), (60, 0.6, 300)):
        with pytest.raises(sqlite3.IntegrityError, match="constraint failed"):
            store.writer.run(lambda c, v=values: c.execute(insert, v)).result(10)
    store.writer.run(lambda c: c.execute(insert, (60, 0.6, 299))).result(10)
