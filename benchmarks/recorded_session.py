"""The recorded BTCUSDT session replayed at full speed: nothing lost, and a true book.

Run as `KLINETOP_RECORDINGS=… python -m benchmarks.recorded_session`. It has two parts.

1. A whole engine, as a user starts it: `klinetop serve --replay FILES --speed max`. The book must
   stand at the last recorded update without ever having been resynchronised, and the stored
   candles must equal those computed here from the recorded trades.
2. The engine's stream supervisor and book on the simulated exchange's socket: every recorded frame
   of trade, depth and bookTicker must arrive, ids without a hole, and after each diff the top of
   the book must equal the last bookTicker up to it.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.desk import ask, engine, scratch, wait_until
from benchmarks.recordings import session_files, session_frames
from engine.binance.depth_sync import DepthSnapshot, DepthSync, Need
from engine.binance.events import BookTickerEvent, DepthEvent, Event, TradeEvent
from engine.binance.rest import RestClient
from engine.binance.supervisor import StreamSupervisor
from engine.simulator.replay import open_replay
from engine.simulator.server import Running, serve
from engine.store import open_reader

SYMBOL = "BTCUSDT"
MINUTE_MS = 60_000
LIMIT_S = 120.0
STREAMS = ("btcusdt@trade", "btcusdt@depth@100ms", "btcusdt@bookTicker")
Row = tuple[float, float, float, float, float, int]  # open, high, low, close, volume, trades
Top = tuple[float, float, float, float]  # bid, bid quantity, ask, ask quantity


@dataclass
class Record:
    """What the files hold.

    Attributes:
        frames: Number of frames by stream.
        candles: Whole minutes by open time, computed from the trades.
        last_update_id: Of the last diff.
        after_snapshot: Diffs that are newer than the recorded snapshot.
    """

    frames: Counter[str] = field(default_factory=Counter)
    candles: dict[int, Row] = field(default_factory=dict)
    last_update_id: int = 0
    after_snapshot: int = 0


def read_record() -> Record:
    """Read the files, with the standard library alone."""
    record = Record()
    trades: dict[int, dict[str, Any]] = {}
    snapshot_id, updates = 0, []
    for frame in session_frames():
        message = json.loads(frame)
        if "lastUpdateId" in message:
            snapshot_id = message["lastUpdateId"]
            continue
        record.frames[message["stream"]] += 1
        data = message["data"]
        if data.get("e") == "trade":
            trades[data["t"]] = data
        elif data.get("e") == "depthUpdate":
            updates.append(data["u"])
    record.last_update_id = updates[-1]
    record.after_snapshot = sum(update > snapshot_id for update in updates)
    record.candles = whole_minutes([trades[key] for key in sorted(trades)])
    return record


def whole_minutes(trades: list[dict[str, Any]]) -> dict[int, Row]:
    """Return the candles of the minutes that lie wholly inside `trades`."""
    minutes: dict[int, list[tuple[float, float]]] = {}
    for trade in trades:
        minute = trade["T"] // MINUTE_MS * MINUTE_MS
        minutes.setdefault(minute, []).append((float(trade["p"]), float(trade["q"])))
    first, *inner, _ = sorted(minutes)
    whole = [first, *inner] if trades[0]["T"] == first else inner
    return {minute: candle_of(minutes[minute]) for minute in whole}


def candle_of(trades: list[tuple[float, float]]) -> Row:
    """Return the candle of one minute's (price, quantity)."""
    prices = [price for price, _ in trades]
    volume = round(math.fsum(quantity for _, quantity in trades), 8)
    return prices[0], max(prices), min(prices), prices[-1], volume, len(trades)


# --- part 1: a whole engine ---------------------------------------------------------------------


def replay_engine(record: Record) -> None:
    """Replay with the engine's own process and print what it then holds."""
    arguments = ["--replay", *map(str, session_files()), "--speed", "max"]
    with scratch() as directory:
        start = time.perf_counter()
        with engine(directory, *arguments):
            wait_until(lambda: has_ended(directory), LIMIT_S, "the replay is over")
            seconds = time.perf_counter() - start
            status = ask(directory, "status")
        stored = stored_candles(directory)
    book, stream = status["books"][SYMBOL], status["stream"]
    equal = sum(stored.get(minute) == row for minute, row in record.candles.items())
    print(f"klinetop serve --replay … --speed max: over after {seconds:.1f} s, start included")
    print(
        f"  messages {stream['messages']:,}, dropped {stream['dropped']}, bad {stream['bad']}, "
        f"reconnects {stream['reconnects']}"
    )
    print(
        f"  book {book['state']}, resynchronised {book['resyncs']} times, {book['missed']} updates "
        f"missed, {record.last_update_id - book['last_update_id']} behind the last recorded update"
    )
    print(
        f"  whole minutes: {len(record.candles)} recorded, {len(stored)} stored, {equal} equal to "
        "those computed from the trades"
    )


