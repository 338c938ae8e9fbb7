"""Who may open a WebSocket connection: connects per address and length of the URL."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from engine.simulator.limits import Limits


class Doorkeeper:
    """Counts connects by address; too many are refused until the oldest is old enough.

    The exchange documents the limit but not its answer; 429 with Retry-After is ours.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._times: dict[str, deque[float]] = {}

    def admit(self, request: web.Request) -> None:
        """Let a request pass.

        Raises:
            web.HTTPException: 414 for a URL that is too long, 429 for a connect too many.
        """
        limits = self._limits
        if len(str(request.url)) > limits.longest_url:
            raise web.HTTPRequestURITooLong
        now_s = time.monotonic()
        times = self._times.setdefault(request.remote or "", deque())
        while times and now_s - times[0] >= limits.connects_window_s:
            times.popleft()
        if len(times) >= limits.most_connects:
            wait_s = math.ceil(times[0] + limits.connects_window_s - now_s)
            raise web.HTTPTooManyRequests(headers={"Retry-After": str(wait_s)})
        times.append(now_s)
