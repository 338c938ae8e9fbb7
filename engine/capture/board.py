"""What the engine knows right now, for all who look: tickers, trades and candle series.

Every change takes the next number of one counter, the revision, so that a viewer can ask for what
changed since the frame it has.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from engine.capture.series import Series
from engine.market.interval import MINUTE_MS, parse_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from engine.market.candle import Candle
    from engine.market.symbol import SymbolInfo
    from engine.market.ticker import Ticker
    from engine.market.trade import Trade

TAPE_LENGTH = 500
SPARK_LENGTH = 60


class SymbolBoard:
    """The newest facts about one symbol."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.info: SymbolInfo | None = None
        self.ticker: Ticker | None = None
        self.last: float | None = None
        self.bid: float | None = None
        self.ask: float | None = None
        self.ticker_revision = 0
        self.book_revision = 0
        self.trades: deque[tuple[int, Trade]] = deque(maxlen=TAPE_LENGTH)
        self.trades_revision = 0
        self.trades_reset_revision = 0
        self._minute: deque[tuple[int, float, bool]] = deque()
        self._buy = 0.0
        self._sell = 0.0

    def flow(self) -> tuple[float | None, float | None]:
        """Return taker buy share and delta (base asset) of the last minute of exchange time."""
        total = self._buy + self._sell
        if not self._minute or total <= 0:
            return None, None
        return min(1.0, max(0.0, self._buy / total)), self._buy - self._sell

    def add_trade(self, trade: Trade, revision: int) -> bool:
        """Put a trade on the tape; False for one that is there already or is older."""
        if self.trades and trade.trade_id <= self.trades[-1][1].trade_id:
            return False
        self.trades.append((revision, trade))
        self.trades_revision = revision
        self._minute.append((trade.time_ms, trade.quantity, trade.buyer_is_maker))
        if trade.buyer_is_maker:
            self._sell += trade.quantity
        else:
            self._buy += trade.quantity
        self._forget(trade.time_ms - MINUTE_MS)
        return True

    def clear_trades(self, revision: int) -> None:
        """Empty the tape, since trades were missed."""
        self.trades.clear()
        self._minute.clear()
        self._buy = self._sell = 0.0
        self.trades_reset_revision = self.trades_revision = revision

    def _forget(self, before_ms: int) -> None:
        minute = self._minute
        while minute and minute[0][0] < before_ms:
            _, quantity, is_sell = minute.popleft()
            if is_sell:
                self._sell -= quantity
            else:
                self._buy -= quantity


class Board:
    """All symbols and series, and the revision counter.

    Attributes:
        minute_listeners: By symbol, who is told of each 1m candle that is pushed.
    """

    def __init__(self) -> None:
        self.revision = 0
        self.symbols: dict[str, SymbolBoard] = {}
        self.series: dict[tuple[str, str], Series] = {}
        self.minute_listeners: dict[str, Callable[[Candle], None]] = {}
        self.watchlist: list[str] = []
        self.watchlist_revision = 0

    def next_revision(self) -> int:
        """Return the number of the next change."""
        self.revision += 1
        return self.revision

    def symbol(self, name: str) -> SymbolBoard:
        """Return the board of a symbol, made on first use."""
        board = self.symbols.get(name)
        if board is None:
            board = self.symbols[name] = SymbolBoard(name)
        return board

    def series_of(self, symbol: str, interval: str) -> Series:
        """Return the series of a symbol and interval, made on first use."""
        key = (symbol, interval)
        series = self.series.get(key)
        if series is None:
            series = self.series[key] = Series(symbol, parse_interval(interval))
        return series

    def set_watchlist(self, symbols: list[str]) -> None:
        """Replace the watchlist."""
        self.watchlist = symbols
        self.watchlist_revision = self.next_revision()

    def set_info(self, info: SymbolInfo) -> None:
        """Take what the exchange says about a market."""
        board = self.symbol(info.name)
        if board.info != info:
            board.info = info
            board.ticker_revision = self.next_revision()

    def set_ticker(self, ticker: Ticker, bid: float | None, ask: float | None) -> None:
        """Take 24-hour statistics, with the best bid and ask where the message has them."""
        board = self.symbol(ticker.symbol)
        board.ticker = ticker
        board.last = ticker.last
        if bid is not None:
            board.bid, board.ask = bid, ask
        board.ticker_revision = self.next_revision()

    def book_changed(self, symbol: str) -> None:
        """Note that the book of a symbol, or its state, has changed."""
        self.symbol(symbol).book_revision = self.next_revision()

    def set_candle(self, symbol: str, interval: str, candle: Candle) -> None:
        """Take a pushed candle into a series that somebody uses."""
        series = self.series.get((symbol, interval))
        if series is not None and series.put(candle, self.revision + 1):
            self.revision += 1
        if interval == "1m" and (listener := self.minute_listeners.get(symbol)) is not None:
            listener(candle)

    def add_trade(self, symbol: str, trade: Trade) -> None:
        """Put a trade on a symbol's tape; its price is the newest last price."""
        board = self.symbol(symbol)
        if board.add_trade(trade, self.revision + 1):
            self.revision += 1
            board.last = trade.price
            board.ticker_revision = self.revision

    def merge_trades(self, symbol: str, trades: Iterable[Trade]) -> None:
        """Join fetched trades with those on the tape, by trade id."""
        board = self.symbol(symbol)
        joined = {trade.trade_id: trade for trade in trades}
        joined |= {trade.trade_id: trade for _, trade in board.trades}
        board.clear_trades(self.next_revision())
        for trade_id in sorted(joined):
            board.add_trade(joined[trade_id], self.revision)

    def spark(self, symbol: str) -> tuple[float, ...]:
        """Return recent closes of a symbol's 1m series, oldest first."""
        series = self.series.get((symbol, "1m"))
        return tuple(c.close for c in series.candles[-SPARK_LENGTH:]) if series else ()
