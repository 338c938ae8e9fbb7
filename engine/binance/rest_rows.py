"""REST answers as typed structs, and what they mean (rest-api documentation of Binance spot)."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import Raw

from engine.binance.lists import ListDecoder, Listing, OddEntry, each
from engine.binance.wire_types import Amount, Id, PartialDepthMessage, TimeValue, to_ms
from engine.market.candle import Candle
from engine.market.symbol import SymbolInfo
from engine.market.ticker import Ticker
from engine.market.trade import Trade

if TYPE_CHECKING:
    from collections.abc import Iterable

_PRICE, _LOT = "PRICE_FILTER", "LOT_SIZE"
_STEP = re.compile(r"[0-9]{1,15}(\.[0-9]{1,30})?", re.ASCII)


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


_SYMBOL_NAMES = {
    "name": "symbol",
    "base": "baseAsset",
    "quote": "quoteAsset",
    "made_up": "klinetopMadeUp",
}


class SymbolRow(msgspec.Struct, rename=_SYMBOL_NAMES):
    """One symbol of `exchangeInfo`.

    Attributes:
        made_up: What a simulated exchange declares as derived from candles; the real one has no
            such key.
    """

    name: str
    base: str
    quote: str
    status: str = ""
    filters: list[Filter] = []
    made_up: tuple[str, ...] = ()

    def info(self) -> SymbolInfo:
        """Return the symbol's facts; a missing filter leaves the finest usual step.

        Raises:
            ValueError: when name or steps can not be those of a market.
        """
        by_kind = {item.kind: item for item in self.filters}
        price = by_kind.get(_PRICE, Filter())
        lot = by_kind.get(_LOT, Filter())
        if not self.name.isprintable() or not self.name or any(map(str.isspace, self.name)):
            raise ValueError(f"{self.name[:40]!r} is no market's name")
        for step in (price.tick_size, lot.step_size):
            if step and not _STEP.fullmatch(step):
                raise ValueError(f"{step[:40]!r} is no step of a price or a quantity")
        return SymbolInfo(
            self.name,
            self.base,
            self.quote,
            self.status,
            price.tick_size or "0.00000001",
            lot.step_size or "0.00000001",
            self.made_up,
        )


class RateLimit(
    msgspec.Struct, rename={"kind": "rateLimitType", "interval": "interval", "count": "intervalNum"}
):
    """One limit of `exchangeInfo`."""

    kind: str = ""
    interval: str = ""
    count: int = 1
    limit: int = 0


class _RawInfo(msgspec.Struct, rename={"rate_limits": "rateLimits"}):
    symbols: list[Raw]
    rate_limits: list[Raw] = []


class _RawSymbolRow(msgspec.Struct, rename=_SYMBOL_NAMES):
    name: str
    base: str
    quote: str
    status: str = ""
    filters: list[Raw] = []
    made_up: tuple[str, ...] = ()


class _Kind(msgspec.Struct, rename={"kind": "filterType"}):
    kind: str


class ExchangeInfo(NamedTuple):
    """Answer of `exchangeInfo`.

    Attributes:
        markets: In the order of the exchange, each name once; the entries that could not be
            understood stand in `markets.odd`.
        weight_limit: Request weight per minute that the exchange grants, None when it does not
            tell.
    """

    markets: Listing[SymbolInfo]
    weight_limit: int | None


class ExchangeInfoDecoder:
    """Decodes an answer of `exchangeInfo`, whatever single entries of its lists look like.

    One market after another: 3,500 with all their filters take 7 MB for a moment.
    """

    def __init__(self) -> None:
        self._raw = msgspec.json.Decoder(_RawInfo)
        self._row = msgspec.json.Decoder(SymbolRow)
        self._raw_row = msgspec.json.Decoder(_RawSymbolRow)
        self._filter = msgspec.json.Decoder(Filter)
        self._kind = msgspec.json.Decoder(_Kind)
        self._limit = msgspec.json.Decoder(RateLimit)

    def decode(self, body: bytes, /) -> ExchangeInfo:
        """Return what could be understood.

        Raises:
            msgspec.MsgspecError: when no market could, or when it is no such answer.
        """
        raw = self._raw.decode(body)
        markets = each(raw.symbols, self._market)
        if markets.odd and not markets and not any(entry.is_named for entry in markets.odd):
            raise msgspec.ValidationError(markets.odd[0].reason)
        limits = []
        for item in raw.rate_limits:
            with suppress(msgspec.ValidationError):
                limits.append(self._limit.decode(item))
        return ExchangeInfo(_each_once(markets), _weight_limit(limits))

    def _market(self, raw: bytes) -> SymbolInfo:
        try:
            return self._row.decode(raw).info()
        except msgspec.ValidationError as error:
            return self._without_strange_filters(raw, error).info()

    def _without_strange_filters(self, raw: bytes, failure: msgspec.ValidationError) -> SymbolRow:
        """Leave out filters of kinds that are not read; what they hold is no fault of a market."""
        try:
            row = self._raw_row.decode(raw)
            filters = []
            for item in row.filters:
                kind = self._kind.decode(item).kind
                if kind in (_PRICE, _LOT):
                    filters.append(self._filter.decode(item))
        except msgspec.ValidationError:
            raise failure from None
        return SymbolRow(row.name, row.base, row.quote, row.status, filters, row.made_up)


def _each_once(markets: Listing[SymbolInfo]) -> Listing[SymbolInfo]:
    """Return the markets with the first of each name; the others join the odd ones."""
    first: dict[str, SymbolInfo] = {}
    twice = []
    for info in markets:
        if info.name in first:
            raw = msgspec.json.encode(info)
            twice.append(OddEntry(info.name, "its name comes twice", raw.decode()))
        else:
            first[info.name] = info
    return Listing(first.values(), (*markets.odd, *twice)) if twice else markets


def _weight_limit(limits: Iterable[RateLimit]) -> int | None:
    for item in limits:
        if item.kind == "REQUEST_WEIGHT" and item.interval == "MINUTE" and item.count == 1:
            return item.limit if item.limit > 0 else None
    return None


SERVER_TIME = msgspec.json.Decoder(ServerTime, strict=False)
ERROR = msgspec.json.Decoder(ErrorBody, strict=False)
KLINES: ListDecoder[KlineRow] = ListDecoder(KlineRow, strict=False)
TRADES: ListDecoder[TradeRow] = ListDecoder(TradeRow, strict=False)
TICKERS: ListDecoder[TickerRow] = ListDecoder(TickerRow, strict=False)
DEPTH = msgspec.json.Decoder(PartialDepthMessage, strict=False)
EXCHANGE_INFO = ExchangeInfoDecoder()
