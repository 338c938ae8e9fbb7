"""What counts as expected, stored, hole and missing."""

from __future__ import annotations

from typing import Any

from engine.capture.coverage import Count, count_span, total
from engine.capture.day_coverage import DayCoverage, write_coverage
from engine.capture.hour_counts import HourCounts
from engine.capture.market_coverage import MOST_KEPT, MarketTable, badness, market_rows
from engine.store import Source

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def counted(day: Any, first: int = 0, hours: int = 1, interval: str = "1m") -> dict[str, Count]:
    start_ms = day.start_ms + first * HOUR_MS
    late_ms = day.start_ms + 10 * DAY_MS
    return count_span(day.reader, interval, start_ms, start_ms + hours * HOUR_MS, late_ms)


def test_only_what_was_promised_is_expected_and_only_that_counts_as_stored(captured_day) -> None:
    captured_day.captured("BTCUSDT", from_minute=20)
    captured_day.put("BTCUSDT", captured_day.minutes(0, 50))
    captured_day.put("ETHUSDT", captured_day.minutes(0, 60))
    assert counted(captured_day) == {"BTCUSDT": Count(expected=40, by_stream=30)}


def test_each_source_is_told_apart(captured_day) -> None:
    day = captured_day
    day.captured("BTCUSDT")
    day.put("BTCUSDT", day.minutes(0, 30))
    day.put("BTCUSDT", day.minutes(20, 40), Source.REST)
    day.put("BTCUSDT", day.minutes(40, 45), Source.IMPORT)
    count = counted(day)["BTCUSDT"]
    assert count == Count(60, by_stream=20, by_both=10, by_rest=10, by_import=5)
    assert (count.stored, count.streamed, count.missing) == (45, 30, 15)
    assert (count.share, count.stream_share) == (0.75, 0.5)


def test_minutes_without_a_trade_by_rest_are_not_held_against_the_stream(captured_day) -> None:
    day = captured_day
    day.captured("AQUIETUSDT", "LOSTUSDT")
    day.put("AQUIETUSDT", day.minutes(0, 20))
    day.put("AQUIETUSDT", day.minutes(20, 60), Source.REST, trades=0)
    day.put("LOSTUSDT", day.minutes(0, 50))
    day.put("LOSTUSDT", day.minutes(50, 60), Source.REST)
    assert counted(day)["AQUIETUSDT"] == Count(60, by_stream=20, by_rest=40, untraded=40)
    counts = HourCounts(day.reader)
    counts.refresh(day.start_ms + 10 * HOUR_MS)
    _, rows = market_rows(day.reader, counts, "1m", 24)
    assert [row.untraded for row in rows] == [40, 0]
    assert [row.symbol for row in sorted(rows, key=badness)] == ["LOSTUSDT", "AQUIETUSDT"]


def test_a_halt_expects_nothing_even_where_candles_came(captured_day) -> None:
    day = captured_day
    day.captured("BTCUSDT")
    day.status("BTCUSDT", "BREAK", 10)
    day.status("BTCUSDT", "TRADING", 30)
    day.put("BTCUSDT", day.minutes(0, 15))
    day.put("BTCUSDT", day.minutes(30, 60))
    assert counted(day)["BTCUSDT"] == Count(expected=40, by_stream=40)


def test_a_hole_is_a_hole_until_it_is_filled(captured_day) -> None:
    day = captured_day
    day.captured("BTCUSDT")
    day.put("BTCUSDT", day.minutes(0, 50))
    day.gap("BTCUSDT", 50, 55, state="exchange_hole")
    day.gap("BTCUSDT", 55, 57, state="unfillable")
    count = counted(day)["BTCUSDT"]
    assert (count.holes, count.due, count.missing, count.unfillable) == (5, 55, 5, 2)
    day.put("BTCUSDT", day.minutes(50, 60), Source.REST)
    day.gap("BTCUSDT", 45, 57, state="exchange_hole")  # a row that the repair has outlived
    count = counted(day)["BTCUSDT"]
    assert (count.holes, count.due, count.missing, count.share) == (0, 60, 0, 1.0)


def test_a_candle_that_is_not_over_is_not_expected(captured_day) -> None:
    day = captured_day
    day.captured("BTCUSDT", interval="1d")
    day.captured("BTCUSDT", interval="1m")
    reader, start_ms = day.reader, day.start_ms
    until_ms = start_ms + 5 * 60_000 + 59_999
    assert count_span(reader, "1m", start_ms, start_ms + HOUR_MS, until_ms)["BTCUSDT"].expected == 5
    assert count_span(reader, "1d", start_ms, start_ms + HOUR_MS, until_ms) == {}
    over = count_span(reader, "1d", start_ms, start_ms + HOUR_MS, start_ms + DAY_MS)
    assert over["BTCUSDT"].expected == 1
    assert counted(day, 1, 23, "1d") == {}


def test_an_old_hour_that_was_repaired_is_counted_again(captured_day) -> None:
    day = captured_day
    day.captured("BTCUSDT", "ETHUSDT")
    for symbol in ("BTCUSDT", "ETHUSDT"):
        day.put(symbol, day.minutes(0, 20 * 60))
    day.execute("DELETE FROM candle WHERE open_time_ms < ?", day.start_ms + 30 * 60_000)
    counts = HourCounts(day.reader)
    until_ms = day.start_ms + 20 * HOUR_MS
    counts.refresh(until_ms)
    assert total(counts.hourly()).missing == 60
    assert counts.hourly()[3].share == 0.5  # the first of the 24 begins at 21:00 the day before
    day.put("ETHUSDT", day.minutes(0, 30), Source.REST)
    day.settle()
    counts.refresh(until_ms)
    assert total(counts.hourly()).missing == 30
    assert counts.counts("1m", day.start_ms)["ETHUSDT"] == Count(60, by_stream=30, by_rest=30)


