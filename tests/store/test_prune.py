"""Retention: what goes, what stays, and what is told about it afterwards."""

import sqlite3
from collections.abc import Callable

import pytest

from engine.capture.housekeeping import Limits, Pruned, prune
from engine.market.candle import Candle
from engine.market.interval import DAY_MS, MINUTE_MS
from engine.store import Source, Store
from engine.store import prune as pruning
from engine.store.gaps import record_missing
from engine.store.maintenance import check_database
from engine.store.promises import expected_ranges, promise
from engine.store.prune import Pruner, prune_step

Minute = Callable[..., Candle]
START_MS = 1_733_011_200_000
DAY_ROWS = 1_440


def fill(store: Store, minute: Minute, symbol: str, days: int) -> None:
    rows = [minute(index) for index in range(days * DAY_ROWS)]
    store.writer.put_candles(symbol, "1m", rows, Source.REST).result(10)


def house(store: Store, days: float | None, max_gb: float | None = None, at: int = 4) -> Pruned:
    return prune(store, Limits(days, max_gb, 0, 0), START_MS + at * DAY_MS, lambda: None)


def test_old_candles_go_and_everything_about_them_stays_true(store: Store, minute: Minute) -> None:
    for symbol in ("AUSDT", "BUSDT"):
        fill(store, minute, symbol, 4)
    day = Candle(START_MS, 1.0, 2.0, 0.5, 1.5, 1.0, 1.0)
    store.writer.put_candles("AUSDT", "1d", [day], Source.STREAM).result(10)

    def bookkeeping(connection: sqlite3.Connection) -> None:
        promise(connection, [("AUSDT", "1m"), ("BUSDT", "1m")], START_MS)
        record_missing(connection, "CUSDT", "1m", START_MS + DAY_MS, START_MS + 3 * DAY_MS, 0)

    store.writer.run(bookkeeping).result(10)
    done = house(store, 2)
    assert done.candles == 2 * 2 * DAY_ROWS
    cut_ms = START_MS + 2 * DAY_MS
    for symbol in ("AUSDT", "BUSDT"):
        assert store.reader.first_open_time(symbol, "1m") == cut_ms
        assert len(store.reader.candles(symbol, "1m")) == 2 * DAY_ROWS
    assert store.reader.candles("AUSDT", "1d") == [day], "long intervals are few and stay"
    assert store.reader.count_by_source()["rest"] == 4 * DAY_ROWS
    ranges = expected_ranges(store.reader, "1m", START_MS, START_MS + 4 * DAY_MS)
    assert ranges["AUSDT"] == [(cut_ms, START_MS + 4 * DAY_MS)], "what is pruned is not promised"
    assert check_database(store.directory, full=True).problems == ()
    assert house(store, 2).candles == 0


def test_gaps_of_pruned_candles_end_with_them(store: Store, minute: Minute) -> None:
    fill(store, minute, "AUSDT", 1)
    later = [minute(index) for index in range(3 * DAY_ROWS, 4 * DAY_ROWS)]
    store.writer.put_candles("AUSDT", "1m", later, Source.STREAM).result(10)
    lost = (START_MS + DAY_MS, START_MS + 3 * DAY_MS)
    store.writer.run(lambda c: record_missing(c, "AUSDT", "1m", *lost, 0)).result(10)
    house(store, 2)
    rows = store.reader.query("SELECT from_ms, to_ms, state FROM gap")
    assert rows == [{"from_ms": START_MS + 2 * DAY_MS, "to_ms": lost[1], "state": "open"}]
    house(store, 1)
    assert store.reader.query("SELECT * FROM gap") == []


def test_a_step_is_bounded_and_says_where_to_go_on(store: Store, minute: Minute) -> None:
    for symbol in ("AUSDT", "BUSDT", "CUSDT"):
        fill(store, minute, symbol, 1)
    before_ms = START_MS + DAY_MS // 2
    steps = []
    at: tuple[int, str] | None = (0, "")
    while at is not None:
        step = store.writer.run(lambda c, a=at: prune_step(c, a, before_ms, 500)).result(10)
        steps.append(step.rows)
        at = step.at
    assert sum(steps) == 3 * DAY_ROWS // 2
    assert max(steps) == 500
    assert len(steps) >= 5


