"""Order book: apply and read the top 20 on the recorded session, beside python-binance.

Run as `KLINETOP_RECORDINGS=… python -m benchmarks.book`.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from binance.ws.depthcache import DepthCache

from benchmarks.recordings import session_frames
from engine.market.book import OrderBook

ROUNDS = 5
SHARE = 2_000  # diffs of the session that both run, since the peer needs seconds for all
Levels = list[tuple[str, str]]


def load() -> tuple[dict[str, Any], list[tuple[int, Levels, Levels]]]:
    """Return the snapshot and the diffs after it, as (last update id, bids, asks) in text."""
    snapshot: dict[str, Any] = {}
    diffs = []
    for frame in session_frames():
        if b'"lastUpdateId"' in frame:
            snapshot = json.loads(frame)
        elif b"depthUpdate" in frame:
            data = json.loads(frame)["data"]
            diffs.append((data["u"], data["b"], data["a"]))
    return snapshot, [diff for diff in diffs if diff[0] > snapshot["lastUpdateId"]]


def run_ours(snapshot: dict[str, Any], diffs: list[tuple[int, Levels, Levels]]) -> int:
    """Apply all diffs to our book and read both tops after each."""

    def levels(side: Levels) -> list[tuple[float, float]]:
        return [(float(price), float(quantity)) for price, quantity in side]

    book = OrderBook(0, levels(snapshot["bids"]), levels(snapshot["asks"]))
    for update_id, bids, asks in diffs:
        book.apply(update_id, levels(bids), levels(asks))
        book.bids(20)
        book.asks(20)
    return len(diffs)


def run_theirs(snapshot: dict[str, Any], diffs: list[tuple[int, Levels, Levels]]) -> int:
    """Do the same with python-binance's DepthCache."""
    cache = DepthCache("BTCUSDT", conv_type=float)
    for side, add in (("bids", cache.add_bid), ("asks", cache.add_ask)):
        for level in snapshot[side]:
            add(level)
    for _, bids, asks in diffs:
        for level in bids:
            cache.add_bid(level)
        for level in asks:
            cache.add_ask(level)
        cache.get_bids()[:20]
        cache.get_asks()[:20]
    return len(diffs)


def rate(run: Callable[..., int], *arguments: Any) -> float:
    """Return the messages a second of one run."""
    start = time.perf_counter()
    count = run(*arguments)
    return count / (time.perf_counter() - start)


def main() -> None:
    """Print the medians of interleaved runs and their ratio."""
    snapshot, diffs = load()
    diffs = diffs[:SHARE]
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(rate(run_ours, snapshot, diffs))
        theirs.append(rate(run_theirs, snapshot, diffs))
    mine, other = statistics.median(ours), statistics.median(theirs)
    print(f"diffs {len(diffs)}, {ROUNDS} interleaved runs, text to top 20, messages a second")
    print(f"klinetop OrderBook          {mine:10,.0f}")
    print(f"python-binance DepthCache   {other:10,.0f}")
    print(f"ratio                       {mine / other:10.1f}")


if __name__ == "__main__":
    main()
