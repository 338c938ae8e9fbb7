"""`klinetop serve` with viewers' leases on the books of 100 markets, as a process.

Run as `python -m benchmarks.engine_with_books serve …`. Nobody draws what they look at, so that the
engine's own work is measured: 100 books at 100 ms beside all the rest.
"""

from __future__ import annotations

import engine.runtime
from benchmarks.wide_exchange import BOOKS, SYMBOLS
from engine.capture.subscriptions import Lease
from tui.cli import main


class EngineWithBooks(engine.runtime.Engine):
    """An engine that holds books open."""

    async def start(self) -> None:
        """Start, and lease the books."""
        await super().start()
        for number, symbol in enumerate(SYMBOLS[:BOOKS]):
            self.subscriptions.lease(1_000_000 + number, Lease(symbol, None))


if __name__ == "__main__":
    engine.runtime.Engine = EngineWithBooks  # type: ignore[misc]
    main()
