"""Figures of the store that are worked out beside the loop."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from engine.capture import health
from engine.capture.board import Board


async def test_coverage_waits_a_turn_for_candles_that_are_still_on_their_way(monkeypatch) -> None:
    monkeypatch.setattr(health, "EVERY_S", 0.0)
    monkeypatch.setattr(health, "COVERAGE_EVERY", 1)
    asked: list[int] = []
    enough = asyncio.Event()
    loop = asyncio.get_running_loop()

    def coverage(symbols: list[str], until_ms: int) -> tuple[float | None, ...]:
        asked.append(until_ms)
        if len(asked) == 4:
            loop.call_soon_threadsafe(enough.set)
        return (1.0,)

    reader = SimpleNamespace(
        coverage_by_hour=coverage,
        candle_count=lambda: 0,
        count_by_source=dict,
        database_bytes=lambda: 0,
        gap_counts=dict,
        quarantine_count=lambda: 0,
    )
    times = iter(range(1000, 1_000_000, 1000))
    figures = health.Health(SimpleNamespace(reader=reader), Board(), lambda: next(times))
    task = asyncio.create_task(figures.run())
    async with asyncio.timeout(5):
        await enough.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert asked[:4] == [1000, 1000, 2000, 3000]
