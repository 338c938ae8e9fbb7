"""Keeps one order book equal to the exchange's, by the procedure published on 2025-11-12.

Open the diff stream and buffer; fetch a snapshot; fetch again while it is older than the first
buffered event; drop what the snapshot contains; apply the rest, then each event as it comes. An
event that does not continue the last one throws the book away.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

import msgspec

from engine.market.book import Level, OrderBook

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.binance.events import DepthEvent

# A snapshot is some seconds old when it arrives; 100 books of which REST tells none for minutes
# would hold a gigabyte at ten thousand events.
BUFFER_CAP = 300
# Enough for a snapshot that is some seconds old when it arrives.
_RECENT = 100
_RESTART_AFTER_OLD = 200


class BookState(StrEnum):
    """How far a book is; only a synchronised one may be shown as live."""

    UNSYNCHRONISED = "unsynchronised"
    BUFFERING = "buffering"
    SYNCHRONISED = "synchronised"


class Need(Enum):
    """What a book needs from its owner now."""

    NOTHING = 0
    SNAPSHOT = 1


class DepthSnapshot(msgspec.Struct, frozen=True):
    """A book as REST tells it: levels best first, complete up to `last_update_id`."""

    last_update_id: int
    bids: list[Level]
    asks: list[Level]


class DepthSync:
    """The state machine of one symbol's book; it does no I/O.

    Attributes:
        symbol: Such as `BTCUSDT`.
        state: See `BookState`.
        reason: Why it is not synchronised, in words; empty when it is.
        book: The book; empty unless synchronised.
        resyncs: How often a synchronised book was thrown away.
        missed: Updates missed in all.
        ignored: Events that were old or came twice.
    """

    def __init__(self, symbol: str, *, buffer_cap: int = BUFFER_CAP) -> None:
        self.symbol = symbol
        self.state = BookState.UNSYNCHRONISED
        self.reason = "waiting for the first update"
        self.book = OrderBook()
        self.resyncs = 0
        self.missed = 0
        self.ignored = 0
        self._buffer: deque[DepthEvent] = deque(maxlen=buffer_cap)
        self._recent: deque[DepthEvent] = deque(maxlen=_RECENT)
        self._old_in_a_row = 0
        self._applied_wall_ms: int | None = None
        self._range: tuple[float, float] | None = None
        self._ahead: DepthSnapshot | None = None

    @property
    def needs_snapshot(self) -> bool:
        """Whether a snapshot would help now."""
        return self.state is BookState.BUFFERING

    def age_ms(self, wall_ms: int) -> int | None:
        """Return wall milliseconds since the last applied event, None without one."""
        return None if self._applied_wall_ms is None else max(0, wall_ms - self._applied_wall_ms)

    @property
    def has_drifted(self) -> bool:
        """Whether the price left the inner half of the snapshot's range.

        Levels beyond a snapshot are unknown until they change, so a fresh one is due then.
        """
        bid, ask = self.book.best_bid, self.book.best_ask
        if self._range is None or bid is None or ask is None:
            return False
        low, high = self._range
        quarter = (high - low) / 4.0
        return not low + quarter <= (bid + ask) / 2.0 <= high - quarter

    # --- input ----------------------------------------------------------------------------------

    def feed(self, event: DepthEvent, wall_ms: int) -> Need:
        """Take one event of the diff stream.

        Args:
            event: In the order of arrival; old and repeated ones are ignored.
            wall_ms: Receipt (wall clock, epoch ms).
        """
        if self.state is BookState.SYNCHRONISED:
            return self._apply(event, wall_ms)
        if self.state is BookState.UNSYNCHRONISED:
            self.state = BookState.BUFFERING
            self.reason = "fetching a snapshot"
        self._hold(event)
        return Need.SNAPSHOT

    def snapshot(self, snapshot: DepthSnapshot) -> Need:
        """Take a snapshot; on a synchronised book it renews the far levels."""
        if self.state is BookState.UNSYNCHRONISED:
            return Need.NOTHING
        if self.state is BookState.SYNCHRONISED:
            self._renew(snapshot)
            return Need.NOTHING
        if self._buffer and snapshot.last_update_id + 1 < self._buffer[0].first_update_id:
            self.reason = "the snapshot was older than the updates, fetching another one"
            return Need.SNAPSHOT
        book = _built(snapshot, self._buffer)
        if book.is_crossed:
            self.reason = "the snapshot gave a crossed book, fetching another one"
            return Need.SNAPSHOT
        self._recent.clear()
        if self._buffer and self._buffer[-1].last_update_id >= snapshot.last_update_id:
            # Only events without a hole between them may be applied to a later snapshot.
            self._recent.extend(self._buffer)
        self._buffer.clear()
        self._adopt(book, snapshot)
        self.state = BookState.SYNCHRONISED
        self.reason = ""
        self._old_in_a_row = 0
        return Need.NOTHING

    def reset(self, reason: str) -> None:
        """Forget the book, as after a reconnect; it starts over with the next event.

        Args:
            reason: Why, in words.
        """
        if self.state is BookState.SYNCHRONISED:
            self.resyncs += 1
        self._discard()
        self.state = BookState.UNSYNCHRONISED
        self.reason = reason

    # --- parts ----------------------------------------------------------------------------------

    def _hold(self, event: DepthEvent) -> None:
        buffer = self._buffer
        if buffer:
            last_id = buffer[-1].last_update_id
            if event.last_update_id <= last_id:
                self._ignore(event)
                return
            if event.first_update_id > last_id + 1:
                # No snapshot can bridge the gap, so what came before it is of no use.
                self.missed += event.first_update_id - last_id - 1
                buffer.clear()
        self._old_in_a_row = 0
        buffer.append(event)

    def _apply(self, event: DepthEvent, wall_ms: int) -> Need:
        book = self.book
        expected = book.last_update_id + 1
        if event.last_update_id < expected:
            return self._ignore(event)
        if event.first_update_id > expected:
            missed = event.first_update_id - expected
            self.missed += missed
            return self._start_over(event, f"{missed} updates missed, fetching a snapshot")
        book.apply(event.last_update_id, event.bids, event.asks)
        if book.is_crossed:
            return self._start_over(event, "the book was crossed, fetching a snapshot")
        self._recent.append(event)
        self._applied_wall_ms = wall_ms
        self._old_in_a_row = 0
        if self._ahead is not None:
            self._renew(self._ahead)
        return Need.NOTHING

    def _ignore(self, event: DepthEvent) -> Need:
        self.ignored += 1
        self._old_in_a_row += 1
        if self._old_in_a_row < _RESTART_AFTER_OLD:
            return Need.NOTHING
        # Nothing but old ids for so long means that the exchange began to count anew.
        return self._start_over(event, "update ids began anew, fetching a snapshot")

    def _start_over(self, event: DepthEvent, reason: str) -> Need:
        self.resyncs += 1
        self._discard()
        self.state = BookState.BUFFERING
        self.reason = reason
        self._buffer.append(event)
        return Need.SNAPSHOT

    def _discard(self) -> None:
        self.book = OrderBook()
        self._buffer.clear()
        self._recent.clear()
        self._old_in_a_row = 0
        self._range = None
        self._ahead = None

    def _renew(self, snapshot: DepthSnapshot) -> None:
        """Put the known events on a fresh snapshot, or wait until they reach it."""
        is_ahead = snapshot.last_update_id > self.book.last_update_id
        self._ahead = snapshot if is_ahead else None
        recent = self._recent
        if is_ahead or not recent or recent[0].first_update_id > snapshot.last_update_id + 1:
            return
        book = _built(snapshot, recent)
        if not book.is_crossed:
            self._adopt(book, snapshot)

    def _adopt(self, book: OrderBook, snapshot: DepthSnapshot) -> None:
        self.book = book
        low = snapshot.bids[-1][0] if snapshot.bids else None
        high = snapshot.asks[-1][0] if snapshot.asks else None
        self._range = None if low is None or high is None else (low, high)


def _built(snapshot: DepthSnapshot, events: Iterable[DepthEvent]) -> OrderBook:
    book = OrderBook(snapshot.last_update_id, snapshot.bids, snapshot.asks)
    for event in events:
        if event.last_update_id > book.last_update_id:
            book.apply(event.last_update_id, event.bids, event.asks)
    return book
