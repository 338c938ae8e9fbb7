"""The periodic pushes: open candles, tickers and depth, paced by the wall clock."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from engine.market.interval import INTERVALS
from engine.simulator import wire
from engine.simulator.streams import MINI_TICKERS, StreamName, parse_stream

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
                self._hub.publish(
                    name, wire.snapshot(*exchange.snapshot(stream.symbol, stream.levels))
                )

    def push_candles(self, *, seconds: bool) -> None:
        """Send the open candles of `kline_1s` (`seconds`) or of all other intervals."""
        for _, stream in self._wanted():
            if stream.kind == "kline" and (stream.interval == "1s") is seconds:
                self._exchange.push_candle(stream.symbol, INTERVALS[stream.interval])

    def push_tickers(self) -> None:
        """Send tickers, mini tickers and average prices; the all-market array has changes only."""
        now_ms = self._exchange.now_ms
        states = self._exchange.states
        for name, stream in self._wanted():
            state = states[stream.symbol]
            if stream.kind == "avgPrice":
                last_ms = state.last_trade.time_ms if state.last_trade else now_ms
                payload = wire.average_price(stream.symbol, state.average(), last_ms, now_ms)
                self._hub.publish(name, payload)
            elif stream.kind in ("ticker", "miniTicker"):
                day = state.ticker(now_ms)
                if day is not None:
                    write = wire.ticker if stream.kind == "ticker" else wire.mini_ticker
                    self._hub.publish(name, write(stream.symbol, day, now_ms))
        self._push_array(now_ms)

    def _push_array(self, now_ms: int) -> None:
        if not self._exchange.derives(MINI_TICKERS):
            return
        parts = []
        for symbol, state in self._exchange.states.items():
            day = state.ticker(now_ms) if state.changed else None
            if day is not None:
                state.changed = False
                parts.append(wire.mini_ticker(symbol, day, now_ms))
        if parts:
            self._hub.publish(MINI_TICKERS, b"[" + b",".join(parts) + b"]")

    def _wanted(self) -> Iterator[tuple[str, StreamName]]:
        for name in list(self._hub.streams):
            stream = parse_stream(name)
            if stream is None or not self._exchange.derives(name):
                continue
            if stream.symbol in self._exchange.states:
                yield name, stream
