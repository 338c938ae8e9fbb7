"""Supervisor, REST and books together against the simulated exchange and its faults."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from engine.binance import stream_names
from engine.binance.book_feed import BookFeed
from engine.binance.clock import ExchangeClock
from engine.binance.depth_sync import BookState
from engine.binance.events import DepthEvent, KlineEvent, TradeEvent
from engine.binance.rest import RestClient, UnknownSymbol
from engine.binance.stream_types import StreamLimits
from engine.binance.supervisor import StreamSupervisor
from engine.simulator.generated import GeneratedMarket
from engine.simulator.server import serve

START_MS = 1_795_000_012_345
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
MINUTE_MS = 60_000
SHUTDOWN = b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1795000012345}}'


class Desk:
    """A small collector: books, closed candles and trades of what the wire delivers."""

    def __init__(self, running, speed):
        self.exchange = running.exchange
        self.rest = RestClient(running.rest_url)
        self.clock = ExchangeClock(speed)
        self.late_ms = []
        self.books = {name: BookFeed(self.rest, name, self._check) for name in SYMBOLS}
        self.candles = {name: {} for name in SYMBOLS}
        self.trades = {name: [] for name in SYMBOLS}
        self.gaps = []
        self.bad = []
        self.compared = 0
        self.supervisor = StreamSupervisor(
            running.stream_url,
            on_event=self._on_event,
            on_gap=self._on_gap,
            on_bad=lambda reason, raw: self.bad.append((reason, raw)),
            limits=StreamLimits(backoff_first_s=0.05, overlap_s=0.2),
        )
        self.supervisor.want(
            name
            for symbol in SYMBOLS
            for name in (
                stream_names.kline(symbol, "1m"),
                stream_names.trade(symbol),
                stream_names.depth(symbol),
                stream_names.ticker(symbol),
            )
        )

    def _on_event(self, stream, event, receipt_ns):
        if isinstance(event, DepthEvent):
            self.books[event.symbol].feed(event, receipt_ns // 1_000_000)
        elif isinstance(event, KlineEvent):
            self.clock.observe(event.event_time_ms)
            self.late_ms.append(self.exchange.clock.now_ms() - event.event_time_ms)
            if event.candle.closed:
                self.candles[event.symbol][event.candle.open_time_ms] = event.candle
        elif isinstance(event, TradeEvent):
            self.trades[event.symbol].append(event.trade)

    def _on_gap(self, streams, reason):
        self.gaps.append((streams, reason))
        for symbol, feed in self.books.items():
            if stream_names.depth(symbol) in streams:
                feed.reset(reason)

    def _check(self, symbol):
        """Whenever ids agree the whole book must."""
        sync = self.books[symbol].sync
        true = self.exchange.states[symbol].book
        if sync.state is BookState.SYNCHRONISED and sync.book.last_update_id == true.last_update_id:
            top = sync.book.bids(20), sync.book.asks(20)
            assert top == (true.bids(20), true.asks(20))
            self.compared += 1

    @property
    def all_synchronised(self):
        return all(feed.sync.state is BookState.SYNCHRONISED for feed in self.books.values())


@asynccontextmanager
async def desk(speed=60.0):
    market = GeneratedMarket(7, SYMBOLS, start_ms=START_MS, history_days=2)
    async with serve(market, speed=speed) as running:
        made = Desk(running, speed)
        task = asyncio.create_task(made.supervisor.run())
        try:
            yield made, running
        finally:
            await made.supervisor.close()
            await task
            for feed in made.books.values():
                await feed.close()
            await made.rest.close()
            assert made.supervisor.stats.handler_failures == 0
            assert made.bad == []


async def test_market_comes_through_whole(kit):
    async with desk() as (made, _running):
        await kit.until(lambda: made.all_synchronised)
        await kit.until(lambda: all(len(found) >= 2 for found in made.candles.values()))
        assert made.supervisor.state.connection == "live"
        await kit.until(lambda: made.compared > 0)
        for symbol in SYMBOLS:
            ids = [trade.trade_id for trade in made.trades[symbol]]
            assert ids == list(range(ids[0], ids[0] + len(ids)))
            streamed = sorted(made.candles[symbol])
            by_rest = await made.rest.klines(
                symbol, "1m", start_ms=streamed[0], end_ms=streamed[-1]
            )
            assert by_rest == [made.candles[symbol][at] for at in streamed]
        before_ms = made.exchange.clock.now_ms()
        assert before_ms - max(made.late_ms) - 1 <= made.clock.now_ms()
        assert made.clock.now_ms() <= made.exchange.clock.now_ms() + 1
        assert made.supervisor.stats.unknown == 0


@pytest.mark.parametrize("fault", ["drop", "duplicate", "cut", "stale", "shutdown"])
async def test_books_come_back_after_each_fault(kit, fault):
    async with desk() as (made, running):
        await kit.until(lambda: made.all_synchronised)
        before = {symbol: feed.sync.resyncs for symbol, feed in made.books.items()}
        if fault == "drop":
            running.faults.drop_depth = 9
        elif fault == "duplicate":
            running.faults.duplicate_depth = 9
        elif fault == "stale":
            running.faults.stale_snapshots = True
            await made.rest.depth("BTCUSDT")
            running.faults.drop_depth = 9
        elif fault == "cut":
            running.faults.drop_connections()
        else:
            for connection in list(running.faults.connections):
                connection.send(b"\x81" + bytes([len(SHUTDOWN)]) + SHUTDOWN)
        if fault in ("drop", "stale", "cut"):
            await kit.until(lambda: any(f.sync.resyncs > before[s] for s, f in made.books.items()))
        if fault == "stale":
            await asyncio.sleep(0.3)
            running.faults.stale_snapshots = False
        if fault == "shutdown":
            await kit.until(lambda: made.supervisor.stats.renewals == 1)
        await kit.until(lambda: made.all_synchronised)
        compared = made.compared
        await kit.until(lambda: made.compared > compared + 3)
        if fault in ("duplicate", "shutdown"):
            assert {s: feed.sync.resyncs for s, feed in made.books.items()} == before


async def test_history_and_refusals_over_the_wire():
    async with desk() as (made, _):
        end_ms = START_MS // MINUTE_MS * MINUTE_MS
        start_ms = end_ms - 2000 * MINUTE_MS
        pages = [page async for page in made.rest.history("BTCUSDT", "1m", start_ms, end_ms)]
        opens = [candle.open_time_ms for page in pages for candle in page]
        assert opens == list(range(start_ms, end_ms, MINUTE_MS))
        assert [info.name for info in await made.rest.symbols()] == list(SYMBOLS)
        with pytest.raises(UnknownSymbol, match="'NOPEUSDT'"):
            await made.rest.symbols(["BTCUSDT", "NOPEUSDT"])
        with pytest.raises(UnknownSymbol, match="'NOPEUSDT'"):
            await made.rest.klines("NOPEUSDT", "1m")
        assert [t.symbol for t in await made.rest.tickers(["ETHUSDT"])] == ["ETHUSDT"]
        many = ["SOLUSDT", *(f"NO{number}USDT" for number in range(300)), "BTCUSDT"]
        assert {t.symbol for t in await made.rest.tickers(many)} == {"SOLUSDT", "BTCUSDT"}
        trades = await made.rest.trades("BTCUSDT", 50)
        assert [t.trade_id for t in trades] == sorted(t.trade_id for t in trades)
        used, limit = made.rest.budget.used
        assert 0 < used < limit == 6000
        assert abs(made.rest.last_time_answer[2] - time.monotonic()) < 60
