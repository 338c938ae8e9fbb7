"""Builds the sections of a frame from what the engine knows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from engine.service.contract import (
    BookSection,
    ChartSection,
    TickerRow,
    TickersSection,
    TradesSection,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.binance.book_feed import BookFeed
    from engine.capture.board import Board, SymbolBoard
    from engine.market.book import Level
    from engine.service.contract import View

DEFAULT_DECIMALS = 2
NO_FEED_REASON = "waiting for its stream"
NO_CANDLE = "no candle yet: the first whole one is still to come"


def price_decimals(board: SymbolBoard) -> int:
    """Decimals of a symbol's prices, guessed from the last price until the exchange tells."""
    if board.info is not None:
        return board.info.price_decimals
    if board.last is None or board.last <= 0:
        return DEFAULT_DECIMALS
    return min(8, max(DEFAULT_DECIMALS, 4 - math.floor(math.log10(board.last))))


def tickers_section(board: Board, since: int) -> TickersSection | None:
    """Rows of the watchlist that changed after `since`; None when nothing did."""
    rows = tuple(
        ticker_row(board, symbol)
        for symbol in board.watchlist
        if _ticker_revision(board, symbol) > since or board.watchlist_revision > since
    )
    if not rows and board.watchlist_revision <= since:
        return None
    return TickersSection(tuple(board.watchlist), rows)


def _ticker_revision(board: Board, symbol: str) -> int:
    series = board.series.get((symbol, "1m"))
    of_series = series.reset_revision if series is not None else 0
    return max(board.symbol(symbol).ticker_revision, of_series)


def ticker_row(board: Board, symbol: str) -> TickerRow:
    """One row of the watchlist; a market without a ticker yet shows its last stored close."""
    facts = board.symbol(symbol)
    spark = board.spark(symbol)
    ticker = facts.ticker
    last = facts.last if facts.last is not None else (spark[-1] if spark else None)
    return TickerRow(
        symbol=symbol,
        last=last,
        change_percent=ticker.change_percent if ticker else None,
        high=ticker.high if ticker else None,
        low=ticker.low if ticker else None,
        volume=ticker.volume if ticker else None,
        quote_volume=ticker.quote_volume if ticker else None,
        bid=facts.bid,
        ask=facts.ask,
        price_decimals=price_decimals(facts),
        status=facts.info.status if facts.info else "TRADING",
        spark=spark,
    )


def book_section(board: Board, feed: BookFeed | None, view: View, wall_ms: int) -> BookSection:
    """The focused book, best levels first, grouped by the view's step."""
    facts = board.symbol(view.focused)
    empty = BookSection(
        symbol=view.focused,
        state="unsynchronised",
        reason=NO_FEED_REASON,
        age_ms=None,
        last_update_id=0,
        tick=float(facts.info.tick_size) if facts.info else 0.0,
        price_decimals=price_decimals(facts),
        quantity_decimals=facts.info.quantity_decimals if facts.info else 5,
        made_up=facts.info is not None and "book" in facts.info.made_up,
    )
    if feed is None:
        return empty
    book, levels, step = feed.sync.book, view.ladder_levels, view.ladder_step
    wanted = None if step else levels
    return msgspec.structs.replace(
        empty,
        state=feed.sync.state.value,
        reason=feed.sync.reason,
        age_ms=feed.sync.age_ms(wall_ms),
        last_update_id=book.last_update_id,
        bids=tuple(grouped(book.bids(wanted), step, levels, down=True)),
        asks=tuple(grouped(book.asks(wanted), step, levels, down=False)),
    )


def grouped(levels: Iterable[Level], step: float, count: int, *, down: bool) -> list[Level]:
    """Join levels into buckets of `step`, bids rounded down and asks up, and keep `count`."""
    if step <= 0:
        return list(levels)[:count]
    joined: dict[int, float] = {}
    for price, quantity in levels:
        ratio = round(price / step, 6)
        bucket = math.floor(ratio) if down else math.ceil(ratio)
        if bucket not in joined and len(joined) == count:
            break
        joined[bucket] = joined.get(bucket, 0.0) + quantity
    return [(round(bucket * step, 10), quantity) for bucket, quantity in joined.items()]


def chart_section(board: Board, view: View, since: int, *, whole: bool) -> ChartSection | None:
    """Candles of the view; with `whole` all of them, else those that changed after `since`."""
    series = board.series.get((view.focused, view.interval))
    facts = board.symbol(view.focused)
    if series is None:
        if not whole:
            return None
        return ChartSection(
            view.focused, view.interval, price_decimals(facts), True, (), "opening the series"
        )
    if not whole and series.revision <= since:
        return None
    reset = whole or series.reset_revision > since or view.chart_end_ms is not None
    candles = series.window(view.bars, view.chart_end_ms) if reset else series.changed_since(since)
    return ChartSection(
        symbol=view.focused,
        interval=view.interval,
        price_decimals=price_decimals(facts),
        reset=reset,
        candles=tuple(candles),
        note=series.note or ("" if series.candles else NO_CANDLE),
        is_oldest=series.is_oldest and bool(candles) and candles[0] is series.candles[0],
    )


def trades_section(board: Board, view: View, since: int, *, whole: bool) -> TradesSection | None:
    """Trades of the focused symbol that came after `since`; with `whole` the tape."""
    facts = board.symbol(view.focused)
    if not whole and facts.trades_revision <= since:
        return None
    reset = whole or facts.trades_reset_revision > since
    trades = [trade for revision, trade in facts.trades if reset or revision > since]
    buy_share, delta = facts.flow()
    return TradesSection(
        symbol=view.focused,
        price_decimals=price_decimals(facts),
        quantity_decimals=facts.info.quantity_decimals if facts.info else 5,
        reset=reset,
        trades=tuple(trades[-view.tape_length :]),
        buy_share=buy_share,
        delta=delta,
        note="" if facts.trades else "no trade since the tape was opened",
        made_up=facts.info is not None and "trades" in facts.info.made_up,
    )
