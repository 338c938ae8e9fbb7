"""What shall be fetched of one series, and the queue in which such work waits."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.market.interval import Interval


class Priority(IntEnum):
    """How urgent a fill is; lower is sooner."""

    VIEWER = 0
    FOCUSED_GAP = 1
    NEW_GAP = 2
    HISTORY = 3
    OLD_GAP = 4
    HOLE = 5
    JOB = 6


@dataclass(order=True)
class Fill:
    """Work on one series: a range to be made complete, or what its ledger says is missing.

    Attributes:
        priority: Lower is sooner.
        rank: Lower is sooner among what is equally urgent.
        order: First come, first served, among what is equal in that, too.
        start_ms: First open time wanted.
        end_ms: Exclusive; None takes all that is over when the fill runs.
        states: The states of the gaps that are asked for; empty for a plain range.
        keeps_trying: Whether it is tried again for ever, or fails for whoever waits.
        fetched: Rows so far; `tries` counts failures.
        wanted: Rows that it needs in all, once that is known.
        asked_again: Whether gaps were reported while it ran.
    """

    priority: int
    rank: int
    order: int = field(init=False, default=0)
    symbol: str = field(compare=False)
    interval: Interval = field(compare=False)
    done: asyncio.Future[int] = field(compare=False)
    start_ms: int = field(compare=False, default=0)
    end_ms: int | None = field(compare=False, default=None)
    states: tuple[str, ...] = field(compare=False, default=())
    keeps_trying: bool = field(compare=False, default=True)
    progress: Callable[[str], None] | None = field(compare=False, default=None)
    fetched: int = field(compare=False, default=0)
    wanted: int | None = field(compare=False, default=None)
    tries: int = field(compare=False, default=0)
    asked_again: bool = field(compare=False, default=False)

    @property
    def series(self) -> tuple[str, str]:
        """Symbol and the interval's name."""
        return self.symbol, self.interval.name

    @property
    def is_background(self) -> bool:
        """Whether nobody is waiting for it."""
        return self.priority > Priority.VIEWER

    @property
    def is_bulk(self) -> bool:
        """Whether it is part of a long job."""
        return self.priority >= Priority.JOB


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

    def add(self, fill: Fill) -> None:
        """Queue a fill."""
        fill.order = next(self._order)
        self.put_back(fill)

    def put_back(self, fill: Fill) -> None:
        """Queue a fill at the place that it had."""
        self._later.pop(id(fill), None)
        heapq.heappush(self._heap, fill)
        self._wake.set()

    def reorder(self) -> None:
        """Sort anew after the priorities of some fills changed."""
        heapq.heapify(self._heap)
        self._wake.set()

    def hasten(self, fill: Fill) -> None:
        """End the wait of a fill that failed, if it waits."""
        later = self._later.pop(id(fill), None)
        if later is not None:
            later[1].cancel()
            self.put_back(fill)

    def defer(self, fill: Fill, wait_s: float) -> None:
        """Queue a fill again after `wait_s`, behind others that are as urgent."""
        fill.order = next(self._order)
        handle = asyncio.get_running_loop().call_later(wait_s, self.put_back, fill)
        self._later[id(fill)] = (fill, handle)

    def drop(self, fill: Fill) -> None:
        """End the wait of a cancelled fill; one in the queue is passed over when its turn comes."""
        later = self._later.pop(id(fill), None)
        if later is not None:
            later[1].cancel()

    def has_before(self, priority: int) -> bool:
        """Tell whether something more urgent than `priority` waits."""
        return bool(self._heap) and self._heap[0].priority < priority

    async def take(self, least: int) -> Fill:
        """Wait for the most urgent fill that somebody still wants, and take it out.

        Args:
            least: What is less urgent than this priority is left to others.
        """
        while True:
            while not self._heap or self._heap[0].priority > least:
                self._wake.clear()
                await self._wake.wait()
            fill = heapq.heappop(self._heap)
            if not fill.done.cancelled():
                return fill

    def clear(self) -> None:
        """Forget all fills; their timers end."""
        for _, handle in self._later.values():
            handle.cancel()
        self._later.clear()
        self._heap.clear()
