"""The exchange's clock: it runs at a multiple of wall-clock time and can be stopped."""

from __future__ import annotations

import asyncio
import math
import time


class ExchangeClock:
    """Exchange time as `start_ms + (wall - wall start) * speed`.

    Args:
        start_ms: Exchange time (UTC epoch ms) at which the clock starts.
        speed: Exchange seconds per wall-clock second, above 0; `math.inf` for a clock that jumps
            to whatever is waited for.
        running: False to begin stopped, until `resume`.
    """

    def __init__(self, start_ms: int, speed: float = 1.0, *, running: bool = True) -> None:
        if speed <= 0:
            raise ValueError(f"The clock's speed must be above 0, not {speed}.")
        self._base_ms = float(start_ms)
        self._speed = speed
        self._base_s = time.monotonic()
        self._resumed = asyncio.Event()
        if running:
            self._resumed.set()

    @property
    def speed(self) -> float:
        """Exchange seconds per wall-clock second while the clock runs."""
        return self._speed

    @property
    def is_running(self) -> bool:
        """Whether exchange time passes."""
        return self._resumed.is_set()

    def now_ms(self) -> int:
        """Return the exchange time (UTC epoch ms)."""
        return int(self._exact_ms())

    def stop(self) -> None:
        """Freeze exchange time."""
        if self.is_running:
            self._base_ms = self._exact_ms()
            self._resumed.clear()

    def resume(self) -> None:
        """Let exchange time pass again."""
        if not self.is_running:
            self._base_s = time.monotonic()
            self._resumed.set()

    def skip(self, milliseconds: int) -> None:
        """Move exchange time forward at once; what happened meanwhile comes in one go."""
        self._base_ms += milliseconds

    async def sleep_until(self, time_ms: float) -> None:
        """Wait until exchange time reaches `time_ms`, however often the clock is stopped."""
        while True:
            await self._resumed.wait()
            if math.isinf(self._speed):
                self._base_ms = max(self._base_ms, float(time_ms))
                return
            left_ms = time_ms - self._exact_ms()
            if left_ms <= 0:
                return
            await asyncio.sleep(min(left_ms / 1000 / self._speed, 0.5))

    def _exact_ms(self) -> float:
        if math.isinf(self._speed) or not self._resumed.is_set():
            return self._base_ms
        return self._base_ms + (time.monotonic() - self._base_s) * 1000 * self._speed
