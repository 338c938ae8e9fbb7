"""What the ticker streams say once a second: of one market, and of all that have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.market.interval import MINUTE_MS
from engine.simulator import wire
from engine.simulator.protocol.rolling import RollingWindow, window_ms, window_open_ms
from engine.simulator.protocol.rules import reference_price

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.simulator.market_state import MarketState
    from engine.simulator.streams import StreamName


class TickerPushes:
    """Writes the payloads of the streams that are pushed by the clock and are no book or candle.

    Args:
        states: The markets by symbol; more may be listed later.
    """

    def __init__(self, states: Mapping[str, MarketState]) -> None:
        self._states = states
        self._windows: dict[tuple[str, str], RollingWindow] = {}
        self._told: dict[tuple[str, str], int] = {}

    def payload(self, stream: StreamName, now_ms: int) -> bytes | None:
        """Return what `stream` says at `now_ms`, None when it has nothing to say.

        A market says nothing before its first price is known, and an all-market stream while no
        market has changed.
        """
        if not stream.symbol:
            return self._changed(stream, now_ms)
        return self._of_market(stream, self._states[stream.symbol], now_ms)

    def _changed(self, stream: StreamName, now_ms: int) -> bytes | None:
        parts = []
        for symbol, state in self._states.items():
            key = (stream.name, symbol)
            if self._told.get(key) == state.changes:
                continue
            part = self._of_market(stream, state, now_ms)
            if part is not None:
                self._told[key] = state.changes
                parts.append(part)
        return b"[" + b",".join(parts) + b"]" if parts else None

    def _of_market(self, stream: StreamName, state: MarketState, now_ms: int) -> bytes | None:
        if state.minute is None:
            return None
        symbol = state.info.name
        if stream.kind == "rolling":
            return self._rolling(symbol, stream.window, state, now_ms)
        if stream.kind == "avgPrice":
            last_ms = state.last_trade.time_ms if state.last_trade else now_ms
            return wire.average_price(symbol, state.average(), last_ms, now_ms)
        if stream.kind == "referencePrice":
            return wire.reference_price(symbol, reference_price(state, now_ms), now_ms)
        if stream.kind not in ("ticker", "miniTicker"):
            return None
        day = state.ticker(now_ms)
        if day is None:
            return None
        write = wire.ticker if stream.kind == "ticker" else wire.mini_ticker
        return write(symbol, day, now_ms)

    def _rolling(self, symbol: str, size: str, state: MarketState, now_ms: int) -> bytes | None:
        length_ms = window_ms(size) or 0
        if MINUTE_MS < state.base.length_ms >= length_ms:
            return None  # of windows as short as its candles a kline file knows nothing
        window = self._windows.setdefault((symbol, size), RollingWindow(state))
        stats = window.ticker(window_open_ms(length_ms, now_ms), now_ms)
        return None if stats is None else wire.rolling_ticker(symbol, size, stats, now_ms)
