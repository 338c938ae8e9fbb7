"""The periodic pushes: open candles, tickers and depth, paced by the wall clock."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from engine.simulator import wire
from engine.simulator.streams import StreamName, parse_stream
from engine.simulator.ticker_pushes import TickerPushes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.simulator.exchange import Exchange

_STEP_S = 0.05
_FAST_S = 0.1
_SHORTEST_S = 0.25


class Pump:
    """Sends what the exchange sends by the clock and not by the event.

    Periods are the documented ones (kline 2000 ms, kline_1s, tickers and depth 1000 ms) divided by
    the clock's speed, never under 250 ms of wall-clock time; depth@100ms goes every 100 ms of it.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._hub = exchange.hub
        self._tickers = TickerPushes(exchange.states)
        speed = exchange.clock.speed
        self._second_s = max(1.0 / speed, _SHORTEST_S)
        self._candle_s = max(2.0 / speed, _SHORTEST_S)

    async def run(self) -> None:
        """Push until cancelled; nothing is pushed while the clock is stopped."""
        now_s = time.monotonic()
        fast_s, second_s, candle_s = now_s, now_s, now_s
        while True:
            await asyncio.sleep(_STEP_S)
            now_s = time.monotonic()
            if not self._exchange.clock.is_running:
                continue
            if now_s >= fast_s:
                fast_s = max(fast_s + _FAST_S, now_s)
                self.push_depth(fast=True)
            if now_s >= second_s:
                second_s = max(second_s + self._second_s, now_s)
                self.push_depth(fast=False)
                self.push_tickers()
                self.push_candles(seconds=True)
            if now_s >= candle_s:
                candle_s = max(candle_s + self._candle_s, now_s)
                self.push_candles(seconds=False)

    def push_depth(self, *, fast: bool) -> None:
        """Send diffs and partial books of one pace."""
        exchange = self._exchange
        for symbol in exchange.states:
            exchange.push_diff(symbol, fast=fast)
        for name, stream in self._wanted():
            if stream.kind == "partial" and stream.fast is fast:
                book = exchange.snapshot(stream.symbol, stream.levels)
                if book[0]:  # a recording without a book has none to tell
                    self._hub.publish(name, wire.snapshot(*book))

    def push_candles(self, *, seconds: bool) -> None:
        """Send the open candles of `kline_1s` (`seconds`) or of all other intervals."""
        for _, stream in self._wanted():
            if stream.interval is not None and (stream.interval.name == "1s") is seconds:
                self._exchange.push_candle(stream.symbol, stream.interval)

    def push_tickers(self) -> None:
        """Send all kinds of tickers and prices; all-market arrays have changed markets only."""
        now_ms = self._exchange.now_ms
        for name, stream in self._wanted():
            payload = self._tickers.payload(stream, now_ms)
            if payload is not None:
                self._hub.publish(name, payload)

    def _wanted(self) -> Iterator[tuple[str, StreamName]]:
        for name in list(self._hub.streams):
            stream = parse_stream(name)
            if stream is None or not self._exchange.derives(name):
                continue
            if not stream.symbol or stream.symbol in self._exchange.states:
                yield name, stream
