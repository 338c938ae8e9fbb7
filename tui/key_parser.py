"""Keys from what a terminal sends: Esc at once, sequences even where a slow link splits them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from textual._xterm_parser import XTermParser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from textual.message import Message

ESC: Final = "\x1b"
LONE_ESC_S: Final = 0.01
"""How long an Esc waits for the rest of a sequence, as in tmux."""

SEQUENCE_S: Final = 0.1
"""How long a sequence that has begun waits for its rest, and an Esc for a belated one."""

_BEGINNINGS: Final = ("[", "O")


def lone_escape_s(environ: Mapping[str, str]) -> float:
    """Return how long (s) an Esc waits: `ESCDELAY` (ms) where it is set to a whole number."""
    text = environ.get("ESCDELAY", "")
    return max(1, int(text)) / 1000 if text.isdecimal() else LONE_ESC_S


class KeyParser(XTermParser):
    """Textual's parser with two waits instead of one.

    A terminal writes a sequence at once, so that an Esc which stands alone is a key after a moment.
    Where only a part of a sequence has come the rest is waited for longer; and where the rest comes
    after Esc was taken for a key, it is the sequence still, never the letters of it.

    Args:
        lone_esc_s: Seconds after which an Esc that nothing follows is a key.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        lone_esc_s: float = LONE_ESC_S,
        clock: Callable[[], float] = time.monotonic,
        debug: bool = False,
    ) -> None:
        self._lone_esc_s = lone_esc_s
        self._clock = clock
        self._due_s: float | None = None
        self._escaped_s: float | None = None
        self._is_lone = False
        super().__init__(debug)

    @property
    def wait_s(self) -> float | None:
        """Seconds until `tick` has something to do; None while nothing is waited for."""
        return None if self._due_s is None else max(0.0, self._due_s - self._clock())

    def feed(self, data: str) -> Iterable[Message]:
        """Parse what came; an empty text ends it."""
        now = self._clock()
        if data.startswith(_BEGINNINGS) and self._has_just_escaped(now):
            data = ESC + data
        self._escaped_s = None
        yield from super().feed(data)
        self._due_s = None
        if self._timeout_time is not None:
            self._is_lone = data.endswith(ESC)
            self._due_s = now + (self._lone_esc_s if self._is_lone else SEQUENCE_S)

    def tick(self) -> Iterable[Message]:
        """Give up waiting where it is time to."""
        if self._due_s is None or self._clock() < self._due_s:
            return
        self._escaped_s = self._due_s if self._is_lone else None
        self._due_s = None
        self._timeout_time = 0.0
        yield from super().tick()

    def _has_just_escaped(self, now: float) -> bool:
        return self._escaped_s is not None and now - self._escaped_s < SEQUENCE_S
