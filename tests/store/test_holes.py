"""Longer candles where minutes are missing: the exchange's holes, and what klinetop lacks."""

from __future__ import annotations

import io
import logging
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

import engine
from engine.market.candle import Candle
from engine.market.interval import parse_interval
from engine.market.outages import known_outages
from engine.store import Source, Store, import_kline_file, promises
from engine.store.export import candle_pages, write_csv
from engine.store.gaps import mark, note_empty, note_series_start, record_missing
from engine.store.holes import Holes
from engine.store.lacks import Lacks
from engine.store.series import candle_series

START_MS = 1_733_011_200_000  # 2024-12-01, a Sunday
MINUTE_MS = 60_000
DAY = 1_440
NAME = "BTCUSDT"
Minute = Callable[..., Candle]


def put(store: Store, candles: list[Candle]) -> None:
    for at in range(0, len(candles), 2_000):
        store.writer.put_candles(NAME, "1m", candles[at : at + 2_000], Source.REST).result(10)


def bring(store: Store, path: Path, candles: list[Candle], *, bad_rows: int = 0) -> None:
    out = io.StringIO()
    write_csv(candles, "1m", out)
    bad = f"{START_MS + 7},1,1,1,1,1,,1,1,1,1,0\n"
    path.write_text(out.getvalue() + bad * bad_rows)
    import_kline_file(store, path, NAME, "1m")


