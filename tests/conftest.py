"""A whole engine in this process, on a simulated exchange on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from engine.binance.stream_types import StreamLimits
from engine.runtime import Engine
from engine.settings import Settings
from engine.simulator.generated import GeneratedMarket
from engine.simulator.server import Running, serve
from engine.store import Store

# A build must not fail by chance; developers' runs explore further each time.
hypothesis.settings.register_profile("ci", derandomize=True, database=None)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

START_MS = 1_795_000_012_345
PAIR = ("BTCUSDT", "LTCUSDT")
QUICK = StreamLimits(
    backoff_first_s=0.02, backoff_cap_s=0.1, close_timeout_s=0.5, frames_per_s=4.0, overlap_s=0.1
)


@functools.cache
def _market(symbols: tuple[str, ...]) -> GeneratedMarket:
    return GeneratedMarket(7, symbols, start_ms=START_MS, history_days=8)


@pytest.fixture
def pair_market() -> GeneratedMarket:
    """The market of BTCUSDT and LTCUSDT with eight days of history, shared between tests."""
    return _market(PAIR)


@pytest.fixture
def quick_limits() -> StreamLimits:
    """Stream limits with short waits."""
    return QUICK


@pytest.fixture
async def eventually() -> Callable[..., Awaitable[Any]]:
    """Return a function that waits until a condition gives something true, and returns that."""

    async def wait(condition: Callable[[], Any], timeout_s: float = 15.0) -> Any:
        end = time.monotonic() + timeout_s
        while not (value := condition()):
            assert time.monotonic() < end, "the condition did not come true in time"
            await asyncio.sleep(0.01)
        return value

    return wait


@pytest.fixture
async def exchange_at(
    pair_market: GeneratedMarket,
) -> AsyncIterator[Callable[[float], Awaitable[Running]]]:
    """Return a function that starts an exchange at a speed."""
    async with contextlib.AsyncExitStack() as stack:

        async def begin(speed: float) -> Running:
            return await stack.enter_async_context(serve(pair_market, speed=speed))

        yield begin


@pytest.fixture
async def engine_on(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Engine]]]:
    """Return a function that starts an engine on an exchange; it stops in order by itself."""
    async with contextlib.AsyncExitStack() as stack:

        async def begin(running: Running, speed: float, **options: Any) -> Engine:
            parts = {"limits": options.pop("limits", QUICK)}
            parts["on_refused"] = options.pop("on_refused", None)
            settings = Settings(
                data_dir=tmp_path / "engine",
                rest_url=running.rest_url,
                stream_url=running.stream_url,
                speed=speed,
                **{"symbols": PAIR, "history_days": 0.4, **options},
            )
            store = Store.open(tmp_path / "engine", source="live", source_note="127.0.0.1")
            stack.callback(store.close)
            engine = Engine(settings, store, running.rest_url, running.stream_url, **parts)
            stack.push_async_callback(engine.close)
            await engine.start()
            return engine

        yield begin
