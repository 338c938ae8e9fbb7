"""A recording as a live market: its messages come again, at their time and byte for byte."""

from __future__ import annotations

import logging
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from engine.market.interval import INTERVALS, MINUTE_MS
from engine.simulator.pump import Pump
from engine.simulator.recording import Line, merged
from engine.simulator.replay_parts import Pacer
from engine.simulator.replay_past import past_of, trade_of
from engine.simulator.replay_payloads import decode_depth, decode_top
from engine.simulator.replay_scan import kind_of, symbol_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from engine.market.candle import Candle
    from engine.market.interval import Interval
    from engine.market.symbol import SymbolInfo
    from engine.market.trade import Trade
    from engine.simulator.exchange import Exchange
    from engine.simulator.replay_payloads import DepthPayload, SnapshotPayload
    from engine.simulator.replay_scan import RecordingFacts

_logger = logging.getLogger(__name__)

_DIFFS = ("depth@100ms", "depth")


class RecordingSource:
    """Plays a recording from its beginning or a time in it, which waits for the first subscriber.

    The exchange's clock is the recorder's, corrected by the least delayed message (the largest
    difference between event time and receipt time), so no event comes before its own event time.

    The book is the recorded snapshot from the start on, as if it had been asked for at once: a
    client that follows the procedure of 2025-11-12 waits until the diffs reach it. Diffs that
    it holds already are passed on and change nothing; where diffs are missing, the next recorded
    snapshot takes over, and without one the market has no book any more.

    Candles follow from the recorded trades, from the first minute that lies wholly inside the
    recording; streams that the recording holds are passed on and never derived. What lies before
    `begin_ms` is history: nobody sees its messages, but book, candles and tape hold them.

    Args:
        facts: What a pass over the recording found.
        begin_ms: Exchange time at which the live part starts; None for the recording's beginning.

    Attributes:
        start_ms: Exchange time at which the live part starts.
        made_up: Nothing.
        recorded_streams: Names of the streams in the recording.
        whole_from_ms: Open time of the first whole minute.
        finest: One second.
        notes: What is to be said about the files before they are played, in sentences.
    """

    def __init__(self, facts: RecordingFacts, begin_ms: int | None = None) -> None:
        self.start_ms = facts.start_ms if begin_ms is None else begin_ms
        self.made_up: frozenset[str] = frozenset()
        self.recorded_streams = frozenset(facts.streams)
        self.whole_from_ms = facts.whole_from_ms
        self.finest: Interval = INTERVALS["1s"]
        self.notes = facts.notes
        self._facts = facts
        self._past = past_of(facts, self.start_ms)
        self._playing: dict[Exchange, tuple[dict[str, _Feed], Iterator[Line]]] = {}

    def symbols(self) -> Sequence[SymbolInfo]:
        """Return the recorded markets."""
        return [self._facts.info(name) for name in self._facts.markets]

    def history(
        self, symbol: str, interval: Interval, start_ms: int | None, end_ms: int, limit: int
    ) -> list[Candle]:
        """Return what the recording tells of the time before the start."""
        return self._past.candles(self._facts, symbol, interval, start_ms, end_ms, limit)

    def recent_trades(self, symbol: str, limit: int) -> list[Trade]:
        """Return the newest recorded trades before the start's minute, oldest first."""
        return list(self._past.trades.get(symbol, ()))[-limit:]

    def start(self, exchange: Exchange) -> None:
        """Bring books, tops and the open minute up to the start, without a word to anybody."""
        facts = self._facts
        feeds = {name: _Feed(exchange, facts, name) for name in facts.markets}
        lines = (
            line for line in merged(facts.paths) if isinstance(line, Line) and line.kind == "stream"
        )
        first: list[Line] = []
        for line in lines:
            if facts.time_ms(line.receipt_ns) >= self.start_ms:
                first.append(line)
                break
            symbol = symbol_of(line.name)
            if symbol:
                feeds[symbol].catch_up(line, self.start_ms // MINUTE_MS * MINUTE_MS)
        for feed in feeds.values():
            feed.caught_up()
        self._playing[exchange] = feeds, chain(first, lines)

    async def run(self, exchange: Exchange) -> None:
        """Play every message once, in order, and at the end what the open candles have become."""
        facts = self._facts
        feeds, lines = self._playing.pop(exchange)
        pacer = Pacer(exchange)
        await pacer.begin(waits=True)
        now_ms = self.start_ms
        for line in lines:
            now_ms = max(now_ms, facts.time_ms(line.receipt_ns))
            await pacer.until(now_ms)
            exchange.advance(self._over_ms(now_ms, line.receipt_ns))
            symbol = symbol_of(line.name)
            if symbol:
                feeds[symbol].take(line)
            else:
                exchange.verbatim(line.name, line.payload)
        exchange.advance(max(now_ms, facts.end_ms))
        last = Pump(exchange)
        last.push_candles(seconds=False)
        last.push_tickers()

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
        self._last_trade_id = -1
        self._last_top: Line | None = None
        self._give_candles(facts)
        exchange.load_book(symbol, 0, [], [])
        if self._snapshots:
            self._load(self._snapshots.pop(0))

    def _give_candles(self, facts: RecordingFacts) -> None:
        closed = facts.markets[self._symbol].closed
        for interval, candle in closed:
            self._exchange.candle(self._symbol, candle, interval)
        minutes = [candle for interval, candle in closed if interval == "1m"]
        if minutes:
            first = min(minutes, key=lambda candle: candle.open_time_ms)
            self._exchange.states[self._symbol].begin(self._exchange.now_ms, first.open)

    def catch_up(self, line: Line, minute_ms: int) -> None:
        """Let a message from before the start, whose minute began at `minute_ms`, do its work."""
        taker = self._takers.get(kind_of(line.name))
        if taker == self._top:
            self._last_top = line
        elif taker == self._depth:
            self.take(line)
        elif taker == self._trade:
            trade, _ = trade_of(line)
            if trade.time_ms >= minute_ms:
                self.take(line)

    def caught_up(self) -> None:
        """Show the last top of book from before the start."""
        if self._last_top is not None:
            self.take(self._last_top)

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
        trade, count = trade_of(line)
        # While one connection replaces another, a recorder hears everything twice.
        if trade.trade_id > self._last_trade_id:
            self._last_trade_id = trade.trade_id
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
