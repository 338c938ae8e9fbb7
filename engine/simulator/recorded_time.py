"""From a recorder's clock to the exchange's."""

from __future__ import annotations

from bisect import bisect_right

_NS_PER_MS = 1_000_000
_SAMPLE_NS = 50 * _NS_PER_MS
# Messages come seconds late at worst; more means that the two clocks do not run alike.
_UNSTEADY_NS = 30_000 * _NS_PER_MS


class RecordedTime:
    """Learns from event times what exchange time it was when a message was received.

    Usually both clocks run alike, and the least delayed message tells how far they are apart. Where
    they do not (the recorder's clock was set, or a simulated exchange ran faster), the time between
    two events is divided in proportion.
    """

    def __init__(self) -> None:
        self._low_ns: int | None = None
        self._high_ns: int | None = None
        self._receipts: list[int] = []
        self._events: list[int] = []

    def observe(self, receipt_ns: int, event_ms: int) -> None:
        """Learn that an event of `event_ms` was received at `receipt_ns` (both epoch)."""
        offset_ns = event_ms * _NS_PER_MS - receipt_ns
        if self._low_ns is None or self._high_ns is None:
            self._low_ns = self._high_ns = offset_ns
        self._low_ns = min(self._low_ns, offset_ns)
        self._high_ns = max(self._high_ns, offset_ns)
        receipts, events = self._receipts, self._events
        if not receipts or (receipt_ns >= receipts[-1] + _SAMPLE_NS and event_ms >= events[-1]):
            receipts.append(receipt_ns)
            events.append(event_ms)

    @property
    def is_steady(self) -> bool:
        """Whether one offset holds for the whole recording."""
        if self._low_ns is None or self._high_ns is None:
            return True
        return self._high_ns - self._low_ns < _UNSTEADY_NS

    def exchange_ms(self, receipt_ns: int) -> int:
        """Return the exchange time (epoch ms) at which a message was received."""
        if self.is_steady:
            return (receipt_ns + (self._high_ns or 0)) // _NS_PER_MS
        receipts, events = self._receipts, self._events
        at = bisect_right(receipts, receipt_ns)
        if at in (0, len(receipts)):
            edge = 0 if at == 0 else -1
            return events[edge] + (receipt_ns - receipts[edge]) // _NS_PER_MS
        before_ns, before_ms = receipts[at - 1], events[at - 1]
        share = (receipt_ns - before_ns) / (receipts[at] - before_ns)
        return before_ms + int(share * (events[at] - before_ms))
