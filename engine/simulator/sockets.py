"""The WebSocket addresses of the simulated exchange: raw and combined streams, and the API."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec
from aiohttp import web

from engine.simulator.commands import carry_out
from engine.simulator.connection import Connection
from engine.simulator.doorkeeper import Doorkeeper
from engine.simulator.errors import ApiError
from engine.simulator.protocol.socket_api import SocketApi
from engine.simulator.protocol.time_unit import wants_microseconds

if TYPE_CHECKING:
    from engine.simulator.exchange import Exchange
    from engine.simulator.limits import Limits
    from engine.simulator.rest import RestApi

_STREAMS = "streams="


class Sockets:
    """Opens WebSocket connections on `/ws`, `/stream` and `/ws-api/v3`.

    Args:
        exchange: What is shown.
        limits: Connects, streams and messages of a connection.
        rest: What answers the requests of the WebSocket API.
    """

    def __init__(self, exchange: Exchange, limits: Limits, rest: RestApi) -> None:
        self._exchange = exchange
        self._limits = limits
        self._rest = rest
        self._doorkeeper = Doorkeeper(limits)

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Register the routes."""
        for path in ("/ws", "/ws/{streams:.*}", "/stream"):
            router.add_get(path, self._open_streams)
        router.add_get("/ws-api/v3", self._open_api)

    async def _open_streams(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        try:
            in_micros = wants_microseconds(request.query.get("timeUnit"))
        except ApiError as error:
            return _refused(error)
        streams, most = stream_names(request), self._limits.most_streams
        if len(streams) > most:
            raise web.HTTPBadRequest(text=f"At most {most} streams a connection.")
        connection = Connection(
            self._exchange,
            self._limits,
            request,
            partial(carry_out, most_streams=most),
            most_messages_per_s=self._limits.most_commands_per_s,
            combined=request.path == "/stream",
            in_microseconds=in_micros,
        )
        return await connection.serve(streams)

    async def _open_api(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        try:
            api = SocketApi(self._exchange, self._limits, self._rest, request)
        except ApiError as error:
            return _refused(error)
        connection = Connection(
            self._exchange,
            self._limits,
            request,
            api.respond,
            in_microseconds=api.in_microseconds,
        )
        return await connection.serve([])

    def _refusal(self, request: web.Request) -> web.Response | None:
        self._doorkeeper.admit(request)
        status = self._exchange.faults.refusal
        if status is not None:
            return web.Response(status=status, text="Refused")
        self._exchange.faults.connects += 1
        return None


def stream_names(request: web.Request) -> list[str]:
    """Return the streams that a URL asks for; a plus sign in them is no space."""
    text = request.path.removeprefix("/ws").removeprefix("/")
    if request.path == "/stream":
        parts = request.rel_url.raw_query_string.split("&")
        found = (part.removeprefix(_STREAMS) for part in parts if part.startswith(_STREAMS))
        text = unquote(next(found, ""))
    return [name for name in text.split("/") if name]


def _refused(error: ApiError) -> web.Response:
    body = msgspec.json.encode({"code": error.code, "msg": error.message})
    return web.Response(body=body, content_type="application/json", status=error.status)
