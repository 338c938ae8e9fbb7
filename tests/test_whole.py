"""The whole engine as a process, on the generated market: capture, view, train, kill, go on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.market.interval import INTERVALS
from engine.service.client import EngineClient, EngineGone
from engine.service.contract import Frame, Retrain, StatusRequest, View
from engine.service.places import find_socket
from engine.simulator.generated import GeneratedMarket
from engine.store import open_reader

SPEED = 60
SYMBOLS = ("BTCUSDT", "ETHUSDT")
QUICK = {"KLINETOP_FORECAST_NETWORKS": "1", "KLINETOP_FORECAST_EPOCHS": "2"}
LIMIT_S = 60.0


def start(directory: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tui.cli", "serve", "--demo", "--data-dir", str(directory)]
    command += ["--symbols", ",".join(SYMBOLS), "--speed", str(SPEED)]
    environment = {**os.environ, **QUICK, "KLINETOP_AUTO_TRAIN": "false"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    directory = tmp_path / "data"
    process = start(directory)
    yield directory, process
    if process.poll() is None:
        process.terminate()
        process.wait(60)


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    end = time.monotonic() + LIMIT_S
    while True:
        value = await condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError("the engine did not get there")
        await asyncio.sleep(0.1)


async def connected(directory: Path) -> EngineClient:
    async def attempt() -> EngineClient | None:
        try:
            return await EngineClient.connect(find_socket(directory))
        except EngineGone:
            return None

    client: EngineClient = await until(attempt)
    return client


async def ended(processes: list[psutil.Process]) -> bool:
    """Whether all have ended; one that only waits for init to take notice has."""

    def runs(process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    return not any(map(runs, processes))


async def status(client: EngineClient) -> dict[str, Any]:
    return (await client.ask(StatusRequest())).data


@pytest.mark.long
async def test_capture_forecast_kill_and_go_on(
    served: tuple[Path, subprocess.Popen[bytes]],
) -> None:
    directory, process = served
    client = await connected(directory)

    async def running() -> bool:
        return (await status(client))["engine"]["state"] == "running"

    await until(running)
    view = View(focused="ETHUSDT", interval="1m", bars=50)
    first = await client.pull(view, 0)
    assert first.tickers is not None
    assert [row.symbol for row in first.tickers.rows] == list(SYMBOLS)
    assert first.status is not None
    assert (first.status.source, first.status.speed) == ("demo", SPEED)

    seen: dict[str, Any] = {}

    async def all_panes() -> bool:
        frame: Frame = await client.pull(view, seen.get("revision", 0))
        seen["revision"] = frame.revision
        if frame.chart is not None and len(frame.chart.candles) >= 50:
            seen["chart"] = frame.chart
        if frame.trades is not None and frame.trades.trades:
            seen["trades"] = frame.trades
        if frame.book is not None and frame.book.state == "synchronised":
            seen["book"] = frame.book
        return {"chart", "trades", "book"} <= seen.keys()

    await until(all_panes)
    assert seen["book"].bids[0][0] < seen["book"].asks[0][0]
    assert len(seen["book"].bids) == view.ladder_levels

    answer = await client.ask(Retrain("ETHUSDT", "1m", wait=True))
    assert answer.data["state"] == "done", answer.data
    assert {"model", "rows", "accuracy", "log_loss", "brier", "baselines"} <= answer.data.keys()

    async def resolved() -> int:
        models = (await status(client))["forecast"]["models"]
        return models[0]["record"]["resolved"] if models else 0

    assert await until(resolved) >= 1

    counted = (await status(client))["store"]["candles"]
    await client.close()
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    await until(lambda: ended(children))
    with contextlib.closing(open_reader(directory)) as reader:
        assert reader.candle_count() >= counted

    again = start(directory)
    try:
        client = await connected(directory)
        await until(running)
        models = (await status(client))["forecast"]["models"]
        assert [model["symbol"] for model in models] == ["ETHUSDT"]
        await client.close()
    finally:
        again.terminate()
        again.wait(60)

    with contextlib.closing(open_reader(directory)) as reader:
        stored = {symbol: reader.candles(symbol, "1m") for symbol in SYMBOLS}
    for symbol, candles in stored.items():
        first_ms, last_ms = candles[0].open_time_ms, candles[-1].open_time_ms
        market = GeneratedMarket(symbols=SYMBOLS, start_ms=last_ms + 60_000)
        record = market.history(symbol, INTERVALS["1m"], first_ms, last_ms + 60_000, 1_000_000)
        assert candles == record
