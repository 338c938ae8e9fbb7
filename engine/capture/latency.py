"""Latencies in logarithmic buckets: hours of them add up without losing their percentiles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

SMALLEST_MS = 0.1
LARGEST_MS = 3_600_000.0
GROWTH = 1.05
_LOG_GROWTH = math.log(GROWTH)
_LAST = math.ceil(math.log(LARGEST_MS / SMALLEST_MS) / _LOG_GROWTH)


class _Stored(msgspec.Struct, omit_defaults=True):
    """The JSON form: how many by bucket, and the largest."""

    counts: dict[int, int] = {}
    max_ms: float = 0.0


class LatencyHistogram:
    """Counts latencies from 0.1 ms to an hour, each bucket 5 % wider than the one before.

    A percentile is a bucket's geometric middle, so it is wrong by 2.5 % at most; what lies outside
    counts as the nearest bucket.

    Attributes:
        max_ms: The largest latency that was added; 0 before the first.
    """

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.max_ms = 0.0

    @property
    def count(self) -> int:
        """How many latencies were added."""
        return sum(self._counts.values())

    def add(self, latency_ms: float) -> None:
        """Count one latency; one below 0 counts as 0."""
        bucket = 0
        if latency_ms > SMALLEST_MS:
            bucket = min(_LAST, int(math.log(latency_ms / SMALLEST_MS) / _LOG_GROWTH) + 1)
            self.max_ms = max(self.max_ms, latency_ms)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1

    def merge(self, other: LatencyHistogram) -> None:
        """Add all that `other` counted."""
        for bucket, count in other._counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.max_ms = max(self.max_ms, other.max_ms)

    def percentile(self, percent: float) -> float | None:
        """Return the latency in ms below which `percent` of all lie; None before the first."""
        total = self.count
        if not total:
            return None
        rank = max(1, math.ceil(total * percent / 100.0))
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= rank:
                return min(_middle_ms(bucket), self.max_ms or SMALLEST_MS)
        raise AssertionError("the ranks end with the last bucket")

    def to_json(self) -> str:
        """Return the counts as JSON."""
        return msgspec.json.encode(
            _Stored(dict(sorted(self._counts.items())), self.max_ms)
        ).decode()

    @classmethod
    def from_json(cls, text: str) -> LatencyHistogram:
        """Return what `to_json` wrote; raises `msgspec.DecodeError`."""
        stored = msgspec.json.decode(text, type=_Stored)
        histogram = cls()
        histogram._counts = stored.counts
        histogram.max_ms = stored.max_ms
        return histogram

    @classmethod
    def merged(cls, texts: Iterable[str]) -> LatencyHistogram:
        """Return the sum of several in their JSON form."""
        whole = cls()
        for text in texts:
            whole.merge(cls.from_json(text))
        return whole


def _middle_ms(bucket: int) -> float:
    return SMALLEST_MS if bucket == 0 else SMALLEST_MS * GROWTH ** (bucket - 0.5)
