"""Cases 32 and 39: SIGKILL while writing, SIGTERM during a flush."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.market.candle import Candle
from engine.market.interval import INTERVALS, MINUTE_MS
from engine.store import Store, open_reader

pytestmark = pytest.mark.faults

PAIR = ("BTCUSDT", "LTCUSDT")
SPEED = 120.0
BATCH = 20
WRITING = f"""
import os, pathlib, sys
from collections import deque
from engine.market.candle import Candle
from engine.store import Source, Store

store = Store.open(pathlib.Path(sys.argv[1]), source="live")
store.writer._gather_s = 0.0
at, underway = int(sys.argv[2]), deque()
while True:
    batch = [
        Candle((at + i) * 60_000, 2.0, 3.0, 1.0, 1.0 + (at + i) % 100 / 50, at + i, 1.0)
        for i in range({BATCH})
    ]
    at += {BATCH}
    underway.append((at, store.writer.put_candles("BTCUSDT", "1m", batch, Source.STREAM)))
    if len(underway) > 3:
        end, future = underway.popleft()
        future.result(10)
        os.write(1, b"%d\\n" % end)
"""


def written(at: int) -> Candle:
    return Candle(at * 60_000, 2.0, 3.0, 1.0, 1.0 + at % 100 / 50, float(at), 1.0)


def killed_while_writing(directory: Path, start: int, after_s: float) -> int:
    """Kill a writing process so long after its first commit; returns the last number it told."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITING, str(directory), str(start)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        told = os.read(process.stdout.fileno(), 65536)
        end = time.monotonic() + after_s
        while (left_s := end - time.monotonic()) > 0:
            if select.select([process.stdout], [], [], left_s)[0]:
                told += os.read(process.stdout.fileno(), 65536)
        process.kill()
        told += process.stdout.read()
    return int(told.splitlines()[-1])


@pytest.mark.parametrize("seed", range(5))
def test_case_32_sigkill_while_writing_loses_no_acknowledged_row(tmp_path: Path, seed: int) -> None:
    choice = random.Random(seed)
    held = 0
    for _ in range(5):
        acknowledged = killed_while_writing(tmp_path, held, choice.uniform(0.0, 0.2))
        assert acknowledged > held
        with Store.open(tmp_path, source="live") as store:  # checks every page
            stored = store.reader.candles("BTCUSDT", "1m")
            assert store.reader.candle_count() == len(stored)
        held = len(stored)
        assert held >= acknowledged
        assert held % BATCH == 0, "a batch is torn"
        assert stored == [written(at) for at in range(held)]


@pytest.mark.parametrize("seed", range(5))
async def test_case_32_sigkill_of_engines_loses_nothing_counted(
    exchange_at, engine_process, tmp_path: Path, seed: int
) -> None:
    running = await exchange_at(SPEED)
    choice = random.Random(seed)
    directory = tmp_path / "data"
    for _ in range(5):
        engine = engine_process(running, directory, SPEED)
        kill_s = choice.uniform(0.0, 1.0)
        counted = (await engine.status())["store"]["candles"]
        end = time.monotonic() + kill_s
        while time.monotonic() < end:
            counted = (await engine.status())["store"]["candles"]
            await asyncio.sleep(0.01)
        engine.tell(signal.SIGKILL)
        assert await engine.ended() == -signal.SIGKILL
        with contextlib.closing(open_reader(directory)) as reader:
            assert reader.candle_count() >= counted
        await assert_nothing_wrong(running, directory)
    last = engine_process(running, directory, SPEED)
    await last.until(lambda told: told["engine"]["state"] == "running")
    target_ms = running.exchange.now_ms
    await until_whole(running, directory, target_ms)
    last.tell(signal.SIGTERM)
    assert await last.ended() == 0, last.stderr
    with Store.open(directory, source="live", source_note="127.0.0.1"):
        pass  # every page is sound


