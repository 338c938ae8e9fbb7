"""How far the fetching of candles is: rows, rate, and when it will be done."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from engine.market.capture_figures import BackfillProgress

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.binance.budget import WeightBudget
    from engine.capture.fills import Fill

RATE_OVER_S = 60.0  # the weight is granted by the minute, and often used up before its end
_SAMPLE_EVERY_S = 0.25


class Progress:
    """Counts the rows of the work that goes on; it begins anew whenever all is done.

    Args:
        budget: Tells why requests wait.
        monotonic_s: Wall clock in seconds.

    Attributes:
        what: What is fetched right now.
    """

    def __init__(
        self, budget: WeightBudget, *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._budget = budget
        self._monotonic_s = monotonic_s
        self._fills: dict[int, Fill] = {}
        self._rows = 0
        self._settled = 0
        self._announced = (0, 0)
        self._samples: deque[tuple[float, int]] = deque()
        self.what = ""

    def began(self, fill: Fill) -> None:
        """Take note of work that was queued."""
        if not self._fills and not self._announced[0]:
            self._rows = self._settled = 0
            self._samples.clear()
            self._samples.append((self._monotonic_s(), 0))
        self._fills[id(fill)] = fill

    def ended(self, fill: Fill) -> None:
        """Take note of work that is done, or given up."""
        if self._fills.pop(id(fill), None) is not None:
            self._settled += fill.fetched

    def announce(self, series: int, candles: int) -> None:
        """Take note of what will be queued later; zeros end that."""
        self._announced = (series, candles)

    def add(self, rows: int) -> None:
        """Count rows that were stored."""
        self._rows += rows
        now_s = self._monotonic_s()
        if not self._samples or now_s - self._samples[-1][0] >= _SAMPLE_EVERY_S:
            self._samples.append((now_s, self._rows))
        while len(self._samples) > 2 and self._samples[0][0] < now_s - RATE_OVER_S:
            self._samples.popleft()

    def told(self, trouble: str = "") -> BackfillProgress | None:
        """Return the figures; None when there is nothing to do.

        Args:
            trouble: Why work is put off, in words.
        """
        if not self._fills and not self._announced[0]:
            return None
        wanted = self._settled + self._announced[1]
        wanted += sum(max(fill.wanted or 0, fill.fetched) for fill in self._fills.values())
        rate = self._rate()
        left = max(wanted - self._rows, 0)
        return BackfillProgress(
            what=self.what,
            rows=self._rows,
            wanted=max(wanted, self._rows),
            rows_per_s=rate,
            eta_s=left / rate if rate > 0 else None,
            series_left=len(self._fills) + self._announced[0],
            note=self._budget.note or trouble,
        )

    def _rate(self) -> float:
        """Rows a second, lately."""
        if not self._samples:
            return 0.0
        first_s, first_rows = self._samples[0]
        passed_s = self._monotonic_s() - first_s
        return (self._rows - first_rows) / passed_s if passed_s > 0 else 0.0