def days(store: Store, interval: str = "1d") -> list[tuple[int, bool]]:
    """Return the bucket and completeness of each candle that can be had."""
    length = parse_interval(interval).length_ms
    return [
        ((candle.open_time_ms - START_MS) // length, candle.complete)
        for candle in candle_series(store.reader, NAME, interval)
    ]


def told(
    store: Store, interval: str = "1d", start: int | None = None, end: int | None = None
) -> str:
    lacks = Lacks(store.reader, NAME, parse_interval(interval))
    ends = [None if at is None else START_MS + at * MINUTE_MS for at in (start, end)]
    list(lacks.passing(candle_pages(store.reader, NAME, interval, *ends)))
    return lacks.sentence(*ends, None)


def at(index: int) -> int:
    return START_MS + index * MINUTE_MS


def test_a_hole_inside_an_imported_file_leaves_the_day(
    store: Store, tmp_path: Path, minute: Minute
) -> None:
    rows = [minute(i, close=100.0 + i / 1e4) for i in range(3 * DAY) if not 2290 <= i < 2520]
    bring(store, tmp_path / "x.csv", rows)
    assert days(store) == [(0, True), (1, False), (2, True)]
    _, middle, _ = candle_series(store.reader, NAME, "1d")
    assert (middle.close, middle.volume) == (100.0 + 2879 / 1e4, round(5.5 * (DAY - 230), 8))
    assert middle.closed
    assert told(store) == (
        "1 1d candle is incomplete, as the exchange itself lacks minutes: it opens at 2024-12-02 "
        "00:00 UTC and lacks 230 from 2024-12-02 14:10 on."
    )
    hours = days(store, "1h")
    assert [hour for hour in hours if 36 <= hour[0] < 44] == [
        *((36, True), (37, True), (38, False)),
        *((42, True), (43, True)),
    ]
    assert "3 1h candles are not there, as the exchange itself has none of that time (first" in (
        told(store, "1h")
    )
    put(store, [minute(i) for i in range(2290, 2520)])
    assert days(store) == [(0, True), (1, True), (2, True)]
    assert told(store) == ""


def test_what_lies_between_two_files_is_what_klinetop_lacks(
    store: Store, tmp_path: Path, minute: Minute
) -> None:
    bring(store, tmp_path / "a.csv", [minute(i) for i in range(DAY + 600)])
    bring(store, tmp_path / "b.csv", [minute(i) for i in range(DAY + 900, 4 * DAY)])
    assert days(store) == [(0, True), (2, True), (3, True)]
    assert told(store) == (
        "1 1d candle is left out, as minutes of it are not stored; `klinetop backfill BTCUSDT "
        "--start '2024-12-02' --end '2024-12-03'` fetches those."
    )


def test_each_member_of_an_archive_answers_for_itself(
    store: Store, tmp_path: Path, minute: Minute
) -> None:
    path = tmp_path / "BTCUSDT-1m.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for day in (0, 2):
            out = io.StringIO()
            hole = day * DAY + 700
            rows = [minute(i) for i in range(day * DAY, (day + 1) * DAY - 10) if i != hole]
            write_csv(rows, "1m", out)
            archive.writestr(f"BTCUSDT-1m-2024-12-0{day + 1}.csv", out.getvalue())
    import_kline_file(store, path, NAME, "1m")
    assert days(store, "12h") == [(0, False), (4, False)]
    assert "4 12h candles are left out" in told(store, "12h")


def test_a_hole_longer_than_any_outage_is_the_files_own(
    store: Store, tmp_path: Path, minute: Minute
) -> None:
    lost = range(DAY + 600, 3 * DAY + 601)
    bring(store, tmp_path / "a.csv", [minute(i) for i in range(5 * DAY) if i not in lost])
    assert days(store) == [(0, True), (4, True)]
    assert told(store).startswith("3 1d candles are left out, as minutes of them are not stored")


@pytest.mark.parametrize(("bad_rows", "is_there"), [(2, True), (3, False)])
def test_a_hole_that_refused_rows_may_fill_is_none(
    store: Store, tmp_path: Path, minute: Minute, bad_rows: int, is_there: bool
) -> None:
    rows = [minute(i) for i in range(DAY) if not 700 <= i < 703]
    bring(store, tmp_path / "a.csv", rows, bad_rows=bad_rows)
    assert days(store) == [(0, False)] * is_there


def test_the_ledger_tells_holes_from_what_is_missing(store: Store, minute: Minute) -> None:
    put(store, [minute(i) for i in range(2 * DAY) if i not in (700, DAY + 700)])
    for index in (700, DAY + 700):
        store.writer.run(
            lambda connection, index=index: record_missing(
                connection, NAME, "1m", at(index), at(index + 1), 0, reason="lost"
            )
        ).result(10)
    assert days(store) == []
    store.writer.run(
        lambda connection: mark(connection, NAME, "1m", at(700), at(701), "exchange_hole", 0)
    ).result(10)
    assert days(store) == [(0, False)]
    assert "2024-12-02" in told(store)


def test_a_file_does_not_excuse_what_the_ledger_holds_as_open(
    store: Store, tmp_path: Path, minute: Minute
) -> None:
    bring(store, tmp_path / "a.csv", [minute(i) for i in range(DAY) if i != 700])
    assert days(store) == [(0, False)]
    store.writer.run(
        lambda connection: record_missing(connection, NAME, "1m", at(700), at(701), 0)
    ).result(10)
    assert days(store) == []
    store.writer.run(
        lambda connection: note_empty(connection, NAME, "1m", [(at(700), at(701))], at(DAY), 0)
    ).result(10)
    assert days(store) == [(0, False)], "the exchange answered once without it, as the file did"


def test_minutes_in_which_the_market_did_not_trade_are_holes(store: Store, minute: Minute) -> None:
    put(store, [minute(i) for i in range(DAY) if not 700 <= i < 760])
    for status, index in (("TRADING", 0), ("BREAK", 700), ("TRADING", 760)):
        store.writer.run(
            lambda connection, status=status, index=index: promises.note_statuses(
                connection, {NAME: status}, at(index)
            )
        ).result(10)
    assert days(store) == [(0, False)]
    assert not Holes(store.reader, NAME).cover([(at(699), at(760))])
    assert not Holes(store.reader, "ETHUSDT").cover([(at(700), at(760))])


def test_a_market_that_is_first_seen_halted_tells_nothing_of_the_past(
    store: Store, minute: Minute
) -> None:
    put(store, [minute(i) for i in range(DAY) if i != 700])
    store.writer.run(
        lambda connection: promises.note_statuses(connection, {NAME: "BREAK"}, at(DAY))
    ).result(10)
    assert days(store) == []


def test_the_day_of_the_listing_is_there(store: Store, minute: Minute) -> None:
    put(store, [minute(i) for i in range(600, 2 * DAY)])
    assert days(store) == [(1, True)]
    assert told(store).startswith("1 1d candle is left out")
    store.writer.run(lambda connection: note_series_start(connection, NAME, "1m", at(600))).result(
        10
    )
    assert days(store) == [(0, False), (1, True)]


def test_a_known_outage_needs_no_file(store: Store, minute: Minute) -> None:
    start, end = known_outages()[5]
    day = parse_interval("1d").floor(start)
    assert datetime.fromtimestamp(end / 1000, UTC).isoformat() == "2018-02-09T10:01:00+00:00"
    shift = (day - START_MS) // MINUTE_MS
    rows = [minute(shift + i) for i in range(2 * DAY)]
    put(store, [row for row in rows if not start <= row.open_time_ms < end])
    assert [complete for _, complete in days(store)] == [False, False]


def test_the_outages_are_ascending_and_apart() -> None:
    ends = [time_ms for outage in known_outages() for time_ms in outage]
    assert ends == sorted(ends)
    assert len(set(ends)) == len(ends) == 54
    assert all(time_ms % MINUTE_MS == 0 for time_ms in ends)


def test_frames_and_files_have_a_column_for_it(
    store: Store, tmp_path: Path, minute: Minute, caplog: pytest.LogCaptureFixture
) -> None:
    bring(store, tmp_path / "a.csv", [minute(i) for i in range(2 * DAY + 5) if i != 700])
    with caplog.at_level(logging.WARNING):
        frame = engine.candles(NAME, "1d", data_dir=store.directory)
    assert frame["complete"].tolist() == [False, True]
    (record,) = caplog.records
    assert "1 1d candle is incomplete" in record.message
    assert "1 1d candle is left out" in record.message
    assert engine.candles(NAME, "1m", data_dir=store.directory)["complete"].all()
    out = io.StringIO()
    made = candle_series(store.reader, NAME, "1d")
    write_csv(made, "1d", out)
    header, first, second = out.getvalue().splitlines()
    assert [line.rsplit(",", 1)[1] for line in (header, first, second)] == (
        ["complete", "false", "true"]
    )
    path = tmp_path / "days.csv"
    path.write_text(out.getvalue())
    import_kline_file(store, path, "ETHUSDT", "1d")
    back = store.reader.candles("ETHUSDT", "1d")
    assert [(row.close, row.volume) for row in back] == [(row.close, row.volume) for row in made]


def test_edges_are_told_where_they_are_asked_for(store: Store, minute: Minute) -> None:
    put(store, [minute(i) for i in range(90, 330)])
    assert [bucket for bucket, _ in days(store, "1h")] == [2, 3, 4]
    assert told(store, "1h").startswith("2 1h candles are left out")
    assert "--start '2024-12-01 01:00' --end '2024-12-01 02:00'` fetches the first." in (
        told(store, "1h")
    )
    assert told(store, "1h", start=120, end=300) == ""
    assert told(store, "1h", start=100, end=270) == ""
    assert told(store, "4h").startswith("2 4h candles are left out")
    assert told(store, "1m") == ""
