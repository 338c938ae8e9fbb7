"""The wish to stop, and the end of a process whose stop does not come to its end."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
import tempfile
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

log = logging.getLogger(__name__)

STOP_LIMIT_S = 50.0
TELL_LIMIT_S = 2.0
EXIT_STUCK = 1


class StopRequest:
    """Asked for by signals and by viewers; from then on the process has `limit_s` to end.

    A task that never yields keeps the event loop from all it is told. The signals are therefore
    heard beside the loop, and a thread ends the process when its time is over: what was committed
    is safe then, and the next start fetches the rest.

    Args:
        limit_s: Wall seconds between the first wish and the end by force.
    """

    def __init__(self, limit_s: float = STOP_LIMIT_S) -> None:
        self._limit_s = limit_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: threading.Timer | None = None
        self.wanted = asyncio.Event()

    def listen(self) -> None:
        """Stop at SIGINT and SIGTERM; call it in the running loop of the main thread."""
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def ask(self) -> None:
        """Stop; may be called from any thread, and more than once."""
        if self._timer is None:
            self._timer = threading.Timer(self._limit_s, self._end)
            self._timer.daemon = True
            self._timer.start()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.wanted.set)

    def ended(self) -> None:
        """Take note that the stop came to its end."""
        if self._timer is not None:
            self._timer.cancel()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.ask()

    def _end(self) -> None:
        teller = threading.Thread(target=_tell, args=(self._limit_s,), daemon=True)
        teller.start()
        teller.join(TELL_LIMIT_S)
        os._exit(EXIT_STUCK)


def _tell(limit_s: float) -> None:
    """Say that and where the process hung; it may hang in writing to the same place itself."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        faulthandler.dump_traceback(file)
        file.seek(0)
        stacks = file.read()
    log.critical("the engine did not stop within %.0f s and is ended\n%s", limit_s, stacks)
