"""Moments without keys: what would keep a key waiting is done in them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Quiet:
    """Knows when somebody last pressed a key or moved the mouse.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._touched_s = float("-inf")
        self._touched = asyncio.Event()

    @property
    def lasts_s(self) -> float:
        """Seconds since the last key."""
        return self._clock() - self._touched_s

    def touched(self) -> None:
        """Note a key, whose answer somebody waits for."""
        self._touched_s = self._clock()
        self._touched.set()

    async def key(self) -> None:
        """Return when the next key comes."""
        self._touched.clear()
        await self._touched.wait()

    async def wait(self, seconds: float) -> None:
        """Return when no key has come for `seconds`."""
        while (left_s := seconds - self.lasts_s) > 0:  # noqa: ASYNC110  a key moves the end
            await asyncio.sleep(left_s)
