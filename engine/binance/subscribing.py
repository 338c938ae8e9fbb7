"""What one connection was asked for, what the exchange confirmed, and what it refused."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from engine.binance.stream_types import HARD_STREAMS_PER_CONNECTION

if TYPE_CHECKING:
    from collections.abc import Collection

    from engine.binance.events import CommandAnswer

logger = logging.getLogger(__name__)

REFUSED_RETRY_S = 60.0
# One bad name among many is found by halving; so many refusals in a row mean that all are meant.
_MOST_REFUSALS = 12


class Command(NamedTuple):
    """One SUBSCRIBE or UNSUBSCRIBE, and when it was sent (monotonic seconds)."""

    id: int
    method: str
    streams: tuple[str, ...]
    sent_s: float

    @property
    def text(self) -> str:
        """The frame to send."""
        return _text(self.method, self.streams, self.id)


class Subscribing:
    """Works out which command brings the subscriptions nearer to the wanted streams.

    A refused command for several streams is tried again in halves, so that one name that the
    exchange does not take keeps no other from flowing; a name refused alone waits for a minute.

    Args:
        frame_bytes: Longest command.

    Attributes:
        confirmed: Streams whose subscription the exchange has answered.
        refusal: The last error that a command was answered with; empty when nothing is refused.
    """

    def __init__(self, frame_bytes: int) -> None:
        self._frame_bytes = frame_bytes
        self._asked: dict[str, None] = {}
        self._pending: dict[int, Command] = {}
        self._refused_until_s: dict[str, float] = {}
        self._suspects: deque[tuple[str, ...]] = deque()
        self._suspected: set[str] = set()
        self._refusals = 0
        self._next_id = 1
        self.confirmed: set[str] = set()
        self.refusal = ""

    def next_command(self, wanted: Collection[str]) -> Command | None:
        """Return the next command, taken as sent; None when there is nothing to do now."""
        self._forgive(wanted)
        suspects = self._next_suspects(wanted)
        if suspects:
            return self._sent("SUBSCRIBE", suspects)
        now = time.monotonic()
        missing = [
            stream
            for stream in wanted
            if stream not in self._asked
            and stream not in self._suspected
            and self._refused_until_s.get(stream, 0.0) <= now
        ]
        surplus = [stream for stream in self._asked if stream not in wanted]
        fits = len(self._asked) + len(missing) <= HARD_STREAMS_PER_CONNECTION
        if missing and (fits or not surplus):
            return self._sent("SUBSCRIBE", self._first_that_fit(missing))
        if surplus:
            return self._sent("UNSUBSCRIBE", self._first_that_fit(surplus))
        return None

    def retry_in_s(self, wanted: Collection[str]) -> float | None:
        """Return when a refused stream is asked for again; None when none waits."""
        times = [until for name, until in self._refused_until_s.items() if name in wanted]
        return max(0.1, min(times) - time.monotonic()) if times else None

    def answered(self, answer: CommandAnswer) -> tuple[str, ...]:
        """Take an answer; returns the streams that flow from now on."""
        command = self._pending.pop(answer.id, None) if isinstance(answer.id, int) else None
        if answer.error is not None:
            self._refused(answer.error, command)
        elif command is not None and command.method == "SUBSCRIBE":
            self._refusals = 0
            self.confirmed.update(command.streams)
            for stream in command.streams:
                self._refused_until_s.pop(stream, None)
            self._forget_refusal()
            return command.streams
        elif command is not None:
            self.confirmed.difference_update(set(command.streams) - self._asked.keys())
        return ()

    def unanswered(self, before_s: float) -> Command | None:
        """Return a command that was sent before then (monotonic seconds) and has no answer yet."""
        return next((c for c in self._pending.values() if c.sent_s < before_s), None)

    def missing(self, wanted: Collection[str]) -> int:
        """Count wanted streams that are not confirmed, without those that were refused."""
        known, refused = self.confirmed, self._refused_until_s
        return sum(stream not in known and stream not in refused for stream in wanted)

    def _refused(self, error: str, command: Command | None) -> None:
        self.refusal = error
        streams = command.streams if command else ()
        logger.warning("The exchange refused a command for %d streams: %s", len(streams), error)
        if command is None or command.method != "SUBSCRIBE":
            return
        for stream in streams:
            self._asked.pop(stream, None)
        self._refusals += 1
        if len(streams) > 1 and self._refusals < _MOST_REFUSALS:
            middle = len(streams) // 2
            self._suspects.extend((streams[:middle], streams[middle:]))
            self._suspected.update(streams)
            return
        until_s = time.monotonic() + REFUSED_RETRY_S
        self._refused_until_s.update(dict.fromkeys(streams, until_s))

    def _forgive(self, wanted: Collection[str]) -> None:
        """Forget refused names that nobody wants any more."""
        gone = [stream for stream in self._refused_until_s if stream not in wanted]
        for stream in gone:
            del self._refused_until_s[stream]
        if gone:
            self._forget_refusal()

    def _forget_refusal(self) -> None:
        if not self._refused_until_s and not self._suspects:
            self.refusal = ""

    def _next_suspects(self, wanted: Collection[str]) -> tuple[str, ...]:
        while self._suspects:
            group = self._suspects.popleft()
            self._suspected.difference_update(group)
            kept = tuple(s for s in group if s in wanted and s not in self._asked)
            if kept:
                return kept
        return ()

    def _sent(self, method: str, streams: tuple[str, ...]) -> Command:
        command = Command(self._next_id, method, streams, time.monotonic())
        self._next_id += 1
        self._pending[command.id] = command
        for stream in streams:
            if method == "SUBSCRIBE":
                self._asked[stream] = None
            else:
                self._asked.pop(stream, None)
                self._refused_until_s.pop(stream, None)
        return command

    def _first_that_fit(self, streams: list[str]) -> tuple[str, ...]:
        room = self._frame_bytes - len(_text("UNSUBSCRIBE", (), 2**31))
        count = 0
        for stream in streams:
            room -= len(msgspec.json.encode(stream)) + 1
            if room < 0:
                break
            count += 1
        return tuple(streams[: max(1, count)])


def _text(method: str, streams: tuple[str, ...], command_id: int) -> str:
    body = {"method": method, "params": streams, "id": command_id}
    return msgspec.json.encode(body).decode()