def has_ended(directory: Path) -> bool:
    """Whether the replay is over and its candles are committed."""
    status = ask(directory, "status")
    return bool(status["stream"].get("state") == "ended" and status["store"]["last_commit_ms"])


def stored_candles(directory: Path) -> dict[int, Row]:
    """Return what the database holds."""
    reader = open_reader(directory)
    rows = reader.candles(SYMBOL, "1m")
    reader.close()
    return {
        row.open_time_ms: (row.open, row.high, row.low, row.close, row.volume, row.trades or 0)
        for row in rows
    }


# --- part 2: every frame, and the top of the book -----------------------------------------------


class Listener:
    """Takes the events of all three streams and keeps a book beside them."""

    def __init__(self, snapshot: DepthSnapshot) -> None:
        self.sync = DepthSync(SYMBOL)
        self.received: Counter[str] = Counter()
        self.trade_ids: list[int] = []
        self.holes = 0
        self.bad = 0
        self.told: list[tuple[int, Top]] = []
        self.built: list[tuple[int, Top]] = []
        self._snapshot = snapshot
        self._last_update_id = 0

    def on_event(self, stream: str, event: Event, receipt_wall_ns: int) -> None:
        """Take one event."""
        self.received[stream] += 1
        if isinstance(event, TradeEvent):
            self.trade_ids.append(event.trade.trade_id)
        elif isinstance(event, BookTickerEvent):
            top = (event.bid, event.bid_quantity, event.ask, event.ask_quantity)
            self.told.append((event.update_id, top))
        elif isinstance(event, DepthEvent):
            self._take_diff(event, receipt_wall_ns // 1_000_000)

    def on_bad(self, *_: str) -> None:
        """Count a frame that was not understood."""
        self.bad += 1

    def _take_diff(self, event: DepthEvent, wall_ms: int) -> None:
        if self._last_update_id and event.first_update_id != self._last_update_id + 1:
            self.holes += 1
        self._last_update_id = event.last_update_id
        if self.sync.feed(event, wall_ms) is Need.SNAPSHOT:
            self.sync.snapshot(self._snapshot)
        book = self.sync.book
        if event.last_update_id > self._snapshot.last_update_id and book.bids(1) and book.asks(1):
            self.built.append((event.last_update_id, (*book.bids(1)[0], *book.asks(1)[0])))

    def compare(self) -> tuple[int, int, int]:
        """Return tops compared, those with equal prices, and those with equal quantities too."""
        ids = [update_id for update_id, _ in self.told]
        compared = prices = wholly = 0
        for update_id, top in self.built:
            at = bisect_right(ids, update_id) - 1
            if at >= 0:
                told = self.told[at][1]
                compared += 1
                prices += (told[0], told[2]) == (top[0], top[2])
                wholly += told == top
        return compared, prices, wholly


async def listen(record: Record) -> None:
    """Listen to the three streams of a simulated exchange and print what came."""
    source = await asyncio.to_thread(open_replay, session_files(), start=None, start_ms=None)
    async with serve(source, speed=math.inf) as running:
        rest = RestClient(running.rest_url)
        listener = Listener(await rest.depth(SYMBOL, 5000))
        await rest.close()
        seconds = await drain(running, listener, sum(record.frames[name] for name in STREAMS))
    ids = listener.trade_ids
    compared, prices, wholly = listener.compare()
    print(f"supervisor and book on the socket: {seconds:.2f} s")
    for name in STREAMS:
        print(
            f"  {name:<20} {record.frames[name]:6,} recorded, {listener.received[name]:6,} received"
        )
    print(
        f"  trades {ids[0]} to {ids[-1]}: {ids[-1] - ids[0] + 1 - len(set(ids))} ids missing, "
        f"{len(ids) - len(set(ids))} twice; depth: {listener.holes} holes, "
        f"{listener.sync.resyncs} resynchronisations; bad frames {listener.bad}"
    )
    print(
        f"  top of book equals bookTicker in {wholly:,} of {compared:,} events "
        f"(prices alone {prices:,}); {record.after_snapshot:,} diffs follow the snapshot"
    )


async def drain(running: Running, listener: Listener, expected: int) -> float:
    """Receive until all came or the replay is over for 2 s; return the seconds."""
    supervisor = StreamSupervisor(
        running.stream_url,
        on_event=listener.on_event,
        on_gap=lambda *_: None,
        on_bad=listener.on_bad,
    )
    supervisor.want(STREAMS)
    task = asyncio.create_task(supervisor.run())
    start = time.perf_counter()
    try:
        async with asyncio.timeout(LIMIT_S):
            await asyncio.wait([running.ended])
            for _ in range(100):
                if listener.received.total() >= expected:
                    break
                await asyncio.sleep(0.02)
        return time.perf_counter() - start
    finally:
        await supervisor.close()
        await task


def main() -> None:
    """Print both parts."""
    record = read_record()
    replay_engine(record)
    asyncio.run(listen(record))


if __name__ == "__main__":
    main()
