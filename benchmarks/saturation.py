"""Messages a second at saturation, and 15,000 a second into a whole engine.

Run as `python -m benchmarks.saturation [receivers|engine]`; without a word both parts run.

`receivers`: the stream supervisor (every message decoded to a typed event, checked and handed to a
handler) beside bare aiohttp + msgspec (decoded to dicts, nothing else) and python-binance's socket
manager with a huge queue, in turns, from the same sender, which writes ready frames as fast as it
is read. `engine`: `klinetop serve` gets 15,000 messages a second for 10 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from benchmarks.all_markets import (
    Exchange,
    compare,
    engine_on,
    print_figures,
    status,
    wide_exchange,
)
from benchmarks.desk import scratch
from benchmarks.fast_sender import NAMES
from engine.binance.stream_types import StreamLimits
from engine.binance.supervisor import StreamSupervisor
from engine.market.interval import MINUTE_MS
from engine.service import contract
from engine.service.client import EngineClient
from engine.service.places import find_socket

ROUNDS = 3
SECONDS = 4.0
WARM_UP_S = 1.0
RATE = 15_000
BURST_S = 10.0
LAG_LIMIT_S = 1.0


@contextlib.contextmanager
def beside(*arguments: str) -> Iterator[str]:
    """Run a module that prints one line and ends with its standard input; yields the line."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline()
    finally:
        process.stdin.close()
        process.wait(30)


# --- receivers ----------------------------------------------------------------------------------


class Count:
    """Counts messages, and tells their rate over `SECONDS` that begin after a warm-up.

    The clock is read by the messages themselves, since a receiver that never lets its event loop
    go would starve any timer.
    """

    def __init__(self, tell: Callable[[float], None]) -> None:
        self._tell = tell
        self._messages = 0
        self._mark: tuple[float, int] | None = None
        self._began_s = 0.0

    def add(self) -> None:
        """Count one message."""
        self._messages += 1
        if self._messages % 500:
            return
        now = time.perf_counter()
        if self._mark is None:
            self._began_s = self._began_s or now
            if now - self._began_s >= WARM_UP_S:
                self._mark = (now, self._messages)
        elif now - self._mark[0] >= SECONDS:
            self._tell((self._messages - self._mark[1]) / (now - self._mark[0]))


async def supervisor(port: int, count: Count) -> None:
    """Klinetop's own receiver."""
    receiver = StreamSupervisor(
        f"ws://127.0.0.1:{port}",
        on_event=lambda _stream, _event, _receipt_ns: count.add(),
        on_gap=lambda _streams, _reason: None,
        on_bad=lambda reason, _raw: print(f"bad frame: {reason}", file=sys.stderr),
        limits=StreamLimits(streams_per_connection=1024),
    )
    receiver.want(NAMES)
    await receiver.run()


async def bare(port: int, count: Count) -> None:
    """Bare aiohttp and msgspec: what the libraries do without anything around them."""
    decode = msgspec.json.decode
    url = f"http://127.0.0.1:{port}/stream?streams={'/'.join(NAMES)}"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, compress=0, max_msg_size=0) as socket,
    ):
        async for message in socket:
            decode(message.data)
            count.add()


async def python_binance(port: int, count: Count) -> None:
    """python-binance's socket manager with a queue that does not overflow."""
    from binance import AsyncClient, BinanceSocketManager

    class Manager(BinanceSocketManager):  # type: ignore[misc]
        STREAM_URL = STREAM_TESTNET_URL = STREAM_DEMO_URL = f"ws://127.0.0.1:{port}/"

    manager = Manager(AsyncClient(), max_queue_size=10_000_000)
    manager.ws_kwargs = {"proxy": None, "compression": None}
    async with manager.multiplex_socket(NAMES) as socket:
        while True:
            await socket.recv()
            count.add()


Receiver = Callable[[int, Count], Coroutine[Any, Any, None]]
RECEIVERS: dict[str, Receiver] = {
    "klinetop": supervisor,
    "bare aiohttp + msgspec": bare,
    "python-binance": python_binance,
}


