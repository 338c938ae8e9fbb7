"""The report of a day: what it counts, and how it reads."""

from __future__ import annotations

import csv
import io
import json
from html.parser import HTMLParser
from typing import Any

import pytest

from engine.capture.day_report import NoReport, make_report, newest_day
from engine.capture.exchange_time import ExchangeTime, put_exchange_time
from engine.capture.hour_figures import HourFigures, Tally
from engine.reports.render import render
from engine.reports.text import columns_of, head
from engine.store import Source, gap_reads
from engine.store.symbols import put_meta, record_session

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
NAMES = [f"COIN{at:03d}USDT" for at in range(150)]


def after(day: Any, hours: float = 30.0) -> int:
    """Wall time so many hours after the day began; the exchange's clock equals it."""
    return int(day.start_ms + hours * HOUR_MS)


@pytest.fixture
def outage(captured_day) -> Any:
    """150 markets, two hours; an outage of five minutes, repaired but for two markets."""
    day = captured_day
    day.captured(*NAMES, "币安人生USDT", from_minute=22 * 60)
    for at, name in enumerate([*NAMES, "币安人生USDT"]):
        day.put(name, day.minutes(1320, 1380))
        day.put(name, day.minutes(1385, 1440))
        if at in (3, 7):
            day.gap(name, 1380, 1385, state="open", error="HTTP 503 from the exchange.")
        else:
            day.put(name, day.minutes(1380, 1385), Source.REST)
            day.gap(name, 1380, 1385, state="filled")
    return day


def test_an_outage_of_many_markets_is_one_line_and_repair_does_not_hide_it(outage) -> None:
    report = make_report(outage.reader, outage.start_ms, after(outage))
    totals = report.totals
    assert (totals.markets, totals.expected, totals.missing) == (151, 151 * 120, 10)
    assert totals.stream_percent == pytest.approx(115 / 120 * 100, abs=1e-3)
    assert totals.final_percent == int((1 - 10 / (151 * 120)) * 1e6) / 1e4
    assert totals.cells[22:] == (1.0, pytest.approx(1 - 10 / (151 * 60)))
    assert totals.cells[21] is None
    assert [
        (gap.state, gap.markets, gap.candles, gap.from_ms, gap.to_ms) for gap in report.gaps
    ] == [
        (state, markets, markets * 5, outage.minutes(1380, 1381)[0], outage.minutes(1385, 1386)[0])
        for state, markets in (("open", 2), ("filled", 149))
    ]
    text = render(report, "text")
    assert "23:00-23:05       COIN003USDT, COIN007USDT 1m, 10 candles, still missing: no" in text
    assert "(asked 2 times: HTTP 503 from the exchange)" in " ".join(text.split())
    assert "149 markets 1m, 745 candles, repaired: no connection: the" in text
    lines = text.splitlines()
    assert max(map(columns_of, lines)) <= 80
    first = lines.index("Gaps") + lines[lines.index("Gaps") :].index("") + 2
    assert [line.split()[0] for line in lines[first : first + 2]] == ["COIN003USDT", "COIN007USDT"]
    assert "and 131 more, less bad: --all lists them." in text
    assert "币安人生USDT" in render(report, "text", all_markets=True)


def test_minutes_without_a_trade_that_were_not_pushed_are_no_fault_of_the_stream(
    captured_day,
) -> None:
    day = captured_day
    day.captured("BTCUSDT", "ETHUSDT", from_minute=1320)
    day.put("BTCUSDT", day.minutes(1320, 1440))
    day.put("ETHUSDT", day.minutes(1320, 1400))
    day.put("ETHUSDT", day.minutes(1400, 1440), Source.REST, trades=0)
    report = make_report(day.reader, day.start_ms, after(day))
    assert (report.totals.by_rest, report.totals.untraded) == (40, 40)
    text = " ".join(render(report, "text").split())
    assert "40 by REST alone, all of them without a trade, which the exchange need not" in text
    assert "0 whole after repair" in text

    day.captured("XRPUSDT", from_minute=1320)
    day.put("XRPUSDT", day.minutes(1320, 1420))
    day.put("XRPUSDT", day.minutes(1420, 1440), Source.REST)
    text = " ".join(render(make_report(day.reader, day.start_ms, after(day)), "text").split())
    assert "60 by REST alone, 40 of them without a trade" in text
    assert "1 whole after repair" in text
    assert text.index("XRPUSDT 1m") < text.index("ETHUSDT 1m")


