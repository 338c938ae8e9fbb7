"""Faults that a test or benchmark can switch on while the simulated exchange runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.simulator.connection import Connection


@dataclass(slots=True)
class Faults:
    """Switches of one running exchange; all off at first.

    Attributes:
        silent: Streams send nothing, but connections live on and pings are sent.
        drop_depth: So many of the next depth diffs (all markets) are lost.
        duplicate_depth: So many of the next depth diffs are sent twice.
        stale_snapshots: REST depth answers with each market's first snapshot since the switch.
        rest_status: REST answers with this HTTP status and an HTML body; None for honest answers.
        connections: The WebSocket connections that are open.
    """

    silent: bool = False
    drop_depth: int = 0
    duplicate_depth: int = 0
    stale_snapshots: bool = False
    rest_status: int | None = None
    connections: set[Connection] = field(default_factory=set)
    _refuse_until_s: float = 0.0
    _stall_until_s: float = 0.0

    def refuse_connections(self, seconds: float) -> None:
        """Answer WebSocket connects with 503 for `seconds` of wall-clock time; 0 ends it."""
        self._refuse_until_s = time.monotonic() + seconds

    @property
    def refuses(self) -> bool:
        """Whether WebSocket connects are refused at this moment."""
        return time.monotonic() < self._refuse_until_s

    def stall(self, seconds: float) -> None:
        """Hold every outgoing frame back for `seconds`; then all that was held goes out at once."""
        self._stall_until_s = time.monotonic() + seconds

    @property
    def stalled_s(self) -> float:
        """Seconds for which frames are still held back; 0 when they flow."""
        return max(0.0, self._stall_until_s - time.monotonic())

    def drop_connections(self) -> int:
        """Cut every WebSocket connection without a close frame; return how many."""
        dropped = list(self.connections)
        for connection in dropped:
            connection.abort()
        return len(dropped)

    def copies_of_next_diff(self) -> int:
        """Return how often the next depth diff is sent: 0, 1 or 2; counts the switches down."""
        if self.drop_depth > 0:
            self.drop_depth -= 1
            return 0
        if self.duplicate_depth > 0:
            self.duplicate_depth -= 1
            return 2
        return 1
