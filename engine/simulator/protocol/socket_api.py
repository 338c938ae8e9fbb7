"""The WebSocket API: requests and answers over a socket, of the same endpoints as REST.

Format of requests, answers and errors: official WebSocket API documentation (2026-07-17).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
from multidict import MultiDict

from engine.simulator.errors import ApiError
from engine.simulator.protocol.refusals import log_order
from engine.simulator.protocol.time_unit import wants_microseconds

if TYPE_CHECKING:
    from aiohttp import web

    from engine.simulator.connection import Connection
    from engine.simulator.exchange import Exchange
    from engine.simulator.limits import Limits
    from engine.simulator.rest import RestApi

_CONNECT_WEIGHT = 2
_SESSION_WEIGHT = 2
_PATHS = {
    "ping": "ping",
    "time": "time",
    "exchangeInfo": "exchangeInfo",
    "executionRules": "executionRules",
    "referencePrice": "referencePrice",
    "referencePrice.calculation": "referencePrice/calculation",
    "depth": "depth",
    "trades.recent": "trades",
    "trades.historical": "historicalTrades",
    "trades.aggregate": "aggTrades",
    "blockTrades.historical": "historicalBlockTrades",
    "klines": "klines",
    "uiKlines": "uiKlines",
    "avgPrice": "avgPrice",
    "ticker": "ticker",
    "ticker.24hr": "ticker/24hr",
    "ticker.tradingDay": "ticker/tradingDay",
    "ticker.price": "ticker/price",
    "ticker.book": "ticker/bookTicker",
    "account.status": "account",
    "account.commission": "account/commission",
    "account.rateLimits.orders": "rateLimit/order",
    "openOrders.status": "openOrders",
    "openOrderLists.status": "openOrderList",
    "order.status": "order",
    "allOrders": "allOrders",
    "allOrderLists": "allOrderList",
    "myTrades": "myTrades",
    "myAllocations": "myAllocations",
    "myPreventedMatches": "myPreventedMatches",
    "myFilters": "myFilters",
}
_SESSION = frozenset({"session.status", "session.logout"})
_REFUSED_METHODS = ("order.", "orderList.", "sor.", "openOrders.", "session.", "userDataStream.")
_ORDERS = tuple(map(str.lower, _REFUSED_METHODS))


class SocketApi:
    """Answers the requests of one connection to `/ws-api/v3`.

    Args:
        exchange: The exchange.
        limits: What the answers tell of the request weight.
        rest: Answers each method as the endpoint that says the same.
        request: The HTTP request that opens the connection, with `returnRateLimits`, `timeUnit`.

    Attributes:
        in_microseconds: Whether times in answers are microseconds.

    Raises:
        ApiError: -1194 for a time unit that there is not, -1003 above the request weight.
    """

    def __init__(
        self, exchange: Exchange, limits: Limits, rest: RestApi, request: web.Request
    ) -> None:
        self._exchange = exchange
        self._limits = limits
        self._rest = rest
        self._address = request.remote or ""
        self._connected_ms = exchange.now_ms
        self._tells_limits = request.query.get("returnRateLimits", "true") != "false"
        self.in_microseconds = wants_microseconds(request.query.get("timeUnit"))
        rest.charge(self._address, _CONNECT_WEIGHT)

    async def respond(self, connection: Connection, text: bytes) -> None:
        """Answer one request."""
        request: Any = None
        tells_limits = self._tells_limits
        try:
            request = _decoded(text)
            params = dict(request.get("params") or {})
            tells_limits = params.pop("returnRateLimits", tells_limits) is not False
            answer: dict[str, Any] = {"status": 200, "result": await self._result(request, params)}
        except ApiError as error:
            answer = {"status": error.status, "error": self._told(error)}
        if tells_limits:
            answer["rateLimits"] = self._rate_limits()
        answer_id = request.get("id") if isinstance(request, dict) else None
        connection.send_raw(msgspec.json.encode({"id": answer_id, **answer}).decode())

    async def _result(self, request: dict[str, Any], params: dict[str, Any]) -> msgspec.Raw:
        method = request["method"].removeprefix("v3/")
        texts = {name: _text(value) for name, value in params.items()}
        if method in _SESSION:
            return self._session()
        path = _PATHS.get(method)
        if path is None:
            self._refuse(method, texts)
        key = {"X-MBX-APIKEY": texts.pop("apiKey", "")}
        signed = _payload({**texts, "apiKey": key["X-MBX-APIKEY"]})
        body = await self._rest.call(
            f"api/v3/{path}",
            MultiDict(texts),
            self._address,
            check=lambda: self._rest.check_signature(key, signed, "", MultiDict(texts)),
            in_micros=self.in_microseconds,
        )
        return msgspec.Raw(body)

    def _session(self) -> msgspec.Raw:
        """Say that nobody has logged on."""
        self._rest.charge(self._address, _SESSION_WEIGHT)
        unit = 1000 if self.in_microseconds else 1
        answer = {
            "apiKey": None,
            "authorizedSince": None,
            "connectedSince": self._connected_ms * unit,
            "returnRateLimits": self._tells_limits,
            "serverTime": self._exchange.now_ms * unit,
            "userDataStream": False,
        }
        return msgspec.Raw(msgspec.json.encode(answer))

    def _refuse(self, method: str, texts: dict[str, str]) -> NoReturn:
        """Refuse what would trade, log on or listen to an account, and what does not exist.

        Raises:
            ApiError: always.
        """
        self._rest.charge(self._address, 1)
        if method.lower().startswith(_ORDERS):
            log_order("WebSocket", method)
        if not method.startswith(_REFUSED_METHODS):
            raise ApiError(-1020, "This operation is not supported.")
        key = {"X-MBX-APIKEY": texts.get("apiKey", "")}
        self._rest.refuse_order(key, _payload(texts), "", MultiDict(texts))

    def _told(self, error: ApiError) -> dict[str, Any]:
        told: dict[str, Any] = {"code": error.code, "msg": error.message}
        if error.retry_after_s is not None:
            now_ms = self._exchange.now_ms
            retry_ms = now_ms + error.retry_after_s * 1000
            told["data"] = {"serverTime": now_ms, "retryAfter": retry_ms}
        return told

    def _rate_limits(self) -> list[dict[str, Any]]:
        return [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": self._limits.weight_per_minute,
                "count": self._rest.used(self._address),
            }
        ]


def _decoded(text: bytes) -> dict[str, Any]:
    try:
        request = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise ApiError(-1135, "Invalid JSON Request") from None
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        raise ApiError(-1135, "Invalid JSON Request")
    if not isinstance(request.get("params") or {}, dict):
        raise ApiError(-1135, "JSON sent for parameter 'params' is not valid")
    return request


def _text(value: Any) -> str:
    """Return a parameter as it stands in a query string."""
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


def _payload(texts: dict[str, str]) -> str:
    """Return what a signature is of: all parameters but itself, by name."""
    names = sorted(name for name in texts if name != "signature")
    return "&".join(f"{name}={texts[name]}" for name in names)