def test_a_hundred_percent_means_all(captured_day) -> None:
    day = captured_day
    day.captured(*NAMES[:15])
    for name in NAMES[:15]:
        day.put(name, day.minutes(0, 1440))
    day.execute("DELETE FROM candle WHERE open_time_ms = ? AND symbol_id = 1", day.start_ms)
    report = make_report(day.reader, day.start_ms, after(day))
    assert report.totals.missing == 1
    assert "Captured   99.99 % of 21,600 candles; 1 missing" in head(report)
    assert "1 missing candle not in the ledger yet" in render(report, "text")


def test_holes_of_the_exchange_stand_beside_the_percentage(captured_day) -> None:
    day = captured_day
    day.captured("BTCUSDT")
    day.put("BTCUSDT", [*day.minutes(0, 600), *day.minutes(660, 1440)])
    day.gap("BTCUSDT", 600, 660, state="exchange_hole", reason="the stream did not push it")
    report = make_report(day.reader, day.start_ms, after(day))
    row = report.series[0]
    assert (row.expected, row.stored, row.exchange_holes, row.missing) == (1380, 1380, 60, 0)
    assert row.cells[10] is None
    text = " ".join(render(report, "text").split())
    assert "100.00 % of 1,380 candles; 0 missing, 60 holes of the exchange left out" in text
    assert "10:00-11:00 BTCUSDT 1m, 60 candles, exchange hole: the stream did not push it" in text


def test_what_is_pruned_is_told_from_the_kept_rows(captured_day) -> None:
    day = captured_day
    day.captured("BTCUSDT", "ETHUSDT")
    day.put("ETHUSDT", day.minutes(0, 1440))
    day.execute(
        "INSERT INTO coverage SELECT id, '1m', ?, 1440, 1400, 20, 10, 0, 4, 6, 0, 0 FROM symbol"
        " WHERE name = 'BTCUSDT'",
        day.start_ms,
    )
    day.execute("UPDATE captured SET from_ms = ? WHERE symbol_id = 1", day.start_ms + 2 * DAY_MS)
    report = make_report(day.reader, day.start_ms, after(day, 80))
    pruned = {row.symbol: row for row in report.series}["BTCUSDT"]
    assert (pruned.expected, pruned.stored, pruned.missing) == (1434, 1430, 4)
    assert (pruned.exchange_holes, pruned.cells) == (6, ())
    assert report.totals.expected == 1434 + 1440
    assert "pruned" in render(report, "html")


def test_many_small_gaps_of_a_kind_become_one_line(captured_day) -> None:
    day = captured_day
    day.captured("BTCUSDT", "ETHUSDT")
    for at in range(0, 200, 10):
        day.gap("BTCUSDT", at, at + 1, state="filled", reason="the stream did not push it")
    day.gap("ETHUSDT", 5, 6, state="open", reason="the engine was not running")
    report = make_report(day.reader, day.start_ms, after(day))
    assert [(gap.state, gap.ranges, gap.candles) for gap in report.gaps] == [
        ("open", 1, 1),
        ("filled", 20, 20),
    ]
    assert "20 candles in 20 ranges, repaired" in render(report, "text")


def test_only_the_part_of_a_gap_that_lies_in_the_day_is_told(captured_day) -> None:
    day = captured_day
    day.captured("BTCUSDT")
    day.gap("BTCUSDT", 1430, 1450)
    now_ms = after(day, 24.5)
    today, tomorrow = (make_report(day.reader, day.start_ms + at * DAY_MS, now_ms) for at in (0, 1))
    assert (today.gaps[0].candles, tomorrow.gaps[0].candles) == (10, 10)
    assert tomorrow.gaps[0].from_ms == day.start_ms + DAY_MS


def test_a_running_day_says_until_when_it_is_told(captured_day) -> None:
    day = captured_day
    day.captured("BTCUSDT")
    day.put("BTCUSDT", day.minutes(0, 872))
    now_ms = day.start_ms + 872 * MINUTE_MS + 5_000
    report = make_report(day.reader, newest_day(day.reader, now_ms), now_ms)
    assert report.is_running
    assert report.totals.expected == 872
    assert head(report).startswith("Capture on 2026-11-22 UTC, until 14:32, live\n")


