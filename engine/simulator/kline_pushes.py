"""Pushes of candles as they should be, or as faults have them: lost, late, repeated, changed."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from msgspec.structs import replace

from engine.simulator import wire
from engine.simulator.protocol.zones import told_name
from engine.simulator.replay_payloads import decode_kline
from engine.simulator.streams import parse_stream

if TYPE_CHECKING:
    from engine.market.candle import Candle
    from engine.market.interval import Interval
    from engine.simulator.fault_klines import Fate, KlineFaults
    from engine.simulator.hub import Hub


class KlinePushes:
    """Sends kline pushes by their fate, the late ones once exchange time has come.

    Args:
        hub: Where they go.
        faults: What decides their fate.
    """

    def __init__(self, hub: Hub, faults: KlineFaults) -> None:
        self._hub = hub
        self._faults = faults
        self._waiting: list[tuple[int, int, str, bytes]] = []
        self._count = 0

    def send(
        self,
        symbol: str,
        interval: Interval,
        candle: Candle,
        last_trade_id: int,
        event_time_ms: int,
    ) -> None:
        """Send one candle to whoever listens.

        Args:
            symbol: The market.
            interval: The candle's.
            candle: Open or closed.
            last_trade_id: Of the market; -1 before any trade.
            event_time_ms: The wire's E, which a late push moves.
        """
        stream = f"{symbol.lower()}@kline_{interval.name}"
        close_ms = interval.close_time(candle.open_time_ms)

        def written(value: Candle, time_ms: int) -> bytes:
            return wire.kline(symbol, told_name(interval), value, close_ms, last_trade_id, time_ms)

        if self._faults.is_idle:
            self._hub.publish(stream, written(candle, event_time_ms))
            return
        open_ms, closed = candle.open_time_ms, candle.closed
        fate = self._faults.fate(symbol, interval.name, open_ms, closed=closed)
        self._follow(stream, written(candle, event_time_ms + fate.late_ms), fate, event_time_ms)
        if fate.change:
            self._faults.change(symbol, interval.name, open_ms, fate.change)
            self._hub.publish(stream, written(replace(candle, **fate.change), event_time_ms))

    def send_recorded(self, stream: str, payload: bytes, now_ms: int) -> None:
        """Send a recorded message of any stream; faults concern those of candles."""
        name = None if self._faults.is_idle else parse_stream(stream)
        if name is None or name.interval is None:
            self._hub.publish(stream, payload)
            return
        body = decode_kline(payload).k
        fate = self._faults.fate(name.symbol, name.interval.name, body.t, closed=body.x)
        self._follow(stream, payload, fate, now_ms)

    def send_due(self, now_ms: int) -> None:
        """Send what is due at exchange time `now_ms`."""
        while self._waiting and self._waiting[0][0] <= now_ms:
            _, _, stream, payload = heapq.heappop(self._waiting)
            self._hub.publish(stream, payload)

    def _follow(self, stream: str, payload: bytes, fate: Fate, now_ms: int) -> None:
        if fate.is_lost:
            return
        if fate.late_ms:
            self._count += 1
            item = (now_ms + fate.late_ms, self._count, stream, payload)
            heapq.heappush(self._waiting, item)
            return
        self._hub.publish(stream, payload)
        if fate.is_repeated and not fate.change:
            self._hub.publish(stream, payload)
