"""Small values of the store."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Source(IntEnum):
    """Where a stored candle came from; `BOTH` when stream and REST told the same values."""

    STREAM = 1
    REST = 2
    BOTH = 3
    IMPORT = 4


SOURCE_NAMES: dict[Source, str] = {source: source.name.lower() for source in Source}


class PutResult(NamedTuple):
    """What became of the candles of one put, after COMMIT.

    Attributes:
        inserted: Stored for the first time.
        changed: Stored with other values before.
        unchanged: Stored with these values before, or with values that rank higher.
        quarantined: Refused because they can not be true.
    """

    inserted: int = 0
    changed: int = 0
    unchanged: int = 0
    quarantined: int = 0


class WriterCounters(NamedTuple):
    """The writer's work so far.

    Attributes:
        rows_committed: Candles inserted or changed since the start.
        rows_per_minute: The same within the last wall minute.
        commits: Transactions committed.
        last_commit_ms: How long the last transaction took, BEGIN to COMMIT; None before the first.
        last_commit_wall_ms: When it ended (wall clock, epoch ms).
        queued: Rows that wait or are being written.
        failures: Transactions that failed and were kept for a retry, plus works refused.
        last_error: The last failure in words, empty before the first.
        is_stalled: Whether the last try to write failed; what waits is tried again by itself.
        refused: Rows not taken because too many waited, or because the disk was nearly full.
    """

    rows_committed: int = 0
    rows_per_minute: float = 0.0
    commits: int = 0
    last_commit_ms: float | None = None
    last_commit_wall_ms: int | None = None
    queued: int = 0
    failures: int = 0
    last_error: str = ""
    is_stalled: bool = False
    refused: int = 0