def test_the_newest_day_is_the_running_one_once_it_is_an_hour_old(captured_day) -> None:
    day = captured_day
    day.captured("BTCUSDT", from_minute=1430)
    reader = day.reader
    next_ms = day.start_ms + DAY_MS
    assert newest_day(reader, next_ms + 59 * MINUTE_MS) == day.start_ms
    assert newest_day(reader, next_ms + 61 * MINUTE_MS) == next_ms
    assert newest_day(reader, day.start_ms + 1439 * MINUTE_MS) == day.start_ms


def test_the_clock_of_a_replay_stands_still_without_its_engine(captured_day) -> None:
    day = captured_day
    day.captured("BTCUSDT")
    known = ExchangeTime(after(day, 2) + 30_000, after(day, 2), after(day, 900), 60.0)
    day.store.writer.run(lambda connection: put_exchange_time(connection, known))
    day.store.writer.run(lambda connection: put_meta(connection, "source", "replay"))
    report = make_report(day.reader, day.start_ms, after(day, 2_000))
    assert report.totals.expected == 120
    assert report.quarantined is None
    assert "offset and latency are unknown: the exchange's clock ran at 60x" in head(report)


def test_the_streams_figures_of_the_day_are_added_up(captured_day) -> None:
    day = captured_day
    day.captured("BTCUSDT")
    for hour, latency_ms, offset_ms in ((0, 20.0, -1273.0), (5, 80.0, -1270.0), (26, 999.0, 0.0)):
        figures = HourFigures()
        figures.add(Tally(1000, 2, 1, 3, 0))
        figures.offline_ms = 90_000
        figures.offsets_ms = [offset_ms - 5, offset_ms, offset_ms + 2]
        for _ in range(10):
            figures.latency.add(latency_ms)
        hour_ms = day.start_ms + hour * HOUR_MS
        for _ in range(2):  # what an hour has is added to, not replaced
            day.store.writer.run(lambda c, f=figures, h=hour_ms: f.write(c, h))
    lost = (("1", 1, "closed"), ("2", 7, "closed"), ("1", 8, "silent"), ("streams", 9, "ended"))
    for name, minute, reason in lost:
        time_ms = day.minutes(minute, minute + 1)[0]
        day.store.writer.run(
            lambda c, n=name, r=reason, t=time_ms: record_session(c, "disconnect", n, r, t, t)
        )
    streams = make_report(day.reader, day.start_ms, after(day)).streams
    assert (streams.messages, streams.reconnects, streams.offline_s) == (4000, 8, 360.0)
    assert streams.clock_offset_ms == (-1278.0, -1271.5, -1268.0)
    assert streams.latency_ms == pytest.approx((20.0, 80.0, 80.0, 80.0), rel=0.026)
    told = [(loss.reason, loss.count, loss.connections) for loss in streams.losses]
    assert told == [("closed", 2, 2), ("silent", 1, 1)]
    words = head(make_report(day.reader, day.start_ms, after(day)))
    assert "Lost       a connection 3 times:\n" in words
    assert " 2 times, on 2 connections, 00:01-00:07 closed\n" in words
    assert "1,272 ms behind the exchange's (-1,278 to -1,268)" in words.replace("\n", " ")


