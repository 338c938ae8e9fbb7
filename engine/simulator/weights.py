"""Request weights per address: 429 above the limit, 418 for who does not heed it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.simulator.errors import ApiError

if TYPE_CHECKING:
    from engine.simulator.limits import Limits

_MINUTE_S = 60.0


@dataclass(slots=True)
class _Account:
    minute: int = 0
    used: int = 0
    limited_until_s: float = 0.0
    banned_until_s: float = 0.0
    ignored: int = 0
    bans: int = 0


class WeightMeter:
    """Counts request weight by address in minutes of wall-clock time.

    Above the limit a request gets 429 with Retry-After; whoever goes on asking before that gets
    418 and is banned, each time for twice as long.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._accounts: dict[str, _Account] = {}

    def used(self, address: str) -> int:
        """Return the weight used in this minute."""
        return self._account(address).used

    def check(self, address: str) -> None:
        """Refuse an address that is limited or banned.

        Raises:
            ApiError: 429 or 418, with the seconds to wait.
        """
        account = self._account(address)
        now_s = time.time()
        if now_s < account.banned_until_s:
            raise self._banned(account, now_s)
        if now_s < account.limited_until_s:
            account.ignored += 1
            if account.ignored > self._limits.ignored_before_ban:
                account.banned_until_s = now_s + self._limits.ban_s * 2**account.bans
                account.bans += 1
                account.ignored = 0
                raise self._banned(account, now_s)
            raise self._limited(account, now_s)

    def charge(self, address: str, weight: int) -> None:
        """Count `weight`.

        Raises:
            ApiError: 429, when this goes above the limit.
        """
        account = self._account(address)
        account.used += weight
        if account.used > self._limits.weight_per_minute:
            now_s = time.time()
            account.limited_until_s = (now_s // _MINUTE_S + 1) * _MINUTE_S
            account.ignored = 0
            raise self._limited(account, now_s)

    def _account(self, address: str) -> _Account:
        account = self._accounts.setdefault(address, _Account())
        minute = int(time.time() // _MINUTE_S)
        if account.minute != minute:
            account.minute, account.used = minute, 0
        return account

    def _limited(self, account: _Account, now_s: float) -> ApiError:
        return ApiError(
            -1003,
            "Too much request weight used; current limit is "
            f"{self._limits.weight_per_minute} request weight per 1 MINUTE. Please use WebSocket "
            "Streams for live updates to avoid polling the API.",
            status=429,
            retry_after_s=math.ceil(account.limited_until_s - now_s),
        )

    def _banned(self, account: _Account, now_s: float) -> ApiError:
        return ApiError(
            -1003,
            f"Way too much request weight used; IP banned until "
            f"{int(account.banned_until_s * 1000)}. Please use WebSocket Streams for live updates "
            "to avoid bans.",
            status=418,
            retry_after_s=math.ceil(account.banned_until_s - now_s),
        )
