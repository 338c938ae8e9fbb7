"""What arrives on a stream, as typed values.

Times are exchange time in epoch milliseconds (UTC); a stream that was asked for microseconds is
brought back to milliseconds. Prices are in the quote asset, quantities in the base asset.
"""

from __future__ import annotations

import msgspec

from engine.market.book import Level
from engine.market.candle import Candle
from engine.market.ticker import Ticker
from engine.market.trade import Trade


class KlineEvent(msgspec.Struct, frozen=True, gc=False):
    """A candle that runs (`candle.closed` False) or has just been closed by the exchange."""

    symbol: str
    interval: str
    event_time_ms: int
    candle: Candle


class TradeEvent(msgspec.Struct, frozen=True, gc=False):
    """One single trade."""

    symbol: str
    event_time_ms: int
    trade: Trade


class AggTradeEvent(msgspec.Struct, frozen=True, gc=False):
    """Trades of one taker order at one price; `trade.trade_id` is the last of them.

    Attributes:
        aggregate_id: Id of the aggregate.
        first_trade_id: Id of the first trade in it.
    """

    symbol: str
    event_time_ms: int
    aggregate_id: int
    first_trade_id: int
    trade: Trade


class TickerEvent(msgspec.Struct, frozen=True, gc=False):
    """Rolling 24-hour statistics with the best bid and ask at that time, where it tells them."""

    symbol: str
    event_time_ms: int
    ticker: Ticker
    bid: float | None = None
    ask: float | None = None


class MiniTickerEvent(msgspec.Struct, frozen=True, gc=False):
    """Rolling 24-hour statistics without bid and ask."""

    symbol: str
    event_time_ms: int
    ticker: Ticker


class BookTickerEvent(msgspec.Struct, frozen=True, gc=False):
    """Best bid and ask after book update `update_id`."""

    symbol: str
    update_id: int
    bid: float
    bid_quantity: float
    ask: float
    ask_quantity: float


class DepthEvent(msgspec.Struct, frozen=True):
    """Book changes of the updates `first_update_id` to `last_update_id`, as absolute quantities."""

    symbol: str
    event_time_ms: int
    first_update_id: int
    last_update_id: int
    bids: list[Level]
    asks: list[Level]


class PartialDepthEvent(msgspec.Struct, frozen=True):
    """The best 5, 10 or 20 levels a side, best first."""

    symbol: str
    last_update_id: int
    bids: list[Level]
    asks: list[Level]


class ServerShutdown(msgspec.Struct, frozen=True, gc=False):
    """The exchange asks for a fresh connection now; it comes without a subscription."""

    event_time_ms: int


class CommandAnswer(msgspec.Struct, frozen=True, gc=False):
    """Answer to SUBSCRIBE and its like; `error` is None when the command was carried out."""

    id: int | str | None
    error: str | None = None


class UnknownEvent(msgspec.Struct, frozen=True, gc=False):
    """A well-formed message of a kind that klinetop has no use for."""

    kind: str


class BadEntry(msgspec.Struct, frozen=True, gc=False):
    """One entry of an array that is not what it claims to be; the others are events of their own.

    Attributes:
        name: The market that it is about where that can be read, else its beginning.
        reason: What is wrong with it.
        raw: Its JSON, cut after some thousand characters.
    """

    name: str
    reason: str
    raw: str


Event = (
    KlineEvent
    | TradeEvent
    | AggTradeEvent
    | TickerEvent
    | MiniTickerEvent
    | BookTickerEvent
    | DepthEvent
    | PartialDepthEvent
    | ServerShutdown
    | CommandAnswer
    | UnknownEvent
    | BadEntry
)
