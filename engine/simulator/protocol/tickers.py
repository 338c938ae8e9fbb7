"""Tickers of REST: the last day, other windows, the trading day, prices and tops of books."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from engine.market.interval import DAY_MS
from engine.simulator.errors import ApiError
from engine.simulator.protocol.endpoint import Answer, Endpoint, Endpoints
from engine.simulator.protocol.rolling import RollingWindow, window_ms, window_open_ms

if TYPE_CHECKING:
    from engine.simulator.exchange import Exchange
    from engine.simulator.market_state import MarketState
    from engine.simulator.query import Query
    from engine.simulator.window import DayTicker

_MANY = frozenset({"symbol", "symbols", "symbolStatus"})
_TYPED = _MANY | {"type"}


class TickerAnswers:
    """The endpoints whose path starts with `ticker`, and `avgPrice`.

    Args:
        exchange: What is shown.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._windows: dict[tuple[str, str], RollingWindow] = {}

    def endpoints(self) -> Endpoints:
        """Return the endpoints by path."""
        return {
            "api/v3/ticker": Endpoint(_TYPED | {"windowSize"}, self._rolling),
            "api/v3/ticker/tradingDay": Endpoint(_TYPED | {"timeZone"}, self._trading_day),
            "api/v3/ticker/24hr": Endpoint(_TYPED, self._day),
            "api/v3/ticker/price": Endpoint(_MANY, self._price),
            "api/v3/ticker/bookTicker": Endpoint(_MANY, self._book_ticker),
            "api/v3/avgPrice": Endpoint(frozenset({"symbol"}), self._average),
        }

    async def _day(self, query: Query) -> Answer:
        names, states = self._chosen(query)
        full = _is_full(query)
        rows = [row for state in states if (row := self._day_row(state, full=full)) is not None]
        count = 101 if names is None else len(names)
        weight = 2 if count <= 20 else 40 if count <= 100 else 80
        return weight, _rows(query, rows)

    async def _rolling(self, query: Query) -> Answer:
        states = self._required(query)
        size = query.text("windowSize") or "1d"
        length_ms = window_ms(size)
        if length_ms is None:
            raise ApiError(-1130, "Data sent for parameter 'windowSize' is not valid.")
        now_ms = self._exchange.now_ms
        opens_ms = window_open_ms(length_ms, now_ms)
        return await self._windowed(query, states, size, opens_ms, None)

    async def _trading_day(self, query: Query) -> Answer:
        states, offset_ms = self._required(query), query.offset_ms()
        now_ms = self._exchange.now_ms
        opens_ms = (now_ms + offset_ms) // DAY_MS * DAY_MS - offset_ms
        closes_ms = opens_ms + DAY_MS - 1
        return await self._windowed(query, states, f"day{offset_ms}", opens_ms, closes_ms)

    async def _windowed(
        self,
        query: Query,
        states: list[MarketState],
        size: str,
        opens_ms: int,
        closes_ms: int | None,
    ) -> Answer:
        full, now_ms = _is_full(query), self._exchange.now_ms
        weight = min(4 * len(states), 200)

        def tell() -> list[dict[str, Any]]:
            rows = []
            for state in states:
                key = (state.info.name, size)
                window = self._windows.setdefault(key, RollingWindow(state))
                stats = window.ticker(opens_ms, now_ms, closes_ms)
                if stats is not None:
                    rows.append(_row(state.info.name, stats, full=full))
            return rows

        return weight, _rows(query, await asyncio.to_thread(tell))

    async def _price(self, query: Query) -> Answer:
        names, states = self._chosen(query)
        rows = [
            {"symbol": state.info.name, "price": f"{state.minute.close:.8f}"}
            for state in states
            if state.minute is not None
        ]
        return _few(names), _rows(query, rows)

    async def _book_ticker(self, query: Query) -> Answer:
        names, states = self._chosen(query)
        rows = []
        for state in states:
            self._exchange.settle_book(state.info.name)
            bid, bid_quantity, ask, ask_quantity = state.top()
            rows.append(
                {
                    "symbol": state.info.name,
                    "bidPrice": f"{bid:.8f}",
                    "bidQty": f"{bid_quantity:.8f}",
                    "askPrice": f"{ask:.8f}",
                    "askQty": f"{ask_quantity:.8f}",
                }
            )
        return _few(names), _rows(query, rows)

    async def _average(self, query: Query) -> Answer:
        state = self._exchange.states[query.symbol()]
        last = state.last_trade
        answer = {
            "mins": 5,
            "price": f"{state.average():.8f}",
            "closeTime": last.time_ms if last else self._exchange.now_ms,
        }
        return 2, msgspec.json.encode(answer)

    def _required(self, query: Query) -> list[MarketState]:
        """Return the markets that were asked for; one at least has to be."""
        names, states = self._chosen(query)
        if names is None:
            raise ApiError(
                -1102, "Param 'symbol' or 'symbols' must be sent, but both were empty/null!"
            )
        return states

    def _chosen(self, query: Query) -> tuple[list[str] | None, list[MarketState]]:
        names, status = query.symbols(), query.status()
        states, infos = self._exchange.states, self._exchange.infos
        if query.optional_symbol() is not None:
            query.match_status(infos[query.symbol()].status, status)
        chosen = [states[name] for name in (infos if names is None else names)]
        if status is not None:
            chosen = [state for state in chosen if state.info.status == status]
        return names, chosen

    def _day_row(self, state: MarketState, *, full: bool) -> dict[str, Any] | None:
        self._exchange.settle_book(state.info.name)
        day = state.ticker(self._exchange.now_ms)
        if day is None:
            return None
        row = _row(state.info.name, day, full=full)
        if not full:
            return row
        own = {
            "prevClosePrice": f"{day.previous_close:.8f}",
            "lastPrice": row.pop("lastPrice"),
            "lastQty": f"{day.last_quantity:.8f}",
            "bidPrice": f"{day.top[0]:.8f}",
            "bidQty": f"{day.top[1]:.8f}",
            "askPrice": f"{day.top[2]:.8f}",
            "askQty": f"{day.top[3]:.8f}",
        }
        keys = list(row)
        place = keys.index("openPrice")
        return {
            **{key: row[key] for key in keys[:place]},
            **own,
            **{key: row[key] for key in keys[place:]},
        }


def _row(symbol: str, stats: DayTicker, *, full: bool) -> dict[str, Any]:
    changes = {
        "priceChange": f"{stats.change:.8f}",
        "priceChangePercent": f"{stats.change_percent:.3f}",
        "weightedAvgPrice": f"{stats.average:.8f}",
    }
    return {
        "symbol": symbol,
        **(changes if full else {}),
        "openPrice": f"{stats.open:.8f}",
        "highPrice": f"{stats.high:.8f}",
        "lowPrice": f"{stats.low:.8f}",
        "lastPrice": f"{stats.last:.8f}",
        "volume": f"{stats.volume:.8f}",
        "quoteVolume": f"{stats.quote_volume:.8f}",
        "openTime": stats.open_time_ms,
        "closeTime": stats.close_time_ms,
        "firstId": stats.first_id,
        "lastId": stats.last_id,
        "count": stats.trades,
    }


def _is_full(query: Query) -> bool:
    return query.one_of("type", {"FULL", "MINI"}, "FULL") == "FULL"


def _few(names: list[str] | None) -> int:
    return 2 if names is not None and len(names) == 1 else 4


def _rows(query: Query, rows: list[dict[str, Any]]) -> bytes:
    if query.optional_symbol() is not None and rows:
        return msgspec.json.encode(rows[0])
    return msgspec.json.encode(rows)
