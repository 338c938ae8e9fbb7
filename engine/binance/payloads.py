"""Decoding of stream frames into events.

A combined frame `{"stream":...,"data":...}` names its kind in front, so it is decoded in a single
pass with the struct of that kind. Everything else (raw payloads, arrays, answers to commands) takes
a second look at its members first. Payloads: web-socket-streams documentation of Binance spot,
2026-07.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from engine.binance import wire_types as wire
from engine.binance.events import (
    AggTradeEvent,
    BadEntry,
    BookTickerEvent,
    CommandAnswer,
    DepthEvent,
    Event,
    KlineEvent,
    MiniTickerEvent,
    PartialDepthEvent,
    ServerShutdown,
    TickerEvent,
    TradeEvent,
    UnknownEvent,
)
from engine.binance.lists import Listing, OddEntry, each, odd_entry
from engine.binance.wire_types import MICROSECONDS_FROM, to_ms
from engine.market.candle import Candle
from engine.market.ticker import Ticker
from engine.market.trade import Trade

if TYPE_CHECKING:
    from collections.abc import Callable

    _Build = Callable[[str, Any], Event]
    _Decode = Callable[[bytes], Any]

__all__ = [
    "AggTradeEvent",
    "BadEntry",
    "BadMessage",
    "BookTickerEvent",
    "CommandAnswer",
    "DepthEvent",
    "Event",
    "KlineEvent",
    "MiniTickerEvent",
    "PartialDepthEvent",
    "ServerShutdown",
    "TickerEvent",
    "TradeEvent",
    "UnknownEvent",
    "decode",
    "decode_single",
]

_PREFIX = b'{"stream":"'
_NAME_AT = len(_PREFIX)
_LONGEST_NAME = 256
_SHUTDOWN_STREAM = "!serverShutdown"


class BadMessage(Exception):
    """Raised for a frame that is not what it claims to be; its text says why."""


def decode(frame: bytes | bytearray | memoryview | str) -> list[tuple[str, Event]]:
    """Decode one text frame.

    Args:
        frame: JSON as the socket delivered it, combined or raw.

    Returns:
        The events in it with the name of their stream; several for an array. Raw payloads get the
        name of the stream that they would come from, answers to commands an empty one. An entry
        of an array that can not be understood is a `BadEntry` among the others.

    Raises:
        BadMessage: for anything that is no well-formed message of its kind.
    """
    try:
        data = frame.encode() if isinstance(frame, str) else bytes(frame)
        if data.startswith(_PREFIX):
            end = data.find(b'"', _NAME_AT, _LONGEST_NAME)
            if end > 0:
                return _decode_combined(_route(data[_NAME_AT:end]), data)
        return _decode_any(data)
    except RecursionError:
        raise BadMessage("nested too deeply") from None
    except UnicodeError as error:
        raise BadMessage(f"not UTF-8: {error}"[:200]) from error
    except msgspec.MsgspecError as error:
        raise BadMessage(str(error)[:200]) from error


def decode_single(frame: bytes | bytearray | memoryview | str) -> tuple[str, Event] | None:
    """Decode a combined frame of one market's data, as nearly all frames are.

    Returns:
        The event with the name of its stream; None for any other frame, which `decode` takes.

    Raises:
        BadMessage: for data that contradict themselves.
    """
    if type(frame) is not bytes or not frame.startswith(_PREFIX):
        return None
    try:
        single = _single(frame[_NAME_AT : frame.index(b'"', _NAME_AT, _LONGEST_NAME)])
        if single is None:
            return None
        stream, combined, build = single
        return stream, build(stream, combined(frame).data)
    except (ValueError, RecursionError):
        return None


# --- from wire structs to events ----------------------------------------------------------------


def _kline(_stream: str, message: wire.KlineMessage) -> KlineEvent:
    body = message.kline
    open_time, event_time = body.open_time, message.event_time
    candle = Candle(
        open_time if open_time < MICROSECONDS_FROM else to_ms(open_time),
        body.open,
        body.high,
        body.low,
        body.close,
        body.volume,
        body.quote_volume,
        body.trades,
        body.taker_buy_volume,
        body.taker_buy_quote_volume,
        body.closed,
    )
    event_time_ms = event_time if event_time < MICROSECONDS_FROM else to_ms(event_time)
    return KlineEvent(message.symbol, body.interval, event_time_ms, candle)


def _trade(_stream: str, message: wire.TradeMessage) -> TradeEvent:
    trade = Trade(
        message.trade_id,
        to_ms(message.time),
        message.price,
        message.quantity,
        message.buyer_is_maker,
    )
    return TradeEvent(message.symbol, to_ms(message.event_time), trade)


def _agg_trade(_stream: str, message: wire.AggTradeMessage) -> AggTradeEvent:
    trade = Trade(
        message.last_trade_id,
        to_ms(message.time),
        message.price,
        message.quantity,
        message.buyer_is_maker,
    )
    return AggTradeEvent(
        message.symbol,
        to_ms(message.event_time),
        message.aggregate_id,
        message.first_trade_id,
        trade,
    )


def _ticker_of(message: wire.MiniTickerMessage) -> Ticker:
    return Ticker(
        message.symbol,
        to_ms(message.event_time),
        message.last,
        message.open,
        message.high,
        message.low,
        message.volume,
        message.quote_volume,
    )


def _ticker(_stream: str, message: wire.TickerMessage) -> TickerEvent:
    ticker = _ticker_of(message)
    return TickerEvent(ticker.symbol, ticker.event_time_ms, ticker, message.bid, message.ask)


def _mini_ticker(_stream: str, message: wire.MiniTickerMessage) -> MiniTickerEvent:
    ticker = _ticker_of(message)
    return MiniTickerEvent(ticker.symbol, ticker.event_time_ms, ticker)


def _book_ticker(_stream: str, message: wire.BookTickerMessage) -> BookTickerEvent:
    return BookTickerEvent(
        message.symbol,
        message.update_id,
        message.bid,
        message.bid_quantity,
        message.ask,
        message.ask_quantity,
    )


def _depth(_stream: str, message: wire.DepthMessage) -> DepthEvent:
    if message.first_update_id > message.last_update_id:
        raise BadMessage("its first update id lies after its last one")
    return DepthEvent(
        message.symbol,
        to_ms(message.event_time),
        message.first_update_id,
        message.last_update_id,
        message.bids,
        message.asks,
    )


def _partial_depth(stream: str, message: wire.PartialDepthMessage) -> PartialDepthEvent:
    symbol = stream.partition("@")[0].upper()
    return PartialDepthEvent(symbol, message.last_update_id, message.bids, message.asks)


def _shutdown(_stream: str, message: wire.ShutdownMessage) -> ServerShutdown:
    return ServerShutdown(to_ms(message.event_time))


# --- kinds --------------------------------------------------------------------------------------


class _Kind:
    """How to decode one kind of message, inside an envelope or bare."""

    def __init__(self, wire_type: Any, build: _Build) -> None:
        self.build = build
        self.combined: _Decode = msgspec.json.Decoder(wire.Combined[wire_type], strict=False).decode
        self.bare = msgspec.json.Decoder(wire_type, strict=False).decode


_KLINE = _Kind(wire.KlineMessage, _kline)
_MINI_TICKERS = msgspec.json.Decoder(wire.Combined[list[wire.MiniTickerMessage]], strict=False)
_PARTIAL_DEPTH = _Kind(wire.PartialDepthMessage, _partial_depth)
_SHUTDOWN = _Kind(wire.ShutdownMessage, _shutdown)
_ANYTHING = msgspec.json.Decoder(wire.Combined[Raw])
_ENTRIES = msgspec.json.Decoder(wire.Combined[list[Raw]])
_MINI = _Kind(wire.MiniTickerMessage, _mini_ticker)

# By what follows the symbol in a stream's name, and by the member `e` of a raw payload.
_KINDS = {
    "trade": _Kind(wire.TradeMessage, _trade),
    "aggTrade": _Kind(wire.AggTradeMessage, _agg_trade),
    "ticker": _Kind(wire.TickerMessage, _ticker),
    "miniTicker": _MINI,
    "bookTicker": _Kind(wire.BookTickerMessage, _book_ticker),
    "depth": _Kind(wire.DepthMessage, _depth),
}
_SUFFIXES = {
    **_KINDS,
    "depth@100ms": _KINDS["depth"],
    **{f"depth{levels}{pace}": _PARTIAL_DEPTH for levels in (5, 10, 20) for pace in ("", "@100ms")},
}
_EVENT_NAMES = {
    "trade": "trade",
    "aggTrade": "aggTrade",
    "24hrTicker": "ticker",
    "24hrMiniTicker": "miniTicker",
    "depthUpdate": "depth",
}


class _Route(NamedTuple):
    """Where frames of one stream name go; without a kind the stream is unknown."""

    stream: str
    kind: _Kind | None
    is_array: bool = False


@lru_cache(maxsize=8192)
def _route(name: bytes) -> _Route:
    # A name may carry JSON escapes, which only a JSON decoder should undo.
    stream = msgspec.json.decode(b'"' + name + b'"', type=str)
    if stream == "!miniTicker@arr":
        return _Route(stream, None, is_array=True)
    if stream == _SHUTDOWN_STREAM:
        return _Route(stream, _SHUTDOWN)
    suffix = "" if stream.startswith("!") else stream.partition("@")[2]
    if suffix.startswith("kline_"):
        return _Route(stream, _KLINE)
    return _Route(stream, _SUFFIXES.get(suffix))


@lru_cache(maxsize=8192)
def _single(name: bytes) -> tuple[str, _Decode, _Build] | None:
    stream, kind, _ = _route(name)
    if kind is None or kind is _SHUTDOWN:
        return None
    return stream, kind.combined, kind.build


def _decode_combined(route: _Route, data: bytes) -> list[tuple[str, Event]]:
    stream, kind, is_array = route
    if kind is not None:
        return [(stream, kind.build(stream, kind.combined(data).data))]
    if is_array:
        return _mini_tickers(stream, data)
    _ANYTHING.decode(data)
    return [(stream, UnknownEvent(stream.rpartition("@")[2]))]


def _mini_tickers(stream: str, data: bytes) -> list[tuple[str, Event]]:
    try:
        return [(stream, _mini_ticker(stream, item)) for item in _MINI_TICKERS.decode(data).data]
    except msgspec.ValidationError:
        raws = _ENTRIES.decode(data).data
        found: Listing[Event] = each(raws, lambda raw: _mini_ticker("", _MINI.bare(raw)))
        if not found:
            raise
        return [(stream, event) for event in (*found, *map(_bad_entry, found.odd))]


def _bad_entry(odd: OddEntry) -> BadEntry:
    return BadEntry(odd.name, odd.reason, odd.raw)


# --- frames without a leading stream name -------------------------------------------------------


class _Peek(msgspec.Struct, rename={"event": "e", "symbol": "s", "update_id": "u"}):
    """The members that tell what an object is."""

    stream: str | UnsetType = UNSET
    event: str | UnsetType = UNSET
    symbol: str | UnsetType = UNSET
    update_id: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    code: Raw | UnsetType = UNSET
    msg: str = ""
    id: int | str | None = None


class _ErrorMember(msgspec.Struct):
    code: int | None = None
    msg: str = ""


_peek = msgspec.json.Decoder(_Peek)
_array = msgspec.json.Decoder(list[Raw])


def _decode_any(data: bytes) -> list[tuple[str, Event]]:
    if data.lstrip(b" \t\r\n").startswith(b"["):
        return _decode_entries(_array.decode(data))
    return _decode_object(data)


def _decode_entries(raws: list[Raw]) -> list[tuple[str, Event]]:
    pairs: list[tuple[str, Event]] = []
    failure: Exception | None = None
    understood = 0
    for raw in raws:
        try:
            pairs += _decode_object(bytes(raw))
            understood += 1
        except (BadMessage, msgspec.MsgspecError, UnicodeError) as error:
            failure = failure or error
            pairs.append(("", _bad_entry(odd_entry(bytes(raw), str(error)))))
    if failure is not None and not understood:
        raise failure
    return pairs


def _decode_object(data: bytes) -> list[tuple[str, Event]]:
    peek = _peek.decode(data)
    if isinstance(peek.stream, str):
        return _decode_combined(_route(msgspec.json.encode(peek.stream)[1:-1]), data)
    if isinstance(peek.event, str):
        return [_decode_bare(peek.event, peek.symbol, data)]
    if isinstance(peek.error, Raw):
        return [("", CommandAnswer(peek.id, _error_text(peek.error)))]
    if isinstance(peek.code, Raw):
        return [("", CommandAnswer(peek.id, f"{peek.msg or 'refused'} (code {_text(peek.code)})"))]
    if isinstance(peek.result, Raw):
        return [("", CommandAnswer(peek.id))]
    if isinstance(peek.update_id, Raw) and isinstance(peek.symbol, str):
        return [_bare("bookTicker", peek.symbol, data)]
    return [("", UnknownEvent("object without event name"))]


def _decode_bare(event: str, symbol: str | UnsetType, data: bytes) -> tuple[str, Event]:
    if event == "serverShutdown":
        return _SHUTDOWN_STREAM, _SHUTDOWN.build("", _SHUTDOWN.bare(data))
    if event == "kline":
        built = _kline("", _KLINE.bare(data))
        return f"{built.symbol.lower()}@kline_{built.interval}", built
    suffix = _EVENT_NAMES.get(event)
    if suffix is None or not isinstance(symbol, str):
        return "", UnknownEvent(event)
    return _bare(suffix, symbol, data)


def _bare(suffix: str, symbol: str, data: bytes) -> tuple[str, Event]:
    kind = _KINDS[suffix]
    stream = f"{symbol.lower()}@{suffix}"
    return stream, kind.build(stream, kind.bare(data))


def _error_text(raw: Raw) -> str:
    try:
        member = msgspec.json.decode(raw, type=_ErrorMember)
    except msgspec.ValidationError:
        return _text(raw)
    return f"{member.msg or 'refused'} (code {member.code})"


def _text(raw: Raw) -> str:
    return bytes(raw).decode(errors="replace").strip('"')[:200]
