"""A door in front of a simulated exchange's REST interface: the way is long, and it counts.

Each answer takes as long as one over the internet; requests, weight and refusals are counted from
outside of the engine. For some seconds it can refuse all with HTTP 429 and Retry-After.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from yarl import URL

ANSWER_S = 0.08
_BODY = '{"code":-1003,"msg":"Too much request weight used."}'


class Door:
    """Passes GET requests on.

    Attributes:
        url: Where it listens.
    """

    def __init__(self, inside: str, session: aiohttp.ClientSession, answer_s: float) -> None:
        self.url = ""
        self._inside = inside
        self._session = session
        self._answer_s = answer_s
        self._refused_until_s = 0.0
        self._told_s = math.inf
        self.forget()

    def forget(self) -> None:
        """Count from zero."""
        self._requests: Counter[str] = Counter()
        self._weights: Counter[int] = Counter()
        self._refused = self._ignored = 0

    def refuse(self, seconds: float) -> None:
        """Answer all with 429 for so long."""
        self._refused_until_s = time.monotonic() + seconds
        self._told_s = math.inf

    def counted(self) -> dict[str, int]:
        """Return requests passed, the most weight used in a wall minute, and refusals.

        `ignored` are those that left more than half a second after the first 429 was answered.
        """
        return {
            "requests": self._requests.total(),
            "klines": self._requests["klines"],
            "most_weight": max(self._weights.values(), default=0),
            "refused": self._refused,
            "ignored": self._ignored,
        }

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        now_s = time.monotonic()
        left_s = self._refused_until_s - now_s
        if left_s > 0:
            self._refused += 1
            self._ignored += now_s > self._told_s + 0.5
            await asyncio.sleep(self._answer_s)
            self._told_s = min(self._told_s, time.monotonic())
            headers = {"Retry-After": str(math.ceil(left_s))}
            return web.Response(status=429, text=_BODY, headers=headers)
        self._requests[request.path.rpartition("/")[2]] += 1
        where = URL(self._inside + request.raw_path, encoded=True)
        async with self._session.get(where) as answer:
            body = await answer.read()
        weight = answer.headers.get("X-MBX-USED-WEIGHT-1M", "0")
        minute = int(time.time() // 60)
        self._weights[minute] = max(self._weights[minute], int(weight))
        await asyncio.sleep(max(0.0, now_s + self._answer_s - time.monotonic()))
        headers = {
            name: answer.headers[name]
            for name in ("Content-Type", "X-MBX-USED-WEIGHT-1M", "Retry-After")
            if name in answer.headers
        }
        return web.Response(status=answer.status, body=body, headers=headers)


@contextlib.asynccontextmanager
async def door(inside: str, answer_s: float = ANSWER_S) -> AsyncIterator[Door]:
    """Open a door in front of the REST address `inside`."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        opened = Door(inside, session, answer_s)
        application = web.Application()
        application.router.add_get("/{path:.+}", opened.handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            opened.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield opened
        finally:
            await runner.cleanup()
