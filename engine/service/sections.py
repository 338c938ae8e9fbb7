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
    from engine.binance.stream_types import StreamState
    from engine.capture.board import Board, SymbolBoard
    from engine.market.book import Level
    from engine.market.candle import Candle
    from engine.service.contract import View

DEFAULT_DECIMALS = 2
NO_FEED_REASON = "waiting for its stream"
NOT_LIVE_REASON = "the stream is {connection}, this is the last known book: {note}"
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


def book_standing(feed: BookFeed | None, stream: StreamState) -> tuple[str, str]:
    """State of a book and the reason for any but synchronised.

    A book whose stream does not flow is not synchronised, however complete it was; one whose source
    has ended stays what it is, since nothing changes there any more.
    """
    if feed is None:
        return "unsynchronised", NO_FEED_REASON
    state = feed.sync.state.value
    if state != "synchronised" or stream.connection in ("live", "ended"):
        return state, feed.sync.reason
    reason = NOT_LIVE_REASON.format(connection=stream.connection, note=stream.note)
    return "unsynchronised", reason.rstrip(": ")


def book_section(
    board: Board, feed: BookFeed | None, stream: StreamState, view: View, wall_ms: int
) -> BookSection:
    """The focused book, best levels first, grouped by the view's step."""
    facts = board.symbol(view.focused)
    state, reason = book_standing(feed, stream)
    empty = BookSection(
        symbol=view.focused,
        state=state,
        reason=reason,
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
    bid, ask = book.best_bid, book.best_ask
    return msgspec.structs.replace(
        empty,
        age_ms=feed.sync.age_ms(wall_ms),
        last_update_id=book.last_update_id,
        bids=tuple(grouped(book.bids(wanted), step, levels, down=True)),
        asks=tuple(grouped(book.asks(wanted), step, levels, down=False)),
        best=None if bid is None or ask is None else (bid, ask),
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
    window = series.window(view.bars, view.chart_end_ms)
    reset = whole or series.reset_revision > since
    candles = window if reset else _in_sight(series.changed_since(since), view)
    if len(candles) > view.bars:
        candles, reset = window, True
    if not (reset or candles or series.note_revision > since):
        return None
    return ChartSection(
        symbol=view.focused,
        interval=view.interval,
        price_decimals=price_decimals(facts),
        reset=reset,
        candles=tuple(candles),
        note=series.note or ("" if series.candles else series.absence or NO_CANDLE),
        is_oldest=series.is_oldest and bool(window) and window[0] is series.candles[0],
    )


def _in_sight(candles: list[Candle], view: View) -> list[Candle]:
    end_ms = view.chart_end_ms
    return [candle for candle in candles if end_ms is None or candle.open_time_ms <= end_ms]


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
