"""Screens built ahead: the key that opens one finds it mounted, laid out and drawn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tui.quiet import Quiet
    from tui.screens.foot import FootScreen

IDLE_S: Final = 1.0
BETWEEN_S: Final = 0.3
QUIET_S: Final = 0.15


class Spares:
    """Keeps one screen of each kind ready; what is taken is built anew when all is quiet.

    Args:
        makers: What makes each screen, by its name.
        mount: Mounts a screen without showing it.
        quiet: Tells when no key came for a while.

    Attributes:
        ready: The screens that wait to be taken, by name.
        idle_s: How long to wait, after one was taken, before the next is built.
        between_s: How long to wait between two: each keeps a key waiting while it is built.
    """

    def __init__(
        self,
        makers: Mapping[str, Callable[[], FootScreen]],
        mount: Callable[[FootScreen], Awaitable[None]],
        quiet: Quiet,
    ) -> None:
        self._makers = makers
        self._mount = mount
        self._quiet = quiet
        self.idle_s = IDLE_S
        self.between_s = BETWEEN_S
        self.ready: dict[str, FootScreen] = {}
        self._wanted = asyncio.Event()
        self._generation = 0

    def take(self, name: str) -> FootScreen:
        """Return the screen `name` that was built ahead, or make it now."""
        self._wanted.set()
        spare = self.ready.pop(name, None)
        return self._makers[name]() if spare is None else spare

    def forget(self) -> list[FootScreen]:
        """Hand over all that were built, as after a change of colours; they are built anew."""
        forgotten = list(self.ready.values())
        self.ready.clear()
        self._generation += 1
        self._wanted.set()
        return forgotten

    async def run(self) -> None:
        """Build what is missing, now and whenever one was taken, until cancelled."""
        self._wanted.set()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await asyncio.sleep(self.idle_s)
            for name in self._makers:
                if name not in self.ready:
                    await self._quiet.wait(QUIET_S)
                    await self._build(name)
                    await asyncio.sleep(self.between_s)

    async def _build(self, name: str) -> None:
        generation = self._generation
        screen = self._makers[name]()
        await self._mount(screen)
        if generation == self._generation:
            self.ready[name] = screen
        else:
            await screen.remove()
