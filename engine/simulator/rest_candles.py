"""Candles as REST shows them: of the source's past, and of what happened since the start."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.market.interval import MINUTE_MS

if TYPE_CHECKING:
    from engine.market.candle import Candle
    from engine.market.interval import Interval
    from engine.simulator.market_state import MarketState
    from engine.simulator.source import Source


async def prepare(state: MarketState, interval: Interval) -> None:
    """Fetch in a worker thread what the open candle of `interval` needs of history."""
    if not state.is_prepared(interval):
        await asyncio.to_thread(state.prepare, interval)


async def rest_candles(
    source: Source,
    state: MarketState,
    interval: Interval,
    start_ms: int | None,
    end_ms: int | None,
    limit: int,
    now_ms: int,
) -> list[Candle]:
    """Return candles as REST klines does (times inclusive), the open one as last row.

    The source's history is read in a worker thread.

    Args:
        source: Tells the past.
        state: The market.
        interval: No shorter than the source's finest.
        start_ms: First open time; the oldest `limit` rows from there on are returned.
        end_ms: Last open time; without a start the newest `limit` rows up to it are returned.
        limit: Most rows.
        now_ms: Exchange time.
    """
    last_ms = now_ms if end_ms is None else min(end_ms, now_ms)
    await prepare(state, interval)
    live_ms = interval.floor(source.start_ms // MINUTE_MS * MINUTE_MS)
    past_end_ms = min(last_ms + 1, live_ms)
    if start_ms is None:
        first_ms = interval.back(interval.floor(last_ms), limit - 1)
        rows = state.live_candles(interval, first_ms, last_ms)[-limit:]
        missing = limit - len(rows)
        if missing:
            rows = await _past(source, state, interval, None, past_end_ms, missing) + rows
        return rows
    rows = []
    if start_ms < live_ms:
        rows = await _past(source, state, interval, start_ms, past_end_ms, limit)
    if len(rows) < limit:
        room_ms = interval.floor(max(start_ms, live_ms)) + interval.length_ms * limit * 2
        live = state.live_candles(interval, max(start_ms, live_ms), min(last_ms, room_ms))
        rows += [row for row in live if row.open_time_ms >= start_ms][: limit - len(rows)]
    return rows


async def _past(
    source: Source,
    state: MarketState,
    interval: Interval,
    start_ms: int | None,
    end_ms: int,
    limit: int,
) -> list[Candle]:
    if not state.has_past:
        return []
    return await asyncio.to_thread(
        source.history, state.info.name, interval, start_ms, end_ms, limit
    )
