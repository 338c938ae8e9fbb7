"""What a signed request may read: an account that owns a little of everything and never trades."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from engine.simulator.errors import ApiError
from engine.simulator.exchange_info import ORDER_LIMITS, symbol_filters
from engine.simulator.protocol.endpoint import Answer, Endpoint, Endpoints, Security
from engine.simulator.protocol.signing import SIGNED_PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from engine.simulator.exchange import Exchange
    from engine.simulator.query import Query

_RATE = "0.00100000"
_NOTHING = "0.00000000"
_QUOTE_BALANCE = "10000.00000000"
_BASE_BALANCE = "1.00000000"
_UID = 1_000_001
_LISTS = frozenset({"symbol", "orderId", "orderListId", "startTime", "endTime", "fromId", "limit"})


class AccountAnswers:
    """The read-only signed endpoints of the spot API.

    Args:
        exchange: Whose assets the account holds.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def endpoints(self) -> Endpoints:
        """Return the endpoints by path."""
        account = {
            "account": _signed(self._account, "omitZeroBalances"),
            "account/commission": _signed(self._commission, "symbol"),
            "openOrders": _signed(self._open_orders, "symbol"),
            "allOrders": _signed(self._listed(20), *_LISTS),
            "myTrades": _signed(self._my_trades, *_LISTS),
            "order": _signed(self._order, "symbol", "orderId", "origClientOrderId"),
            "openOrderList": _signed(self._empty(6)),
            "allOrderList": _signed(self._empty(20), "fromId", "startTime", "endTime", "limit"),
            "myAllocations": _signed(
                self._listed(20), "fromAllocationId", *_LISTS - {"fromId", "orderListId"}
            ),
            "myPreventedMatches": _signed(
                self._listed(20), "preventedMatchId", "fromPreventedMatchId", *_LISTS - {"fromId"}
            ),
            "myFilters": _signed(self._filters, "symbol"),
            "rateLimit/order": _signed(self._order_counts),
        }
        return {f"api/v3/{path}": endpoint for path, endpoint in account.items()}

    async def _account(self, query: Query) -> Answer:
        omits = query.one_of("omitZeroBalances", {"true", "false"}, "false") == "true"
        answer = {
            "makerCommission": 10,
            "takerCommission": 10,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": _rates(_RATE),
            "canTrade": True,
            "canWithdraw": True,
            "canDeposit": True,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": self._exchange.source.start_ms,
            "accountType": "SPOT",
            "balances": [
                {"asset": asset, "free": free, "locked": _NOTHING}
                for asset, free in balances(self._exchange).items()
                if free != _NOTHING or not omits
            ],
            "permissions": ["SPOT"],
            "uid": _UID,
        }
        return 20, msgspec.json.encode(answer)

    async def _commission(self, query: Query) -> Answer:
        answer = {
            "symbol": query.symbol(),
            "standardCommission": _rates(_RATE),
            "specialCommission": _rates(_NOTHING),
            "taxCommission": _rates(_NOTHING),
            "discount": {
                "enabledForAccount": False,
                "enabledForSymbol": False,
                "discountAsset": "BNB",
                "discount": "0.75000000",
            },
        }
        return 20, msgspec.json.encode(answer)

    async def _open_orders(self, query: Query) -> Answer:
        return 80 if query.optional_symbol() is None else 6, b"[]"

    async def _my_trades(self, query: Query) -> Answer:
        query.symbol()
        query.limit(500, 1000)
        return 20 if query.integer("orderId") is None else 5, b"[]"

    async def _order(self, query: Query) -> Answer:
        query.symbol()
        if query.integer("orderId") is None and query.text("origClientOrderId") is None:
            raise ApiError(
                -1102,
                "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!",
            )
        raise ApiError(-2013, "Order does not exist.")

    async def _filters(self, query: Query) -> Answer:
        info = self._exchange.infos[query.symbol()]
        answer = {
            "exchangeFilters": [],
            "symbolFilters": symbol_filters(info),
            "assetFilters": [],
        }
        return 40, msgspec.json.encode(answer)

    async def _order_counts(self, _: Query) -> Answer:
        return 40, msgspec.json.encode([{**limit, "count": 0} for limit in ORDER_LIMITS])

    def _empty(self, weight: int) -> Callable[[Query], Awaitable[Answer]]:
        async def answer(_: Query) -> Answer:
            return weight, b"[]"

        return answer

    def _listed(self, weight: int) -> Callable[[Query], Awaitable[Answer]]:
        async def answer(query: Query) -> Answer:
            query.symbol()
            query.limit(500, 1000)
            return weight, b"[]"

        return answer


def balances(exchange: Exchange) -> dict[str, str]:
    """Return what the account owns of each asset of the exchange, by name."""
    infos = exchange.infos.values()
    owned = dict.fromkeys(sorted(info.base for info in infos), _BASE_BALANCE)
    return owned | dict.fromkeys(sorted({info.quote for info in infos}), _QUOTE_BALANCE)


def _signed(answer: Callable[[Query], Awaitable[Answer]], *names: str) -> Endpoint:
    return Endpoint(frozenset(names) | SIGNED_PARAMETERS, answer, Security.SIGNED)


def _rates(rate: str) -> dict[str, Any]:
    return {"maker": rate, "taker": rate, "buyer": _NOTHING, "seller": _NOTHING}