def test_a_source_that_changes_in_a_whole_hour_is_seen_in_turn(captured_day) -> None:
    day = captured_day
    day.captured("BTCUSDT")
    day.put("BTCUSDT", day.minutes(0, 20 * 60))
    counts = HourCounts(day.reader)
    until_ms = day.start_ms + 20 * HOUR_MS
    counts.refresh(until_ms)
    day.put("BTCUSDT", day.minutes(0, 20 * 60), Source.REST)
    day.settle()
    for _ in range(24):
        counts.refresh(until_ms)
    assert total(counts.hourly()) == Count(1200, by_both=1200)


def coverage_rows(day: Any) -> list[dict[str, Any]]:
    return day.reader.query(
        "SELECT name, expected, by_stream, by_rest, missing, exchange_hole FROM coverage"
        " JOIN symbol ON symbol.id = symbol_id ORDER BY name"
    )


def write_days(day: Any, days: DayCoverage, until_ms: int, wall_ms: int) -> int:
    written = 0
    day.settle()
    while (key := days.next(until_ms, wall_ms)) is not None:
        counts = days.count(key, until_ms)
        day.store.writer.run(
            lambda c, key=key, counts=counts: write_coverage(c, key, counts, wall_ms)
        )
        day.settle()
        days.written(key)
        written += 1
    return written


def test_a_day_that_is_over_is_kept_and_told_anew_when_a_gap_of_it_changes(captured_day) -> None:
    day = captured_day
    day.captured("BTCUSDT", from_minute=1380)
    day.put("BTCUSDT", day.minutes(1380, 1430))
    days = DayCoverage(day.reader)
    assert write_days(day, days, day.start_ms + DAY_MS, 1_000) == 0
    over_ms = day.start_ms + DAY_MS + 2 * HOUR_MS
    assert write_days(day, days, over_ms, 1_000) == 1
    row = {"name": "BTCUSDT", "expected": 60, "by_rest": 0, "exchange_hole": 0}
    assert coverage_rows(day) == [{**row, "by_stream": 50, "missing": 10}]
    assert write_days(day, days, over_ms, 2_000) == 0
    day.put("BTCUSDT", day.minutes(1430, 1440), Source.REST)
    day.gap("BTCUSDT", 1430, 1440, state="filled", wall_ms=2_500)
    assert write_days(day, days, over_ms, 3_000) == 1
    assert coverage_rows(day) == [{**row, "by_stream": 50, "by_rest": 10, "missing": 0}]


def test_pruning_does_not_spoil_what_was_captured(captured_day) -> None:
    day = captured_day
    day.captured("BTCUSDT")
    day.put("BTCUSDT", day.minutes(0, 1440))
    over_ms = day.start_ms + DAY_MS + HOUR_MS
    write_days(day, DayCoverage(day.reader), over_ms, 1_000)
    before = coverage_rows(day)
    day.execute("DELETE FROM candle WHERE open_time_ms < ?", day.start_ms + DAY_MS // 2)
    day.gap("BTCUSDT", 0, 720, state="unfillable", wall_ms=5_000)
    assert write_days(day, DayCoverage(day.reader), over_ms, 6_000) == 1
    assert coverage_rows(day) == before
    assert before[0]["by_stream"] == 1440


def test_a_table_is_made_once_for_each_count_and_by_who_asks_only(captured_day) -> None:
    day = captured_day
    day.captured("BTCUSDT", "ETHUSDT")
    day.put("BTCUSDT", day.minutes(0, 60))
    counts = HourCounts(day.reader)
    table = MarketTable(day.reader, counts)
    counts.refresh(day.start_ms + 2 * HOUR_MS)
    assert (table.built, table.kept_rows) == (0, 0)
    first = table.rows("1m", 24)
    assert table.rows("1m", 24) is first
    assert (table.built, table.kept_rows) == (1, 2)
    table.forget()
    assert table.rows("1m", 24) is first  # what it was made of is still the newest count
    counts.refresh(day.start_ms + 2 * HOUR_MS)
    assert table.rows("1m", 24) is not first
    for hours in range(1, 24):
        table.rows("1m", hours)
    assert table.kept_rows <= MOST_KEPT * 2
    counts.refresh(day.start_ms + 2 * HOUR_MS)
    table.forget()
    assert table.kept_rows == 0


def test_hours_keep_a_day_of_each_series_and_each_name_once(captured_day) -> None:
    day = captured_day
    day.captured("BTCUSDT", "ETHUSDT")
    day.put("BTCUSDT", day.minutes(0, 60))
    counts = HourCounts(day.reader)
    for hour in range(1, 60):
        counts.refresh(day.start_ms + hour * HOUR_MS)
    assert counts.kept_hours == 24
    names = {
        id(name)
        for at in range(24)
        for name in counts.counts("1m", counts.first_hour_ms + at * HOUR_MS)
    }
    assert len(names) == 2
