"""Ranges of candles to be fetched, and the queue that they wait in."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.market.interval import Interval

_NEAR_CANDLES = 1_000


@dataclass(order=True)
class Fill:
    """One range of one series to be made complete.

    Attributes:
        priority: Lower is sooner.
        order: Tells apart what is equally urgent: first come, first served.
        start_ms: First open time wanted.
        end_ms: Exclusive; None takes all that is over when the fill runs.
        is_gap: True when the range was lost from a running stream, so that the gap ledger tells.
        asked_ms: Exchange time of the request, None unknown: what closed later was not lost.
        keeps_trying: Whether it is tried again for ever, or fails for whoever waits.
        fetched: Rows so far; `tries` counts failures.
    """

    priority: int
    order: int = field(init=False, default=0)
    symbol: str = field(compare=False)
    interval: Interval = field(compare=False)
    start_ms: int = field(compare=False)
    end_ms: int | None = field(compare=False)
    is_gap: bool = field(compare=False)
    asked_ms: int | None = field(compare=False)
    keeps_trying: bool = field(compare=False)
    done: asyncio.Future[int] = field(compare=False)
    progress: Callable[[str], None] | None = field(compare=False, default=None)
    fetched: int = field(compare=False, default=0)
    tries: int = field(compare=False, default=0)

    def joins(self, other: Fill) -> bool:
        """Tell whether `other` is a gap of the same series, near enough to be one piece of work."""
        if not (self.is_gap and other.is_gap):
            return False
        if (self.symbol, self.interval) != (other.symbol, other.interval):
            return False
        slack_ms = _NEAR_CANDLES * self.interval.length_ms
        starts_in_time = self.end_ms is None or other.start_ms <= self.end_ms + slack_ms
        return starts_in_time and (other.end_ms is None or other.end_ms >= self.start_ms - slack_ms)

    def extend(self, other: Fill) -> None:
        """Cover the range of `other` as well."""
        self.priority = min(self.priority, other.priority)
        self.start_ms = min(self.start_ms, other.start_ms)
        if self.end_ms is None or other.end_ms is None:
            self.end_ms = None
        else:
            self.end_ms = max(self.end_ms, other.end_ms)
        self.asked_ms = other.asked_ms


class FillQueue:
    """Fills by urgency, and aside those that failed and wait for their next try."""

    def __init__(self) -> None:
        self._heap: list[Fill] = []
        self._later: dict[int, tuple[Fill, asyncio.TimerHandle]] = {}
        self._order = itertools.count()
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._heap) + len(self._later)

    @property
    def has_later(self) -> bool:
        """Whether a fill waits for its next try."""
        return bool(self._later)

    def add(self, fill: Fill) -> Fill:
        """Queue a fill, or join it to one that waits near it; returns the one that does it."""
        later = [waiting for waiting, _ in self._later.values()]
        for known in [*self._heap, *later]:
            if known.joins(fill) and not known.done.done():
                known.extend(fill)
                if id(known) in self._later:
                    self._later[id(known)][1].cancel()
                    self.put_back(known)
                else:
                    heapq.heapify(self._heap)
                return known
        fill.order = next(self._order)
        self.put_back(fill)
        return fill

    def put_back(self, fill: Fill) -> None:
        """Queue a fill at the place that it had."""
        self._later.pop(id(fill), None)
        heapq.heappush(self._heap, fill)
        self._wake.set()

    def defer(self, fill: Fill, wait_s: float) -> None:
        """Queue a fill again after `wait_s`, behind others that are as urgent."""
        fill.order = next(self._order)
        handle = asyncio.get_running_loop().call_later(wait_s, self.put_back, fill)
        self._later[id(fill)] = (fill, handle)

    def has_before(self, priority: int) -> bool:
        """Tell whether something more urgent than `priority` waits."""
        return bool(self._heap) and self._heap[0].priority < priority

    async def take(self) -> Fill:
        """Wait for the most urgent fill that somebody still wants, and take it out."""
        while True:
            while not self._heap:
                self._wake.clear()
                await self._wake.wait()
            fill = heapq.heappop(self._heap)
            if not fill.done.cancelled():
                return fill
