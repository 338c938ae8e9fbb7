"""The core of the simulated exchange: events of a source in, streams and REST answers out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.market.interval import INTERVALS, MINUTE_MS
from engine.simulator import wire
from engine.simulator.faults import Faults
from engine.simulator.hub import Hub
from engine.simulator.kline_pushes import KlinePushes
from engine.simulator.market_state import MarketState
from engine.simulator.protocol.zones import is_made_of, streamed_intervals
from engine.simulator.rest_candles import prepare, rest_candles
from engine.simulator.source import ListsLater
from engine.simulator.streams import canonical, parse_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from engine.market.book import Level
    from engine.market.candle import Candle
    from engine.market.interval import Interval
    from engine.market.symbol import SymbolInfo
    from engine.market.trade import Trade
    from engine.simulator.clock import ExchangeClock
    from engine.simulator.market_state import Aggregate
    from engine.simulator.source import Source

_ROOM_BYTES = 1 << 20
_LONGER = tuple(interval for interval in streamed_intervals() if interval.name not in ("1s", "1m"))


class Exchange:
    """Clock, markets and stream subscriptions; fed by one `Source`.

    Attributes:
        source: What feeds it.
        clock: The exchange's clock.
        faults: Switches that make it misbehave.
        hub: Stream subscriptions.
        infos: SymbolInfo by symbol.
        states: MarketState by symbol.
        made_up: What of the source is not real (`source.made_up`).
        catch_up: A source that can emit at once whatever is due may set this to a function; it is
            called before REST answers, so that they are exact at the clock's time.
        settle_book: A source that lets books rest while nobody listens to them may set this; it is
            called with a symbol before its book is shown.
        has_ended: Whether the source had nothing left.
    """

    def __init__(self, source: Source, clock: ExchangeClock) -> None:
        self.source = source
        self.clock = clock
        self.faults = Faults(self)
        self.hub = Hub(self.faults)
        self.infos: dict[str, SymbolInfo] = {info.name: info for info in source.symbols()}
        self.states = {
            name: MarketState(info, source, source.start_ms) for name, info in self.infos.items()
        }
        self.made_up = source.made_up
        self.catch_up: Callable[[], None] = _nothing
        self.settle_book: Callable[[str], None] = _nothing_of
        self.has_ended = False
        self._stems = {name: name.lower() for name in self.infos}
        self._recorded = source.recorded_streams
        self._finest_ms = source.finest.length_ms
        self._klines = KlinePushes(self.hub, self.faults.klines)
        self._now_ms = source.start_ms
        self._second = 0
        self._minute_end_ms = source.start_ms // MINUTE_MS * MINUTE_MS + MINUTE_MS

    @property
    def now_ms(self) -> int:
        """Exchange time up to which every event has been given (the last `advance`)."""
        return self._now_ms

    def load(self) -> None:
        """Fetch from the source what precedes the start; call it once, before anything else."""
        for state in self.states.values():
            state.load()

    async def subscribed(self) -> None:
        """Wait until anybody has subscribed to a stream."""
        await self.hub.first_subscription.wait()

    async def room(self) -> None:
        """Wait until every subscriber has read most of what it was sent."""
        while any(  # noqa: ASYNC110 - a transport tells nobody when its buffer drains
            peer.backlog_bytes > _ROOM_BYTES for peer in self.faults.connections
        ):
            await asyncio.sleep(0.001)

    def wants_book(self, symbol: str) -> bool:
        """Tell whether anybody listens to something that needs this market's book."""
        return self.hub.wants_book(self._stems[symbol])

    def derives(self, stream: str) -> bool:
        """Tell whether somebody wants `stream` and the source does not send it itself."""
        return self.hub.wants(stream) and canonical(stream) not in self._recorded

    # -- events from the source -----------------------------------------------------------------

    def trade(self, symbol: str, trade: Trade, *, count: int = 1) -> None:
        """Take one trade: candles, ticker, `trade` and `aggTrade` streams follow from it.

        A trade of a later minute closes the minutes before it, of all markets.

        Args:
            symbol: The market.
            trade: The trade.
            count: For how many trades it stands; its id is the last of theirs.
        """
        time_ms = trade.time_ms
        if time_ms >= self._minute_end_ms:
            self.advance(time_ms - time_ms % MINUTE_MS)
        state = self.states[symbol]
        self._now_ms = event_ms = max(time_ms, self._now_ms)
        if state.is_halted:
            return
        self._roll_seconds(symbol, state, time_ms)
        finished = state.add(trade, count)
        name = f"{self._stems[symbol]}@trade"
        if self.derives(name):
            self.hub.publish(name, wire.trade(symbol, trade, event_ms))
        if finished is not None:
            self._publish_aggregate(symbol, finished)

    def depth(self, symbol: str, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Change levels of the book at once (absolute quantities, 0 removes).

        One call is one update id. Changes go out as diffs every 100 ms of wall-clock time with
        honest U and u; `bookTicker` goes out at once when the top changes.
        """
        state = self.states[symbol]
        book = state.book
        update_id = book.last_update_id + 1
        bids, asks = list(bids), list(asks)
        book.apply(update_id, bids, asks)
        book.fast.add(update_id, update_id, bids, asks)
        book.slow.add(update_id, update_id, bids, asks)
        if state.derives_top:
            self._publish_top(symbol, state)

    def load_book(
        self, symbol: str, last_update_id: int, bids: Iterable[Level], asks: Iterable[Level]
    ) -> None:
        """Set the whole book, as from a recorded snapshot; nothing is streamed."""
        book = self.states[symbol].book
        book.load(last_update_id, bids, asks)
        book.fast.take()
        book.slow.take()

    def depth_recorded(
        self,
        symbol: str,
        first_update_id: int,
        last_update_id: int,
        bids: Iterable[Level],
        asks: Iterable[Level],
        *,
        event_time_ms: int,
        payload: bytes | None = None,
    ) -> None:
        """Take a recorded diff with its own ids and send it at once on `depth@100ms`.

        Args:
            symbol: The market.
            first_update_id: The wire's U.
            last_update_id: The wire's u.
            bids: Absolute quantities; 0 removes.
            asks: Absolute quantities; 0 removes.
            event_time_ms: The wire's E.
            payload: The recorded JSON object, sent verbatim; without it one is written.
        """
        state = self.states[symbol]
        bids, asks = list(bids), list(asks)
        state.book.apply(last_update_id, bids, asks)
        state.book.slow.add(first_update_id, last_update_id, bids, asks)
        if payload is None:
            payload = wire.depth_update(
                symbol, first_update_id, last_update_id, bids, asks, event_time_ms
            )
        self._publish_diff(f"{self._stems[symbol]}@depth@100ms", payload)
        if state.derives_top:
            self._publish_top(symbol, state)

    def book_ticker(
        self,
        symbol: str,
        update_id: int,
        bid: Level,
        ask: Level,
        *,
        payload: bytes | None = None,
    ) -> None:
        """Send a recorded top of book; from then on the exchange derives none for `symbol`."""
        state = self.states[symbol]
        state.derives_top = False
        state.sent_top = (*bid, *ask)
        name = f"{self._stems[symbol]}@bookTicker"
        if self.hub.wants(name):
            self.hub.publish(name, payload or wire.book_ticker(symbol, update_id, state.sent_top))

    def candle(self, symbol: str, candle: Candle, interval: str = "1m") -> None:
        """Give the true closed candle of a live interval, to stand above what trades add up to.

        Call it before the `advance` that passes the candle's close time.
        """
        self.states[symbol].give(candle, interval)

    def verbatim(self, stream: str, payload: bytes) -> None:
        """Send any JSON object to the subscribers of `stream`, and change no state."""
        self._klines.send_recorded(stream, payload, self._now_ms)

    def advance(self, time_ms: int) -> None:
        """State that every event up to `time_ms` was given: candles that are over close."""
        while self._minute_end_ms <= time_ms:
            boundary_ms = self._minute_end_ms
            self._now_ms = max(self._now_ms, boundary_ms)
            self._minute_end_ms += MINUTE_MS
            for symbol, state in self.states.items():
                self._roll_seconds(symbol, state, boundary_ms)
                minute = state.close_minute(boundary_ms)
                if minute is not None:
                    self._publish_candle(symbol, state.base, minute, boundary_ms)
                self._publish_longer(symbol, state, boundary_ms)
        if time_ms // 1000 > self._second:
            self._second = time_ms // 1000
            for symbol, state in self.states.items():
                self._roll_seconds(symbol, state, time_ms)
        self._now_ms = max(self._now_ms, time_ms)
        self._klines.send_due(self._now_ms)

    # -- markets that come and go (see `Faults`) -----------------------------------------------

    def set_status(self, symbol: str, status: str) -> None:
        """Change a market's status; unless `TRADING` nothing happens on it."""
        self.catch_up()
        state = self.states[symbol]
        state.set_status(status, self._now_ms)
        if symbol in self.infos:
            self.infos[symbol] = state.info

    def list_symbol(self, info: SymbolInfo) -> None:
        """Add a market, from now on."""
        if info.name in self.states:
            raise ValueError(f"'{info.name}' is a market of this exchange already.")
        if not isinstance(self.source, ListsLater):
            raise ValueError("Only a generated market can list new symbols.")  # noqa: TRY004
        self.catch_up()
        listed = self.source.list_symbol(self, info)
        self.states[info.name] = MarketState(listed, self.source, self._now_ms, has_past=False)
        self.infos[info.name] = listed
        self._stems[info.name] = info.name.lower()
        self.source.start_symbol(self, info.name)

    def delist(self, symbol: str) -> None:
        """Stop a market and show it no more; its record stays in `states`."""
        self.set_status(symbol, "BREAK")
        del self.infos[symbol]

    # -- what REST shows ---------------------------------------------------------------------

    async def candles(
        self,
        symbol: str,
        interval: Interval,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
        *,
        is_first: bool = False,
    ) -> list[Candle]:
        """Return candles as REST klines does (times inclusive), the open one as last row.

        The source's history is read in a worker thread.

        Args:
            symbol: A market of this exchange.
            interval: Any interval.
            start_ms: First open time; the oldest `limit` rows from there on are returned.
            end_ms: Last open time; without a start the newest `limit` rows up to it are returned.
            limit: Most rows.
            is_first: As they were when they had closed, not as faults have rewritten them since.
        """
        if interval.length_ms < self._finest_ms:
            return []
        state = self.states[symbol]
        rows = await rest_candles(
            self.source, state, interval, start_ms, end_ms, limit, self._now_ms
        )
        return self.faults.klines.rewritten(symbol, interval.name, rows, is_first=is_first)

    async def warm(self, stream: str) -> None:
        """Fetch in a worker thread what a kline stream's open candle needs of history."""
        name = parse_stream(stream)
        if name is None or name.interval is None or name.symbol not in self.states:
            return
        if is_made_of(name.interval, self.source.finest):
            await prepare(self.states[name.symbol], name.interval)

    def snapshot(self, symbol: str, limit: int) -> tuple[int, list[Level], list[Level]]:
        """Return last update id, bids and asks (best first, at most `limit` a side)."""
        self.settle_book(symbol)
        book = self.states[symbol].book
        return book.last_update_id, book.bids(limit), book.asks(limit)

    # -- pushes --------------------------------------------------------------------------------

    def push_diff(self, symbol: str, *, fast: bool) -> None:
        """Send the pending changes of the book on `depth@100ms` (`fast`) or `depth`."""
        state = self.states[symbol]
        if state.is_halted:
            return
        book = state.book
        taken = (book.fast if fast else book.slow).take()
        name = f"{self._stems[symbol]}@depth{'@100ms' if fast else ''}"
        if taken is not None and self.derives(name):
            self._publish_diff(name, wire.depth_update(symbol, *taken, self._now_ms))

    def push_candle(self, symbol: str, interval: Interval) -> None:
        """Send the open candle of one kline stream."""
        if not self._streams(f"{self._stems[symbol]}@kline_{interval.name}", interval):
            return
        candle = self.states[symbol].open_candle(interval)
        if candle is not None:
            self._publish_candle(symbol, interval, candle, self._now_ms)

    def _publish_diff(self, name: str, payload: bytes) -> None:
        if self.hub.wants(name):
            for diff in self.faults.diffs_to_send(name, payload):
                self.hub.publish(name, diff)

    def _publish_top(self, symbol: str, state: MarketState) -> None:
        top = state.book.top()
        if state.is_halted or top is None or top == state.sent_top:
            return
        state.sent_top = top
        name = f"{self._stems[symbol]}@bookTicker"
        if self.derives(name):
            self.hub.publish(name, wire.book_ticker(symbol, state.book.last_update_id, top))

    def _publish_aggregate(self, symbol: str, aggregate: Aggregate) -> None:
        name = f"{self._stems[symbol]}@aggTrade"
        if self.derives(name):
            self.hub.publish(name, wire.agg_trade(symbol, *aggregate, self._now_ms))

    def _publish_longer(self, symbol: str, state: MarketState, boundary_ms: int) -> None:
        for interval in _LONGER:
            name = f"{self._stems[symbol]}@kline_{interval.name}"
            if interval.length_ms <= state.base.length_ms or not self._streams(name, interval):
                continue
            if interval.is_aligned(boundary_ms):
                candle = state.closing_candle(interval, boundary_ms)
                if candle is not None:
                    self._publish_candle(symbol, interval, candle, boundary_ms)

    def _streams(self, name: str, interval: Interval) -> bool:
        return self.derives(name) and is_made_of(interval, self.source.finest)

    def _publish_candle(
        self, symbol: str, interval: Interval, candle: Candle, event_time_ms: int
    ) -> None:
        name = f"{self._stems[symbol]}@kline_{interval.name}"
        if not self._streams(name, interval):
            return
        last = self.states[symbol].last_trade
        last_id = last.trade_id if last else -1
        self._klines.send(symbol, interval, candle, last_id, event_time_ms)

    def _roll_seconds(self, symbol: str, state: MarketState, time_ms: int) -> None:
        for candle in state.roll_seconds(time_ms):
            self._publish_candle(symbol, INTERVALS["1s"], candle, candle.open_time_ms + 1000)


def _nothing() -> None:
    pass


def _nothing_of(_: str) -> None:
    pass