def test_revisions_rereads_and_changes_of_markets_are_told(captured_day) -> None:
    day = captured_day
    day.captured("BTCUSDT", "ETHUSDT", from_minute=-DAY_MS // MINUTE_MS)
    day.captured("NEWUSDT", from_minute=300)
    day.status("ETHUSDT", "BREAK", 600)
    day.put("BTCUSDT", day.minutes(0, 10))
    day.put("BTCUSDT", day.minutes(3, 5), Source.REST, trades=4)
    day.execute("INSERT INTO reread VALUES (?, 1000, 2, 0)", day.start_ms)
    report = make_report(day.reader, day.start_ms, after(day))
    assert report.totals.revisions == 2
    assert {row.symbol: row.revisions for row in report.series}["BTCUSDT"] == 2
    assert (report.joined, report.reread) == (("NEWUSDT",), (1000, 2))
    assert [(change.symbol, change.status) for change in report.status_changes] == [
        ("ETHUSDT", "BREAK")
    ]
    assert {row.symbol: row.status for row in report.series}["ETHUSDT"] == "BREAK"
    text = head(report)
    assert "2 candles told anew, 0 rows quarantined, 1,000 compared again, 2 differed" in " ".join(
        text.split()
    )
    assert "ETHUSDT BREAK 10:00" in text


class _Page(HTMLParser):
    """Collects what a page holds and whether its tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.outside += [value for name, value in attributes if name in ("src", "href")]
        assert tag != "script"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_holds_everything_itself_and_escapes_what_others_wrote(outage) -> None:
    outage.gap("COIN001USDT", 1390, 1391, reason='<script src="x">&')
    report = make_report(outage.reader, outage.start_ms, after(outage))
    text = render(report, "html")
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert page.outside == []
    assert "&lt;script" in text
    assert "prefers-color-scheme:dark" in text
    assert text.count("█") > 100
    assert "and 51 more, less bad." in text
    assert "COIN149USDT" in render(report, "html", all_markets=True)


def test_csv_and_json_hold_every_series(outage) -> None:
    report = make_report(outage.reader, outage.start_ms, after(outage))
    rows = list(csv.DictReader(io.StringIO(render(report, "csv"))))
    assert len(rows) == 151
    assert rows[0] == {
        "day": "2026-11-22",
        "symbol": "COIN003USDT",
        "interval": "1m",
        "status": "TRADING",
        "expected": "120",
        "stored": "115",
        "by_stream": "115",
        "by_rest": "0",
        "by_both": "0",
        "by_import": "0",
        "missing": "5",
        "unfillable": "0",
        "exchange_holes": "0",
        "stream_percent": "95.8333",
        "final_percent": "95.8333",
        "revisions": "0",
        "untraded": "0",
    }
    told = json.loads(render(report, "json"))
    assert len(told["series"]) == 151
    assert told["totals"]["missing"] == 10
    assert told["gaps"][0]["reason"] == "no connection: the exchange hung up"


def test_only_the_chosen_markets_are_told(outage) -> None:
    report = make_report(
        outage.reader, outage.start_ms, after(outage), choose=lambda names: names[:3]
    )
    assert (report.totals.markets, report.totals.missing, report.markets_left_out) == (3, 0, 148)
    assert [gap.markets for gap in report.gaps] == [3]


def test_a_day_without_anything_is_refused_in_a_sentence(captured_day) -> None:
    with pytest.raises(NoReport, match="Nothing was captured into this data directory yet"):
        make_report(captured_day.reader, captured_day.start_ms, after(captured_day))
    captured_day.captured("BTCUSDT")
    with pytest.raises(
        NoReport, match=r"Nothing was captured on 2026-11-20 .* began on 2026-11-22"
    ):
        make_report(captured_day.reader, captured_day.start_ms - 2 * DAY_MS, after(captured_day))


def test_what_nobody_promised_to_capture_is_no_gap(captured_day) -> None:
    day = captured_day
    day.captured("BTCUSDT", from_minute=60)
    day.put("BTCUSDT", day.minutes(60, 100))
    day.gap("BTCUSDT", 0, 30, state="exchange_hole")
    day.gap("BTCUSDT", 50, 70, state="unfillable")
    day.gap("NEWUSDT", 0, 900)  # a chart of it was looked at
    assert day.reader.gap_counts() == {
        "open": 0, "filled": 0, "exchange_hole": 0, "unfillable": 1,
    }  # fmt: skip
    assert gap_reads.gap_totals(day.reader)[0] == 3, "the ledger itself shows them all"
    (gap,) = make_report(day.reader, day.start_ms, after(day)).gaps
    assert (gap.symbols, gap.candles, gap.state) == (("BTCUSDT",), 10, "unfillable")
    assert gap.from_ms == day.start_ms + HOUR_MS
    day.execute("UPDATE captured SET to_ms = ?", day.start_ms + HOUR_MS + 5 * 60_000)
    (gap,) = make_report(day.reader, day.start_ms, after(day)).gaps
    assert gap.candles == 5, "and none after the promise ended"
