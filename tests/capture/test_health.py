"""Figures of the store that are worked out beside the loop."""

from __future__ import annotations

import asyncio

from engine.capture import health
from engine.store import StoreError


async def test_figures_follow_the_store_and_survive_a_database_that_can_not_be_read(
    captured_day, monkeypatch, eventually
) -> None:
    monkeypatch.setattr(health, "EVERY_S", 0.01)
    figures = health.Health(captured_day.store, lambda level, text: None)
    task = asyncio.create_task(figures.run())
    captured_day.put("BTCUSDT", captured_day.minutes(0, 7))
    await eventually(lambda: figures.figures.candles == 7)
    assert figures.figures.by_source["stream"] == 7

    def broken() -> int:
        raise StoreError("The database can not be read.")

    with monkeypatch.context() as context:
        context.setattr(captured_day.store.reader, "candle_count", broken)
        await eventually(lambda: figures.failures)
    assert figures.last_error == "The database can not be read."
    captured_day.put("BTCUSDT", captured_day.minutes(7, 9))
    await eventually(lambda: figures.figures.candles == 9)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
