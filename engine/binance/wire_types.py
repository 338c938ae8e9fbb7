"""The exchange's JSON as typed structs (field names of the web-socket-streams documentation).

Prices and quantities are decimal texts on the wire; decoding is lax so that they become floats in
one step. Bounds refuse what JSON text can smuggle in: "NaN", "Infinity" and negative amounts.
"""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

# The exchange has no amount near 1e30; the bound keeps infinities out.
Amount = Annotated[float, Meta(ge=0, lt=1e30)]
Id = Annotated[int, Meta(ge=-1, lt=2**62)]
TimeValue = Annotated[int, Meta(ge=0, lt=10**17)]
WireLevel = tuple[Amount, Amount]

# Epoch values from here on are microseconds: as milliseconds it is the year 5138.
MICROSECONDS_FROM = 100_000_000_000_000

Data = TypeVar("Data")


class Combined(msgspec.Struct, Generic[Data], gc=False):
    """Envelope of a combined stream, without its stream name."""

    data: Data


class KlineBody(
    msgspec.Struct,
    gc=False,
    rename={
        "open_time": "t",
        "interval": "i",
        "open": "o",
        "high": "h",
        "low": "l",
        "close": "c",
        "volume": "v",
        "quote_volume": "q",
        "trades": "n",
        "closed": "x",
        "taker_buy_volume": "V",
        "taker_buy_quote_volume": "Q",
    },
):
    """Member `k` of a kline message."""

    open_time: TimeValue
    interval: str
    open: Amount
    high: Amount
    low: Amount
    close: Amount
    volume: Amount
    quote_volume: Amount
    closed: bool
    trades: Id | None = None
    taker_buy_volume: Amount | None = None
    taker_buy_quote_volume: Amount | None = None


class KlineMessage(
    msgspec.Struct, gc=False, rename={"event_time": "E", "symbol": "s", "kline": "k"}
):
    """`<symbol>@kline_<interval>`."""

    event_time: TimeValue
    symbol: str
    kline: KlineBody


class TradeMessage(
    msgspec.Struct,
    gc=False,
    rename={
        "event_time": "E",
        "symbol": "s",
        "trade_id": "t",
        "price": "p",
        "quantity": "q",
        "time": "T",
        "buyer_is_maker": "m",
    },
):
    """`<symbol>@trade`."""

    event_time: TimeValue
    symbol: str
    trade_id: Id
    price: Amount
    quantity: Amount
    time: TimeValue
    buyer_is_maker: bool


class AggTradeMessage(
    msgspec.Struct,
    gc=False,
    rename={
        "event_time": "E",
        "symbol": "s",
        "aggregate_id": "a",
        "first_trade_id": "f",
        "last_trade_id": "l",
        "price": "p",
        "quantity": "q",
        "time": "T",
        "buyer_is_maker": "m",
    },
):
    """`<symbol>@aggTrade`."""

    event_time: TimeValue
    symbol: str
    aggregate_id: Id
    first_trade_id: Id
    last_trade_id: Id
    price: Amount
    quantity: Amount
    time: TimeValue
    buyer_is_maker: bool


class MiniTickerMessage(
    msgspec.Struct,
    gc=False,
    rename={
        "event_time": "E",
        "symbol": "s",
        "last": "c",
        "open": "o",
        "high": "h",
        "low": "l",
        "volume": "v",
        "quote_volume": "q",
    },
):
    """`<symbol>@miniTicker`, and one member of `!miniTicker@arr`."""

    event_time: TimeValue
    symbol: str
    last: Amount
    open: Amount
    high: Amount
    low: Amount
    volume: Amount
    quote_volume: Amount


class TickerMessage(MiniTickerMessage, gc=False, rename={"bid": "b", "ask": "a"}):
    """`<symbol>@ticker`; other venues of the exchange leave bid and ask out."""

    bid: Amount | None = None
    ask: Amount | None = None


class BookTickerMessage(
    msgspec.Struct,
    gc=False,
    rename={
        "update_id": "u",
        "symbol": "s",
        "bid": "b",
        "bid_quantity": "B",
        "ask": "a",
        "ask_quantity": "A",
    },
):
    """`<symbol>@bookTicker`, which has neither event name nor time."""

    update_id: Id
    symbol: str
    bid: Amount
    bid_quantity: Amount
    ask: Amount
    ask_quantity: Amount


class DepthMessage(
    msgspec.Struct,
    rename={
        "event_time": "E",
        "symbol": "s",
        "first_update_id": "U",
        "last_update_id": "u",
        "bids": "b",
        "asks": "a",
    },
):
    """`<symbol>@depth` and `<symbol>@depth@100ms`."""

    event_time: TimeValue
    symbol: str
    first_update_id: Id
    last_update_id: Id
    bids: list[WireLevel]
    asks: list[WireLevel]


class PartialDepthMessage(msgspec.Struct, rename={"last_update_id": "lastUpdateId"}):
    """`<symbol>@depth5` and its like, and the REST answer of `depth`."""

    last_update_id: Id
    bids: list[WireLevel]
    asks: list[WireLevel]


class ShutdownMessage(msgspec.Struct, gc=False, rename={"event_time": "E"}):
    """`serverShutdown` (streams since 2026-05-08)."""

    event_time: TimeValue


def to_ms(time: int) -> int:
    """Return an epoch time in milliseconds, given in milliseconds or microseconds."""
    return time // 1000 if time >= MICROSECONDS_FROM else time
