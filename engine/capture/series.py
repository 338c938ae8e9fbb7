"""Candles of one symbol and interval in memory, with the revision that each last changed at."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.market.candle import Candle
    from engine.market.interval import Interval

MAX_CANDLES = 6_000
MOST_MISSING = 1_000


def newest_run(candles: list[Candle], interval: Interval) -> list[Candle]:
    """Return the newest of ascending candles, back to the first long stretch without any.

    An import of long ago must not stand in a chart beside today.
    """
    most_ms = (MOST_MISSING + 1) * interval.length_ms
    for at in range(len(candles) - 1, 0, -1):
        if candles[at].open_time_ms - candles[at - 1].open_time_ms > most_ms:
            return candles[at:]
    return candles


class Series:
    """Ascending candles by open time; the last may still be open.

    Attributes:
        reset_revision: Revision of the last change that was more than new or updated candles.
        note_revision: Revision of the last change of `is_oldest` or `note`.
        revision: Revision of the last change of any kind.
        is_oldest: Whether the first candle is the oldest that the exchange has.
        note: Why there are fewer candles than wanted, in words.
        absence: Why there is no candle at all, in words; empty when that is not known.
    """

    def __init__(self, symbol: str, interval: Interval) -> None:
        self.symbol = symbol
        self.interval = interval
        self.candles: list[Candle] = []
        self._times: list[int] = []
        self._revisions: list[int] = []
        self._made: set[int] = set()
        self.reset_revision = 0
        self.note_revision = 0
        self.revision = 0
        self.is_oldest = False
        self.note = ""
        self.absence = ""

    def put(self, candle: Candle, revision: int) -> bool:
        """Insert or replace one of the exchange's candles; False when it changes nothing.

        An open candle never replaces a closed one: late pushes lose against the final values.
        """
        self._made.discard(candle.open_time_ms)
        return self._put(candle, revision)

    def put_made(self, candle: Candle, revision: int) -> bool:
        """Insert or replace a candle made of shorter ones; False when it changes nothing.

        The exchange's own wins by open time, unless it is still open and the made one closed.
        """
        if not self._gives_way(candle) or not self._put(candle, revision):
            return False
        self._made.add(candle.open_time_ms)
        return True

    def merge(self, candles: Sequence[Candle], revision: int) -> None:
        """Join many candles at once (history); what is closed and stored wins over what is open.

        What lies before a long stretch without any candle is forgotten.
        """
        self._made.difference_update(candle.open_time_ms for candle in candles)
        self._merge(candles, revision)

    def merge_made(self, candles: Sequence[Candle], revision: int) -> None:
        """Join many candles that were made of shorter ones; the exchange's own stay."""
        welcome = [candle for candle in candles if self._gives_way(candle)]
        self._merge(welcome, revision)
        self._made.update(candle.open_time_ms for candle in welcome)

    def is_made(self, open_time_ms: int) -> bool:
        """Tell whether the candle of this time was made of shorter ones."""
        return open_time_ms in self._made

    def _gives_way(self, candle: Candle) -> bool:
        at = bisect_left(self._times, candle.open_time_ms)
        if at == len(self._times) or self._times[at] != candle.open_time_ms:
            return True
        if candle.open_time_ms in self._made:
            return True
        return candle.closed and not self.candles[at].closed

    def _put(self, candle: Candle, revision: int) -> bool:
        times = self._times
        if times and times[-1] == candle.open_time_ms:
            return self._replace(len(times) - 1, candle, revision)
        if not times or candle.open_time_ms > times[-1]:
            self.candles.append(candle)
            times.append(candle.open_time_ms)
            self._revisions.append(revision)
            self._trim()
        else:
            at = bisect_left(times, candle.open_time_ms)
            if times[at] == candle.open_time_ms:
                return self._replace(at, candle, revision)
            self.candles.insert(at, candle)
            times.insert(at, candle.open_time_ms)
            self._revisions.insert(at, revision)
            self.reset_revision = revision
        self.revision = revision
        return True

    def _merge(self, candles: Sequence[Candle], revision: int) -> None:
        if not candles:
            return
        merged = {candle.open_time_ms: candle for candle in self.candles}
        for candle in candles:
            known = merged.get(candle.open_time_ms)
            if known is None or candle.closed or not known.closed:
                merged[candle.open_time_ms] = candle
        ordered = [merged[time_ms] for time_ms in sorted(merged)]
        ordered = newest_run(ordered, self.interval)[-MAX_CANDLES:]
        if ordered == self.candles:
            return
        self.candles = ordered
        self._times = [candle.open_time_ms for candle in self.candles]
        self._revisions = [revision] * len(self.candles)
        self.reset_revision = self.revision = revision

    def set_note(self, note: str, revision: int, *, is_oldest: bool | None = None) -> None:
        """Change the reason for missing candles."""
        oldest = self.is_oldest if is_oldest is None else is_oldest
        if (note, oldest) != (self.note, self.is_oldest):
            self.note, self.is_oldest = note, oldest
            self.note_revision = self.revision = revision

    def set_absence(self, words: str, revision: int) -> None:
        """Say why there is no candle."""
        if words != self.absence:
            self.absence = words
            self.note_revision = self.revision = revision

    def changed_since(self, since: int) -> list[Candle]:
        """Return the candles at the end that changed after revision `since`."""
        at = len(self._revisions)
        while at and self._revisions[at - 1] > since:
            at -= 1
        return self.candles[at:]

    def window(self, count: int, end_ms: int | None) -> list[Candle]:
        """Return up to `count` candles that end with open time `end_ms`, or at the live edge."""
        if end_ms is None:
            return self.candles[-count:]
        end = bisect_left(self._times, end_ms + 1)
        return self.candles[max(0, end - count) : end]

    @property
    def first_open_time_ms(self) -> int | None:
        """Open time of the first candle in memory."""
        return self._times[0] if self._times else None

    def _replace(self, at: int, candle: Candle, revision: int) -> bool:
        known = self.candles[at]
        if known == candle or (known.closed and not candle.closed):
            return False
        self.candles[at] = candle
        if at < len(self.candles) - 8:
            self.reset_revision = revision
        for index in range(at, len(self.candles)):
            self._revisions[index] = revision
        self.revision = revision
        return True

    def _trim(self) -> None:
        extra = len(self.candles) - MAX_CANDLES
        if extra > MAX_CANDLES // 10:
            del self.candles[:extra], self._times[:extra], self._revisions[:extra]
            self._made.intersection_update(self._times)
            self.is_oldest = False
