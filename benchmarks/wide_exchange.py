"""A simulated exchange with 1,416 markets, as a process of its own for the benchmarks.

Run as `python -m benchmarks.wide_exchange`: it prints its addresses as one line of JSON and ends
when its standard input closes. In real time it pushes every market's open candle each 2 s (708 a
second; the closing ones together at second zero), the tickers of 400 markets in one array a second,
and ten book changes a second of 100 markets.

Each line on standard input is a command, answered by one line of JSON: `sent` tells how many
messages went out; `load N S` sends N kline pushes a second for S seconds on top; `candles A B`
gives all candles with open times from A to B (exclusive).
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Sequence

import msgspec

from engine.market.book import Level
from engine.market.candle import Candle
from engine.market.interval import MINUTE_MS, Interval, parse_interval
from engine.market.symbol import SymbolInfo
from engine.market.trade import Trade
from engine.simulator.exchange import Exchange
from engine.simulator.load import publish_at_rate
from engine.simulator.server import Running, serve

MARKETS = 1_416
BOOKS = 100
ACTIVE_PER_S = 400
PAST_MINUTES = 30
SYMBOLS = [f"SIM{number:04d}USDT" for number in range(MARKETS)]
_TURN_S = 0.02
_BOOK_S = 0.1
_LEVELS = 400
_PRICE = 100.0


class WideMarket:
    """Many markets with cheap candles: each trade moves a price by a cent."""

    made_up: frozenset[str] = frozenset()
    recorded_streams: frozenset[str] = frozenset()
    whole_from_ms = 0
    finest = parse_interval("1m")

    def __init__(self) -> None:
        self.start_ms = time.time_ns() // 1_000_000
        self._random = random.Random(7)
        self._trade_id = 1_000

    def symbols(self) -> Sequence[SymbolInfo]:
        """Return the markets."""
        return [SymbolInfo(name, name[:-4], "USDT", "TRADING") for name in SYMBOLS]

    def history(
        self, _symbol: str, interval: Interval, start_ms: int | None, end_ms: int, limit: int
    ) -> list[Candle]:
        """Return the same candle for each of the minutes just before the start."""
        if interval.length_ms != MINUTE_MS:
            return []
        first_ms = self.start_ms // MINUTE_MS * MINUTE_MS - PAST_MINUTES * MINUTE_MS
        times = range(max(first_ms, interval.floor(start_ms or 0)), end_ms, MINUTE_MS)
        prices = (_PRICE, _PRICE, _PRICE, _PRICE, 1.0, _PRICE, 1, 0.5, _PRICE / 2)
        chosen = times[:limit] if start_ms is not None else times[-limit:]
        return [Candle(time_ms, *prices) for time_ms in chosen]

    def recent_trades(self, _symbol: str, _limit: int) -> list[Trade]:
        """Return none."""
        return []

    def start(self, exchange: Exchange) -> None:
        """Fill the books."""
        for symbol in SYMBOLS[:BOOKS]:
            bids = [(round(_PRICE - 0.01 * step, 2), 1.0) for step in range(1, _LEVELS)]
            asks = [(round(_PRICE + 0.01 * step, 2), 1.0) for step in range(1, _LEVELS)]
            exchange.load_book(symbol, 1_000, bids, asks)

    async def run(self, exchange: Exchange) -> None:
        """Trade on one market after another, and change the books ten times a second."""
        begun = books_s = time.monotonic()
        traded = 0
        while True:
            now_ms = exchange.clock.now_ms()
            due = int((time.monotonic() - begun) * ACTIVE_PER_S)
            for number in range(traded, due):
                self._trade(exchange, SYMBOLS[number % MARKETS], now_ms)
            traded = due
            exchange.advance(now_ms)
            if time.monotonic() >= books_s:
                books_s += _BOOK_S
                for symbol in SYMBOLS[:BOOKS]:
                    exchange.depth(symbol, self._levels(-0.01), self._levels(0.01))
            await asyncio.sleep(_TURN_S)

    def _trade(self, exchange: Exchange, symbol: str, now_ms: int) -> None:
        self._trade_id += 1
        price = round(_PRICE + self._random.randint(-500, 500) / 100, 2)
        trade = Trade(self._trade_id, now_ms, price, 0.125, self._random.random() < 0.5)
        exchange.trade(symbol, trade)

    def _levels(self, tick: float) -> list[Level]:
        steps = self._random.sample(range(1, 60), 4)
        return [
            (round(_PRICE + tick * step, 2), float(self._random.randint(1, 9))) for step in steps
        ]


def open_candle(running: Running, stream: str, number: int) -> bytes:
    """Return a push of the open candle that contradicts no other: its values are none to store."""
    symbol = stream.partition("@")[0].upper()
    now_ms = running.exchange.now_ms
    open_ms = now_ms - now_ms % MINUTE_MS
    price = f"{100 + number % 5}.00000000"
    fields = {"t": open_ms, "T": open_ms + 59_999, "s": symbol, "i": "1m", "f": 1, "L": 2}
    fields |= dict.fromkeys("ochlq", price) | {"v": "1.0", "n": 2, "x": False}
    fields |= {"V": "0.5", "Q": "50.0", "B": "0"}
    return msgspec.json.encode({"e": "kline", "E": now_ms, "s": symbol, "k": fields})


async def load(running: Running, rate: float, seconds: float) -> None:
    """Send kline pushes at a rate."""
    streams = [f"{symbol.lower()}@kline_1m" for symbol in SYMBOLS]
    await publish_at_rate(
        running.exchange,
        streams,
        lambda stream, number: open_candle(running, stream, number),
        messages_per_s=rate,
        seconds=seconds,
    )


async def candles(running: Running, from_ms: int, to_ms: int) -> dict[str, list[list[float]]]:
    """Return the exchange's own record of [from_ms, to_ms)."""
    minute = parse_interval("1m")
    record: dict[str, list[list[float]]] = {}
    for symbol in SYMBOLS:
        rows = await running.exchange.candles(symbol, minute, from_ms, to_ms - 1, 10_000)
        record[symbol] = [
            [row.open_time_ms, row.open, row.high, row.low, row.close, row.volume] for row in rows
        ]
    return record


async def run() -> None:
    """Serve, and answer commands, until standard input closes."""
    tasks: set[asyncio.Task[None]] = set()
    async with serve(WideMarket()) as running:
        addresses = {"rest_url": running.rest_url, "stream_url": running.stream_url}
        print(json.dumps(addresses), flush=True)
        while words := (await asyncio.to_thread(sys.stdin.readline)).split():
            if words[0] == "load":
                tasks.add(asyncio.create_task(load(running, float(words[1]), float(words[2]))))
            if words[0] == "candles":
                record = await candles(running, int(words[1]), int(words[2]))
                print(json.dumps(record), flush=True)
                continue
            loading = any(not task.done() for task in tasks)
            answer = {"published": running.exchange.hub.published, "loading": loading}
            print(json.dumps(answer), flush=True)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(run())
