"""The figures that an engine keeps of its own capture."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from engine.binance.clock import ExchangeClock
from engine.binance.stream_types import StreamState, StreamStats
from engine.capture import quality
from engine.capture.day_report import make_report
from engine.capture.exchange_time import judged_until_ms
from engine.capture.hour_figures import stream_figures
from engine.capture.quality import QualityKeeper
from engine.service.figures import storage_section
from engine.service.reports import status_report
from engine.store import Store

HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    monkeypatch.setattr(quality, "TICK_S", 0.02)
    monkeypatch.setattr(quality, "SETTLE_S", 0.7)
    monkeypatch.setattr(quality, "CLOCK_S", 0.1)
    monkeypatch.setattr(quality, "REFRESH_LEAST_S", 0.05)
    monkeypatch.setattr(quality, "REFRESH_SHARE", 1.0)


async def test_an_engine_knows_what_it_captured_and_a_report_says_the_same(
    exchange_at, engine_on, eventually, tmp_path
) -> None:
    running = await exchange_at(240.0)
    engine = await engine_on(running, 240.0)
    day = await eventually(
        lambda: (
            engine.quality.day
            if engine.quality.day is not None and engine.quality.day.expected >= 10
            else None
        )
    )
    assert (day.markets, day.series) == (2, 2)
    assert day.stored == day.expected
    assert day.by_stream >= day.expected - 2  # the minute in which streams opened may be REST's
    assert (day.clock_offset_ms, day.latency_ms) == (None, None)
    assert engine.quality.hourly[-1] == 1.0
    await engine.close()
    reader = engine.store.reader
    until_ms = judged_until_ms(reader, 0)
    assert until_ms == pytest.approx(engine.clock.now_ms(), abs=240_000)
    report = make_report(reader, until_ms - until_ms % 86_400_000, 0)
    assert report.totals.expected >= day.expected
    assert report.streams.messages >= engine.supervisor.stats.messages - 5
    assert report.streams.hours >= 1


async def test_no_table_of_markets_is_made_while_nobody_looks(
    exchange_at, engine_on, eventually, monkeypatch
) -> None:
    engine = await engine_on(await exchange_at(240.0), 240.0)
    keeper = engine.quality
    table = await eventually(lambda: keeper.table)
    status_report(engine)
    seen = engine.quality.counts_done
    await eventually(lambda: keeper.counts_done >= seen + 2)
    assert table.built == 0
    await eventually(lambda: storage_section(engine).worst)
    assert table.built >= 1
    monkeypatch.setattr(quality, "LOOKED_AT_S", 0.0)
    seen = keeper.counts_done
    await eventually(lambda: keeper.counts_done >= seen + 2)
    built = table.built
    await eventually(lambda: keeper.counts_done >= seen + 4)
    assert (table.built, table.kept_rows) == (built, 0)


class Parts:
    """A keeper around streams and a clock that a test moves by hand."""

    def __init__(self, store: Store, speed: float = 1.0) -> None:
        self.local_s = 1000.0
        self.clock = ExchangeClock(speed, monotonic_s=lambda: self.local_s)
        self.stats = StreamStats()
        self.state = StreamState("live", "", 0)
        self.notices: list[tuple[str, str]] = []
        self.store = store
        self.keeper = self.keep(speed)

    def keep(self, speed: float = 1.0) -> QualityKeeper:
        outer = self

        class Streams:
            @property
            def stats(self) -> StreamStats:
                return outer.stats

            @property
            def state(self) -> StreamState:
                return outer.state

        collector: Any = SimpleNamespace(store_failures=0)
        streams: Any = Streams()
        return QualityKeeper(
            self.store,
            streams,
            collector,
            self.clock,
            speed=speed,
            on_notice=lambda level, text: self.notices.append((level, text)),
        )

    async def close(self, keeper: QualityKeeper | None = None) -> None:
        """Close as the engine does, which flushes the store next."""
        await (keeper or self.keeper).close()
        await asyncio.to_thread(self.store.writer.flush)

    def event(self, time_ms: int) -> None:
        self.clock.observe(time_ms)

    def answer(self, time_ms: int) -> None:
        self.clock.observe_answer(time_ms, self.local_s, self.local_s)


async def test_counters_offline_time_and_clock_go_into_the_hour_they_belong_to(
    captured_day,
) -> None:
    parts = Parts(captured_day.store)
    start_ms = captured_day.start_ms
    keeper = parts.keeper
    parts.answer(start_ms)
    keeper._observe()
    parts.stats = StreamStats(messages=100, reconnects=1, bad=2)
    parts.state = StreamState("offline", "silence", 0)
    for _ in range(60):
        parts.local_s += 1.0
        keeper._observe()
    parts.state = StreamState("live", "", 0)
    parts.local_s += 3600.0
    parts.stats = StreamStats(messages=150, reconnects=1, bad=2, renewals=3)
    keeper._observe()
    await parts.close()
    reader = captured_day.store.reader
    first = stream_figures(reader, start_ms, start_ms + HOUR_MS)
    second = stream_figures(reader, start_ms + HOUR_MS, start_ms + 2 * HOUR_MS)
    assert (first.messages, first.reconnects, first.bad, first.offline_s) == (100, 1, 2, 60.0)
    assert (second.messages, second.renewals, second.offline_s) == (50, 3, 0.0)
    assert first.clock_offset_ms is not None


async def test_the_end_of_a_source_writes_what_came_last(
    captured_day, monkeypatch, eventually
) -> None:
    monkeypatch.setattr(quality, "SETTLE_S", 0.01)
    parts = Parts(captured_day.store)
    parts.answer(captured_day.start_ms)
    parts.stats = StreamStats(messages=14_597)
    parts.keeper.source_ended()
    start_ms = captured_day.start_ms

    def written() -> bool:
        figures = stream_figures(captured_day.store.reader, start_ms, start_ms + HOUR_MS)
        return figures.messages == 14_597

    await eventually(written)


async def test_a_restart_in_the_same_hour_adds_up(captured_day) -> None:
    parts = Parts(captured_day.store)
    parts.answer(captured_day.start_ms)
    for _ in range(2):
        keeper = parts.keep()
        parts.stats = StreamStats(messages=10)
        keeper._observe()
        await parts.close(keeper)
    figures = stream_figures(
        captured_day.store.reader, captured_day.start_ms, captured_day.start_ms + HOUR_MS
    )
    assert (figures.messages, figures.hours) == (20, 1)


async def test_latency_is_that_of_each_event_and_only_at_the_pace_of_this_machine(
    captured_day,
) -> None:
    for speed, expected in ((1.0, 40.0), (60.0, None)):
        parts = Parts(captured_day.store, speed)
        start_ms = captured_day.start_ms + (0 if speed == 1.0 else 5 * HOUR_MS)
        parts.answer(start_ms)
        parts.keeper._observe()
        for step in range(1, 51):
            parts.local_s += 0.1
            parts.answer(int(start_ms + step * 100 * speed))
            parts.event(int(start_ms + step * 100 * speed) - 40)
        await parts.close()
        figures = stream_figures(captured_day.store.reader, start_ms, start_ms + HOUR_MS)
        if expected is None:
            assert figures.latency_ms is None
        else:
            assert figures.latency_ms == pytest.approx((expected,) * 4, rel=0.03)


async def test_a_clock_that_is_off_is_told_once(captured_day, monkeypatch) -> None:
    parts = Parts(captured_day.store)
    at = captured_day.start_ms
    parts.answer(at)
    monkeypatch.setattr("engine.binance.clock.time.time", lambda: at / 1000 - 1.273)
    for _ in range(30):
        parts.keeper._observe()
    assert [level for level, _ in parts.notices] == ["warning"]
    assert "1.3 s behind the exchange's" in parts.notices[0][1]
    await parts.close()
    offset = stream_figures(captured_day.store.reader, at, at + HOUR_MS).clock_offset_ms
    assert offset == pytest.approx((-1273.0,) * 3, abs=1.0)


async def test_what_the_writer_refuses_is_written_the_next_time(captured_day, monkeypatch) -> None:
    parts = Parts(captured_day.store)
    parts.answer(captured_day.start_ms)
    parts.keeper._observe()
    parts.stats = StreamStats(messages=7)
    parts.keeper._observe()

    def refuse(*_: Any) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr("engine.capture.quality._write", refuse)
        futures = parts.keeper._flush()
        await asyncio.gather(*map(asyncio.wrap_future, futures), return_exceptions=True)
        await asyncio.sleep(0)
    assert parts.keeper.failures == 1
    await parts.close()
    figures = stream_figures(
        captured_day.store.reader, captured_day.start_ms, captured_day.start_ms + HOUR_MS
    )
    assert figures.messages == 7
