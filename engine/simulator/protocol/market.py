"""Market data of REST: the exchange itself, candles, books and trades."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from engine.simulator import wire
from engine.simulator.errors import ApiError
from engine.simulator.exchange_info import exchange_info
from engine.simulator.protocol.endpoint import Answer, Endpoint, Endpoints
from engine.simulator.protocol.tape import aggregates_from, trades_from
from engine.simulator.protocol.zones import shifted

if TYPE_CHECKING:
    from engine.market.candle import Candle
    from engine.market.interval import Interval
    from engine.market.trade import Trade
    from engine.simulator.exchange import Exchange
    from engine.simulator.limits import Limits
    from engine.simulator.market_state import Aggregate
    from engine.simulator.query import Query

_TRADES_WEIGHT = 25
_DEPTH_WEIGHTS = ((100, 5), (500, 25), (1000, 50), (5000, 250))
_PERMISSIONS = frozenset({"SPOT", "MARGIN", "LEVERAGED"})


class MarketAnswers:
    """The public endpoints that are no tickers.

    Args:
        exchange: What is shown.
        limits: What exchangeInfo tells of them.
    """

    def __init__(self, exchange: Exchange, limits: Limits) -> None:
        self._exchange = exchange
        self._limits = limits
        self._stale: dict[tuple[str, int], bytes] = {}

    def endpoints(self) -> Endpoints:
        """Return the endpoints by path."""
        klines = frozenset({"symbol", "interval", "startTime", "endTime", "timeZone", "limit"})
        limited = frozenset({"symbol", "limit"})
        info = {"symbol", "symbols", "symbolStatus", "permissions", "showPermissionSets"}
        from_id = limited | {"fromId"}
        market = {
            "ping": Endpoint(frozenset(), self._ping),
            "time": Endpoint(frozenset(), self._time),
            "exchangeInfo": Endpoint(frozenset(info), self._exchange_info),
            "klines": Endpoint(klines, self._klines),
            "uiKlines": Endpoint(klines, self._klines),
            "depth": Endpoint(limited | {"symbolStatus"}, self._depth),
            "trades": Endpoint(limited, self._trades),
            "historicalTrades": Endpoint(from_id, self._trades),
            "historicalBlockTrades": Endpoint(from_id, self._block_trades),
            "aggTrades": Endpoint(from_id | {"startTime", "endTime"}, self._aggregates),
        }
        return {f"api/v3/{path}": endpoint for path, endpoint in market.items()}

    async def _ping(self, _: Query) -> Answer:
        return 1, b"{}"

    async def _time(self, _: Query) -> Answer:
        return 1, msgspec.json.encode({"serverTime": self._exchange.now_ms})

    async def _exchange_info(self, query: Query) -> Answer:
        names, status, permissions = query.symbols(), query.status(), query.words("permissions")
        if names is not None and (status is not None or permissions is not None):
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        if permissions is not None and not _PERMISSIONS.issuperset(permissions):
            raise ApiError(-1130, "Data sent for parameter 'permissions' is not valid.")
        show = query.one_of("showPermissionSets", {"true", "false"}, "true") == "true"
        infos = [
            info
            for info in self._exchange.infos.values()
            if (names is None or info.name in names)
            and status in (None, info.status)
            and (permissions is None or "SPOT" in permissions)
        ]
        answer = exchange_info(
            infos,
            self._exchange.now_ms,
            self._limits.weight_per_minute,
            self._exchange.made_up,
            show_sets=show,
        )
        return 20, msgspec.json.encode(answer)

    async def _klines(self, query: Query) -> Answer:
        symbol = query.symbol()
        interval = self._zoned(query.interval(), query.offset_ms())
        start_ms, end_ms = query.time_ms("startTime"), query.time_ms("endTime")
        limit = query.limit(500, 1000)
        candles = await self._shown(symbol, interval, start_ms, end_ms, limit)
        closes_ms = [interval.close_time(candle.open_time_ms) for candle in candles]
        return 2, wire.kline_rows(candles, closes_ms)

    def _zoned(self, interval: Interval, offset_ms: int) -> Interval:
        """Return `interval` in a zone, whose grid candles of the source's finest have to fit."""
        zoned = shifted(interval, offset_ms)
        finest_ms = self._exchange.source.finest.length_ms
        if zoned is not interval and offset_ms % finest_ms:
            raise ApiError(-1130, "Data sent for parameter 'timeZone' is not valid.")
        return zoned

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
        query.match_status(self._exchange.infos[symbol].status, query.status())
        weight = next(weight for most, weight in _DEPTH_WEIGHTS if limit <= most)
        body = wire.snapshot(*self._exchange.snapshot(symbol, limit))
        if not self._exchange.faults.stale_snapshots:
            self._stale.clear()
            return weight, body
        return weight, self._stale.setdefault((symbol, limit), body)

    async def _trades(self, query: Query) -> Answer:
        state = self._exchange.states[query.symbol()]
        limit, from_id = query.limit(500, 1000), query.integer("fromId")
        rows = await trades_from(self._exchange, state, from_id, limit)
        return _TRADES_WEIGHT, msgspec.json.encode([_trade(row) for row in rows])

    async def _block_trades(self, query: Query) -> Answer:
        query.symbol()
        query.limit(500, 1000)
        return _TRADES_WEIGHT, b"[]"

    async def _aggregates(self, query: Query) -> Answer:
        state = self._exchange.states[query.symbol()]
        limit, from_id = query.limit(500, 1000), query.integer("fromId")
        start_ms, end_ms = query.time_ms("startTime"), query.time_ms("endTime")
        if from_id is not None and (start_ms is not None or end_ms is not None):
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        rows = await aggregates_from(self._exchange, state, from_id, start_ms, end_ms, limit)
        return 4, msgspec.json.encode([_aggregate(row) for row in rows])


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


def _aggregate(row: Aggregate) -> dict[str, Any]:
    return {
        "a": row.aggregate_id,
        "p": f"{row.first.price:.8f}",
        "q": f"{row.quantity:.8f}",
        "f": row.first_id,
        "l": row.last_id,
        "T": row.first.time_ms,
        "m": row.first.buyer_is_maker,
        "M": True,
    }
