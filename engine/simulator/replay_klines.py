"""A kline file as a live market: its rows become live candles, with made-up trades and book."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from engine.market.trade import Trade
from engine.simulator.replay_book import MadeUpBook
from engine.simulator.replay_fills import derive_fills
from engine.simulator.replay_parts import Pacer
from engine.simulator.source import BOOK, TRADES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.market.candle import Candle
    from engine.market.interval import Interval
    from engine.market.symbol import SymbolInfo
    from engine.simulator.exchange import Exchange
    from engine.simulator.kline_file import KlineHistory
    from engine.simulator.replay_fills import Fill

_TRADES_PER_WALL_S = 200
_FEWEST_TRADES = 10
_MOST_TRADES = 1500
_USUAL_LEVELS = 5  # a book level holds so many usual trades


class KlineFileSource:
    """Plays kline files from `start_ms`; what lies before is history.

    Attributes:
        start_ms: Open time of the first candle that is played, or the files' end.
        made_up: Trades and book: neither comes from the file.
        recorded_streams: None.
        whole_from_ms: Open time of the files' first candle.
        finest: The files' interval; finer candles do not exist.
    """

    def __init__(self, histories: Sequence[KlineHistory], start_ms: int) -> None:
        self.start_ms = start_ms
        self.made_up = frozenset({TRADES, BOOK})
        self.recorded_streams: frozenset[str] = frozenset()
        self.whole_from_ms = min(history.first_ms for history in histories)
        self.finest: Interval = histories[0].interval
        self._histories = {history.info.name: history for history in histories}
        self._books = {
            history.info.name: MadeUpBook(
                history.info.price_decimals, history.info.quantity_decimals, history.first_ms
            )
            for history in histories
        }

    def symbols(self) -> Sequence[SymbolInfo]:
        """Return the markets, one per symbol in the files' names."""
        return [history.info for history in self._histories.values()]

    def history(
        self, symbol: str, interval: Interval, start_ms: int | None, end_ms: int, limit: int
    ) -> list[Candle]:
        """Return the files' rows before the start, or longer candles joined from them."""
        return self._histories[symbol].whole(
            interval, start_ms, end_ms, limit, over_by_ms=self.start_ms
        )

    def recent_trades(self, symbol: str, limit: int) -> list[Trade]:
        """Return made-up trades of the last candle before the start."""
        history = self._histories[symbol]
        index = history.index(self.start_ms) - 1
        if index < 0:
            return []
        return [trade for trade, _ in self._trades(history, index, limit)][-limit:]

    async def run(self, exchange: Exchange) -> None:
        """Play candle after candle; none is left out, however fast the clock runs."""
        pacer = Pacer(exchange)
        await pacer.begin(waits=False)
        at_most = self._trades_per_candle(exchange.clock.speed)
        self._load_books(exchange)
        times = {
            candle.open_time_ms
            for history in self._histories.values()
            for candle in history.candles[history.index(self.start_ms) :]
        }
        for open_time_ms in sorted(times):
            await self._play(exchange, pacer, open_time_ms, at_most)

    async def _play(
        self, exchange: Exchange, pacer: Pacer, open_time_ms: int, at_most: int
    ) -> None:
        rows = [
            (history, index)
            for history in self._histories.values()
            if (index := history.index(open_time_ms)) < len(history.candles)
            and history.candles[index].open_time_ms == open_time_ms
        ]
        events = [
            (trade.time_ms, history, index, trade, count)
            for history, index in rows
            for trade, count in self._trades(history, index, at_most)
        ]
        events.sort(key=lambda event: event[0])
        for time_ms, history, index, trade, count in events:
            await pacer.until(time_ms)
            exchange.trade(history.info.name, trade, count=count)
            bids, asks = self._books[history.info.name].move(
                trade.price, _usual_size(history.candles[index]), sold=trade.buyer_is_maker
            )
            exchange.depth(history.info.name, bids, asks)
            exchange.advance(time_ms)
        end_ms = self.finest.next(open_time_ms)
        await pacer.until(end_ms)
        for history, index in rows:
            exchange.candle(history.info.name, history.candles[index], self.finest.name)
        exchange.advance(end_ms)

    def _load_books(self, exchange: Exchange) -> None:
        for name, history in self._histories.items():
            index = min(history.index(self.start_ms), len(history.candles) - 1)
            candle = history.candles[index]
            bids, asks = self._books[name].move(candle.open, _usual_size(candle), sold=False)
            exchange.load_book(name, history.ids_before[index] + 1, bids, asks)

    def _trades(self, history: KlineHistory, index: int, at_most: int) -> list[tuple[Trade, int]]:
        candle = history.candles[index]
        fills = derive_fills(
            candle,
            history.interval.next(candle.open_time_ms) - candle.open_time_ms,
            price_decimals=history.info.price_decimals,
            quantity_decimals=history.info.quantity_decimals,
            at_most=at_most,
        )
        return _numbered(fills, candle.open_time_ms, history.ids_before[index])

    def _trades_per_candle(self, speed: float) -> int:
        if math.isinf(speed):
            return _FEWEST_TRADES
        wall_s = self.finest.length_ms / 1000 / speed
        share = int(_TRADES_PER_WALL_S * wall_s / len(self._histories))
        return min(max(share, _FEWEST_TRADES), _MOST_TRADES)


def _usual_size(candle: Candle) -> float:
    return candle.volume / max(candle.trades or 1, 1) * _USUAL_LEVELS


def _numbered(fills: Sequence[Fill], open_time_ms: int, last_id: int) -> list[tuple[Trade, int]]:
    """Give trades consecutive ids; one that stands for several bears the last of theirs."""
    trades = []
    for fill in fills:
        last_id += fill.trades
        time_ms = open_time_ms + fill.offset_ms
        trades.append(
            (
                Trade(last_id, time_ms, fill.price, fill.quantity, fill.buyer_is_maker),
                fill.trades,
            )
        )
    return trades