def measure(receiver: Receiver, port: int) -> None:
    """Run one receiver, print its rate, and end at once: closing in order takes long in a flood."""

    def tell(rate: float) -> None:
        print(rate, flush=True)
        os._exit(0)

    asyncio.run(receiver(port, Count(tell)))


def receivers() -> None:
    """Run all receivers in turns, each in a process of its own, and print medians."""
    rates: dict[str, list[float]] = {name: [] for name in RECEIVERS}
    with beside("benchmarks.fast_sender") as port:
        for _ in range(ROUNDS):
            for name, measured in rates.items():
                done = subprocess.run(
                    [sys.executable, "-m", "benchmarks.saturation", "one", name, port.strip()],
                    stdout=subprocess.PIPE,
                    check=True,
                    text=True,
                    timeout=60,
                )
                measured.append(float(done.stdout))
    print(f"messages a second at saturation, median of {ROUNDS} runs of {SECONDS:g} s (lowest)")
    ours = statistics.median(rates["klinetop"])
    for name, measured in rates.items():
        middle = statistics.median(measured)
        print(f"{name:24s}{middle:12,.0f} ({min(measured):,.0f})   {ours / middle:6.2f} times")


# --- the whole engine ---------------------------------------------------------------------------


async def flood(directory: Path, exchange: Exchange) -> list[tuple[float, float]]:
    """Send the flood; return (seconds since its start, lag in seconds) until all is read."""
    client = await EngineClient.connect(find_socket(directory))

    async def received() -> int:
        done = await client.ask(contract.StatusRequest())
        assert isinstance(done, contract.Done)
        messages: int = done.data["stream"]["messages"]
        return messages

    try:
        # Both counts move on between two looks: the least difference is the constant one.
        looks = [exchange.tell("sent")["published"] - await received() for _ in range(20)]
        constant, lags = min(looks), []
        begun = time.monotonic()
        exchange.tell(f"load {RATE} {BURST_S:g}")
        while True:
            told = exchange.tell("sent")
            lag_s = (told["published"] - await received() - constant) / RATE
            lags.append((time.monotonic() - begun, lag_s))
            if not told["loading"] and (lag_s <= 0.01 or lags[-1][0] > 4 * BURST_S):
                return lags
            await asyncio.sleep(0.2)
    finally:
        await client.close()


def engine() -> None:
    """Flood an engine that captures all markets, and print what became of it."""
    with (
        scratch() as directory,
        wide_exchange() as exchange,
        engine_on(directory, exchange) as process,
    ):
        # The flood shall meet the burst of a minute's end.
        time.sleep(5.0 + (50.0 - time.time()) % 60.0)
        before = status(directory)
        cpu = sum(process.cpu_times()[:2])
        from_ms = before["engine"]["exchange_time_ms"] // MINUTE_MS * MINUTE_MS
        lags = asyncio.run(flood(directory, exchange))
        share = (sum(process.cpu_times()[:2]) - cpu) / lags[-1][0]
        after = status(directory)
        end_ms = after["engine"]["exchange_time_ms"] // MINUTE_MS * MINUTE_MS
        time.sleep(3.0)
        result = compare(directory, exchange, from_ms, end_ms)
    took = next((at for at, lag in lags if at >= BURST_S and lag < LAG_LIMIT_S), math.inf)
    lost = max(0, round(lags[-1][1] * RATE))
    print_figures(
        load=f"{RATE:,} messages a second for {BURST_S:g} s on top of all markets",
        engine=f"{100 * share:.0f} % of a core",
        lag=f"at most {max(lag for _, lag in lags):.2f} s, under {LAG_LIMIT_S:g} s "
        f"{max(0.0, took - BURST_S):.1f} s after the end, at last {lags[-1][1] * 1000:.0f} ms",
        messages_lost=f"{lost}",
        closed_candles=f"{result['sent']:,} at the exchange, {result['missing']} missing, "
        f"{result['different']} different",
        **{key: f"{after['stream'][key]}" for key in ("dropped", "bad", "reconnects")},
    )


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] == ["one"]:
        measure(RECEIVERS[words[1]], int(words[2]))
    if "engine" not in words:
        receivers()
    if "receivers" not in words:
        engine()