def test_others_write_between_two_steps(
    store: Store, minute: Minute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "STEP_ROWS", 500)
    fill(store, minute, "AUSDT", 3)
    written: list[int] = []

    def live() -> None:
        row = minute(3 * DAY_ROWS + len(written))
        store.writer.put_candles("AUSDT", "1m", [row], Source.STREAM).result(10)
        written.append(row.open_time_ms)

    deleted = Pruner(store.writer, live).by_age(START_MS + 2 * DAY_MS)
    assert deleted == 2 * DAY_ROWS
    assert len(written) > 3
    assert len(store.reader.candles("AUSDT", "1m")) == DAY_ROWS + len(written)


def test_the_size_limit_takes_the_oldest_days_of_all_and_gives_space_back(
    store: Store, minute: Minute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "SLACK_BYTES", 0)
    for symbol in ("AUSDT", "BUSDT"):
        fill(store, minute, symbol, 20)
    store.writer.run(lambda c: None).result(10)
    done = house(store, None, 0.004, at=20)
    assert done.fits
    firsts = {store.reader.first_open_time(symbol, "1m") for symbol in ("AUSDT", "BUSDT")}
    assert len(firsts) == 1, "all markets lose the same days"
    assert START_MS < (firsts.pop() or 0) <= START_MS + 13 * DAY_MS
    assert Pruner(store.writer, lambda: None).vacuum(0) >= 0
    assert store.writer.run(pruning.used_bytes).result(10) <= 4_000_000
    pages = store.reader.query("PRAGMA page_count")[0]["page_count"]
    assert pages * 4096 <= 4_100_000, "free pages were given back to the disk"
    assert not house(store, None, 0.000_1, at=20).fits
    assert store.reader.first_open_time("AUSDT", "1m") == START_MS + 13 * DAY_MS


def test_what_is_kept_in_any_case_ends_the_search_for_space(store: Store, minute: Minute) -> None:
    fill(store, minute, "AUSDT", 2)
    half_days = [Candle(START_MS + n * DAY_MS // 2, 1.0, 2.0, 0.5, 1.5, 1.0, 1.0) for n in range(4)]
    store.writer.put_candles("AUSDT", "12h", half_days, Source.REST).result(10)
    turns = iter(range(100))
    keep_from_ms = START_MS + DAY_MS + 90_500  # inside a minute, and inside half a day

    pruner = Pruner(store.writer, lambda: next(turns) and None)
    deleted, fits = pruner.by_size(1, keep_from_ms)
    assert (deleted, fits) == (DAY_ROWS + 1 + 2, False)
    assert store.reader.first_open_time("AUSDT", "1m") == START_MS + DAY_MS + MINUTE_MS
    assert store.reader.candles("AUSDT", "12h") == half_days[2:]


def test_old_notes_go_and_new_ones_stay(store: Store) -> None:
    now_ms = START_MS + 500 * DAY_MS

    def notes(connection: sqlite3.Connection) -> None:
        for wall_ms in (START_MS, now_ms - DAY_MS):
            connection.execute(
                "INSERT INTO quarantine (wall_ms, origin, reason, raw) VALUES (?, 'a', 'b', 'c')",
                (wall_ms,),
            )
            connection.execute(
                "INSERT INTO session (wall_ms, event, connection, reason)"
                " VALUES (?, 'connect', 'a', 'b')",
                (wall_ms,),
            )
        connection.execute("INSERT INTO counter VALUES ('quarantine', 2)")

    store.writer.run(notes).result(10)
    assert Pruner(store.writer, lambda: None).notes(now_ms) == 2
    assert store.reader.quarantine_count() == 1
    for table in ("quarantine", "session"):
        rows = store.reader.query(f"SELECT wall_ms FROM {table}")
        assert rows == [{"wall_ms": now_ms - DAY_MS}]


def test_a_file_off_the_grid_is_never_pruned_by_half_a_candle(store: Store, minute: Minute) -> None:
    rows = [Candle(START_MS + i * 5 * MINUTE_MS, 1.0, 2.0, 0.5, 1.5, 1.0, 1.0) for i in range(4)]
    store.writer.put_candles("AUSDT", "5m", rows, Source.STREAM).result(10)
    Pruner(store.writer, lambda: None).by_age(START_MS + 7 * MINUTE_MS)
    assert store.reader.candles("AUSDT", "5m") == rows[1:]


def test_one_step_gives_many_pages_back(store: Store, minute: Minute) -> None:
    fill(store, minute, "AUSDT", 10)
    store.writer.run(lambda c: c.execute("DELETE FROM candle").rowcount).result(10)
    free = store.reader.query("PRAGMA freelist_count")[0]["freelist_count"]
    left = store.writer.run(lambda c: pruning.vacuum_step(c, 50)).result(10)
    assert left <= free - 50
