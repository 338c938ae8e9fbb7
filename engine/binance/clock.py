"""The exchange's time, estimated between its messages."""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

_WINDOW = 256
_SAMPLE_EVERY_S = 0.02
_WINDOW_S = 8.0
# At its own pace the exchange's clock keeps step; a simulated one may stall.
_ANSWERS_KEPT_S = 600.0
_REFRESH_S = 0.2
_STEP_BACK_AFTER_S = 10.0
_STEP_BACK_BEYOND_S = 5.0


class ExchangeClock:
    """Estimates exchange time as `offset + speed * local monotonic time`.

    An event arrives after it happened, so event times lag behind the clock by the transport; the
    offset is therefore a high quantile of what recent events say, which a single wild event does
    not move. An answer of the REST endpoint `time` bounds it as well: half its round trip is the
    usual guess. Local time is monotonic, so that a step of the wall clock does no harm.

    Args:
        speed: Exchange seconds per local second; 1 but for a simulated exchange. With infinity
            (a replay as fast as it goes) the time is that of the newest event.
        is_present: Whether the exchange shows the present; a replay's time says nothing about
            this machine's wall clock.
        monotonic_s: Local clock in seconds.

    Attributes:
        on_latency: Called with the latency (local ms) of each event that is taken; None calls
            nobody. An exchange whose clock does not run at 1 has none.
    """

    def __init__(
        self,
        speed: float = 1.0,
        *,
        is_present: bool = True,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.on_latency: Callable[[float], None] | None = None
        self._answers_kept_s = _ANSWERS_KEPT_S if speed == 1.0 else _WINDOW_S
        self._follows = math.isinf(speed)
        self._is_present = is_present
        self._speed_ms = 0.0 if self._follows else speed * 1000.0
        self._monotonic_s = monotonic_s
        self._events: deque[tuple[float, float]] = deque(maxlen=_WINDOW)
        self._answers: deque[tuple[float, float]] = deque(maxlen=8)
        self._first_ms = 0
        self._offset_ms: float | None = None
        self._refreshed_s = float("-inf")
        self._last_ms = 0
        self._ahead_since_s: float | None = None
        self._is_stopped = False

    @property
    def is_set(self) -> bool:
        """Whether anything has told the exchange's time yet."""
        return bool(self._events or self._answers or self._last_ms)

    @property
    def latency_ms(self) -> float | None:
        """Median of receipt minus event time, in local milliseconds; None before any event.

        The offset comes from answers of `time` where there are any, and else from the fastest
        events, so that it tells the delay beyond theirs.
        """
        if not self._events or self._follows:
            return None
        offset_ms = self._offset()
        late_ms = statistics.median(offset_ms - said_ms for _, said_ms in self._events)
        return max(0.0, late_ms / self._speed_ms * 1000.0)

    @property
    def wall_offset_ms(self) -> float | None:
        """Local wall clock minus exchange clock, in ms.

        None before anything was observed, and where the exchange's clock does not run at 1 or
        shows another time than the present.
        """
        if self._speed_ms != 1000.0 or not self._is_present or not self.is_set:
            return None
        return time.time() * 1000.0 - (self._offset() + 1000.0 * self._monotonic_s())

    def observe(self, event_time_ms: int, *, monotonic_s: float | None = None) -> None:
        """Learn from an event; call it at its receipt. Fifty a second are taken, the rest is free.

        Args:
            event_time_ms: When the exchange made it (epoch ms).
            monotonic_s: Receipt on the local clock, if not now.
        """
        if self._is_stopped:
            return
        if self._follows:
            self._follow(event_time_ms)
            return
        now_s = self._monotonic_s() if monotonic_s is None else monotonic_s
        if self._events and now_s - self._events[-1][0] < _SAMPLE_EVERY_S:
            return
        said_ms = event_time_ms - self._speed_ms * now_s
        self._events.append((now_s, said_ms))
        if self.on_latency is not None and self._speed_ms == 1000.0:
            self.on_latency(max(0.0, self._offset() - said_ms))

    def observe_answer(self, server_time_ms: int, sent_s: float, received_s: float) -> None:
        """Learn from an answer of `time`.

        Args:
            server_time_ms: Its content (epoch ms).
            sent_s: Local clock when the request left.
            received_s: Local clock when the answer was there.
        """
        if self._is_stopped:
            return
        if self._follows:
            self._follow(server_time_ms)
            return
        middle_s = (sent_s + received_s) / 2.0
        self._answers.append((received_s, server_time_ms - self._speed_ms * middle_s))
        self._refreshed_s = float("-inf")

    def stop(self, time_ms: int | None = None) -> None:
        """Stand still from now on: nothing more happens on the exchange, as after a replay.

        Args:
            time_ms: The exchange's last time (epoch ms); None takes the estimate of now.
        """
        if self._is_stopped or (time_ms is None and not self.is_set):
            return
        self._last_ms = self.now_ms() if time_ms is None else time_ms
        self._is_stopped = True

    @property
    def first_ms(self) -> int | None:
        """The first time that was observed of a replay as fast as it goes; else None."""
        return self._first_ms or None

    def now_ms(self) -> int:
        """Return exchange time now (epoch ms); it does not run backwards.

        Only an estimate that stays more than 5 s behind for 10 s, as after a wrong first message
        or with another exchange, sets it back. Before anything was observed it is the local wall
        clock's time.
        """
        if not self.is_set:
            return time.time_ns() // 1_000_000
        if self._follows or self._is_stopped:
            return self._last_ms
        now_s = self._monotonic_s()
        estimate_ms = int(self._offset() + self._speed_ms * now_s)
        if estimate_ms >= self._last_ms or self._is_hopeless(estimate_ms, now_s):
            self._last_ms = estimate_ms
            self._ahead_since_s = None
        return self._last_ms

    def _follow(self, time_ms: int) -> None:
        self._first_ms = self._first_ms or time_ms
        self._last_ms = max(self._last_ms, time_ms)

    def _is_hopeless(self, estimate_ms: int, now_s: float) -> bool:
        if self._last_ms - estimate_ms <= _STEP_BACK_BEYOND_S * self._speed_ms:
            self._ahead_since_s = None
            return False
        if self._ahead_since_s is None:
            self._ahead_since_s = now_s
        if now_s - self._ahead_since_s < _STEP_BACK_AFTER_S:
            return False
        logger.warning(
            "The exchange clock is set back by %.1f s.", (self._last_ms - estimate_ms) / 1000
        )
        return True

    def _offset(self) -> float:
        now_s = self._monotonic_s()
        if self._offset_ms is None or now_s - self._refreshed_s >= _REFRESH_S:
            self._offset_ms = self._estimate(now_s)
            self._refreshed_s = now_s
        return self._offset_ms

    def _estimate(self, now_s: float) -> float:
        answers = [said for at_s, said in self._answers if now_s - at_s <= self._answers_kept_s]
        events = sorted(said for at_s, said in self._events if now_s - at_s <= _WINDOW_S)
        if not events:
            newest = max([*self._answers, *list(self._events)[-1:]])
            return statistics.median(answers) if answers else newest[1]
        # With few events the middle one counts, with many the fastest tenth.
        fastest = events[len(events) // 2 if len(events) < 10 else len(events) * 9 // 10]
        return max(fastest, statistics.median(answers)) if answers else fastest
