"""What viewers are told about the coverage of each market."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from engine.capture.hour_counts import HourCounts
from engine.capture.market_coverage import MarketTable
from engine.market.interval import UnknownInterval
from engine.service.contract import CoverageRequest
from engine.service.coverage_answers import CoverageAnswers
from engine.store import Source

HOUR_MS = 3_600_000


@pytest.fixture
def answers(captured_day) -> CoverageAnswers:
    """Three markets over 30 hours, counted at 30:00 of the day."""
    day = captured_day
    day.captured("BTCUSDT", "ETHUSDT", "ETHBTC")
    for symbol in ("BTCUSDT", "ETHUSDT", "ETHBTC"):
        day.put(symbol, day.minutes(0, 25 * 60))
    day.put("BTCUSDT", day.minutes(25 * 60, 30 * 60))
    day.put("ETHBTC", day.minutes(25 * 60, 30 * 60), Source.REST)
    day.put("ETHUSDT", day.minutes(25 * 60 + 30, 30 * 60))
    day.gap("ETHUSDT", 25 * 60, 25 * 60 + 30)
    day.status("ETHBTC", "BREAK", 31 * 60)
    counts = HourCounts(day.reader)
    counts.refresh(day.start_ms + 30 * HOUR_MS)
    quality: Any = SimpleNamespace(table=MarketTable(day.reader, counts))
    return CoverageAnswers(quality)


async def test_the_worst_come_first_and_repair_counts_after_loss(answers, captured_day) -> None:
    answer = await answers.coverage(CoverageRequest())
    assert answer.total == 3
    assert [row.symbol for row in answer.rows] == ["ETHUSDT", "ETHBTC", "BTCUSDT"]
    eth, cross, btc = answer.rows
    assert (eth.expected, eth.stored, eth.open_gaps) == (23 * 60, 23 * 60 - 30, 1)
    assert (cross.stored, cross.by_stream, cross.status) == (23 * 60, 18 * 60, "BREAK")
    assert answer.first_hour_ms == captured_day.start_ms + 7 * HOUR_MS
    assert eth.cells == (*([1.0] * 18), 0.5, *([1.0] * 4), None)
    assert btc.cells[:23] == (1.0,) * 23


async def test_letters_pages_and_names_choose(answers) -> None:
    by_name = await answers.coverage(CoverageRequest(worst_first=False, offset=1, limit=1))
    assert (by_name.total, [row.symbol for row in by_name.rows]) == (3, ["ETHBTC"])
    found = await answers.coverage(CoverageRequest(query="EUSDT"))
    assert [row.symbol for row in found.rows] == ["ETHUSDT"]
    with pytest.raises(UnknownInterval):
        await answers.coverage(CoverageRequest(interval="7m"))


async def test_hours_before_the_last_day_are_counted_when_asked_for(answers, captured_day) -> None:
    answer = await answers.coverage(CoverageRequest(hours=48))
    assert answer.first_hour_ms == captured_day.start_ms - 17 * HOUR_MS
    row = {row.symbol: row for row in answer.rows}["BTCUSDT"]
    assert row.cells == (*([None] * 17), *([1.0] * 30), None)
    assert row.expected == 30 * 60


async def test_before_anything_is_counted_there_is_nothing() -> None:
    quality: Any = SimpleNamespace(table=None)
    answer = await CoverageAnswers(quality).coverage(CoverageRequest())
    assert (answer.total, answer.rows) == (0, ())
