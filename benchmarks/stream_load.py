"""Engine under load: 5,000 messages a second, a glued burst of 5,000, a stall of 500 ms.

Run as `python -m benchmarks.stream_load [seconds]`. A simulated exchange in this process runs 30
generated markets at 20 times the speed of time, so that each closes a candle every 3 s, and pushes
kline updates on top. Afterwards every closed candle that the exchange sent must be in the database
with its values, and must have come by stream.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import psutil

from benchmarks.desk import ask, command, scratch, wait_until
from benchmarks.loaded_exchange import (
    RATE,
    SPEED,
    SYMBOLS,
    engine_arguments,
    open_candle_payload,
    send,
)
from engine.market.candle import Candle
from engine.market.interval import INTERVALS
from engine.simulator.generated import GeneratedMarket
from engine.simulator.load import publish_burst
from engine.simulator.server import Running, serve
from engine.store import open_reader

BURST = 5_000
STALL_S = 0.5


async def load(running: Running, pid: int, seconds: float) -> int:
    """Send the load, the burst and the stall; return the messages sent."""
    stream = f"{SYMBOLS[0].lower()}@kline_1m"
    steady = asyncio.create_task(send(running, seconds))
    await asyncio.sleep(seconds / 3)
    burst = [open_candle_payload(running, stream, number) for number in range(BURST)]
    publish_burst(running.exchange, stream, burst)
    await asyncio.sleep(seconds / 3)
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(STALL_S)
    os.kill(pid, signal.SIGCONT)
    return await steady + BURST


def compare(directory: Path, sent: dict[str, list[Candle]]) -> tuple[int, int, int]:
    """Return closed candles sent, those missing in the database, and those that differ."""
    reader = open_reader(directory)
    total = missing = wrong = 0
    for symbol, candles in sent.items():
        stored = {candle.open_time_ms: candle for candle in reader.candles(symbol, "1m")}
        for candle in candles:
            total += 1
            found = stored.get(candle.open_time_ms)
            missing += found is None
            wrong += found is not None and found != candle
    return total, missing, wrong


async def run(seconds: float) -> None:
    """Run all and print the figures."""
    source = GeneratedMarket(symbols=SYMBOLS)
    with scratch() as directory:
        async with serve(source, speed=SPEED) as running:
            arguments = engine_arguments(running.rest_url, running.stream_url)
            arguments += ["--data-dir", str(directory)]
            serving = await asyncio.create_subprocess_exec(
                *command("serve", *arguments), stderr=asyncio.subprocess.DEVNULL
            )

            try:

                async def status() -> dict[str, dict[str, float]]:
                    return await asyncio.to_thread(ask, directory, "status")

                await asyncio.to_thread(
                    wait_until,
                    lambda: (
                        directory.exists()
                        and (directory / "klinetop.db").exists()
                        and ask(directory, "status")["engine"].get("state") == "running"
                    ),
                    180,
                    "the engine runs",
                )
                begin_ms = running.exchange.now_ms
                before, published = await status(), running.exchange.hub.published
                usage = psutil.Process(serving.pid)
                cpu, started = sum(usage.cpu_times()[:2]), time.perf_counter()
                messages = await load(running, serving.pid, seconds)
                share = (sum(usage.cpu_times()[:2]) - cpu) / (time.perf_counter() - started)
                await asyncio.sleep(2.0)
                published = running.exchange.hub.published - published
                end_ms = running.exchange.now_ms // 60_000 * 60_000 - 60_000
                after = await status()
                # The market is a function of time, so a second one knows what the first one closed.
                record = GeneratedMarket(symbols=SYMBOLS, start_ms=end_ms)
                sent = {
                    symbol: record.history(
                        symbol, INTERVALS["1m"], begin_ms // 60_000 * 60_000, end_ms, 100_000
                    )
                    for symbol in SYMBOLS
                }
            finally:
                if serving.returncode is None:
                    serving.terminate()
                    await serving.wait()
        total, missing, wrong = compare(directory, sent)
    stream, store = after["stream"], after["store"]
    print(f"{seconds:.0f} s at {RATE:,}/s, a glued burst of {BURST:,}, a stall of {STALL_S} s")
    print(f"messages sent on top    {messages:,}")
    print(f"messages sent in all    {published:,}, those of the markets themselves included")
    print(f"messages received       {stream['messages'] - before['stream']['messages']:,}")
    print(
        f"engine                  {100 * share:.1f} % of a core, "
        f"{usage_mb(after)} database, reconnects {stream['reconnects']}"
    )
    print(f"closed candles          {total:,} sent, {missing} missing, {wrong} different")
    print(f"by source               {store['by_source']}, gaps {store['gaps']}")
    print(f"dropped and bad         {stream['dropped']} and {stream['bad']}")


def usage_mb(status: dict[str, dict[str, float]]) -> str:
    """Return the size of the database in words."""
    return f"{status['store']['database_bytes'] / 1e6:.0f} MB"


if __name__ == "__main__":
    asyncio.run(run(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))
