"""What the fault tests share: the exchange's own record, and an engine in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.market.candle import Candle
from engine.market.interval import INTERVALS, MINUTE_MS
from engine.runtime import Engine
from engine.service.client import EngineClient, EngineGone
from engine.service.contract import StatusRequest
from engine.service.places import find_socket
from engine.simulator.generated import GeneratedMarket
from engine.simulator.limits import Limits
from engine.simulator.script import Script
from engine.simulator.server import Running, serve

ROOT = Path(__file__).parents[2]
LIMIT_S = 60.0


class EngineProcess:
    """`klinetop serve` on a simulated exchange, with what it wrote to standard error."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path, log: Path) -> None:
        self.process = process
        self.directory = directory
        self._log = log
        self._client: EngineClient | None = None

    @property
    def stderr(self) -> str:
        return self._log.read_text()

    async def status(self) -> dict[str, Any]:
        """What `klinetop status` says; waits for the engine to answer."""
        end = time.monotonic() + LIMIT_S
        while True:
            assert self.process.poll() is None, self.stderr
            try:
                if self._client is None:
                    self._client = await EngineClient.connect(find_socket(self.directory))
                return (await self._client.ask(StatusRequest(), timeout_s=10.0)).data
            except EngineGone:
                self._client = None
                assert time.monotonic() < end, self.stderr
                await asyncio.sleep(0.02)

    async def until(self, condition: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Wait until the status fulfils a condition; returns that status."""
        end = time.monotonic() + LIMIT_S
        while not condition(status := await self.status()):
            assert time.monotonic() < end, status
            await asyncio.sleep(0.02)
        return status

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Wait for the end of the process; returns its exit status."""
        if self._client is not None:
            self._client.abort()
            self._client = None
        return await asyncio.to_thread(self.process.wait, LIMIT_S)


def serve_command(running: Running, directory: Path, speed: float, *more: str) -> list[str]:
    where = ["--rest-url", running.rest_url, "--stream-url", running.stream_url]
    head = [sys.executable, "-m", "tui.cli", "serve", "--data-dir", str(directory)]
    return [*head, *where, "--speed", str(speed), "--symbols", "BTCUSDT,LTCUSDT", *more]


@pytest.fixture
def process_environment(tmp_path: Path) -> dict[str, str]:
    """The environment of the engines that a test starts: none of the user's settings."""
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    kept = {key: text for key, text in os.environ.items() if not key.startswith("KLINETOP_")}
    own = {
        "XDG_RUNTIME_DIR": str(runtime),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "KLINETOP_AUTO_TRAIN": "false",
        "KLINETOP_HISTORY_DAYS": "0.2",
    }
    return kept | own


@pytest.fixture
async def engine_process(
    tmp_path: Path, process_environment: dict[str, str]
) -> AsyncIterator[Callable[..., EngineProcess]]:
    """Return a function that starts `klinetop serve` on an exchange; all end with the test."""
    begun: list[EngineProcess] = []

    def begin(
        running: Running,
        directory: Path,
        speed: float,
        *more: str,
        prefix: Sequence[str] = (),
        reached_at: Path | None = None,
    ) -> EngineProcess:
        log = tmp_path / f"serve{len(begun)}.log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [*prefix, *serve_command(running, directory, speed, *more)],
                env=process_environment,
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        begun.append(EngineProcess(process, reached_at or directory, log))
        return begun[-1]

    yield begin
    for engine in begun:
        if engine.process.poll() is None:
            engine.process.kill()
        await engine.ended()


# --- a whole engine in this process --------------------------------------------------------------

START_MS = 1_795_000_012_345
PAIR = ("BTCUSDT", "LTCUSDT")
FAST = 200.0


@functools.cache
def _market(symbols: tuple[str, ...], activity: float) -> GeneratedMarket:
    return GeneratedMarket(7, symbols, start_ms=START_MS, history_days=8, activity=activity)


@pytest.fixture
async def exchange_of() -> AsyncIterator[Callable[..., Awaitable[Running]]]:
    """Return a function that starts an exchange with markets and limits of one's choice."""
    async with contextlib.AsyncExitStack() as stack:

        async def begin(
            symbols: Sequence[str] = PAIR,
            *,
            speed: float = FAST,
            activity: float = 1.0,
            limits: Limits | None = None,
            script: Script | None = None,
            port: int = 0,
        ) -> Running:
            market = _market(tuple(symbols), activity)
            context = serve(market, speed=speed, limits=limits, script=script, port=port)
            return await stack.enter_async_context(context)

        yield begin


async def truth(
    running: Running, symbol: str, start_ms: int, end_ms: int, interval: str = "1m"
) -> list[Candle]:
    """The exchange's own closed candles that open in [start_ms, end_ms)."""
    rows = await running.exchange.candles(symbol, INTERVALS[interval], start_ms, end_ms - 1, 10_000)
    return [candle for candle in rows if candle.closed]


async def differences(
    engine: Engine, running: Running, symbols: Sequence[str], start_ms: int, end_ms: int
) -> dict[str, list[str]]:
    """What is missing, wrong and extra in the store, in words."""
    found: dict[str, list[str]] = {"missing": [], "wrong": [], "extra": []}
    for symbol in symbols:
        true = {c.open_time_ms: c for c in await truth(running, symbol, start_ms, end_ms)}
        rows = engine.store.reader.candles(symbol, "1m", start_ms=start_ms, end_ms=end_ms)
        stored = {c.open_time_ms: c for c in rows}
        found["missing"] += [f"{symbol} {at}" for at in true.keys() - stored.keys()]
        found["extra"] += [f"{symbol} {at}" for at in stored.keys() - true.keys()]
        found["wrong"] += [
            f"{stored[at]} is not {true[at]}"
            for at in true.keys() & stored.keys()
            if stored[at] != true[at]
        ]
    return {kind: words for kind, words in found.items() if words}


async def assert_stored_equals_truth(
    engine: Engine,
    running: Running,
    symbols: Sequence[str] = PAIR,
    start_ms: int | None = None,
    end_ms: int | None = None,
    timeout_s: float = 25.0,
) -> None:
    """Wait until the store holds the exchange's own record: 0 missing, 0 wrong, 0 extra.

    Without times: an hour before the exchange's start up to the minute that is open now.
    """
    start_ms = START_MS // MINUTE_MS * MINUTE_MS - 60 * MINUTE_MS if start_ms is None else start_ms
    end_ms = running.exchange.now_ms // MINUTE_MS * MINUTE_MS if end_ms is None else end_ms
    limit_s = time.monotonic() + timeout_s
    while found := await differences(engine, running, symbols, start_ms, end_ms):
        told = {kind: (len(words), words[:5]) for kind, words in found.items()}
        assert time.monotonic() < limit_s, told
        await asyncio.sleep(0.1)


@pytest.fixture
def bounded() -> Callable[..., None]:
    """Return a function that makes sure that memory and connection attempts stayed in bounds."""
    before_bytes = psutil.Process().memory_info().rss

    def check(engine: Engine, most_attempts: int = 60, most_mb: int = 150) -> None:
        grown = psutil.Process().memory_info().rss - before_bytes
        assert grown < most_mb << 20, f"{grown >> 20} MB more than before"
        stats = engine.supervisor.stats
        assert stats.attempts <= most_attempts, stats

    return check


@pytest.fixture
def stored_equals_truth() -> Callable[..., Awaitable[None]]:
    """`assert_stored_equals_truth` as a fixture."""
    return assert_stored_equals_truth


@pytest.fixture
def started(exchange_of: Any, engine_on: Any, eventually: Any) -> Callable[..., Awaitable[Any]]:
    """Return a function that starts an exchange and an engine that has seen candles close."""

    async def begin(
        listed: Sequence[str] = PAIR,
        *,
        speed: float = FAST,
        exchange: dict[str, Any] | None = None,
        **options: Any,
    ) -> tuple[Running, Engine]:
        running = await exchange_of(listed, speed=speed, **(exchange or {}))
        engine = await engine_on(running, speed, **{"symbols": tuple(listed), **options})
        await eventually(lambda: engine.state == "running")
        await eventually(lambda: engine.collector.closed_seen >= 2 * len(engine.board.watchlist))
        return running, engine

    return begin
