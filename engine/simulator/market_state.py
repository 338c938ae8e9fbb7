"""What the exchange knows about one market at one moment."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from engine.market.interval import INTERVALS, MINUTE_MS
from engine.simulator.book import ExchangeBook
from engine.simulator.candles import CandleList, OpenBucket, OpenCandle, join, resample
from engine.simulator.source import TRADES, KeepsTrades, SumsPast
from engine.simulator.window import DayTicker, DayWindow

if TYPE_CHECKING:
    from engine.market.candle import Candle
    from engine.market.interval import Interval
    from engine.market.symbol import SymbolInfo
    from engine.market.trade import Trade
    from engine.simulator.source import Source

_RECENT = 1000
_SECOND_MS = 1000
_LATEST_MS = 1 << 60
_MINUTE = INTERVALS["1m"]
_EMPTY_TOP = (0.0, 0.0, 0.0, 0.0)


class Aggregate(NamedTuple):
    """Fills of one taker order at one price."""

    aggregate_id: int
    first: Trade
    first_id: int
    last_id: int
    quantity: float


class MarketState:
    """Candles, trades, ticker and book of one market.

    Attributes:
        info: Static facts.
        book: The order book.
        base: The interval that longer candles are made of: 1m, or the source's finest.
        minute: The open candle of `base`; None before the first price is known.
        recent: The newest trades, oldest first.
        aggregates: The newest finished aggregate trades, oldest first.
        last_trade: The newest trade, or None.
        changes: How often its tickers have changed, by trades or by minutes that closed.
        derives_top: Whether `bookTicker` follows from the book (a recording brings its own).
        sent_top: The top of book that `bookTicker` sent last.
        late_trades: Trades that came after their minute had closed (they count in the open one).
        has_past: Whether the market existed before the source's start.
        born_ms: Exchange time before which it did not exist; 0 for one that has a past.
    """

    def __init__(
        self, info: SymbolInfo, source: Source, start_ms: int, *, has_past: bool = True
    ) -> None:
        self.info = info
        self.book = ExchangeBook(max(1, start_ms - 1_500_000_000_000))
        self.minute: OpenCandle | None = None
        self.recent: deque[Trade] = deque(maxlen=_RECENT)
        self.aggregates: deque[Aggregate] = deque(maxlen=_RECENT)
        self.last_trade: Trade | None = None
        self.changes = 0
        self.derives_top = True
        self.sent_top: tuple[float, float, float, float] | None = None
        self.late_trades = 0
        self.has_past = has_past
        self.born_ms = 0 if has_past else start_ms
        self._halts: list[tuple[int, int]] = []
        self._halted_ms: int | None = None if info.is_trading else start_ms
        self._source = source
        self._made_up = TRADES in source.made_up
        recorded = f"{info.name.lower()}@kline_1m"
        self._only_given = self._made_up or recorded in source.recorded_streams
        self._whole_from_ms = source.whole_from_ms
        self.base = source.finest if source.finest.length_ms > MINUTE_MS else _MINUTE
        self._first_ms = self.base.floor(start_ms)
        self._live = CandleList()
        self._seconds: deque[Candle] = deque(maxlen=_RECENT)
        self._second: OpenCandle | None = None
        self._window = DayWindow(self.base.length_ms)
        self._given: dict[str, dict[int, Candle]] = {}
        self._prefixes: dict[str, OpenBucket] = {}
        self._buckets: dict[str, OpenBucket] = {}
        self._pending: Aggregate | None = None

    def load(self) -> None:
        """Ask the source for the day and the trades before the start."""
        name = self.info.name
        for candle in self._source.history(name, self.base, None, self._first_ms, 1440):
            self._window.append(candle)
        for trade in self._source.recent_trades(name, _RECENT):
            self._remember(trade)
        newest = self._window.last(1)
        if newest:
            self._open(self._first_ms, newest[-1].close)

    @property
    def is_halted(self) -> bool:
        """Whether nothing is traded now."""
        return self._halted_ms is not None

    def set_status(self, status: str, now_ms: int) -> None:
        """Change the status; whole minutes in any other than `TRADING` have no candle."""
        self.info = replace(self.info, status=status)
        if self.info.is_trading:
            if self._halted_ms is not None:
                self._halts.append((self._halted_ms, now_ms))
            self._halted_ms = None
        elif self._halted_ms is None:
            self._halted_ms = now_ms

    def was_halted(self, time_ms: int) -> bool:
        """Tell whether nothing was traded at `time_ms`."""
        if self._halted_ms is not None and time_ms >= self._halted_ms:
            return True
        return any(start_ms <= time_ms < end_ms for start_ms, end_ms in self._halts)

    def _slept_through(self, open_time_ms: int) -> bool:
        return self._halted_ms is not None and open_time_ms >= self._halted_ms

    def _open(self, minute_ms: int, price: float) -> None:
        self.minute = OpenCandle(minute_ms, price, knows_sides=not self._made_up)
        self._second = OpenCandle(minute_ms, price)

    def begin(self, time_ms: int, price: float) -> None:
        """Know a price before the first trade, such as a recorded candle's."""
        if self.minute is None:
            self.minute = OpenCandle(self.base.floor(time_ms), price, knows_sides=not self._made_up)

    # -- trades ------------------------------------------------------------------------------

    def add(self, trade: Trade, count: int = 1) -> Aggregate | None:
        """Count a trade in, which stands for `count`; return the aggregate that it finishes."""
        if self.minute is None:
            self._open(self.base.floor(trade.time_ms), trade.price)
            assert self.minute is not None
        if trade.time_ms < self.minute.open_time_ms:
            self.late_trades += 1
        self.minute.add(trade, count)
        if self._second is not None:
            self._second.add(trade, count)
        self.changes += 1
        return self._remember(trade, count)

    def _remember(self, trade: Trade, count: int = 1) -> Aggregate | None:
        self.recent.append(trade)
        self.last_trade = trade
        pending = self._pending
        if pending is not None:
            first = pending.first
            if (
                first.time_ms == trade.time_ms
                and first.price == trade.price
                and first.buyer_is_maker == trade.buyer_is_maker
            ):
                self._pending = Aggregate(
                    pending.aggregate_id,
                    first,
                    pending.first_id,
                    trade.trade_id,
                    round(pending.quantity + trade.quantity, 8),
                )
                return None
        number = self._aggregate_id(trade) if pending is None else pending.aggregate_id + 1
        self._pending = Aggregate(
            number, trade, trade.trade_id - count + 1, trade.trade_id, trade.quantity
        )
        if pending is not None:
            self.aggregates.append(pending)
        return pending

    def _aggregate_id(self, trade: Trade) -> int:
        if isinstance(self._source, KeepsTrades):
            return self._source.aggregate_id(self.info.name, trade.trade_id)
        return trade.trade_id // 2

    # -- candles -----------------------------------------------------------------------------

    def give(self, candle: Candle, interval: str) -> None:
        """Keep the true closed candle of a live interval."""
        self._given.setdefault(interval, {})[candle.open_time_ms] = candle

    def close_minute(self, boundary_ms: int) -> Candle | None:
        """Close the candle of `base` that ends at `boundary_ms` and open the next one.

        Returns None for a minute that has no whole candle (see `Source`).
        """
        minute = self.minute
        if minute is None or minute.open_time_ms >= boundary_ms:
            return None
        if not self.base.is_aligned(boundary_ms):
            return None
        known = self._given.get(self.base.name, {})
        is_cut = minute.open_time_ms < self._whole_from_ms
        take = known.get if is_cut else known.pop
        given = take(minute.open_time_ms, None)
        close = minute.close if given is None else given.close
        self.minute = OpenCandle(boundary_ms, close, knows_sides=not self._made_up)
        self.changes += 1
        if given is None and (self._only_given or is_cut):
            return None
        if self._slept_through(minute.open_time_ms):
            return None
        candle = minute.candle(closed=True) if given is None else given
        self._live.append(candle)
        self._window.append(candle)
        for bucket in self._buckets.values():
            bucket.add(candle)
        return candle

    def roll_seconds(self, time_ms: int) -> list[Candle]:
        """Close and return the seconds that are over at `time_ms`."""
        second = self._second
        closed: list[Candle] = []
        while second is not None and second.open_time_ms + _SECOND_MS <= time_ms:
            candle = second.candle(closed=True)
            if not self._slept_through(candle.open_time_ms):
                closed.append(candle)
                self._seconds.append(candle)
            second = OpenCandle(
                candle.open_time_ms + _SECOND_MS, candle.close, knows_sides=not self._made_up
            )
            self._second = second
        return closed

    def open_candle(self, interval: Interval) -> Candle | None:
        """Return the candle of `interval` that is open now."""
        if interval.name == "1s":
            return None if self._second is None else self._second.candle(closed=False)
        if self.minute is None or interval.floor(self.minute.open_time_ms) < self._whole_from_ms:
            return None
        is_hole = self._made_up and not self.minute.trades
        is_hole = is_hole or self._slept_through(self.minute.open_time_ms)
        minute = self.minute.candle(closed=False)
        if interval.name == self.base.name:
            return None if is_hole else minute
        bucket = self._bucket(interval, minute.open_time_ms)
        if is_hole and bucket.is_empty:
            return None
        return bucket.with_minute(minute, closed=False)

    def closing_candle(self, interval: Interval, boundary_ms: int) -> Candle | None:
        """Return the closed candle of `interval` that ends at `boundary_ms`, if there is one."""
        open_time_ms = interval.floor(boundary_ms - 1)
        given = self._given.get(interval.name, {}).get(open_time_ms)
        if given is not None:
            return given
        candles = self.live_candles(interval, open_time_ms, open_time_ms)
        return candles[0] if candles else None

    def live_candles(self, interval: Interval, first_ms: int, last_ms: int) -> list[Candle]:
        """Return candles, the open one too, with open times from `first_ms` to `last_ms`.

        Only of the live part: the earliest is the one that holds the start. Candles before the open
        one are closed.
        """
        if interval.name == "1s":
            return self._live_seconds(first_ms, last_ms)
        if self.minute is None:
            return []
        start_ms = interval.floor(self._first_ms)
        first_ms = max(interval.floor(first_ms), start_ms)
        minutes = self._live.between(first_ms, interval.next(interval.floor(last_ms)))
        rows: list[Candle] = []
        if first_ms == start_ms != self._first_ms and first_ms <= last_ms:
            end_ms = interval.next(start_ms)
            count = sum(1 for minute in minutes if minute.open_time_ms < end_ms)
            if count and end_ms <= self.minute.open_time_ms:
                rows.append(self._joined(interval, minutes[:count]))
            minutes = minutes[count:]
        open_ms = interval.floor(self.minute.open_time_ms)
        rows += resample((m for m in minutes if m.open_time_ms < open_ms), interval)
        given = self._given.get(interval.name)
        rows = [row for row in rows if row.open_time_ms >= self._whole_from_ms]
        if given:
            known = {row.open_time_ms: row for row in rows}
            known |= {time: row for time, row in given.items() if first_ms <= time <= last_ms}
            rows = [known[time] for time in sorted(known) if time < open_ms]
        if first_ms <= open_ms <= last_ms:
            candle = self.open_candle(interval)
            rows += [] if candle is None else [candle]
        return rows

    def is_prepared(self, interval: Interval) -> bool:
        """Tell whether `prepare` has nothing to do."""
        return interval.name in self._prefixes or interval.length_ms <= self.base.length_ms

    def prepare(self, interval: Interval) -> None:
        """Fetch what was between the open candle's open time and the start."""
        if not self.is_prepared(interval):
            self._prefixes[interval.name] = self.past_bucket(interval.floor(self._first_ms))

    def past_bucket(self, open_time_ms: int) -> OpenBucket:
        """Return the candles of `base` from `open_time_ms` to the start's, as a bucket.

        It may be called in a worker thread; slow for months where the source has no sums.
        """
        bucket = OpenBucket(open_time_ms)
        if not self.has_past or open_time_ms >= self._first_ms:
            return bucket
        name = self.info.name
        if isinstance(self._source, SumsPast):
            known = self._source.bucket(name, open_time_ms, self._first_ms)
            return bucket if known is None else known.copy(open_time_ms)
        count = (self._first_ms - open_time_ms) // self.base.length_ms
        for candle in self._source.history(name, self.base, open_time_ms, self._first_ms, count):
            bucket.add(candle)
        return bucket

    def _joined(self, interval: Interval, minutes: list[Candle]) -> Candle:
        self.prepare(interval)
        bucket = self._prefixes[interval.name].copy()
        for minute in minutes[:-1]:
            bucket.add(minute)
        return bucket.with_minute(minutes[-1], closed=True)

    def _bucket(self, interval: Interval, minute_ms: int) -> OpenBucket:
        open_time_ms = interval.floor(minute_ms)
        bucket = self._buckets.get(interval.name)
        if bucket is None or bucket.open_time_ms != open_time_ms:
            self.prepare(interval)
            prefix = self._prefixes[interval.name]
            bucket = (
                prefix.copy() if prefix.open_time_ms == open_time_ms else OpenBucket(open_time_ms)
            )
            for candle in self._live.between(open_time_ms, minute_ms):
                bucket.add(candle)
            self._buckets[interval.name] = bucket
        return bucket

    def _live_seconds(self, first_ms: int, last_ms: int) -> list[Candle]:
        rows = [row for row in self._seconds if first_ms <= row.open_time_ms <= last_ms]
        second = self._second
        if second is not None and first_ms <= second.open_time_ms <= last_ms:
            rows.append(second.candle(closed=False))
        return rows

    # -- statistics --------------------------------------------------------------------------

    def top(self) -> tuple[float, float, float, float]:
        """Return best bid, its quantity, best ask, its quantity; zeros without a book."""
        if not self.derives_top and self.sent_top is not None:
            return self.sent_top
        return self.book.top() or _EMPTY_TOP

    def ticker(self, now_ms: int) -> DayTicker | None:
        """Return the rolling 24 hours, None before the first price is known."""
        if self.minute is None:
            return None
        last = self.last_trade
        return self._window.ticker(
            self.minute.candle(closed=False),
            now_ms,
            last_quantity=last.quantity if last else 0.0,
            last_id=last.trade_id if last else -1,
            top=self.top(),
        )

    def closed_since(self, start_ms: int) -> Candle | None:
        """Return what has closed since `start_ms` as one candle, None when nothing has.

        It may be called in a worker thread.
        """
        kept = self._window.since(start_ms)
        if kept is None:
            bucket = self.past_bucket(start_ms)
            for candle in self._live.between(start_ms, _LATEST_MS):
                bucket.add(candle)
            return bucket.closed()
        return join(start_ms, kept) if kept else None

    def average(self, minutes: int = 5) -> float:
        """Return the volume-weighted average price of the last `minutes` minutes."""
        if self.minute is None:
            return 0.0
        candles = [*self._window.last(minutes - 1), self.minute.candle(closed=False)]
        volume = sum(candle.volume for candle in candles)
        quote = sum(candle.quote_volume or 0.0 for candle in candles)
        return quote / volume if volume else self.minute.close
