"""What a recording tells of the time before a replay's start: candles, and the newest trades."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from engine.market.interval import MINUTE_MS
from engine.market.trade import Trade
from engine.simulator.candles import OpenCandle, resample
from engine.simulator.recording import Unread, merged
from engine.simulator.replay_payloads import decode_trade
from engine.simulator.replay_scan import symbol_of

if TYPE_CHECKING:
    from engine.market.candle import Candle
    from engine.market.interval import Interval
    from engine.simulator.recording import Line
    from engine.simulator.replay_scan import RecordingFacts

_RECENT = 1000


@dataclass(slots=True)
class Past:
    """The time before `begin_ms`.

    Attributes:
        begin_ms: Exchange time (epoch ms) at which the replay starts.
        trades: The newest trades before it, by symbol, oldest first.
        minutes: Closed 1m candles before it, by symbol, ascending.
    """

    begin_ms: int
    trades: dict[str, deque[Trade]] = field(default_factory=dict)
    minutes: dict[str, list[Candle]] = field(default_factory=dict)

    def candles(
        self,
        facts: RecordingFacts,
        symbol: str,
        interval: Interval,
        start_ms: int | None,
        end_ms: int,
        limit: int,
    ) -> list[Candle]:
        """Return closed candles with open times in [start_ms, end_ms), ascending.

        Recorded ones win; others are made of minutes. With `limit` the oldest from `start_ms` on,
        without a `start_ms` the newest.
        """
        minutes = self.minutes.get(symbol, [])
        known: dict[int, Candle] = {}
        if interval.length_ms >= MINUTE_MS:
            known = {
                made.open_time_ms: made
                for made in resample(minutes, interval)
                if interval.name == "1m" or _is_whole(made.open_time_ms, minutes, interval)
            }
        for name, candle in facts.markets[symbol].closed:
            if name == interval.name and interval.next(candle.open_time_ms) <= self.begin_ms:
                known[candle.open_time_ms] = candle
        first_ms = 0 if start_ms is None else start_ms
        rows = [known[time] for time in sorted(known) if first_ms <= time < end_ms]
        return rows[:limit] if start_ms is not None else rows[max(0, len(rows) - limit) :]


def past_of(facts: RecordingFacts, begin_ms: int) -> Past:
    """Read a recording up to `begin_ms` and keep what was before it."""
    past = Past(begin_ms)
    open_minutes: dict[str, dict[int, OpenCandle]] = {}
    if begin_ms > facts.start_ms:
        for line in merged(facts.paths):
            if isinstance(line, Unread):
                continue
            if facts.time_ms(line.receipt_ns) >= begin_ms:
                break
            if line.kind == "stream" and line.name.endswith(("@trade", "@aggTrade")):
                _add(past, open_minutes, facts, line)
    end_ms = begin_ms // MINUTE_MS * MINUTE_MS
    for symbol, market in facts.markets.items():
        past.minutes[symbol] = [
            candle
            for name, candle in sorted(market.closed, key=lambda item: item[1].open_time_ms)
            if name == "1m" and candle.open_time_ms < end_ms
        ] or _whole_minutes(open_minutes.get(symbol, {}), facts.whole_from_ms, end_ms)
    return past


def trade_of(line: Line) -> tuple[Trade, int]:
    """Return the trade of a `trade` or `aggTrade` line, and for how many trades it stands."""
    payload = decode_trade(line.payload)
    number, count = (payload.t, 1) if payload.t >= 0 else (payload.l, payload.l - payload.f + 1)
    return Trade(number, payload.T, float(payload.p), float(payload.q), payload.m), count


def _add(
    past: Past,
    open_minutes: dict[str, dict[int, OpenCandle]],
    facts: RecordingFacts,
    line: Line,
) -> None:
    symbol = symbol_of(line.name)
    if line.name.endswith("@aggTrade") and f"{symbol.lower()}@trade" in facts.streams:
        return
    try:
        trade, count = trade_of(line)
    except msgspec.DecodeError:
        return  # the pass that counts unread lines has told of it
    kept = past.trades.setdefault(symbol, deque(maxlen=_RECENT))
    if kept and trade.trade_id <= kept[-1].trade_id:
        return
    if trade.time_ms >= past.begin_ms // MINUTE_MS * MINUTE_MS:
        return  # of the minute that the start cuts: the exchange takes it as a trade
    kept.append(trade)
    minute_ms = trade.time_ms // MINUTE_MS * MINUTE_MS
    minutes = open_minutes.setdefault(symbol, {})
    if minute_ms not in minutes:
        minutes[minute_ms] = OpenCandle(minute_ms, trade.price)
    minutes[minute_ms].add(trade, count)


def _whole_minutes(minutes: dict[int, OpenCandle], first_ms: int, end_ms: int) -> list[Candle]:
    """Return closed minutes in [first_ms, end_ms); those without a trade are flat."""
    before = [time for time in minutes if time < first_ms]
    price = minutes[max(before)].close if before else None
    made = []
    for time_ms in range(first_ms, end_ms, MINUTE_MS):
        minute = minutes.get(time_ms)
        if minute is None:
            if price is None:
                continue
            minute = OpenCandle(time_ms, price)
        price = minute.close
        made.append(minute.candle(closed=True))
    return made


def _is_whole(open_time_ms: int, minutes: list[Candle], interval: Interval) -> bool:
    end_ms = interval.next(open_time_ms)
    return open_time_ms >= minutes[0].open_time_ms and end_ms <= (
        minutes[-1].open_time_ms + MINUTE_MS
    )
