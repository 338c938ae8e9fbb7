"""The request weight that REST may use, and the gate that a refusal closes.

Binance counts weight per IP address and wall minute and answers HTTP 429 beyond the limit, 418 to
those who go on. Both name the seconds to stay away in `Retry-After`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_LIMIT = 6000
MINUTE_S = 60.0
# The exchange's minute need not turn with the local one (a real recorder was 1.27 s off).
TURN_MARGIN_S = 1.5


class RestError(Exception):
    """Raised for a request that failed; its text is a sentence for users."""


class RateLimited(RestError):
    """Raised when the exchange wants no request for longer than a caller should wait.

    Attributes:
        retry_after_s: Wall seconds until requests are allowed again.
    """

    def __init__(self, text: str, retry_after_s: float) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class WeightBudget:
    """Shares the weight of each wall minute between requests in sight and background work.

    Args:
        limit: Weight per minute that the exchange grants.
        foreground_share: Share of it after which all requests wait for the next minute.
        background_share: Share of it after which background requests wait.
        bulk_share: Share of it after which long background work waits, so that it leaves some to
            what repairs the newest minute.
        patience_s: Longest wait; beyond it `RateLimited` is raised instead.
        wall_s: Wall clock in epoch seconds.
        sleep: Waits for wall seconds.
    """

    def __init__(
        self,
        limit: int = DEFAULT_LIMIT,
        *,
        foreground_share: float = 0.8,
        background_share: float = 0.5,
        bulk_share: float = 0.4,
        patience_s: float = 90.0,
        wall_s: Callable[[], float] = time.time,
        sleep: Callable[[float], asyncio.Future[None]] | None = None,
    ) -> None:
        self.limit = limit
        self._shares = (foreground_share, background_share, bulk_share)
        self._patience_s = patience_s
        self._wall_s = wall_s
        self._sleep = sleep or asyncio.sleep
        self._minute = self._minute_now()
        self._used = 0
        self._blocked_until_s = 0.0
        self._blocked_why = ""
        self._waiting = 0

    @property
    def used(self) -> tuple[int, int]:
        """Weight used in the current wall minute, and the limit."""
        self._turn()
        return self._used, self.limit

    @property
    def blocked_s(self) -> float:
        """Wall seconds until requests are allowed again; 0 when they are."""
        return max(0.0, self._blocked_until_s - self._wall_s())

    @property
    def note(self) -> str:
        """Why requests wait, in words; empty while none does."""
        if self.blocked_s:
            return f"{self._blocked_why} Requests wait {self.blocked_s:.0f} s."
        if not self._waiting:
            return ""
        used, limit = self.used
        return f"{used:,} of {limit:,} request weight is used; waiting for the next minute"

    async def acquire(self, weight: int, *, background: bool = False, bulk: bool = False) -> int:
        """Wait until a request of `weight` may be sent, and count it.

        Args:
            weight: What the exchange counts it as.
            background: Whether nobody is waiting for it.
            bulk: Whether it is part of long work in the background.

        Returns:
            The minute it is counted in, for `observe`.

        Raises:
            RateLimited: when the wait would be longer than the budget's patience.
        """
        share = self._shares[2 if bulk else 1 if background else 0]
        self._waiting += 1
        try:
            return await self._granted(weight, share)
        finally:
            self._waiting -= 1

    async def wait_open(self) -> None:
        """Wait until the exchange allows requests again; returns at once while it does.

        Raises:
            RateLimited: when the wait would be longer than the budget's patience.
        """
        while wait_s := self.blocked_s:
            if wait_s > self._patience_s:
                raise RateLimited(f"{self._blocked_why} Try again in {wait_s:.0f} s.", wait_s)
            await self._sleep(max(wait_s, 0.01))

    async def _granted(self, weight: int, share: float) -> int:
        while True:
            await self.wait_open()
            self._turn()
            # A single request beyond its share passes alone, else it would wait for ever.
            if self._used == 0 or self._used + weight <= self.limit * share:
                self._used += weight
                return self._minute
            wait_s = (self._minute + 1) * MINUTE_S + TURN_MARGIN_S - self._wall_s()
            await self._sleep(max(wait_s, 0.01))

    def observe(self, headers: Mapping[str, str], minute: int) -> None:
        """Take over the used weight that an answer tells, unless its minute is over.

        Args:
            headers: Headers of the answer.
            minute: What `acquire` returned for its request.
        """
        text = headers.get("X-MBX-USED-WEIGHT-1M") or headers.get("X-MBX-USED-WEIGHT") or ""
        self._turn()
        if text.isdigit() and minute == self._minute:
            self._used = max(self._used, int(text))

    def block(self, seconds: float, why: str) -> None:
        """Let no request pass for `seconds` from now; a longer block that runs already stays.

        Args:
            seconds: Wall seconds, as `Retry-After` says.
            why: Sentence for whoever has to wait too long.
        """
        until_s = self._wall_s() + seconds
        if until_s > self._blocked_until_s:
            self._blocked_until_s = until_s
            self._blocked_why = why

    def seconds_to_turn(self) -> float:
        """Return wall seconds until the next minute has surely begun at the exchange."""
        return (self._minute_now() + 1) * MINUTE_S + TURN_MARGIN_S - self._wall_s()

    def _minute_now(self) -> int:
        # The margin delays the turn, so that weight is not granted early.
        return int((self._wall_s() - TURN_MARGIN_S) // MINUTE_S)

    def _turn(self) -> None:
        minute = self._minute_now()
        if minute != self._minute:
            self._minute = minute
            self._used = 0
