"""What is fetched when a stream begins to flow or a market comes to the watchlist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.market.interval import DAY_MS, parse_interval
from engine.store import StoreError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from engine.binance.clock import ExchangeClock
    from engine.capture.history import HistoryKeeper
    from engine.capture.ledger import Ledger
    from engine.capture.roster import Roster
    from engine.store import Store


class Refill:
    """Turns what happens to streams into gaps, or into fills where nothing was promised.

    Args:
        forget_continuity: Called with series whose next candle may come after a hole.
        on_notice: Told what users should know, as level and text.
    """

    def __init__(
        self,
        store: Store,
        history: HistoryKeeper,
        ledger: Ledger,
        roster: Roster,
        clock: ExchangeClock,
        *,
        forget_continuity: Callable[[str, str], None],
        on_notice: Callable[[str, str], None],
    ) -> None:
        self._store = store
        self._history = history
        self._ledger = ledger
        self._roster = roster
        self._clock = clock
        self._forget_continuity = forget_continuity
        self._on_notice = on_notice

    def hole_seen(self, symbol: str, interval: str, from_ms: int, to_ms: int, why: str) -> None:
        """Take note that a stream left out candles, or (`why`) that they could not be stored."""
        if (symbol, interval) in self._roster.series():
            self._ledger.hole_seen(symbol, interval, from_ms, to_ms, why)
        else:
            self.watched(
                self._history.request(
                    symbol, interval, from_ms, to_ms, priority=1, keeps_trying=True
                )
            )

    def streams_opened(self, series: Iterable[tuple[str, str]], reason: str) -> None:
        """Fetch what closed before these streams of candles flowed."""
        promised = self._roster.series()
        captured = []
        for symbol, interval in series:
            self._forget_continuity(symbol, interval)
            if (symbol, interval) in promised:
                captured.append((symbol, interval))
            else:
                self._seam(symbol, interval, reason)
        if captured:
            self._ledger.streams_opened(captured, reason)

    def market(self, symbol: str, days: float, priority: int) -> asyncio.Future[int]:
        """Queue the 1m history of a market's last `days`."""
        start_ms = int(self._clock.now_ms() - days * DAY_MS)
        fill = self._history.request(symbol, "1m", start_ms, priority=priority, keeps_trying=True)
        self.watched(fill)
        return fill

    def watched(self, fill: asyncio.Future[int]) -> None:
        """Tell users when a fill fails for good."""
        fill.add_done_callback(self._ended)

    def _seam(self, symbol: str, interval: str, reason: str) -> None:
        """Fetch what a series that somebody looks at lacks since its last candle."""
        grid = parse_interval(interval)
        # The candle that closes while the subscription is under way belongs to nobody else.
        start_ms = grid.back(grid.floor(self._clock.now_ms()), 2)
        if reason.startswith("reconnected"):
            try:
                last_ms = self._store.reader.last_open_time(symbol, interval)
            except StoreError as error:
                self._on_notice("error", str(error))
            else:
                start_ms = start_ms if last_ms is None else min(last_ms + 1, start_ms)
        self.watched(
            self._history.request(symbol, interval, start_ms, priority=1, keeps_trying=True)
        )

    def _ended(self, done: asyncio.Future[int]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            self._on_notice("warning", str(error))
