"""Answers to requests that no endpoint takes: unknown paths, other methods, and orders."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Middleware

_JSON = "application/json"
_ORDERS = re.compile(
    r"/api/v3/(order|orderList|sor|openOrders)(/.*)?|/sapi/v\d+/(?!userDataStream).*"
)
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_MOST_LOGGED = 200
_log = logging.getLogger(__name__)


def is_order(request: web.Request) -> bool:
    """Tell whether a request would trade, cancel, transfer or change the account."""
    return request.method != "GET" and _ORDERS.fullmatch(request.path) is not None


def log_order(method: str, target: str) -> None:
    """Take note of a request that would have traded.

    Args:
        method: Its HTTP method, or `WebSocket`.
        target: Its path, or its method over the WebSocket API; control characters are escaped.
    """
    shown = ascii(target[:_MOST_LOGGED])[1:-1]
    _log.warning("refused %s %s: the simulated exchange takes no orders", method, shown)


def not_found(request: web.Request, now_ms: int) -> web.Response:
    """Answer an unknown path.

    The wallet's gateway (`/sapi`) says so in JSON; the spot API's sends no body, except HTML to who
    accepts it (both as seen, the exchange documents neither). What would write is noted as an
    order, since a misspelt one is meant as one.
    """
    if request.method not in _READS:
        log_order(request.method, request.path)
    if request.path.startswith("/sapi/"):
        body = {
            "timestamp": now_ms,
            "status": 404,
            "error": "Not Found",
            "message": "No message available",
            "path": request.path,
        }
        return web.Response(body=msgspec.json.encode(body), content_type=_JSON, status=404)
    return _plain(request, 404, "Not Found")


def wrong_method(request: web.Request) -> web.Response:
    """Answer a method that a path does not have."""
    if request.path.startswith("/sapi/"):
        body = {"code": -1000, "msg": f"Request method '{request.method}' not supported"}
        return web.Response(
            body=msgspec.json.encode(body),
            content_type=_JSON,
            status=405,
            headers={"Allow": "GET"},
        )
    answer = _plain(request, 405, "Method Not Allowed")
    answer.headers["Allow"] = "GET"
    return answer


def _plain(request: web.Request, status: int, words: str) -> web.Response:
    if "text/html" not in request.headers.get("Accept", ""):
        return web.Response(status=status, headers={"Content-Type": _JSON})
    title = f"{status} {words}"
    return web.Response(
        status=status,
        text=f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>",
        content_type="text/html",
    )


def answers_unknown(now_ms: Callable[[], int]) -> Middleware:
    """Return a middleware that answers what has no route as the exchange does.

    A client that leaves before its request is whole gets an answer that nobody reads.
    """

    @web.middleware
    async def middleware(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return not_found(request, now_ms())
        except web.HTTPMethodNotAllowed:
            return wrong_method(request)
        except ConnectionResetError:
            return web.Response(status=400)

    return middleware