async def test_case_39_sigterm_while_the_store_is_locked_commits_what_was_received(
    exchange_at, engine_process, eventually, tmp_path: Path
) -> None:
    running = await exchange_at(SPEED)
    directory = tmp_path / "data"
    engine = engine_process(running, directory, SPEED)
    await engine.until(lambda told: told["engine"]["state"] == "running")
    await engine.until(lambda told: told["store"]["by_source"]["stream"] >= 4)
    with contextlib.closing(
        sqlite3.connect(directory / "klinetop.db", isolation_level=None, check_same_thread=False)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        locked_ms = running.exchange.now_ms
        await eventually(lambda: running.exchange.now_ms > locked_ms + 3 * MINUTE_MS)
        received_ms = running.exchange.now_ms // MINUTE_MS * MINUTE_MS
        await asyncio.sleep(0.2)  # the minute that closed just now arrives
        engine.tell(signal.SIGTERM)
        await asyncio.sleep(0.5)
        assert engine.process.poll() is None, "it left before the flush was over"
        other.execute("ROLLBACK")
    assert await engine.ended() == 0, engine.stderr
    with contextlib.closing(open_reader(directory)) as reader:
        for symbol in PAIR:
            last_ms = reader.last_open_time(symbol, "1m")
            assert last_ms is not None
            assert last_ms >= received_ms - MINUTE_MS
            assert reader.missing(symbol, "1m", locked_ms - 5 * MINUTE_MS, received_ms) == []
    await assert_nothing_wrong(running, directory)


async def test_case_39_sigterm_at_random_moments_ends_in_order(
    exchange_at, engine_process, tmp_path: Path
) -> None:
    running = await exchange_at(SPEED)
    directory = tmp_path / "data"
    choice = random.Random(1)
    for _ in range(4):
        engine = engine_process(running, directory, SPEED)
        counted = (await engine.status())["store"]["candles"]
        await asyncio.sleep(choice.uniform(0.0, 0.6))
        engine.tell(signal.SIGTERM)
        assert await engine.ended() == 0, engine.stderr
        assert "Traceback" not in engine.stderr
        with contextlib.closing(open_reader(directory)) as reader:
            assert reader.candle_count() >= counted
        await assert_nothing_wrong(running, directory)


async def assert_nothing_wrong(running, directory: Path) -> None:
    """What is stored equals the exchange's own record, whatever may still be missing."""
    with contextlib.closing(open_reader(directory)) as reader:
        stored = {symbol: reader.candles(symbol, "1m") for symbol in PAIR}
    for symbol, candles in stored.items():
        if candles:
            record = await truth(running, symbol, candles[0].open_time_ms, candles[-1].open_time_ms)
            assert [candle for candle in candles if record.get(candle.open_time_ms) != candle] == []


async def until_whole(running, directory: Path, target_ms: int, timeout_s: float = 30.0) -> None:
    """Wait until nothing is missing before `target_ms`, then compare with the exchange."""
    end = time.monotonic() + timeout_s
    last_ms = target_ms // MINUTE_MS * MINUTE_MS
    while True:
        with contextlib.closing(open_reader(directory)) as reader:
            missing = {
                symbol: reader.missing(symbol, "1m", first_ms, last_ms)
                for symbol in PAIR
                if (first_ms := reader.first_open_time(symbol, "1m")) is not None
            }
        if len(missing) == len(PAIR) and not any(missing.values()):
            break
        assert time.monotonic() < end, missing
        await asyncio.sleep(0.1)
    await assert_nothing_wrong(running, directory)


async def truth(running, symbol: str, first_ms: int, last_ms: int) -> dict[int, Candle]:
    record: dict[int, Candle] = {}
    while first_ms <= last_ms:
        page = await running.exchange.candles(symbol, INTERVALS["1m"], first_ms, last_ms, 1_000)
        record.update((candle.open_time_ms, candle) for candle in page if candle.closed)
        if not page:
            break
        first_ms = page[-1].open_time_ms + MINUTE_MS
    return record
