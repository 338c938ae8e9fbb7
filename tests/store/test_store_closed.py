"""Candles that close together: one work for all, with the results of one work for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.market.candle import Candle
from engine.market.interval import MINUTE_MS
from engine.store import Source, Store
from engine.store.gaps import record_missing

START_MS = 1_795_000_020_000 // MINUTE_MS * MINUTE_MS
NAMES = ("AUSDT", "BUSDT", "CUSDT")
TABLES = {
    "candle": "symbol_id, interval, open_time_ms, close, trades, source",
    "revision": "symbol_id, interval, open_time_ms, applied",
    "gap": "symbol_id, interval, from_ms, to_ms, state",
    "counter": "name, value",
    "quarantine": "origin, reason",
}


def candle(minute: int, close: float = 10.0, trades: int = 3, low: float = 5.0) -> Candle:
    open_ms = START_MS + minute * MINUTE_MS
    return Candle(open_ms, 10.0, 20.0, low, close, 1.0, 10.0, trades, 0.5, 5.0)


def contents(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    def read(connection: Any) -> dict[str, list[tuple[Any, ...]]]:
        return {
            table: connection.execute(
                f"SELECT {columns} FROM {table} ORDER BY {columns}"
            ).fetchall()
            for table, columns in TABLES.items()
        }

    return store.writer.run(read).result(10)


CLOSED = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(("1m", "5m")),
        st.builds(
            candle,
            st.integers(0, 6),
            st.sampled_from((10.0, 11.0)),
            st.integers(2, 4),
            st.sampled_from((5.0, 5.0, 15.0)),
        ),
    ),
    max_size=12,
)
GAPS = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 5), st.integers(1, 3)), max_size=3)


@settings(max_examples=25, deadline=None)
@given(before=CLOSED, closed=CLOSED, gaps=GAPS)
def test_together_is_the_same_as_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, before: Any, closed: Any, gaps: Any
) -> None:
    told = []
    for is_together in (False, True):
        with Store.open(tmp_path_factory.mktemp("closed"), source="live") as store:
            store.writer._gather_s = 0.001
            for symbol, interval, one in before:
                store.writer.put_candles(symbol, interval, [one], Source.REST)
            for symbol, first, count in gaps:
                start, end = START_MS + first * MINUTE_MS, START_MS + (first + count) * MINUTE_MS
                store.writer.run(
                    lambda c, symbol=symbol, start=start, end=end: record_missing(
                        c, symbol, "1m", start, end, 1
                    )
                )
            if is_together:
                results = store.writer.put_closed(closed, Source.STREAM).result(10)
            else:
                futures = [
                    store.writer.put_candles(symbol, interval, [one], Source.STREAM)
                    for symbol, interval, one in closed
                ]
                results = [future.result(10) for future in futures]
            told.append((_without_order(results), contents(store)))
    assert told[0] == told[1]


def _without_order(results: Any) -> dict[str, int]:
    return {
        name: sum(getattr(result, name) for result in results)
        for name in ("inserted", "changed", "unchanged", "quarantined")
    }


def test_results_come_in_the_order_of_the_candles(tmp_path: Path) -> None:
    with Store.open(tmp_path, source="live") as store:
        store.writer._gather_s = 0.005
        store.writer.put_candles("BUSDT", "1m", [candle(0)], Source.STREAM).result(10)
        results = store.writer.put_closed(
            [
                ("AUSDT", "1m", candle(0)),
                ("BUSDT", "1m", candle(0, 11.0, 4)),
                ("CUSDT", "1m", candle(0, low=15.0)),
                ("AUSDT", "1m", candle(0)),
            ],
            Source.STREAM,
        ).result(10)
        names = [
            next(name for name, count in result._asdict().items() if count) for result in results
        ]
        assert names == ["inserted", "changed", "quarantined", "unchanged"]


def test_an_open_candle_is_refused(tmp_path: Path) -> None:
    with Store.open(tmp_path, source="live") as store, pytest.raises(ValueError, match="open"):
        store.writer.put_closed(
            [("AUSDT", "1m", Candle(START_MS, 1, 1, 1, 1, 1, 1, closed=False))], Source.STREAM
        )
