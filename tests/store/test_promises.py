"""What is expected: what was promised, while the market traded, from its first candle on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.market.interval import MINUTE_MS
from engine.store import Source, Store, gap_reads, gaps, promises

START_MS = 1_733_011_200_000


def at(minute: int) -> int:
    return START_MS + minute * MINUTE_MS


def do(store: Store, work: Callable[..., Any]) -> Any:
    return store.writer.run(work).result(10)


def expected(store: Store, first: int, last: int, interval: str = "1m") -> dict[str, Any]:
    found = promises.expected_ranges(store.reader, interval, at(first), at(last))
    return {
        symbol: [((a - START_MS) // MINUTE_MS, (b - START_MS) // MINUTE_MS) for a, b in ranges]
        for symbol, ranges in found.items()
    }


def test_the_first_expected_candle_is_open_at_the_promise(store: Store) -> None:
    do(store, lambda db: promises.promise(db, [("A", "1m"), ("A", "5m")], at(7) + 1))
    assert expected(store, 0, 10) == {"A": [(7, 10)]}
    assert expected(store, 0, 20, "5m") == {"A": [(5, 20)]}
    do(store, lambda db: promises.promise(db, [("A", "1m")], at(8)))
    assert expected(store, 0, 10) == {"A": [(7, 10)]}, "it was promised already"


def test_a_promise_that_ended_and_began_again_excuses_what_lies_between(store: Store) -> None:
    do(store, lambda db: promises.promise(db, [("A", "1m")], at(0)))
    do(store, lambda db: promises.end_promise(db, [("A", "1m")], at(4)))
    do(store, lambda db: promises.promise(db, [("A", "1m")], at(7)))
    assert expected(store, 0, 10) == {"A": [(0, 4), (7, 10)]}
    assert promises.captured_series(store.reader) == [("A", "1m")]


def test_nothing_is_expected_while_a_market_does_not_trade(store: Store) -> None:
    do(store, lambda db: promises.promise(db, [("A", "1m"), ("B", "1m")], at(0)))
    for status, minute in (("TRADING", 0), ("BREAK", 3), ("NEW WORD", 4), ("TRADING", 6)):
        told = {"A": status}
        do(store, lambda db, told=told, m=minute: promises.note_statuses(db, told, at(m) + 500))
    assert expected(store, 0, 10) == {"A": [(0, 4), (7, 10)], "B": [(0, 10)]}
    only = promises.expected_ranges(store.reader, "1m", at(0), at(2), ["B"])
    assert list(only) == ["B"]


def test_nothing_is_expected_before_the_first_candle_ever(store: Store) -> None:
    do(store, lambda db: promises.promise(db, [("A", "1m")], at(0)))
    do(store, lambda db: gaps.note_series_start(db, "A", "1m", at(5)))
    assert expected(store, 0, 10) == {"A": [(5, 10)]}


def test_what_is_lacking_is_found_for_many_series_alike_and_for_odd_ones(
    store: Store, minute: Callable[[int], Any]
) -> None:
    names = [f"M{number:02}USDT" for number in range(20)]
    do(store, lambda db: promises.promise(db, [(name, "1m") for name in names], at(0)))
    do(store, lambda db: gaps.note_series_start(db, names[7], "1m", at(4)))
    for name in names:
        have = [index for index in range(10) if not (name == names[3] and index in (2, 3))]
        rows = [minute(index) for index in have if name != names[5]]
        store.writer.put_candles(name, "1m", rows, Source.STREAM)
    store.writer.flush()
    wanted = promises.expected_ranges(store.reader, "1m", at(0), at(11))
    assert gap_reads.lacking(store.reader, "1m", wanted) == {
        name: {
            names[3]: [(at(2), at(4)), (at(10), at(11))],
            names[5]: [(at(0), at(11))],
        }.get(name, [(at(10), at(11))])
        for name in names
    }
    complete = promises.expected_ranges(store.reader, "1m", at(4), at(10))
    assert list(gap_reads.lacking(store.reader, "1m", complete)) == [names[5]]
