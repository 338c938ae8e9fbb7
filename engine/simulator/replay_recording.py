"""A recording as a live market: its messages come again, at their time and byte for byte."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from engine.market.interval import INTERVALS, MINUTE_MS
from engine.market.trade import Trade
from engine.simulator.recording import Unread, merged
from engine.simulator.replay_parts import Pacer
from engine.simulator.replay_payloads import decode_depth, decode_top, decode_trade
from engine.simulator.replay_scan import kind_of, symbol_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.market.candle import Candle
    from engine.market.interval import Interval
    from engine.market.symbol import SymbolInfo
    from engine.simulator.exchange import Exchange
    from engine.simulator.recording import Line
    from engine.simulator.replay_payloads import DepthPayload, SnapshotPayload
    from engine.simulator.replay_scan import RecordingFacts

_logger = logging.getLogger(__name__)

_DIFFS = ("depth@100ms", "depth")


class RecordingSource:
    """Plays a recording from its beginning, which waits for the first subscriber.

    The exchange's clock is the recorder's, corrected by the least delayed message (the largest
    difference between event time and receipt time), so no event comes before its own event time.

    The book is the recorded snapshot from the start on, as if it had been asked for at once: a
    client that follows the procedure of 2025-11-12 waits until the diffs reach it. Diffs that
    it holds already are passed on and change nothing; where diffs are missing, the next recorded
    snapshot takes over, and without one the market has no book any more.

    Candles follow from the recorded trades, from the first minute that lies wholly inside the
    recording; streams that the recording holds are passed on and never derived.

    Attributes:
        start_ms: Exchange time of the first message.
        made_up: Nothing.
        recorded_streams: Names of the streams in the recording.
        whole_from_ms: Open time of the first whole minute.
        finest: One second.
    """

    def __init__(self, facts: RecordingFacts) -> None:
        self.start_ms = facts.start_ms
        self.made_up: frozenset[str] = frozenset()
        self.recorded_streams = frozenset(facts.streams)
        self.whole_from_ms = facts.whole_from_ms
        self.finest: Interval = INTERVALS["1s"]
        self._facts = facts

    def symbols(self) -> Sequence[SymbolInfo]:
        """Return the recorded markets."""
        return [self._facts.info(name) for name in self._facts.markets]

    def history(
        self,
        symbol: str,  # noqa: ARG002
        interval: Interval,  # noqa: ARG002
        start_ms: int | None,  # noqa: ARG002
        end_ms: int,  # noqa: ARG002
        limit: int,  # noqa: ARG002
    ) -> list[Candle]:
        """Return nothing: a recording does not tell what was before it."""
        return []

    def recent_trades(self, symbol: str, limit: int) -> list[Trade]:  # noqa: ARG002
        """Return nothing: a recording does not tell what was before it."""
        return []

    async def run(self, exchange: Exchange) -> None:
        """Play every message once, in order."""
        facts = self._facts
        feeds = {name: _Feed(exchange, facts, name) for name in facts.markets}
        pacer = Pacer(exchange)
        await pacer.begin(waits=True)
        now_ms = facts.start_ms
        for line in merged(facts.paths):
            if isinstance(line, Unread) or line.kind == "exchangeInfo":
                continue
            now_ms = max(now_ms, facts.time_ms(line.receipt_ns))
            await pacer.until(now_ms)
            exchange.advance(self._over_ms(now_ms, line.receipt_ns))
            if line.kind == "stream":
                symbol = symbol_of(line.name)
                if symbol:
                    feeds[symbol].take(line)
                else:
                    exchange.verbatim(line.name, line.payload)
        exchange.advance(now_ms)

    def _over_ms(self, now_ms: int, receipt_ns: int) -> int:
        """Return up to when all is told: a minute waits for its trades that are still to come."""
        boundary_ms = now_ms // MINUTE_MS * MINUTE_MS
        late_ns = self._facts.late_ns.get(boundary_ms)
        return boundary_ms - 1 if late_ns is not None and receipt_ns <= late_ns else now_ms


class _Feed:
    """Gives the messages of one market to the exchange."""

    def __init__(self, exchange: Exchange, facts: RecordingFacts, symbol: str) -> None:
        self._exchange = exchange
        self._symbol = symbol
        stem = symbol.lower()
        self._snapshots: list[SnapshotPayload] = list(facts.markets[symbol].snapshots)
        self._book_id: int | None = None
        takers: dict[str, Callable[[Line], None]] = {}
        trades = next((k for k in ("trade", "aggTrade") if f"{stem}@{k}" in facts.streams), None)
        if trades is not None:
            takers[trades] = self._trade
        self._diffs = next((k for k in _DIFFS if f"{stem}@{k}" in facts.streams), None)
        if self._diffs is not None:
            takers[self._diffs] = self._depth
        takers["bookTicker"] = self._top
        self._takers = takers
        for interval, candle in facts.markets[symbol].closed:
            exchange.candle(symbol, candle, interval)
        exchange.load_book(symbol, 0, [], [])
        if self._snapshots:
            self._load(self._snapshots.pop(0))

    def take(self, line: Line) -> None:
        """Pass one message on; what it says about trades or book becomes the exchange's state."""
        taker = self._takers.get(kind_of(line.name))
        try:
            if taker is None:
                self._exchange.verbatim(line.name, line.payload)
            else:
                taker(line)
        except msgspec.DecodeError as error:
            _logger.warning("a message of %s is passed on unread: %s", line.name, error)
            self._exchange.verbatim(line.name, line.payload)

    def _trade(self, line: Line) -> None:
        payload = decode_trade(line.payload)
        trade_id, count = (
            (payload.t, 1) if payload.t >= 0 else (payload.l, payload.l - payload.f + 1)
        )
        trade = Trade(trade_id, payload.T, float(payload.p), float(payload.q), payload.m)
        self._exchange.trade(self._symbol, trade, count=count)
        self._exchange.verbatim(line.name, line.payload)

    def _top(self, line: Line) -> None:
        top = decode_top(line.payload)
        self._exchange.book_ticker(
            self._symbol,
            top.u,
            (float(top.b), float(top.B)),
            (float(top.a), float(top.A)),
            payload=line.payload,
        )

    def _depth(self, line: Line) -> None:
        diff = decode_depth(line.payload)
        verbatim = line.payload if self._diffs == _DIFFS[0] else None
        if verbatim is None:
            self._exchange.verbatim(line.name, line.payload)
        self._close_gap(diff)
        if self._book_id is None or diff.u <= self._book_id:
            if verbatim is not None:
                self._exchange.verbatim(line.name, verbatim)
            return
        self._book_id = diff.u
        self._exchange.depth_recorded(
            self._symbol, diff.U, diff.u, diff.b, diff.a, event_time_ms=diff.E, payload=verbatim
        )

    def _close_gap(self, diff: DepthPayload) -> None:
        """Where diffs are missing, go on from the next snapshot, or without a book."""
        if self._book_id is None or self._book_id + 1 >= diff.U:
            return
        while self._snapshots and self._snapshots[0].lastUpdateId < diff.U - 1:
            self._snapshots.pop(0)
        if self._snapshots:
            self._load(self._snapshots.pop(0))
        else:
            _logger.warning(
                "diffs of %s are missing before %d: no book any more", self._symbol, diff.U
            )
            self._book_id = None
            self._exchange.load_book(self._symbol, 0, [], [])

    def _load(self, snapshot: SnapshotPayload) -> None:
        self._book_id = snapshot.lastUpdateId
        self._exchange.load_book(self._symbol, snapshot.lastUpdateId, snapshot.bids, snapshot.asks)
