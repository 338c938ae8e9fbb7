"""Why candles were not captured, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.market.interval import parse_interval
from engine.store.gaps import NOT_PUSHED

if TYPE_CHECKING:
    from engine.store.ranges import Range

NOT_RUNNING = "the engine was not running"
NO_CONNECTION = "no connection"
BEFORE_FLOW = "before the stream flowed"
_RECONNECTED = "reconnected after "


class Reasons:
    """Remembers when streams flowed, and tells why a range was missed.

    Args:
        started_ms: Exchange time at which the engine began.
    """

    def __init__(self, started_ms: int) -> None:
        self._started_ms = started_ms
        self._flows: dict[tuple[str, str], tuple[int, str]] = {}

    def flowed(self, series: tuple[str, str], now_ms: int, why: str) -> None:
        """Note that the stream of a series flows from now on, and why it did not before."""
        if why.startswith(_RECONNECTED):
            why = f"{NO_CONNECTION}: {why.removeprefix(_RECONNECTED)}"
        elif series not in self._flows:
            why = BEFORE_FLOW
        self._flows[series] = (now_ms, why)

    def of(self, series: tuple[str, str], where: Range, trouble: str) -> list[tuple[Range, str]]:
        """Return the pieces of a missing range with the reason of each.

        Args:
            series: Symbol and interval.
            where: Open times that are missing.
            trouble: Why there is no connection right now, in words; empty when there is one.
        """
        grid = parse_interval(series[1])
        since_ms, why = self._flows.get(series, (None, BEFORE_FLOW))
        if trouble:
            cuts = [(self._started_ms, NOT_RUNNING), (None, f"{NO_CONNECTION}: {trouble}")]
        else:
            cuts = [(self._started_ms, NOT_RUNNING), (since_ms, why), (None, NOT_PUSHED)]
            if since_ms is None:
                del cuts[2]
        pieces: list[tuple[Range, str]] = []
        start_ms, end_ms = where
        for until_ms, reason in cuts:
            # A candle that was open at that moment was still to close.
            cut_ms = end_ms if until_ms is None else min(grid.floor(until_ms), end_ms)
            if start_ms < cut_ms:
                pieces.append(((start_ms, cut_ms), reason))
                start_ms = cut_ms
        return pieces
