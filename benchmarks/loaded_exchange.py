"""A simulated exchange under load, as a process of its own for the benchmarks.

Run as `python -m benchmarks.loaded_exchange`: it prints its addresses as one line of JSON, sends
5,000 kline updates a second on top of 30 generated markets at 20 times the speed of time, and ends
when its standard input closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator

import msgspec

from engine.simulator.generated import GeneratedMarket
from engine.simulator.load import publish_at_rate
from engine.simulator.server import Running, serve

RATE = 5_000
SPEED = 20.0
BASES = (
    "BTC ETH BNB SOL XRP DOGE ADA TRX AVAX LINK DOT LTC BCH NEAR UNI "
    "ATOM XLM ICP FIL APT ARB OP INJ SUI SEI TIA ETC HBAR VET ALGO"
)
SYMBOLS = [f"{base}USDT" for base in BASES.split()]
LIMIT_S = 3600.0


def open_candle_payload(running: Running, stream: str, number: int) -> bytes:
    """Return a kline push of the candle that runs now; the number makes each one different."""
    symbol = stream.partition("@")[0].upper()
    now_ms = running.exchange.now_ms
    open_ms = now_ms - now_ms % 60_000
    price = f"{100 + number % 10:.8f}"
    fields = {"t": open_ms, "T": open_ms + 59_999, "s": symbol, "i": "1m", "f": 1, "L": 2}
    fields |= dict.fromkeys("ocq", price) | {"h": "110.00000000", "l": "100.00000000"}
    fields |= {"v": "1.0", "n": 2, "x": False, "V": "0.5", "Q": "50.0", "B": "0"}
    return msgspec.json.encode({"e": "kline", "E": now_ms, "s": symbol, "k": fields})


async def send(running: Running, seconds: float) -> int:
    """Send the steady load; return the number of messages."""
    streams = [f"{symbol.lower()}@kline_1m" for symbol in SYMBOLS]
    return await publish_at_rate(
        running.exchange,
        streams,
        lambda stream, number: open_candle_payload(running, stream, number),
        messages_per_s=RATE,
        seconds=seconds,
    )


def engine_arguments(rest_url: str, stream_url: str) -> list[str]:
    """Return the options that point klinetop at the exchange."""
    addresses = ["--rest-url", rest_url, "--stream-url", stream_url]
    return [*addresses, "--speed", f"{SPEED:g}", "--symbols", ",".join(SYMBOLS)]


@contextlib.contextmanager
def loaded_exchange() -> Iterator[list[str]]:
    """Run this program beside the caller; yields the options that point klinetop at it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.loaded_exchange"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield engine_arguments(**json.loads(process.stdout.readline()))
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


async def run() -> None:
    """Serve until standard input closes."""
    async with serve(GeneratedMarket(symbols=SYMBOLS), speed=SPEED) as running:
        addresses = {"rest_url": running.rest_url, "stream_url": running.stream_url}
        print(json.dumps(addresses), flush=True)
        load = asyncio.create_task(send(running, LIMIT_S))
        await asyncio.to_thread(sys.stdin.buffer.read)
        load.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await load


if __name__ == "__main__":
    asyncio.run(run())
