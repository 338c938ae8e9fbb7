"""Collects cyclic garbage in moments without keys: a collection halts all for as long as it takes.

Python's own collections come while a key is answered: each repaint makes thousands of styled
pieces. They are off while this runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tui.quiet import Quiet

EVERY_S: Final = 1.0
QUIET_S: Final = 0.1
"""How long no key may have come before the youngest objects are looked through."""

LONG_QUIET_S: Final = 2.0
"""How long none may have come before all, or the middle generation, are."""

MIDDLE_EVERY: Final = 10
FULL_FIRST: Final = 8
FULL_EVERY: Final = 600
"""Rounds of at most a second; the first full collection comes when all screens stand."""

MOST_WAITING: Final = 60_000
"""Objects since the last collection from which none waits for a quiet moment."""


class Garbage:
    """Does the garbage collector's work when nobody waits for an answer.

    Args:
        quiet: Tells how long no key came.
    """

    def __init__(self, quiet: Quiet) -> None:
        self._quiet = quiet
        self._rounds = 0
        self._due = 0

    def round(self) -> int | None:
        """Collect what is due, as far as it is quiet; return the generation, None for nothing."""
        self._rounds += 1
        self._due = max(self._due, _generation(self._rounds))
        quiet_s = self._quiet.lasts_s
        if quiet_s < QUIET_S and gc.get_count()[0] < MOST_WAITING:
            return None
        if quiet_s < LONG_QUIET_S:
            gc.collect(0)
            return 0
        due, self._due = self._due, 0
        if due < 2:
            gc.collect(due)
        else:
            # What stands after it is left out of the next ones, until all is looked through again.
            gc.unfreeze()
            gc.collect()
            gc.freeze()
        return due

    async def _moment(self) -> None:
        """Wait until a key has been answered, or for a round's time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EVERY_S):
                await self._quiet.key()
                await self._quiet.wait(QUIET_S)

    async def run(self) -> None:
        """Collect in quiet moments until cancelled; Python's own way comes back then."""
        gc.freeze()
        gc.disable()
        try:
            while True:
                await self._moment()
                self.round()
        finally:
            gc.unfreeze()
            gc.enable()


def _generation(rounds: int) -> int:
    if rounds == FULL_FIRST or rounds % FULL_EVERY == 0:
        return 2
    return 1 if rounds % MIDDLE_EVERY == 0 else 0
