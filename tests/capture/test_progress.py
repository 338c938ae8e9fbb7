"""How far the fetching is, as users are told."""

from __future__ import annotations

import asyncio

from engine.binance.rest import WeightBudget
from engine.capture.fills import Fill, Priority
from engine.capture.progress import Progress
from engine.market.interval import parse_interval


async def test_waiting_for_weight_does_not_upset_the_time_left() -> None:
    """Half of the minute's weight may be used up ten seconds before its end."""
    now_s = [0.0]
    progress = Progress(WeightBudget(), monotonic_s=lambda: now_s[0])
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    fill = Fill(Priority.JOB, 0, "BTCUSDT", parse_interval("1m"), done)
    fill.wanted = 1_000_000
    progress.began(fill)
    told = []
    for second in range(180):
        now_s[0] = float(second)
        if second % 60 < 50:
            fill.fetched += 1_000
            progress.add(1_000)
        figures = progress.told()
        assert figures is not None
        if second > 60:
            assert figures.eta_s is not None
            told.append((figures.eta_s + second, figures.rows_per_s))
    ends, rates = zip(*told, strict=True)
    assert max(ends) - min(ends) < 0.2 * max(ends)
    assert 700 <= min(rates) <= max(rates) <= 1_000
