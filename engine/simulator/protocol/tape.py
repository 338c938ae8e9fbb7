"""Trades and aggregate trades as REST tells them, from any id or time on."""

from __future__ import annotations

import asyncio
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from engine.market.interval import DAY_MS, MINUTE_MS
from engine.simulator.errors import ApiError
from engine.simulator.market_state import Aggregate
from engine.simulator.source import KeepsTrades

if TYPE_CHECKING:
    from engine.market.trade import Trade
    from engine.simulator.exchange import Exchange
    from engine.simulator.market_state import MarketState

_MOST_FILLS = 4
_LATEST_MS = 1 << 60


async def trades_from(
    exchange: Exchange, state: MarketState, from_id: int | None, limit: int
) -> list[Trade]:
    """Return the oldest trades from an id on, or the newest without one.

    Raises:
        ApiError: when the source has forgotten them.
    """
    recent = list(state.recent)
    if from_id is None:
        return recent[-limit:]
    if recent and from_id >= recent[0].trade_id:
        return [trade for trade in recent if trade.trade_id >= from_id][:limit]
    source = exchange.source
    if not isinstance(source, KeepsTrades):
        _refuse_forgotten(state)
        return recent[:limit]
    end_ms = exchange.now_ms + 1
    found = await asyncio.to_thread(_trades_made_again, source, state, from_id, end_ms, limit)
    return found[:limit]


async def aggregates_from(
    exchange: Exchange,
    state: MarketState,
    from_id: int | None,
    start_ms: int | None,
    end_ms: int | None,
    limit: int,
) -> list[Aggregate]:
    """Return aggregate trades: the oldest from an id or a time on, or the newest up to `end_ms`.

    Args:
        exchange: The exchange.
        state: The market.
        from_id: First id; then the times are None.
        start_ms: First time.
        end_ms: Last time, inclusive.
        limit: Most rows.

    Raises:
        ApiError: when the source has forgotten them.
    """
    wanted = _Wanted(from_id, start_ms, _LATEST_MS if end_ms is None else end_ms, limit)
    known = _kept(state, wanted)
    if known is not None:
        return known
    source = exchange.source
    if not isinstance(source, KeepsTrades):
        _refuse_forgotten(state)
        return _fitting(state, wanted)[:limit]
    newest_id = state.aggregates[-1].aggregate_id
    rows = await asyncio.to_thread(_made_again, source, state, wanted, exchange.now_ms + 1)
    rows = [row for row in rows if row.aggregate_id <= newest_id]
    return rows[-limit:] if wanted.is_newest else rows[:limit]


class _Wanted(NamedTuple):
    from_id: int | None
    start_ms: int | None
    until_ms: int
    limit: int

    @property
    def is_newest(self) -> bool:
        return self.from_id is None and self.start_ms is None


def _fitting(state: MarketState, wanted: _Wanted) -> list[Aggregate]:
    return [
        row
        for row in state.aggregates
        if row.aggregate_id >= (wanted.from_id or 0)
        and (wanted.start_ms or 0) <= row.first.time_ms <= wanted.until_ms
    ]


def _kept(state: MarketState, wanted: _Wanted) -> list[Aggregate] | None:
    """Return the answer if it lies within the newest rows, which are kept; None if it does not."""
    if not state.aggregates:
        return []
    fitting, oldest = _fitting(state, wanted), state.aggregates[0]
    if wanted.is_newest:
        is_whole = len(fitting) >= wanted.limit or wanted.until_ms == _LATEST_MS
        return fitting[-wanted.limit :] if is_whole else None
    if wanted.from_id is not None:
        return fitting[: wanted.limit] if wanted.from_id >= oldest.aggregate_id else None
    is_later = wanted.start_ms is not None and wanted.start_ms > oldest.first.time_ms
    return fitting[: wanted.limit] if is_later else None


def _trades_made_again(
    source: KeepsTrades, state: MarketState, from_id: int, end_ms: int, limit: int
) -> list[Trade]:
    start_ms = _first_ms(source, state, from_id)
    return _made(source, state, start_ms, end_ms, limit, from_id)


def _made_again(
    source: KeepsTrades, state: MarketState, wanted: _Wanted, now_ms: int
) -> list[Aggregate]:
    end_ms = min(wanted.until_ms + 1, now_ms)
    if wanted.is_newest:
        return _newest(source, state, end_ms, wanted.limit)
    first_id, start_ms = 0, wanted.start_ms
    if wanted.from_id is not None:
        first_id = source.first_of_aggregate(state.info.name, wanted.from_id)
        start_ms = _first_ms(source, state, first_id)
    most = (wanted.limit + 1) * _MOST_FILLS
    return _grouped(source, state, _made(source, state, start_ms or 0, end_ms, most, first_id))


def _first_ms(source: KeepsTrades, state: MarketState, trade_id: int) -> int:
    return max(source.time_of_trade(state.info.name, trade_id), state.born_ms)


def _made(
    source: KeepsTrades,
    state: MarketState,
    start_ms: int,
    end_ms: int,
    limit: int,
    first_id: int,
) -> list[Trade]:
    """Return trades of [start_ms, end_ms) that were made on this exchange, from an id on."""
    newest = state.last_trade
    if newest is None:
        return []
    spare = 0 if not first_id else _trades_in_a_minute(source, state, start_ms, first_id)
    found = source.trades_from(state.info.name, max(start_ms, state.born_ms), end_ms, limit + spare)
    return [
        trade
        for trade in found
        if first_id <= trade.trade_id <= newest.trade_id and not state.was_halted(trade.time_ms)
    ]


def _trades_in_a_minute(
    source: KeepsTrades, state: MarketState, start_ms: int, first_id: int
) -> int:
    """Return how many trades lie between a minute's begin and `first_id`."""
    first = source.trades_from(state.info.name, start_ms, start_ms + MINUTE_MS, 1)
    return max(0, first_id - first[0].trade_id) if first else 0


def _newest(source: KeepsTrades, state: MarketState, end_ms: int, limit: int) -> list[Aggregate]:
    """Return the aggregates before `end_ms` of as long a time as holds `limit` of them."""
    rows: list[Aggregate] = []
    for length_ms in (10 * MINUTE_MS, 60 * MINUTE_MS, 6 * 60 * MINUTE_MS, DAY_MS):
        trades = _made(source, state, end_ms - length_ms, end_ms, _LATEST_MS, 0)
        rows = _grouped(source, state, trades)
        if len(rows) >= limit:
            break
    return rows


def _grouped(source: KeepsTrades, state: MarketState, trades: list[Trade]) -> list[Aggregate]:
    name = state.info.name
    rows = []
    for number, group in groupby(trades, lambda trade: source.aggregate_id(name, trade.trade_id)):
        fills = list(group)
        quantity = round(sum(fill.quantity for fill in fills), 8)
        rows.append(Aggregate(number, fills[0], fills[0].trade_id, fills[-1].trade_id, quantity))
    return rows


def _refuse_forgotten(state: MarketState) -> None:
    """Refuse what a replay no longer has.

    Raises:
        ApiError: unless nothing was forgotten.
    """
    oldest = state.recent[0] if len(state.recent) == state.recent.maxlen else None
    if oldest is not None:
        raise ApiError(
            -1020,
            "This operation is not supported. A replay keeps its newest trades only: the oldest "
            f"is {oldest.trade_id}, at {oldest.time_ms}.",
        )
