"""REST answers as typed structs, and what they mean (rest-api documentation of Binance spot)."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from engine.binance.wire_types import Amount, Id, PartialDepthMessage, TimeValue, to_ms
from engine.market.candle import Candle
from engine.market.symbol import SymbolInfo
from engine.market.ticker import Ticker
from engine.market.trade import Trade


class ServerTime(msgspec.Struct, rename={"time": "serverTime"}):
    """Answer of `time`."""

    time: TimeValue


class ErrorBody(msgspec.Struct):
    """Body of a refusal."""

    code: int = 0
    msg: str = ""


class KlineRow(msgspec.Struct, array_like=True, gc=False):
    """One row of `klines`; columns that a source does not know are null."""

    open_time: TimeValue
    open: Amount
    high: Amount
    low: Amount
    close: Amount
    volume: Amount
    close_time: TimeValue
    quote_volume: Amount
    trades: Id | None = None
    taker_buy_volume: Amount | None = None
    taker_buy_quote_volume: Amount | None = None

    def candle(self, server_time_ms: int) -> Candle:
        """Return the candle, closed when its last millisecond lies before `server_time_ms`."""
        return Candle(
            to_ms(self.open_time),
            self.open,
            self.high,
            self.low,
            self.close,
            self.volume,
            self.quote_volume,
            self.trades,
            self.taker_buy_volume,
            self.taker_buy_quote_volume,
            to_ms(self.close_time) < server_time_ms,
        )


class TradeRow(
    msgspec.Struct,
    gc=False,
    rename={
        "trade_id": "id",
        "price": "price",
        "quantity": "qty",
        "time": "time",
        "buyer_is_maker": "isBuyerMaker",
    },
):
    """One row of `trades`."""

    trade_id: Id
    price: Amount
    quantity: Amount
    time: TimeValue
    buyer_is_maker: bool

    def trade(self) -> Trade:
        """Return the trade."""
        return Trade(
            self.trade_id, to_ms(self.time), self.price, self.quantity, self.buyer_is_maker
        )


class TickerRow(
    msgspec.Struct,
    gc=False,
    rename={
        "last": "lastPrice",
        "open": "openPrice",
        "high": "highPrice",
        "low": "lowPrice",
        "quote_volume": "quoteVolume",
        "close_time": "closeTime",
    },
):
    """One row of `ticker/24hr`."""

    symbol: str
    last: Amount
    open: Amount
    high: Amount
    low: Amount
    volume: Amount
    quote_volume: Amount
    close_time: TimeValue

    def ticker(self) -> Ticker:
        """Return the ticker."""
        return Ticker(
            self.symbol,
            to_ms(self.close_time),
            self.last,
            self.open,
            self.high,
            self.low,
            self.volume,
            self.quote_volume,
        )


class Filter(
    msgspec.Struct,
    rename={"kind": "filterType", "tick_size": "tickSize", "step_size": "stepSize"},
):
    """One of a symbol's filters; only price and lot sizes are read."""

    kind: str = ""
    tick_size: str = ""
    step_size: str = ""


class SymbolRow(
    msgspec.Struct, rename={"name": "symbol", "base": "baseAsset", "quote": "quoteAsset"}
):
    """One symbol of `exchangeInfo`."""

    name: str
    base: str
    quote: str
    status: str = ""
    filters: list[Filter] = []

    def info(self) -> SymbolInfo:
        """Return the symbol's facts; a missing filter leaves the finest usual step."""
        by_kind = {item.kind: item for item in self.filters}
        price = by_kind.get("PRICE_FILTER", Filter())
        lot = by_kind.get("LOT_SIZE", Filter())
        return SymbolInfo(
            self.name,
            self.base,
            self.quote,
            self.status,
            price.tick_size or "0.00000001",
            lot.step_size or "0.00000001",
        )


class RateLimit(
    msgspec.Struct, rename={"kind": "rateLimitType", "interval": "interval", "count": "intervalNum"}
):
    """One limit of `exchangeInfo`."""

    kind: str = ""
    interval: str = ""
    count: int = 1
    limit: int = 0


class _Listing(msgspec.Struct, rename={"rate_limits": "rateLimits"}):
    symbols: list[msgspec.Raw]
    rate_limits: list[RateLimit] = []


class ExchangeInfo(NamedTuple):
    """Answer of `exchangeInfo`."""

    symbols: list[SymbolInfo]
    rate_limits: list[RateLimit]

    @property
    def weight_limit(self) -> int | None:
        """Request weight per minute that the exchange grants, None when it does not tell."""
        for item in self.rate_limits:
            if item.kind == "REQUEST_WEIGHT" and item.interval == "MINUTE" and item.count == 1:
                return item.limit or None
        return None


class _ExchangeInfoDecoder:
    """Decodes one symbol after another: 3,500 with all their filters take 7 MB for a moment."""

    def __init__(self) -> None:
        self._listing = msgspec.json.Decoder(_Listing)
        self._symbol = msgspec.json.Decoder(SymbolRow)

    def decode(self, body: bytes, /) -> ExchangeInfo:
        """Return the answer; raises `msgspec.DecodeError`."""
        listing = self._listing.decode(body)
        symbols = [self._symbol.decode(row).info() for row in listing.symbols]
        return ExchangeInfo(symbols, listing.rate_limits)


SERVER_TIME = msgspec.json.Decoder(ServerTime, strict=False)
ERROR = msgspec.json.Decoder(ErrorBody, strict=False)
KLINES = msgspec.json.Decoder(list[KlineRow], strict=False)
TRADES = msgspec.json.Decoder(list[TradeRow], strict=False)
TICKERS = msgspec.json.Decoder(list[TickerRow], strict=False)
DEPTH = msgspec.json.Decoder(PartialDepthMessage, strict=False)
EXCHANGE_INFO = _ExchangeInfoDecoder()
