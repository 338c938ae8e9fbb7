"""The REST interface of the simulated exchange."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from engine.simulator import wire
from engine.simulator.errors import ApiError
from engine.simulator.exchange_info import exchange_info
from engine.simulator.query import Query
from engine.simulator.weights import WeightMeter

if TYPE_CHECKING:
    from engine.market.candle import Candle
    from engine.market.interval import Interval
    from engine.market.trade import Trade
    from engine.simulator.exchange import Exchange
    from engine.simulator.limits import Limits
    from engine.simulator.market_state import MarketState

_TRADES_WEIGHT = 25
_JSON = "application/json"
Answer = tuple[int, bytes]
Endpoint = tuple[frozenset[str], Callable[[Query], Awaitable[Answer]]]


class RestApi:
    """Answers `/api/v3/...` with the documented parameters, weights and errors.

    Args:
        exchange: What is shown.
        limits: Request weight per minute and bans.
    """

    def __init__(self, exchange: Exchange, limits: Limits) -> None:
        self._exchange = exchange
        self._meter = WeightMeter(limits)
        self._limits = limits
        self._stale: dict[tuple[str, int], bytes] = {}
        self._endpoints = self._table()

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Register the routes."""
        router.add_get("/api/v3/{path:.+}", self._handle)

    def _table(self) -> dict[str, Endpoint]:
        klines = frozenset({"symbol", "interval", "startTime", "endTime", "timeZone", "limit"})
        many = frozenset({"symbol", "symbols", "symbolStatus"})
        limited = frozenset({"symbol", "limit"})
        return {
            "ping": (frozenset(), self._ping),
            "time": (frozenset(), self._time),
            "exchangeInfo": (
                many | {"permissions", "showPermissionSets"},
                self._exchange_info,
            ),
            "klines": (klines, self._klines),
            "uiKlines": (klines, self._klines),
            "depth": (limited | {"symbolStatus"}, self._depth),
            "ticker/24hr": (many | {"type"}, self._day),
            "ticker/price": (many, self._price),
            "ticker/bookTicker": (many, self._book_ticker),
            "avgPrice": (frozenset({"symbol"}), self._average),
            "trades": (limited, self._trades),
            "aggTrades": (limited | {"fromId", "startTime", "endTime"}, self._aggregates),
        }

    async def _handle(self, request: web.Request) -> web.Response:
        address = request.remote or ""
        path = request.match_info["path"]
        faults = self._exchange.faults
        if faults.rest_status is not None:
            return web.Response(
                status=faults.rest_status,
                text="<html><body>Refused</body></html>",
                content_type="text/html",
            )
        wrong = faults.rest.take(path)
        if wrong is not None:
            return web.Response(
                status=wrong.status,
                body=wrong.body,
                headers={"Content-Type": wrong.content_type, **wrong.headers},
            )
        endpoint = self._endpoints.get(path)
        if endpoint is None:
            raise web.HTTPNotFound
        try:
            self._meter.check(address)
            weight, body = await self._answer(endpoint, request, address)
            self._meter.charge(address, weight)
        except ApiError as error:
            return self._refusal(error, address)
        return web.Response(body=body, content_type=_JSON, headers=self._headers(address))

    async def _answer(self, endpoint: Endpoint, request: web.Request, address: str) -> Answer:
        allowed, function = endpoint
        try:
            self._exchange.catch_up()
            return await function(Query(request.query, allowed, self._exchange.infos))
        except ApiError:
            self._meter.charge(address, 1)
            raise

    def _headers(self, address: str) -> dict[str, str]:
        return {"X-MBX-USED-WEIGHT-1M": str(self._meter.used(address))}

    def _refusal(self, error: ApiError, address: str) -> web.Response:
        headers = self._headers(address)
        if error.retry_after_s is not None:
            headers["Retry-After"] = str(error.retry_after_s)
        body = msgspec.json.encode({"code": error.code, "msg": error.message})
        return web.Response(body=body, content_type=_JSON, status=error.status, headers=headers)

    # -- endpoints -------------------------------------------------------------------------------

    async def _ping(self, _: Query) -> Answer:
        return 1, b"{}"

    async def _time(self, _: Query) -> Answer:
        return 1, msgspec.json.encode({"serverTime": self._exchange.now_ms})

    async def _exchange_info(self, query: Query) -> Answer:
        names = query.symbols()
        status = query.status()
        if status is not None and names is not None:
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        show = query.one_of("showPermissionSets", {"true", "false"}, "true") == "true"
        infos = [
            info
            for info in self._exchange.infos.values()
            if (names is None or info.name in names) and status in (None, info.status)
        ]
        weight_limit = self._limits.weight_per_minute
        answer = exchange_info(
            infos, self._exchange.now_ms, weight_limit, self._exchange.made_up, show_sets=show
        )
        return 20, msgspec.json.encode(answer)

    async def _klines(self, query: Query) -> Answer:
        symbol, interval = query.symbol(), query.interval()
        if query.offset_ms() != 0:
            raise ApiError(-1130, "Data sent for parameter 'timeZone' is not valid.")
        start_ms, end_ms = query.time_ms("startTime"), query.time_ms("endTime")
        limit = query.limit(500, 1000)
        candles = await self._shown(symbol, interval, start_ms, end_ms, limit)
        closes_ms = [interval.close_time(candle.open_time_ms) for candle in candles]
        return 2, wire.kline_rows(candles, closes_ms)

    async def _shown(
        self,
        symbol: str,
        interval: Interval,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
    ) -> list[Candle]:
        """Return a full page of what is not hidden, as long as there is more."""
        shown: list[Candle] = []
        while True:
            wanted = limit - len(shown)
            page = await self._exchange.candles(symbol, interval, start_ms, end_ms, wanted)
            visible = self._exchange.faults.klines.visible(symbol, interval.name, page)
            shown = [*shown, *visible] if start_ms is not None else [*visible, *shown]
            if len(page) < wanted or len(visible) == len(page):
                return shown
            if start_ms is not None:
                start_ms = page[-1].open_time_ms + 1
            else:
                end_ms = page[0].open_time_ms - 1

    async def _depth(self, query: Query) -> Answer:
        symbol = query.symbol()
        limit = query.limit(100, 5000)
        status = query.status()
        if status not in (None, self._exchange.infos[symbol].status):
            raise ApiError(-1220, "The symbol's status does not match the requested symbolStatus.")
        weights = ((100, 5), (500, 25), (1000, 50), (5000, 250))
        weight = next(weight for most, weight in weights if limit <= most)
        body = wire.snapshot(*self._exchange.snapshot(symbol, limit))
        if not self._exchange.faults.stale_snapshots:
            self._stale.clear()
            return weight, body
        return weight, self._stale.setdefault((symbol, limit), body)

    async def _day(self, query: Query) -> Answer:
        names, states = self._chosen(query)
        full = query.one_of("type", {"FULL", "MINI"}, "FULL") == "FULL"
        rows = [row for state in states if (row := self._day_row(state, full=full)) is not None]
        count = 101 if names is None else len(names)
        weight = 2 if count <= 20 else 40 if count <= 100 else 80
        return weight, _rows(query, rows)

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
        return 2, msgspec.json.encode(
            {
                "mins": 5,
                "price": f"{state.average():.8f}",
                "closeTime": last.time_ms if last else self._exchange.now_ms,
            }
        )

    async def _trades(self, query: Query) -> Answer:
        recent = self._exchange.states[query.symbol()].recent
        limit = query.limit(500, 1000)
        return _TRADES_WEIGHT, msgspec.json.encode([_trade(row) for row in [*recent][-limit:]])

    async def _aggregates(self, query: Query) -> Answer:
        rows = list(self._exchange.states[query.symbol()].aggregates)
        limit, from_id = query.limit(500, 1000), query.integer("fromId")
        start_ms, end_ms = query.time_ms("startTime"), query.time_ms("endTime")
        if from_id is not None and (start_ms is not None or end_ms is not None):
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        if from_id is not None:
            rows = [row for row in rows if row.aggregate_id >= from_id]
        rows = [row for row in rows if (start_ms or 0) <= row.first.time_ms]
        if end_ms is not None:
            rows = [row for row in rows if row.first.time_ms <= end_ms]
        rows = rows[-limit:] if from_id is None and start_ms is None else rows[:limit]
        return 4, msgspec.json.encode(
            [
                {
                    "a": row.aggregate_id,
                    "p": f"{row.first.price:.8f}",
                    "q": f"{row.quantity:.8f}",
                    "f": row.first_id,
                    "l": row.last_id,
                    "T": row.first.time_ms,
                    "m": row.first.buyer_is_maker,
                    "M": True,
                }
                for row in rows
            ]
        )

    def _chosen(self, query: Query) -> tuple[list[str] | None, list[MarketState]]:
        names, status = query.symbols(), query.status()
        states = self._exchange.states
        chosen = list(states.values()) if names is None else [states[name] for name in names]
        if status is not None:
            chosen = [state for state in chosen if state.info.status == status]
        return names, chosen

    def _day_row(self, state: MarketState, *, full: bool) -> dict[str, Any] | None:
        self._exchange.settle_book(state.info.name)
        day = state.ticker(self._exchange.now_ms)
        if day is None:
            return None
        row: dict[str, Any] = {"symbol": state.info.name}
        if full:
            row |= {
                "priceChange": f"{day.change:.8f}",
                "priceChangePercent": f"{day.change_percent:.3f}",
                "weightedAvgPrice": f"{day.average:.8f}",
                "prevClosePrice": f"{day.previous_close:.8f}",
                "lastPrice": f"{day.last:.8f}",
                "lastQty": f"{day.last_quantity:.8f}",
                "bidPrice": f"{day.top[0]:.8f}",
                "bidQty": f"{day.top[1]:.8f}",
                "askPrice": f"{day.top[2]:.8f}",
                "askQty": f"{day.top[3]:.8f}",
            }
        row |= {
            "openPrice": f"{day.open:.8f}",
            "highPrice": f"{day.high:.8f}",
            "lowPrice": f"{day.low:.8f}",
        }
        if not full:
            row["lastPrice"] = f"{day.last:.8f}"
        return row | {
            "volume": f"{day.volume:.8f}",
            "quoteVolume": f"{day.quote_volume:.8f}",
            "openTime": day.open_time_ms,
            "closeTime": day.close_time_ms,
            "firstId": day.first_id,
            "lastId": day.last_id,
            "count": day.trades,
        }


def _few(names: list[str] | None) -> int:
    return 2 if names is not None and len(names) == 1 else 4


def _rows(query: Query, rows: list[dict[str, Any]]) -> bytes:
    if query.optional_symbol() is not None and rows:
        return msgspec.json.encode(rows[0])
    return msgspec.json.encode(rows)


def _trade(trade: Trade) -> dict[str, Any]:
    return {
        "id": trade.trade_id,
        "price": f"{trade.price:.8f}",
        "qty": f"{trade.quantity:.8f}",
        "quoteQty": f"{trade.price * trade.quantity:.8f}",
        "time": trade.time_ms,
        "isBuyerMaker": trade.buyer_is_maker,
        "isBestMatch": True,
    }
