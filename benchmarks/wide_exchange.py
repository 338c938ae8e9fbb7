"""A simulated exchange with 1,416 markets, as a process of its own for the benchmarks.

Run as `python -m benchmarks.wide_exchange`: it prints its addresses as one line of JSON and ends
when its standard input closes. In real time it pushes every market's open candle each 2 s (708 a
second; the closing ones together at second zero), the tickers of 400 markets in one array a second,
and ten book changes a second of 100 markets.

Each line on standard input is a command, answered by one line of JSON: `sent` tells how many
messages went out; `load N S` sends N kline pushes a second for S seconds on top; `candles A B`
gives all candles with open times from A to B (exclusive). REST lies behind a `slow_door`: `rest`
gives its counts, `forget` zeroes them, `refuse N` has it answer 429 for N seconds. `cut N` loses
all connections at the next second zero and lets none in for N seconds; `connects` tells how often
somebody tried to connect since the start, and at most in 300 s. `quiet N` lets nobody trade on the
last N markets from the next minute on, and pushes nothing of them.

`--past-days` sets how much history each market has, `--answer-ms` how long REST takes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from aiohttp import web

import engine.simulator.server
from benchmarks.slow_door import Door, door
from engine.market.book import Level
from engine.market.candle import Candle
from engine.market.interval import MINUTE_MS, Interval, parse_interval
from engine.market.symbol import SymbolInfo
from engine.market.trade import Trade
from engine.simulator.doorkeeper import Doorkeeper
from engine.simulator.exchange import Exchange
from engine.simulator.load import publish_at_rate
from engine.simulator.server import Running, serve

MARKETS = 1_416
BOOKS = 100
ACTIVE_PER_S = 400
PAST_DAYS = 30 / 1440
CONNECTS_WINDOW_S = 300.0
SYMBOLS = [f"SIM{number:04d}USDT" for number in range(MARKETS)]
_TURN_S = 0.02
_BOOK_S = 0.1
_LEVELS = 400
_PRICE = 100.0
_QUIET_AFTER_MS = 1_500
_CUT_BEFORE_S = 0.01


class WideMarket:
    """Many markets with cheap candles: each trade moves a price by a cent.

    Args:
        past_days: How much history each has.

    Attributes:
        quiet: Markets without trades from `quiet_ms` on.
    """

    made_up: frozenset[str] = frozenset()
    recorded_streams: frozenset[str] = frozenset()
    whole_from_ms = 0
    finest = parse_interval("1m")

    def __init__(self, past_days: float = PAST_DAYS) -> None:
        self.start_ms = time.time_ns() // 1_000_000
        self.quiet: frozenset[str] = frozenset()
        self.quiet_ms = 0
        self._past_ms = round(past_days * 1440) * MINUTE_MS
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
        # Without a start the exchange itself asks, for its day's statistics; they may be short.
        past_ms = min(self._past_ms, 30 * MINUTE_MS) if start_ms is None else self._past_ms
        first_ms = self.start_ms // MINUTE_MS * MINUTE_MS - past_ms
        from_ms = -(-(start_ms or 0) // MINUTE_MS) * MINUTE_MS
        times = range(max(first_ms, from_ms), end_ms, MINUTE_MS)
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

    def is_quiet(self, symbol: str, now_ms: int) -> bool:
        """Whether nobody trades on a market."""
        return symbol in self.quiet and now_ms >= self.quiet_ms

    def _trade(self, exchange: Exchange, symbol: str, now_ms: int) -> None:
        if self.is_quiet(symbol, now_ms):
            return
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


class CountingDoorkeeper(Doorkeeper):
    """Notes when somebody tried to connect, let in or not."""

    times: list[float] = []  # noqa: RUF012 - one exchange a process

    def admit(self, request: web.Request) -> None:
        """Let a request pass."""
        self.times.append(time.monotonic())
        super().admit(request)

    @classmethod
    def counted(cls) -> dict[str, int]:
        """Return all tries, and the most in any 300 s."""
        times = cls.times
        windows = (bisect_right(times, at + CONNECTS_WINDOW_S) - n for n, at in enumerate(times))
        return {"tries": len(times), "most_in_window": max(windows, default=0)}


async def cut(running: Running, seconds: float) -> None:
    """Lose all connections just before the candles of a minute close; refuse new ones."""
    await asyncio.sleep(60 - time.time() % 60 - _CUT_BEFORE_S)
    running.faults.refuse_connections(seconds)
    running.faults.drop_connections()


def muted(market: WideMarket, running: Running) -> Callable[[str, bytes], None]:
    """Return what publishes everything but candles of quiet markets."""
    publish = running.exchange.hub.publish

    def published(stream: str, payload: bytes) -> None:
        symbol, _, kind = stream.partition("@")
        late_ms = running.exchange.now_ms - _QUIET_AFTER_MS
        if not (kind.startswith("kline") and market.is_quiet(symbol.upper(), late_ms)):
            publish(stream, payload)

    return published


class Console:
    """Answers commands."""

    def __init__(self, market: WideMarket, running: Running, way: Door) -> None:
        self._market = market
        self._running = running
        self._door = way
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, word: str, *numbers: float) -> dict[str, Any]:
        """Do one command."""
        if word == "candles":
            return await candles(self._running, int(numbers[0]), int(numbers[1]))
        if word in ("load", "cut"):
            work = load if word == "load" else cut
            self._tasks.add(asyncio.create_task(work(self._running, *numbers)))
        elif word == "connects":
            return CountingDoorkeeper.counted()
        elif word == "rest":
            return self._door.counted()
        elif word == "forget":
            self._door.forget()
        elif word == "refuse":
            self._door.refuse(numbers[0])
        elif word == "quiet":
            now_ms = self._running.exchange.now_ms
            self._market.quiet_ms = now_ms // MINUTE_MS * MINUTE_MS + MINUTE_MS
            self._market.quiet = frozenset(SYMBOLS[len(SYMBOLS) - int(numbers[0]) :])
            return {"from_ms": self._market.quiet_ms}
        loading = any(not task.done() for task in self._tasks)
        return {"published": self._running.exchange.hub.published, "loading": loading}

    async def close(self) -> None:
        """End what goes on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def run(past_days: float, answer_s: float) -> None:
    """Serve, and answer commands, until standard input closes."""
    engine.simulator.server.Doorkeeper = CountingDoorkeeper  # type: ignore[misc]
    market = WideMarket(past_days)
    async with serve(market) as running, door(running.rest_url, answer_s) as way:
        running.exchange.hub.publish = muted(market, running)  # type: ignore[method-assign]
        console = Console(market, running, way)
        addresses = {"rest_url": way.url, "stream_url": running.stream_url}
        print(json.dumps(addresses), flush=True)
        while words := (await asyncio.to_thread(sys.stdin.readline)).split():
            answer = await console.answer(words[0], *map(float, words[1:]))
            print(json.dumps(answer), flush=True)
        await console.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--past-days", type=float, default=PAST_DAYS)
    parser.add_argument("--answer-ms", type=float, default=0.0)
    options = parser.parse_args()
    asyncio.run(run(options.past_days, options.answer_ms / 1000))
