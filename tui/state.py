"""What the terminal knows: plain data merged from the engine's frames, with no drawing in it."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from engine.market.candle import Candle
from engine.market.trade import Trade
from engine.service.contract import (
    BookSection,
    ChartSection,
    ForecastSection,
    Notice,
    StatusSection,
    StorageSection,
    TickerRow,
    TradesSection,
)

if TYPE_CHECKING:
    from engine.service.contract import (
        Frame,
    )

NOTICES_KEPT = 200
CANDLES_SLACK = 1.5


class Series(msgspec.Struct):
    """Candles of one symbol and interval, ascending by open time, each open time once."""

    candles: list[Candle] = msgspec.field(default_factory=list)
    times: list[int] = msgspec.field(default_factory=list)

    def replace(self, candles: tuple[Candle, ...]) -> None:
        """Take `candles` (ascending) for all there is."""
        self.candles = list(candles)
        self.times = [candle.open_time_ms for candle in candles]

    def merge(self, candles: tuple[Candle, ...]) -> None:
        """Put each candle where its open time belongs; it replaces one with the same time."""
        for candle in candles:
            at = bisect_left(self.times, candle.open_time_ms)
            if at < len(self.times) and self.times[at] == candle.open_time_ms:
                self.candles[at] = candle
            else:
                self.times.insert(at, candle.open_time_ms)
                self.candles.insert(at, candle)

    def keep_newest(self, count: int) -> None:
        """Forget all but the newest `count` candles."""
        if len(self.candles) > count:
            del self.candles[:-count]
            del self.times[:-count]


class DeskState(msgspec.Struct):
    """Everything received from the engine, merged.

    Attributes:
        revision: Revision of the last frame; 0 before the first.
        status_wall_ms: Wall time when `status` was received, from which its ages go on counting.
        book_wall_ms: The same for `book`.
        storage_wall_ms: The same for `storage`.
        tickers: Watchlist rows by symbol.
        order: The watchlist's order.
        series: Candles of `chart`; `tape` holds the trades of `trades`, oldest first.
        notices: Newest last.
    """

    revision: int = 0
    status: StatusSection | None = None
    status_wall_ms: int = 0
    book: BookSection | None = None
    book_wall_ms: int = 0
    storage: StorageSection | None = None
    storage_wall_ms: int = 0
    chart: ChartSection | None = None
    trades: TradesSection | None = None
    forecast: ForecastSection | None = None
    tickers: dict[str, TickerRow] = msgspec.field(default_factory=dict)
    order: tuple[str, ...] = ()
    series: Series = msgspec.field(default_factory=Series)
    tape: deque[Trade] = msgspec.field(default_factory=deque)
    notices: deque[Notice] = msgspec.field(default_factory=lambda: deque(maxlen=NOTICES_KEPT))
    fresh_notices: list[Notice] = msgspec.field(default_factory=list)
    _noticed: set[tuple[int, str]] = msgspec.field(default_factory=set)

    def apply(
        self, frame: Frame, *, wall_ms: int, bars: int = 240, tape_length: int = 100
    ) -> frozenset[str]:
        """Merge `frame` and return the names of the sections that it changed.

        Args:
            frame: The engine's answer to a pull.
            wall_ms: Wall time of its receipt (epoch ms).
            bars: Candles asked for; clearly more are not kept.
            tape_length: Trades asked for; more are not kept.
        """
        self.revision = frame.revision
        changed: set[str] = set()
        for name in ("status", "book", "storage", "forecast"):
            section = getattr(frame, name)
            if section is not None:
                setattr(self, name, section)
                if name != "forecast":
                    setattr(self, f"{name}_wall_ms", wall_ms)
                changed.add(name)
        if frame.tickers is not None:
            self.order = frame.tickers.order
            self.tickers.update((row.symbol, row) for row in frame.tickers.rows)
            self._forget_unwatched()
            changed.add("tickers")
        if frame.chart is not None:
            self._merge_chart(frame.chart, bars)
            changed.add("chart")
        if frame.trades is not None:
            self._merge_trades(frame.trades, tape_length)
            changed.add("trades")
        if self._merge_notices(frame.notices):
            changed.add("notices")
        return frozenset(changed)

    def _forget_unwatched(self) -> None:
        watched = set(self.order)
        for symbol in [symbol for symbol in self.tickers if symbol not in watched]:
            del self.tickers[symbol]

    def _merge_chart(self, section: ChartSection, bars: int) -> None:
        same = (
            self.chart is not None
            and self.chart.symbol == section.symbol
            and self.chart.interval == section.interval
        )
        if section.reset or not same:
            self.series.replace(section.candles)
        else:
            self.series.merge(section.candles)
            if len(self.series.candles) > bars * CANDLES_SLACK:
                self.series.keep_newest(bars)
        self.chart = section

    def _merge_trades(self, section: TradesSection, length: int) -> None:
        if section.reset or self.trades is None or self.trades.symbol != section.symbol:
            self.tape.clear()
        newest = self.tape[-1].trade_id if self.tape else -1
        self.tape.extend(trade for trade in section.trades if trade.trade_id > newest)
        while len(self.tape) > length:
            self.tape.popleft()
        self.trades = section

    def _merge_notices(self, notices: tuple[Notice, ...]) -> bool:
        unseen = [note for note in notices if (note.wall_ms, note.text) not in self._noticed]
        for notice in unseen:
            self._noticed.add((notice.wall_ms, notice.text))
            self.notices.append(notice)
            self.fresh_notices.append(notice)
        if len(self._noticed) > 4 * NOTICES_KEPT:
            self._noticed = {(note.wall_ms, note.text) for note in self.notices}
        return bool(unseen)

    def take_fresh_notices(self) -> list[Notice]:
        """Return the notices that came since the last call."""
        fresh, self.fresh_notices = self.fresh_notices, []
        return fresh

    def forget_revision(self) -> None:
        """Make the next pull ask for everything, as after a reconnect or a change of focus."""
        self.revision = 0
