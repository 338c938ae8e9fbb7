"""What the simulated exchange answers beside Binance's protocol: its record, and its faults."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from engine.simulator import wire
from engine.simulator.errors import ApiError
from engine.simulator.fault_steps import catalogue
from engine.simulator.query import Query
from engine.simulator.script import ScriptError, parse_step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from engine.simulator.exchange import Exchange
    from engine.simulator.script import ScriptRun

_KLINES = frozenset({"symbol", "interval", "startTime", "endTime", "limit", "first"})
_MOST_ROWS = 10_000
_LARGEST_STEP_BYTES = 65_536


class Control:
    """`/sim/klines` and `/sim/faults`, for programs on this machine alone.

    Args:
        exchange: Whose record is told.
        script: What does the faults.
    """

    def __init__(self, exchange: Exchange, script: ScriptRun) -> None:
        self._exchange = exchange
        self._script = script

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Register the routes."""
        router.add_get("/sim/klines", _guarded(self._klines))
        router.add_get("/sim/faults", _guarded(self._told))
        router.add_post("/sim/faults", _guarded(self._do))

    async def _klines(self, request: web.Request) -> web.Response:
        """Answer like /api/v3/klines: without faults, weight or the limit of 1,000 rows.

        With `first=1` the candles are told as they were before history was rewritten.
        """
        exchange = self._exchange
        exchange.catch_up()
        try:
            # A market that was delisted keeps its record.
            query = Query(request.query, _KLINES, exchange.states)
            symbol, interval = query.symbol(), query.interval()
            start_ms, end_ms = query.time_ms("startTime"), query.time_ms("endTime")
            limit = query.limit(500, _MOST_ROWS)
        except ApiError as error:
            return _json({"code": error.code, "msg": error.message}, status=error.status)
        is_first = request.query.get("first", "0") != "0"
        candles = await exchange.candles(
            symbol, interval, start_ms, end_ms, limit, is_first=is_first
        )
        closes_ms = [interval.close_time(candle.open_time_ms) for candle in candles]
        body = wire.kline_rows(candles, closes_ms)
        return web.Response(body=body, content_type="application/json")

    async def _told(self, _: web.Request) -> web.Response:
        faults = self._exchange.faults
        return _json(
            {
                "exchange_time_ms": self._exchange.now_ms,
                "connections": len(faults.connections),
                "connects": faults.connects,
                "wrong_rest_answers": faults.rest.given,
                "counts": self._script.counts,
                "done": list(self._script.deeds),
                "faults": catalogue(),
            }
        )

    async def _do(self, request: web.Request) -> web.Response:
        text = await request.content.read(_LARGEST_STEP_BYTES)
        try:
            step = parse_step(text)
        except ScriptError as error:
            return _json({"msg": str(error)}, status=400)
        if step.every is not None or step.at != "0s":
            problem = "A step that is posted is done at once: leave out at and every."
            return _json({"msg": problem}, status=400)
        deed = self._script.do(step)
        if deed.problem:
            return _json({"msg": f"It could not be done: {deed.problem}"}, status=400)
        return _json({"exchange_time_ms": deed.time_ms, "done": deed.text})


def _guarded(
    answer: Callable[[web.Request], Awaitable[web.Response]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Refuse other machines, and web pages that a browser of this one shows."""

    async def guarded(request: web.Request) -> web.Response:
        if not _is_here(request.remote) or "Origin" in request.headers:
            return _json({"msg": "Only programs on this machine may use /sim."}, status=403)
        return await answer(request)

    return guarded


def _is_here(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def _json(content: dict[str, Any], status: int = 200) -> web.Response:
    body = msgspec.json.encode(content)
    return web.Response(body=body, content_type="application/json", status=status)
