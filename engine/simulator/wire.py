"""The exchange's JSON texts: stream payloads (official stream documentation, 2026-07-17)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.market.book import Level
    from engine.market.candle import Candle
    from engine.market.trade import Trade
    from engine.simulator.window import DayTicker


def trade(symbol: str, trade: Trade, event_time_ms: int) -> bytes:
    """Write a `trade` event."""
    return (
        f'{{"e":"trade","E":{event_time_ms},"s":"{symbol}","t":{trade.trade_id},'
        f'"p":"{trade.price:.8f}","q":"{trade.quantity:.8f}","T":{trade.time_ms},'
        f'"m":{_bool(trade.buyer_is_maker)},"M":true}}'
    ).encode()


def agg_trade(
    symbol: str,
    aggregate_id: int,
    first: Trade,
    first_id: int,
    last_id: int,
    quantity: float,
    event_time_ms: int,
) -> bytes:
    """Write an `aggTrade` event: fills of one taker order at one price."""
    return (
        f'{{"e":"aggTrade","E":{event_time_ms},"s":"{symbol}","a":{aggregate_id},'
        f'"p":"{first.price:.8f}","q":"{quantity:.8f}","f":{first_id},"l":{last_id},'
        f'"T":{first.time_ms},"m":{_bool(first.buyer_is_maker)},"M":true}}'
    ).encode()


def kline(
    symbol: str,
    interval: str,
    candle: Candle,
    close_time_ms: int,
    last_trade_id: int,
    event_time_ms: int,
) -> bytes:
    """Write a `kline` event; trade ids are -1 without a trade, and consecutive otherwise.

    Amounts that the source does not know are left out.
    """
    amounts = "" if candle.trades is None else f'"n":{candle.trades},'
    takers = ""
    if candle.taker_buy_volume is not None:
        takers = (
            f'"V":"{candle.taker_buy_volume:.8f}","Q":"{candle.taker_buy_quote_volume or 0.0:.8f}",'
        )
    count = candle.trades or 0
    first = last_trade_id - count + 1 if count else -1
    return (
        f'{{"e":"kline","E":{event_time_ms},"s":"{symbol}","k":{{"t":{candle.open_time_ms},'
        f'"T":{close_time_ms},"s":"{symbol}","i":"{interval}","f":{first},'
        f'"L":{last_trade_id if count else -1},"o":"{candle.open:.8f}","c":"{candle.close:.8f}",'
        f'"h":"{candle.high:.8f}","l":"{candle.low:.8f}","v":"{candle.volume:.8f}",{amounts}'
        f'"x":{_bool(candle.closed)},"q":"{candle.quote_volume:.8f}",'
        f'{takers}"B":"0"}}}}'
    ).encode()


def ticker(symbol: str, day: DayTicker, event_time_ms: int) -> bytes:
    """Write a `24hrTicker` event."""
    bid, bid_quantity, ask, ask_quantity = day.top
    return (
        f'{{"e":"24hrTicker","E":{event_time_ms},"s":"{symbol}","p":"{day.change:.8f}",'
        f'"P":"{day.change_percent:.3f}","w":"{day.average:.8f}","x":"{day.previous_close:.8f}",'
        f'"c":"{day.last:.8f}","Q":"{day.last_quantity:.8f}","b":"{bid:.8f}",'
        f'"B":"{bid_quantity:.8f}","a":"{ask:.8f}","A":"{ask_quantity:.8f}",'
        f'"o":"{day.open:.8f}","h":"{day.high:.8f}","l":"{day.low:.8f}","v":"{day.volume:.8f}",'
        f'"q":"{day.quote_volume:.8f}","O":{day.open_time_ms},"C":{day.close_time_ms},'
        f'"F":{day.first_id},"L":{day.last_id},"n":{day.trades}}}'
    ).encode()


def rolling_ticker(symbol: str, window: str, stats: DayTicker, event_time_ms: int) -> bytes:
    """Write a `1hTicker`, `4hTicker` or `1dTicker` event (`window` without `Ticker`)."""
    return (
        f'{{"e":"{window}Ticker","E":{event_time_ms},"s":"{symbol}","p":"{stats.change:.8f}",'
        f'"P":"{stats.change_percent:.3f}","o":"{stats.open:.8f}","h":"{stats.high:.8f}",'
        f'"l":"{stats.low:.8f}","c":"{stats.last:.8f}","w":"{stats.average:.8f}",'
        f'"v":"{stats.volume:.8f}","q":"{stats.quote_volume:.8f}","O":{stats.open_time_ms},'
        f'"C":{stats.close_time_ms},"F":{stats.first_id},"L":{stats.last_id},"n":{stats.trades}}}'
    ).encode()


def mini_ticker(symbol: str, day: DayTicker, event_time_ms: int) -> bytes:
    """Write a `24hrMiniTicker` event."""
    return (
        f'{{"e":"24hrMiniTicker","E":{event_time_ms},"s":"{symbol}","c":"{day.last:.8f}",'
        f'"o":"{day.open:.8f}","h":"{day.high:.8f}","l":"{day.low:.8f}","v":"{day.volume:.8f}",'
        f'"q":"{day.quote_volume:.8f}"}}'
    ).encode()


def average_price(symbol: str, average: float, last_time_ms: int, event_time_ms: int) -> bytes:
    """Write an `avgPrice` event."""
    return (
        f'{{"e":"avgPrice","E":{event_time_ms},"s":"{symbol}","i":"5m","w":"{average:.8f}",'
        f'"T":{last_time_ms}}}'
    ).encode()


def reference_price(symbol: str, price: float | None, time_ms: int) -> bytes:
    """Write a `referencePrice` event, with null where there is none."""
    told = "null" if price is None else f'"{price:.8f}"'
    return f'{{"e":"referencePrice","s":"{symbol}","r":{told},"t":{time_ms}}}'.encode()


def book_ticker(symbol: str, update_id: int, top: tuple[float, float, float, float]) -> bytes:
    """Write a `bookTicker` message, which has neither event type nor time."""
    bid, bid_quantity, ask, ask_quantity = top
    return (
        f'{{"u":{update_id},"s":"{symbol}","b":"{bid:.8f}","B":"{bid_quantity:.8f}",'
        f'"a":"{ask:.8f}","A":"{ask_quantity:.8f}"}}'
    ).encode()


def depth_update(
    symbol: str,
    first_update_id: int,
    last_update_id: int,
    bids: Sequence[Level],
    asks: Sequence[Level],
    event_time_ms: int,
) -> bytes:
    """Write a `depthUpdate` event."""
    return (
        f'{{"e":"depthUpdate","E":{event_time_ms},"s":"{symbol}","U":{first_update_id},'
        f'"u":{last_update_id},"b":[{_levels(bids)}],"a":[{_levels(asks)}]}}'
    ).encode()


def snapshot(last_update_id: int, bids: Sequence[Level], asks: Sequence[Level]) -> bytes:
    """Write a partial depth message, which is also REST's depth answer."""
    return (
        f'{{"lastUpdateId":{last_update_id},"bids":[{_levels(bids)}],"asks":[{_levels(asks)}]}}'
    ).encode()


def kline_rows(candles: Sequence[Candle], close_times_ms: Sequence[int]) -> bytes:
    """Write REST's klines answer: arrays of 12, with null for what the source does not know."""
    rows = ",".join(
        f'[{candle.open_time_ms},"{candle.open:.8f}","{candle.high:.8f}","{candle.low:.8f}",'
        f'"{candle.close:.8f}","{candle.volume:.8f}",{close_time_ms},'
        f'"{candle.quote_volume:.8f}",{"null" if candle.trades is None else candle.trades},'
        f'{_optional(candle.taker_buy_volume)},{_optional(candle.taker_buy_quote_volume)},"0"]'
        for candle, close_time_ms in zip(candles, close_times_ms, strict=True)
    )
    return f"[{rows}]".encode()


def _optional(value: float | None) -> str:
    return "null" if value is None else f'"{value:.8f}"'


def _levels(levels: Sequence[Level]) -> str:
    return ",".join([f'["{price:.8f}","{quantity:.8f}"]' for price, quantity in levels])


def _bool(value: bool) -> str:
    return "true" if value else "false"
