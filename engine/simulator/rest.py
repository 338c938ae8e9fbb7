"""The REST interface of the simulated exchange: routes, weights, signatures and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web
from multidict import MultiDict

from engine.simulator.errors import ApiError
from engine.simulator.protocol.account import AccountAnswers
from engine.simulator.protocol.endpoint import Endpoints, Security
from engine.simulator.protocol.market import MarketAnswers
from engine.simulator.protocol.refusals import is_order, log_order, not_found, wrong_method
from engine.simulator.protocol.rules import RuleAnswers
from engine.simulator.protocol.signing import Signatures, no_permission
from engine.simulator.protocol.tickers import TickerAnswers
from engine.simulator.protocol.time_unit import in_microseconds, wants_microseconds
from engine.simulator.protocol.wallet import WalletAnswers
from engine.simulator.query import Query
from engine.simulator.weights import WeightMeter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from multidict import MultiMapping

    from engine.simulator.exchange import Exchange
    from engine.simulator.limits import Limits
    from engine.simulator.protocol.keys import ApiKey

_JSON = "application/json"
_SPOT = "api/v3/"


class RestApi:
    """Answers `/api/v3/...` and some of `/sapi` with documented parameters, weights and errors.

    Args:
        exchange: What is shown.
        limits: Request weight per minute and bans.
        keys: The API keys that may read the account.
    """

    def __init__(self, exchange: Exchange, limits: Limits, keys: Sequence[ApiKey] = ()) -> None:
        self._exchange = exchange
        self._meters = {prefix: WeightMeter(limits) for prefix in ("api", "sapi")}
        self._signatures = Signatures(keys)
        self._endpoints: Endpoints = {
            **MarketAnswers(exchange, limits).endpoints(),
            **TickerAnswers(exchange).endpoints(),
            **RuleAnswers(exchange).endpoints(),
            **AccountAnswers(exchange).endpoints(),
            **WalletAnswers(exchange).endpoints(),
        }

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Register the routes."""
        for prefix in self._meters:
            router.add_route("*", f"/{prefix}/{{path:.*}}", self._handle)

    async def _handle(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix("/")
        wrong = self._wrong_answer(path)
        if wrong is not None:
            return wrong
        meter = self._meter(path)
        address = request.remote or ""
        endpoint = self._endpoints.get(path)
        try:
            if is_order(request):
                meter.check(address)
                await self._refuse_order(request)
            if endpoint is None:
                return not_found(request, self._exchange.now_ms)
            if request.method not in ("GET", "HEAD"):
                return wrong_method(request)
            body = await self._answer(path, request)
        except ApiError as error:
            return self._refusal(error, path, address)
        return web.Response(body=body, content_type=_JSON, headers=self._headers(path, address))

    def _wrong_answer(self, path: str) -> web.Response | None:
        """Return what a fault answers, None for an honest answer."""
        faults = self._exchange.faults
        if faults.rest_status is not None:
            return web.Response(
                status=faults.rest_status,
                text="<html><body>Refused</body></html>",
                content_type="text/html",
            )
        wrong = faults.rest.take(path.removeprefix(_SPOT))
        if wrong is None:
            return None
        return web.Response(
            status=wrong.status,
            body=wrong.body,
            headers={"Content-Type": wrong.content_type, **wrong.headers},
        )

    async def _answer(self, path: str, request: web.Request) -> bytes:
        address, query = request.remote or "", request.query
        unit = request.headers.get("X-MBX-TIME-UNIT")
        try:
            in_micros = wants_microseconds(unit)
        except ApiError:
            self.charge(address, 1, path)
            raise
        text = request.rel_url.raw_query_string
        return await self.call(
            path,
            query,
            address,
            check=lambda: self.check_signature(request.headers, text, "", query),
            in_micros=in_micros,
        )

    async def call(
        self,
        path: str,
        params: MultiMapping[str],
        address: str,
        *,
        check: Callable[[], None],
        in_micros: bool,
    ) -> bytes:
        """Return the answer of the endpoint `path` as JSON, and count its weight.

        Args:
            path: Such as `api/v3/klines`.
            params: The parameters.
            address: Who asks.
            check: Looks at the signature, where the endpoint needs one.
            in_micros: Whether times are told in microseconds.

        Raises:
            ApiError: what is wrong with the request, or that its weight was too much.
        """
        endpoint, meter = self._endpoints[path], self._meter(path)
        meter.check(address)
        try:
            self._exchange.catch_up()
            if endpoint.security is Security.SIGNED:
                check()
            query = Query(params, endpoint.parameters, self._exchange.infos)
            weight, body = await endpoint.answer(query)
        except ApiError:
            meter.charge(address, 1)
            raise
        meter.charge(address, weight)
        return in_microseconds(path.removeprefix(_SPOT), body) if in_micros else body

    def charge(self, address: str, weight: int, path: str = _SPOT) -> None:
        """Count weight for what is no endpoint.

        Raises:
            ApiError: when the address is limited or banned, or this goes above its limit.
        """
        meter = self._meter(path)
        meter.check(address)
        meter.charge(address, weight)

    def used(self, address: str, path: str = _SPOT) -> int:
        """Return the weight that `address` has used in this minute."""
        return self._meter(path).used(address)

    def check_signature(
        self, headers: Mapping[str, str], query: str, body: str, params: MultiMapping[str]
    ) -> None:
        """Let a signed request pass (see `Signatures.check`).

        Raises:
            ApiError: what is wrong with its key, time or signature.
        """
        self._signatures.check(headers, query, body, params, self._exchange.now_ms)

    def refuse_order(
        self, headers: Mapping[str, str], query: str, body: str, params: MultiMapping[str]
    ) -> NoReturn:
        """Refuse what would trade, as the exchange refuses a key that may only read.

        Raises:
            ApiError: -2015, or what is wrong with the request's key, time or signature.
        """
        self._exchange.catch_up()
        self.check_signature(headers, query, body, params)
        raise no_permission()

    async def _refuse_order(self, request: web.Request) -> NoReturn:
        log_order(request.method, request.path)
        body = (await request.read()).decode(errors="replace")
        params = MultiDict([*request.query.items(), *parse_qsl(body, keep_blank_values=True)])
        self.refuse_order(request.headers, request.rel_url.raw_query_string, body, params)

    def _meter(self, path: str) -> WeightMeter:
        return self._meters[path.partition("/")[0]]

    def _headers(self, path: str, address: str) -> dict[str, str]:
        used = str(self.used(address, path))
        if path.startswith("sapi/"):
            return {"X-SAPI-USED-IP-WEIGHT-1M": used}
        return {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}

    def _refusal(self, error: ApiError, path: str, address: str) -> web.Response:
        headers = self._headers(path, address)
        if error.retry_after_s is not None:
            headers["Retry-After"] = str(error.retry_after_s)
        body = msgspec.json.encode({"code": error.code, "msg": error.message})
        return web.Response(body=body, content_type=_JSON, status=error.status, headers=headers)
