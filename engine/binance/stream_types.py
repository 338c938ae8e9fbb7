"""Limits, state and counters of the stream connections."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque

import msgspec

HARD_STREAMS_PER_CONNECTION = 1024


class StreamLimits(msgspec.Struct, frozen=True):
    """What the supervisor keeps to. Sources: Binance's stream rules, and measured practice.

    Attributes:
        streams_per_connection: Streams on one connection; the exchange refuses more than 1024.
        frame_bytes: Longest SUBSCRIBE frame; the exchange silently ignores those beyond 4 KB.
        frames_per_s: Commands a second and connection (the exchange cuts off above 5).
        silence_s: Wall seconds without a message before a connection is given up, doubled with
            each silent one in a row; only while a stream is subscribed that always speaks.
        stale_s: Wall seconds without a message before the state says so.
        always_speaking: Parts of the names of streams that push at least every few seconds.
        renew_s: Age at which a connection is replaced (the exchange cuts it at 24 h).
        backoff_first_s: Longest first wait before a reconnect; it doubles with each failure.
        backoff_cap_s: Longest wait of all.
        healthy_s: Life of a connection after which the waits start over.
        attempts: Connection attempts in `attempts_window_s`, over all connections.
        attempts_window_s: Seconds of that window.
        connect_timeout_s: Longest time for connecting.
        answer_timeout_s: Longest time for the answer to a command.
        overlap_s: How long an old connection is still read after its successor has spoken.
        close_timeout_s: Longest time for closing in order before the connection is cut.
    """

    streams_per_connection: int = 200
    frame_bytes: int = 4000
    frames_per_s: float = 2.0
    silence_s: float = 15.0
    stale_s: float = 5.0
    always_speaking: tuple[str, ...] = ("@kline_", "@ticker", "@miniTicker", "!miniTicker")
    renew_s: float = 23 * 3600.0
    backoff_first_s: float = 0.25
    backoff_cap_s: float = 10.0
    healthy_s: float = 60.0
    attempts: int = 300
    attempts_window_s: float = 300.0
    connect_timeout_s: float = 10.0
    answer_timeout_s: float = 10.0
    overlap_s: float = 1.0
    close_timeout_s: float = 3.0

    def __post_init__(self) -> None:
        if not 1 <= self.streams_per_connection <= HARD_STREAMS_PER_CONNECTION:
            raise ValueError(f"streams_per_connection must be 1 to {HARD_STREAMS_PER_CONNECTION}")


class StreamState(msgspec.Struct, frozen=True):
    """How the streams are.

    Attributes:
        connection: `connecting`, `live`, `stale`, `offline` or `ended`.
        note: The reason for any state but live, in words.
        since_wall_ms: Wall time (epoch ms) since when it is so.
    """

    connection: str
    note: str
    since_wall_ms: int


class StreamStats(msgspec.Struct, frozen=True):
    """Counters since the start, over all connections.

    Attributes:
        messages: Frames received, and their `bytes`.
        reconnects: Connections established after one was lost or given up.
        renewals: Connections replaced in time, without loss.
        bad: Frames that could not be decoded.
        unknown: Well-formed messages that klinetop has no use for.
        refused: Commands that the exchange answered with an error.
        handler_failures: Events whose handler raised.
        attempts: Connection attempts, and how many of them failed in `failed_attempts`.
        connections: Connections open now.
        streams: Streams that the exchange has confirmed, of `wanted` ones.
        last_message_wall_ms: Wall time (epoch ms) of the last frame; None before the first.
        messages_per_s: Frames in the last wall second.
        lag_ms: How late the event loop ran at worst in the last seconds; what has arrived waits
            about that long to be read.
    """

    messages: int = 0
    bytes: int = 0
    reconnects: int = 0
    renewals: int = 0
    bad: int = 0
    unknown: int = 0
    refused: int = 0
    handler_failures: int = 0
    attempts: int = 0
    failed_attempts: int = 0
    connections: int = 0
    streams: int = 0
    wanted: int = 0
    last_message_wall_ms: int | None = None
    messages_per_s: float = 0.0
    lag_ms: float = 0.0


class Counters:
    """The same, while they are counted."""

    __slots__ = (
        "attempts",
        "bad",
        "bytes",
        "failed_attempts",
        "handler_failures",
        "last_receipt_ns",
        "messages",
        "reconnects",
        "refused",
        "renewals",
        "unknown",
    )

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0
        self.reconnects = 0
        self.renewals = 0
        self.bad = 0
        self.unknown = 0
        self.refused = 0
        self.handler_failures = 0
        self.attempts = 0
        self.failed_attempts = 0
        self.last_receipt_ns = 0


class Rate:
    """Messages a second over the last second, from samples of a running count."""

    def __init__(self, window_s: float = 1.0) -> None:
        self._window_s = window_s
        self._samples: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def sample(self, count: int) -> None:
        """Note the running `count` now; call it a few times a second."""
        now = time.monotonic()
        self._samples.append((now, count))
        while len(self._samples) > 2 and now - self._samples[1][0] >= self._window_s:
            self._samples.popleft()

    def per_s(self) -> float:
        """Return messages a second between the oldest sample kept and the newest."""
        (first, count_then), (last, count_now) = self._samples[0], self._samples[-1]
        return (count_now - count_then) / (last - first) if last > first else 0.0


class Lag:
    """How late a task woke up that meant to wake every `step_s`, at worst over `window_s`."""

    def __init__(self, window_s: float = 5.0) -> None:
        self._window_s = window_s
        self._samples: deque[tuple[float, float]] = deque()

    def sample(self, late_s: float) -> None:
        """Note how late the task woke up now."""
        now = time.monotonic()
        # Only what may yet be the worst of a window is kept.
        while self._samples and self._samples[-1][1] <= late_s:
            self._samples.pop()
        self._samples.append((now, late_s))
        while now - self._samples[0][0] > self._window_s:
            self._samples.popleft()

    @property
    def worst_ms(self) -> float:
        """The worst of the window, in milliseconds."""
        return self._samples[0][1] * 1000.0 if self._samples else 0.0


class AttemptLimiter:
    """Lets `attempts` connection attempts pass in any `window_s` seconds."""

    def __init__(self, attempts: int, window_s: float) -> None:
        self._attempts = attempts
        self._window_s = window_s
        self._times: deque[float] = deque()

    async def acquire(self) -> None:
        """Wait until an attempt is allowed, and count it."""
        while True:
            wait_s = self._wait_s()
            if wait_s <= 0.0:
                break
            await asyncio.sleep(wait_s)
        self._times.append(time.monotonic())

    def _wait_s(self) -> float:
        now = time.monotonic()
        while self._times and now - self._times[0] >= self._window_s:
            self._times.popleft()
        if len(self._times) < self._attempts:
            return 0.0
        return self._times[0] + self._window_s - now


def full_jitter_s(failures: int, first_s: float, cap_s: float) -> float:
    """Return a random wait below `first_s` doubled `failures` times, at most `cap_s`.

    Full jitter keeps many clients from coming back in step (M. Brooker, "Exponential Backoff And
    Jitter", 2015).
    """
    return random.uniform(0.0, min(cap_s, first_s * 2.0 ** min(failures, 30)))  # noqa: S311
