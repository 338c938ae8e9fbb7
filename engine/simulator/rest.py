"""The REST interface of the simulated exchange: routes, weights, signatures and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web
from multidict import MultiDict

from engine.simulator.errors import ApiError
from engine.simulator.protocol.account import AccountAnswers
from engine.simulator.protocol.endpoint import Answer, Endpoint, Endpoints, Security
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
    from collections.abc import Sequence

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
        meter = self._meters[path.partition("/")[0]]
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
            meter.check(address)
            weight, body = await self._answer(endpoint, request, meter)
            meter.charge(address, weight)
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

    async def _answer(self, endpoint: Endpoint, request: web.Request, meter: WeightMeter) -> Answer:
        try:
            in_micros = wants_microseconds(request.headers.get("X-MBX-TIME-UNIT"))
            self._exchange.catch_up()
            if endpoint.security is Security.SIGNED:
                self._check_signature(request, "", request.query)
            query = Query(request.query, endpoint.parameters, self._exchange.infos)
            weight, body = await endpoint.answer(query)
        except ApiError:
            meter.charge(request.remote or "", 1)
            raise
        if in_micros:
            body = in_microseconds(request.path.removeprefix(f"/{_SPOT}"), body)
        return weight, body

    async def _refuse_order(self, request: web.Request) -> None:
        """Refuse what would trade, as the exchange refuses a key that may only read.

        Raises:
            ApiError: -2015, or what is wrong with the request's key, time or signature.
        """
        log_order(request)
        body = (await request.read()).decode(errors="replace")
        params = MultiDict([*request.query.items(), *parse_qsl(body, keep_blank_values=True)])
        self._exchange.catch_up()
        self._check_signature(request, body, params)
        raise no_permission()

    def _check_signature(self, request: web.Request, body: str, params: MultiMapping[str]) -> None:
        self._signatures.check(
            request.headers, request.rel_url.raw_query_string, body, params, self._exchange.now_ms
        )

    def _headers(self, path: str, address: str) -> dict[str, str]:
        prefix = path.partition("/")[0]
        used = str(self._meters[prefix].used(address))
        if prefix == "sapi":
            return {"X-SAPI-USED-IP-WEIGHT-1M": used}
        return {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}

    def _refusal(self, error: ApiError, path: str, address: str) -> web.Response:
        headers = self._headers(path, address)
        if error.retry_after_s is not None:
            headers["Retry-After"] = str(error.retry_after_s)
        body = msgspec.json.encode({"code": error.code, "msg": error.message})
        return web.Response(body=body, content_type=_JSON, status=error.status, headers=headers)
