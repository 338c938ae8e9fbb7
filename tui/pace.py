"""How often the terminal pulls and draws: as often as eyes can read, less when writes are slow."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

SLOW_RATES = (4.0, 1.0)
PATIENCE_S = 5.0
HURRY_S = 1.0
QUIET_AFTER_S = 3.0
QUIET_S = 1.0


class LinkMeter(msgspec.Struct):
    """Counts what was handed to the terminal and what it took.

    Attributes:
        queued: Characters handed over.
        written: Characters that the terminal has taken.
        busy_s: Seconds spent in writes since the last `take_busy`.
        started: Monotonic start of the write that runs; None when none does.
    """

    queued: int = 0
    written: int = 0
    busy_s: float = 0.0
    started: float | None = None

    @property
    def is_clear(self) -> bool:
        """Whether everything painted so far has left for the terminal."""
        return self.written >= self.queued

    def take_busy(self) -> float:
        """Return the seconds spent in writes since the last call, the running one included."""
        now = time.monotonic()
        busy, self.busy_s = self.busy_s, 0.0
        if self.started is not None:
            busy += now - self.started
            self.started = now
        return busy


class MeteredFile:
    """The terminal's output file with a meter on it; used by the writer thread only."""

    def __init__(self, file: TextIO, meter: LinkMeter) -> None:
        self._file = file
        self._meter = meter
        self._handed = 0

    def write(self, text: str) -> int:
        """Hand `text` to the file; the meter counts it as written after the next flush."""
        with self._timed():
            count = self._file.write(text)
        self._handed += len(text)
        return count

    def flush(self) -> None:
        """Flush the file and tell the meter that all of it has left."""
        with self._timed():
            self._file.flush()
        self._meter.written = self._handed

    @contextmanager
    def _timed(self) -> Iterator[None]:
        meter = self._meter
        meter.started = time.monotonic()
        try:
            yield
        finally:
            meter.busy_s += time.monotonic() - (meter.started or 0.0)
            meter.started = None

    def fileno(self) -> int:
        """Return the file descriptor underneath."""
        return self._file.fileno()

    def isatty(self) -> bool:
        """Tell whether the file underneath is a terminal."""
        return self._file.isatty()


class Pacer:
    """Chooses the pull rate from how busy the link is.

    The rate steps down (10 → 4 → 1 a second) when writes took more than half of the time since the
    last look, and up again after five seconds with less than a tenth. Where nothing arrives for
    three seconds it pulls once a second, until something does or a key is pressed.

    Attributes:
        rate: Pulls a second that the link can take now.
        least_s: Seconds between pulls at least: more often nothing is drawn.
    """

    def __init__(self, frames_per_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rates = (frames_per_s, *(rate for rate in SLOW_RATES if rate < frames_per_s))
        self._step = 0
        self._clock = clock
        self._looked = clock()
        self._quick_since = self._looked
        self._hurry_until = self._looked
        self._heard = self._looked
        self.least_s = 0.0

    @property
    def rate(self) -> float:
        """Pulls a second now."""
        return self._rates[self._step]

    @property
    def interval_s(self) -> float:
        """Seconds between pulls now."""
        link_s, now = 1.0 / self.rate, self._clock()
        if now < self._hurry_until:
            return link_s
        is_quiet = now - self._heard >= QUIET_AFTER_S
        return max(link_s, self.least_s, QUIET_S if is_quiet else 0.0)

    def hear(self) -> None:
        """Something arrived: more may follow."""
        self._heard = self._clock()

    def hurry(self) -> None:
        """Let the link alone set the rate for a moment: the user waits for an answer."""
        self._heard = self._clock()
        self._hurry_until = self._heard + HURRY_S

    @property
    def is_slow(self) -> bool:
        """Whether the link made the rate step down."""
        return self._step > 0

    def observe(self, busy_s: float) -> None:
        """Take in that writes took `busy_s` seconds since the last call."""
        now = self._clock()
        elapsed = max(now - self._looked, 1e-6)
        self._looked = now
        if busy_s > 0.5 * elapsed and busy_s > 0.05:
            self._step = min(self._step + 1, len(self._rates) - 1)
            self._quick_since = now
        elif busy_s > 0.1 * elapsed:
            self._quick_since = now
        elif self._step and now - self._quick_since >= PATIENCE_S:
            self._step -= 1
            self._quick_since = now


class Pace:
    """Lets something happen at most once in `interval_s`, on beats that all paces share.

    Panes that are drawn twice a second are so in a frame in which those of four times a second are
    drawn as well: each frame costs the terminal something, however little is in it. Offsets spread
    the slow panes over those frames, so that none is long enough to keep a key waiting.

    Args:
        interval_s: Seconds between beats; 0 lets everything happen.
        offset_s: How much later than those of offset 0 these beats come.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        interval_s: float,
        offset_s: float = 0.0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval_s = interval_s
        self.offset_s = offset_s
        self._clock = clock
        self._beat: int | None = None

    def take(self) -> bool:
        """Return whether it may happen now, and count it as happened if so."""
        if not self.interval_s:
            return True
        beat = int((self._clock() - self.offset_s) // self.interval_s)
        if beat == self._beat:
            return False
        self._beat = beat
        return True

    def hurry(self) -> None:
        """Let it happen the next time whatever the clock says."""
        self._beat = None
