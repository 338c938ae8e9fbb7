"""Closed candles on their way to the forecast: a few in each turn of the loop."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

AT_ONCE = 16


class ScoringQueue:
    """Hands closed candles over so that viewers have their turn in between.

    Args:
        score: Called in the loop with symbol, interval and open time (epoch ms) of each.
    """

    def __init__(self, score: Callable[[str, str, int], None]) -> None:
        self._score = score
        self._waiting: deque[tuple[str, str, int]] = deque()
        self._is_called = False

    def put(self, symbol: str, interval: str, open_time_ms: int) -> None:
        """Queue a candle that is stored."""
        self._waiting.append((symbol, interval, open_time_ms))
        if not self._is_called:
            self._call_soon()

    def finish(self) -> None:
        """Hand over all that waits."""
        while self._waiting:
            self._score(*self._waiting.popleft())

    def _call_soon(self) -> None:
        self._is_called = True
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        try:
            # Many markets close in one instant; at full speed they come faster than turns.
            for _ in range(1 + len(self._waiting) // AT_ONCE):
                if self._waiting:
                    self._score(*self._waiting.popleft())
        finally:
            self._is_called = False
            if self._waiting:
                self._call_soon()
