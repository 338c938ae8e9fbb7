"""Faults that a test, a script or a user can switch on while the simulated exchange runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from engine.simulator.fault_klines import Fate, KlineFaults
from engine.simulator.fault_rest import RestFaults

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.market.symbol import SymbolInfo
    from engine.simulator.connection import Connection


class Faulty(Protocol):
    """The exchange, as far as its faults change it."""

    @property
    def now_ms(self) -> int:
        """Exchange time."""
        ...

    def set_status(self, symbol: str, status: str) -> None:
        """See `Faults.set_status`."""
        ...

    def list_symbol(self, info: SymbolInfo) -> None:
        """See `Faults.list_symbol`."""
        ...

    def delist(self, symbol: str) -> None:
        """See `Faults.delist`."""
        ...


@dataclass(slots=True)
class Faults:
    """Switches of one running exchange; all off at first.

    Times called seconds are wall-clock time, as for everything that concerns connections; times
    in ms are exchange time. A symbol or interval `*` means any.

    Attributes:
        silent: Streams send nothing, but connections live on and pings are sent.
        drop_depth: So many of the next depth diffs (all markets) are lost.
        duplicate_depth: So many of the next depth diffs are sent twice.
        reorder_depth: So many of the next depth diffs are sent after the one that follows them.
        stale_snapshots: REST depth answers with each market's first snapshot since the switch.
        rest_status: REST answers with this HTTP status and an HTML body; None for honest answers.
        connections: The WebSocket connections that are open.
        rest: Wrong REST answers that wait.
        klines: What happens to candles.
        connects: WebSocket connects accepted since the start.
    """

    exchange: Faulty
    silent: bool = False
    drop_depth: int = 0
    duplicate_depth: int = 0
    reorder_depth: int = 0
    stale_snapshots: bool = False
    rest_status: int | None = None
    connections: set[Connection] = field(default_factory=set)
    rest: RestFaults = field(default_factory=RestFaults)
    klines: KlineFaults = field(default_factory=KlineFaults)
    connects: int = 0
    _refuse_until_s: float = 0.0
    _refusal: int = 503
    _stall_until_s: float = 0.0
    _held_diffs: dict[str, bytes] = field(default_factory=dict)

    # -- connections -----------------------------------------------------------------------------

    def refuse_connections(self, seconds: float, status: int = 503) -> None:
        """Answer WebSocket connects with `status` for `seconds` of wall-clock time; 0 ends it."""
        self._refuse_until_s = time.monotonic() + seconds
        self._refusal = status

    @property
    def refusal(self) -> int | None:
        """The HTTP status that WebSocket connects are refused with now; None lets them in."""
        return self._refusal if time.monotonic() < self._refuse_until_s else None

    def stall(self, seconds: float) -> None:
        """Hold every outgoing frame back for `seconds`; then all that was held goes out at once."""
        self._stall_until_s = time.monotonic() + seconds

    @property
    def stalled_s(self) -> float:
        """Seconds for which frames are still held back; 0 when they flow."""
        return max(0.0, self._stall_until_s - time.monotonic())

    def drop_connections(self) -> int:
        """Cut every WebSocket connection without a close frame; return how many."""
        dropped = list(self.connections)
        for connection in dropped:
            connection.abort()
        return len(dropped)

    def close_connections(self, code: int, unread: int = 0) -> int:
        """Close every connection with `code`; return how many.

        Args:
            code: Of the close frame, such as 1000, 1001 or 1008.
            unread: So many frames are held back first and go out in one write with the close frame.
        """
        closed = list(self.connections)
        for connection in closed:
            connection.close_after(code, unread)
        return len(closed)

    def reset_mid_frame(self) -> int:
        """Send half of a frame on every connection, then a TCP reset; return how many."""
        reset = list(self.connections)
        for connection in reset:
            connection.reset_mid_frame()
        return len(reset)

    def send_raw(self, content: str | bytes, count: int = 1, *, as_text: bool = False) -> None:
        """Send a frame with this content on every connection, `count` times.

        Args:
            content: Text goes as a text frame, bytes as a binary one.
            count: How often.
            as_text: Bytes go as a text frame, whether they are UTF-8 or not.
        """
        for connection in list(self.connections):
            for _ in range(count):
                connection.send_raw(content, as_text=as_text)

    def shutdown_notice(self) -> None:
        """Send `serverShutdown` on every connection (pushed by the exchange since 2026-05-08)."""
        now_ms = self.exchange.now_ms
        for connection in list(self.connections):
            time = now_ms * 1000 if connection.in_microseconds else now_ms
            payload = f'{{"e":"serverShutdown","E":{time}}}'
            wrapped = f'{{"stream":"!serverShutdown","data":{payload}}}'
            connection.send_raw(wrapped if connection.combined else payload)

    # -- REST ------------------------------------------------------------------------------------

    def rest_answer(
        self,
        status: int,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        count: int | None = None,
        paths: tuple[str, ...] = (),
    ) -> None:
        """Answer the next REST requests wrongly; several calls form a row.

        Args:
            status: HTTP status; 200 with a body is a lie.
            body: What it says; without it what the exchange writes with that status.
            headers: Such as `{"Retry-After": "30"}`.
            count: So many requests; None until `clear_rest`.
            paths: Only these, such as `("klines",)`; empty for all.
        """
        self.rest.add(status, body=body, headers=headers, count=count, paths=paths)

    def clear_rest(self) -> None:
        """Answer REST requests honestly from now on."""
        self.rest.clear()
        self.rest_status = None

    # -- candles ---------------------------------------------------------------------------------

    def hide_klines(
        self, symbol: str, interval: str, from_ms: int, to_ms: int, *, push: bool = True
    ) -> None:
        """Let REST answer without candles that open in [from_ms, to_ms), until `show_klines`.

        The exchange's own record still has them.

        Args:
            symbol: One market, or `*`.
            interval: One interval, or `*`.
            from_ms: First open time.
            to_ms: End of the open times, exclusive.
            push: False to send no pushes of them either.
        """
        self.klines.hide(symbol, interval, from_ms, to_ms, push=push)

    def show_klines(self) -> None:
        """Let REST show every candle again."""
        self.klines.show()

    def skip_close(self, symbol: str, interval: str, count: int = 1) -> None:
        """Lose the next `count` closing pushes of a series; REST has the candles."""
        self.klines.plan(symbol, interval, count, Fate(is_lost=True))

    def repeat_close(
        self,
        symbol: str,
        interval: str,
        count: int = 1,
        change: Mapping[str, Any] | None = None,
    ) -> None:
        """Send the next `count` closing pushes twice.

        Args:
            symbol: One market, or `*`.
            interval: One interval, or `*`.
            count: How many closes.
            change: Values of the second push, by field of a candle (`{"close": 1.0}`); from then
                on they are the exchange's record, too.

        Raises:
            ValueError: for a field that a candle does not have.
        """
        self.klines.plan(symbol, interval, count, Fate(is_repeated=True, change=change))

    def late_close(self, symbol: str, interval: str, count: int = 1, by_ms: int = 2400) -> None:
        """Send the next `count` closing pushes `by_ms` of exchange time late."""
        self.klines.plan(symbol, interval, count, Fate(late_ms=by_ms))

    def rewrite_kline(self, symbol: str, interval: str, open_time_ms: int, **values: Any) -> None:
        """Change a candle in the exchange's record (and so in REST's history) from now on.

        Args:
            symbol: The market, or `*`.
            interval: The interval; others are not made anew.
            open_time_ms: Which candle.
            values: By field of a candle, such as `close=1.0, trades=7`.

        Raises:
            ValueError: for a field that a candle does not have.
        """
        self.klines.rewrite(symbol, interval, open_time_ms, values)

    # -- markets ---------------------------------------------------------------------------------

    def set_status(self, symbol: str, status: str) -> None:
        """Change a market's status; unless `TRADING` it has no trades, candles or pushes.

        The minute in which it stops keeps its candle; later ones do not exist.

        Raises:
            KeyError: for a market that this exchange does not have.
        """
        self.exchange.set_status(symbol, status)

    def list_symbol(self, info: SymbolInfo) -> None:
        """List a new market from now on; only a generated market can.

        Name and status count; steps follow from the name.

        Raises:
            ValueError: for a name that is taken or can not be a market, or another source.
        """
        self.exchange.list_symbol(info)

    def delist(self, symbol: str) -> None:
        """Stop a market and take it out of everything that REST shows (error -1121).

        Raises:
            KeyError: for a market that this exchange does not have.
        """
        self.exchange.delist(symbol)

    # -- depth -----------------------------------------------------------------------------------

    def diffs_to_send(self, stream: str, payload: bytes) -> list[bytes]:
        """Return what goes out in place of one depth diff; counts the switches down."""
        if self.drop_depth > 0:
            self.drop_depth -= 1
            return []
        held = self._held_diffs.pop(stream, None)
        if held is not None:
            return [payload, held]
        if self.reorder_depth > 0:
            self.reorder_depth -= 1
            self._held_diffs[stream] = payload
            return []
        if self.duplicate_depth > 0:
            self.duplicate_depth -= 1
            return [payload, payload]
        return [payload]
