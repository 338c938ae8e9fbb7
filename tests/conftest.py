"""A whole engine in this process, on a simulated exchange on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from engine.binance.stream_types import StreamLimits
from engine.market.candle import Candle
from engine.runtime import Engine
from engine.settings import Settings
from engine.simulator.generated import GeneratedMarket
from engine.simulator.server import Running, serve
from engine.store import Reader, Source, Store, promises
from engine.store.symbols import symbol_id

# A build must not fail by chance; developers' runs explore further each time. A busy machine is
# no fault, so no example has a deadline.
hypothesis.settings.register_profile("ci", derandomize=True, database=None, deadline=None)
hypothesis.settings.register_profile("developer", deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "developer")


def pytest_configure(config: pytest.Config) -> None:
    """Let workers take tests one by one, so that none has a row of long ones."""
    config.addinivalue_line("markers", "long: takes ten seconds or more; begins before all others")
    if getattr(config.option, "maxschedchunk", 1) is None:
        config.option.maxschedchunk = 1
    # What a shell runs in the background ignores SIGINT, and so would all children.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Take two workers a core: half of the suite's time goes by in waiting for sockets."""
    return 2 * (os.cpu_count() or 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long tests, so that no worker ends alone with one."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


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

    async def wait(condition: Callable[[], Any], timeout_s: float = 60.0) -> Any:
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
            parts["tasks"] = options.pop("tasks", None)
            settings = Settings(
                data_dir=tmp_path / "engine",
                rest_url=running.rest_url,
                stream_url=running.stream_url,
                speed=speed,
                **{"symbols": PAIR, "history_days": 0.4, **options},
            )
            store = Store.open(tmp_path / "engine", source="live", source_note="127.0.0.1")
            store.writer._gather_s = 0.02  # tests wait for most commits
            stack.callback(store.close)
            engine = Engine(settings, store, running.rest_url, running.stream_url, **parts)
            stack.push_async_callback(engine.close)
            await engine.start()
            return engine

        yield begin


class CapturedDay:
    """A store as a day of capture leaves it: promises, candles and gaps, told step by step.

    Attributes:
        start_ms: 2026-11-22 00:00 UTC.
    """

    start_ms = 1_795_305_600_000

    def __init__(self, store: Store) -> None:
        self.store = store
        self._told: list[Future[Any]] = []

    @property
    def reader(self) -> Reader:
        """The store's reader, after all that was told is committed."""
        self.settle()
        return self.store.reader

    def settle(self) -> None:
        """Wait until all that was told is committed."""
        self.store.writer.flush()
        for future in self._told:
            future.result(10)
        self._told.clear()

    def minutes(self, first: int, last: int) -> list[int]:
        """Open times of the minutes [first, last) of the day."""
        return [self.start_ms + at * 60_000 for at in range(first, last)]

    def captured(self, *symbols: str, from_minute: int = 0, interval: str = "1m") -> None:
        from_ms = self.start_ms + from_minute * 60_000

        def work(connection: sqlite3.Connection) -> None:
            promises.promise(connection, [(name, interval) for name in symbols], from_ms)
            promises.note_statuses(connection, dict.fromkeys(symbols, "TRADING"), from_ms)

        self._told.append(self.store.writer.run(work))

    def status(self, symbol: str, status: str, minute: int) -> None:
        from_ms = self.start_ms + minute * 60_000
        work = self.store.writer.run(
            lambda connection: promises.note_statuses(connection, {symbol: status}, from_ms)
        )
        self._told.append(work)

    def put(
        self,
        symbol: str,
        times: Iterable[int],
        source: Source = Source.STREAM,
        *,
        interval: str = "1m",
        trades: int = 3,
    ) -> None:
        rows = [Candle(t, 10.0, 11.0, 9.0, 10.5, 5.0, 52.0, trades, 2.0, 21.0) for t in times]
        self._told.append(self.store.writer.put_candles(symbol, interval, rows, source))

    def gap(
        self,
        symbol: str,
        first: int,
        last: int,
        *,
        state: str = "open",
        reason: str = "no connection: the exchange hung up",
        error: str = "",
        wall_ms: int = 1,
    ) -> None:
        times = (self.start_ms + first * 60_000, self.start_ms + last * 60_000)

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO gap (symbol_id, interval, from_ms, to_ms, state, tries, last_error,"
                " first_seen_wall_ms, changed_wall_ms, reason)"
                " VALUES (?, '1m', ?, ?, ?, 2, ?, 1, ?, ?)",
                (symbol_id(connection, symbol), *times, state, error, wall_ms, reason),
            )

        self._told.append(self.store.writer.run(work))

    def execute(self, sql: str, *parameters: object) -> None:
        work = self.store.writer.run(lambda c: c.execute(sql, parameters).close())
        self._told.append(work)


@pytest.fixture
def captured_day(tmp_path: Path) -> Iterator[CapturedDay]:
    """Return a builder of a day's database in `tmp_path / "day"`, of live data."""
    with Store.open(tmp_path / "day", source="live") as store:
        store.writer._gather_s = 0.005  # each put waits for its commit
        yield CapturedDay(store)
