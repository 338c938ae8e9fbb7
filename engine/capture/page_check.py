"""The pages of a large database, checked while the engine runs."""

from __future__ import annotations

import asyncio
import logging
from contextlib import closing
from typing import TYPE_CHECKING

from engine.store import CorruptDatabase
from engine.store.database import (
    DATABASE_NAME,
    LARGE_TABLE,
    check_pages,
    is_checked_at_start,
    open_for_reading,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger(__name__)

AFTER_S = 60.0


class PageCheck:
    """Reads all pages of the candles once, where that takes too long before the start.

    Args:
        directory: The data directory.
        on_notice: Told the way out when a page is damaged.
        after_s: Wall seconds to wait, so that streams and history come first.
    """

    def __init__(
        self, directory: Path, on_notice: Callable[[str, str], None], *, after_s: float = AFTER_S
    ) -> None:
        self._directory = directory
        self._path = directory / DATABASE_NAME
        self._on_notice = on_notice
        self._after_s = after_s

    async def run(self) -> None:
        """Check and end; cancelled, it ends at once."""
        if is_checked_at_start(self._path):
            return
        await asyncio.sleep(self._after_s)
        with closing(open_for_reading(self._directory)) as connection:
            try:
                await self._checked(connection)
            except CorruptDatabase as error:
                log.critical("%s", error)
                self._on_notice("error", str(error))
            else:
                log.info("all pages of %s are sound", self._path)

    async def _checked(self, connection: sqlite3.Connection) -> None:
        work = asyncio.ensure_future(
            asyncio.to_thread(check_pages, connection, self._path, LARGE_TABLE)
        )
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            connection.interrupt()
            await asyncio.gather(work, return_exceptions=True)
            raise
