"""Fetching of snapshots for a book."""

from __future__ import annotations

import asyncio
import gzip
import os
from bisect import bisect_right
from pathlib import Path

import msgspec
import pytest

from engine.binance.book_feed import BookFeed
from engine.binance.budget import RestError
from engine.binance.depth_sync import BookState, DepthSnapshot, DepthSync, Need
from engine.binance.events import BookTickerEvent, DepthEvent
from engine.binance.payloads import decode
from engine.binance.wire_types import PartialDepthMessage


class Snapshots:
    """Answers with what a test has put in line."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def depth(self, symbol, limit=1000, *, background=False):
        self.asked.append((symbol, limit, background))
        await self.gate.wait()
        answer = self.answers.pop(0) if self.answers else RestError("nothing is in line")
        if isinstance(answer, Exception):
            raise answer
        return answer


def update(first, last, bids=()):
    return DepthEvent("BTCUSDT", 0, first, last, list(bids), [])


def snapshot(last):
    return DepthSnapshot(last, [(99.0, 1.0)], [(101.0, 1.0)])


async def test_first_update_fetches_one_snapshot_and_the_book_is_there(kit):
    changes = []
    rest = Snapshots(snapshot(11))
    rest.gate.clear()
    feed = BookFeed(rest, "BTCUSDT", changes.append)
    for last in (10, 11, 12):
        feed.feed(update(last, last), 0)
    await kit.until(lambda: rest.asked)
    rest.gate.set()
    await kit.until(lambda: feed.sync.state is BookState.SYNCHRONISED)
    assert rest.asked == [("BTCUSDT", 1000, False)]
    assert feed.sync.book.last_update_id == 12
    assert changes == ["BTCUSDT"] * 4
    await feed.close()


async def test_stale_snapshots_and_failures_are_tried_again(kit):
    rest = Snapshots(snapshot(5), RestError("The exchange is away."), snapshot(10))
    reasons = []
    feed = BookFeed(rest, "BTCUSDT", lambda _symbol: reasons.append(feed.sync.reason))
    feed.feed(update(10, 10), 0)
    await kit.until(lambda: feed.sync.state is BookState.SYNCHRONISED)
    assert len(rest.asked) == 3
    assert any("older" in reason for reason in reasons)
    assert any("The exchange is away." in reason for reason in reasons)
    assert feed.snapshots == 2
    await feed.close()


async def test_a_gap_fetches_again_and_a_reset_waits_for_the_stream(kit):
    rest = Snapshots(snapshot(10), snapshot(19), snapshot(3))
    feed = BookFeed(rest, "BTCUSDT", lambda _symbol: None)
    feed.feed(update(10, 10), 0)
    await kit.until(lambda: feed.sync.state is BookState.SYNCHRONISED)
    feed.feed(update(20, 21), 0)
    assert feed.sync.state is BookState.BUFFERING
    await kit.until(lambda: feed.sync.state is BookState.SYNCHRONISED)
    feed.reset("the connection was lost")
    await asyncio.sleep(0.01)
    assert len(rest.asked) == 2
    feed.feed(update(3, 4), 0)
    await kit.until(lambda: feed.sync.state is BookState.SYNCHRONISED)
    assert feed.sync.book.last_update_id == 4
    await feed.close()


async def test_drift_fetches_far_levels_in_the_background(kit):
    wide = DepthSnapshot(10, [(99.0, 1.0), (80.0, 1.0)], [(101.0, 1.0), (120.0, 1.0)])
    rest = Snapshots(wide, DepthSnapshot(11, [(116.0, 1.0)], [(117.0, 1.0), (150.0, 1.0)]))
    feed = BookFeed(rest, "BTCUSDT", lambda _symbol: None)
    feed._renewed_s = float("-inf")
    feed.feed(update(10, 10), 0)
    await kit.until(lambda: feed.sync.state is BookState.SYNCHRONISED)
    feed._renewed_s = float("-inf")
    moved = DepthEvent("BTCUSDT", 0, 11, 11, [(116.0, 1.0)], [(101.0, 0.0), (117.0, 1.0)])
    feed.feed(moved, 0)
    await kit.until(lambda: feed.sync.book.asks()[-1] == (150.0, 1.0))
    assert rest.asked[1] == ("BTCUSDT", 1000, True)
    assert feed.sync.resyncs == 0
    await feed.close()


async def test_close_ends_the_fetching():
    rest = Snapshots()
    rest.gate.clear()
    feed = BookFeed(rest, "BTCUSDT", lambda _symbol: None)
    feed.feed(update(10, 10), 0)
    await asyncio.sleep(0)
    await feed.close()
    assert feed._task is not None
    assert feed._task.done()


@pytest.mark.recorded
def test_recorded_session_agrees_with_the_best_prices_the_exchange_sent():
    """Top of book after each diff equals the last bookTicker with u <= the diff's u."""
    folder = os.environ.get("KLINETOP_RECORDINGS")
    if not folder:
        pytest.skip("KLINETOP_RECORDINGS is not set")
    sync = DepthSync("BTCUSDT")
    top_ids, tops, after_diff = [], [], []

    def note_top():
        if sync.state is BookState.SYNCHRONISED:
            book = sync.book
            after_diff.append((book.last_update_id, book.best_bid, book.best_ask))

    for name in ("btcusdt_20240808.gz", "btcusdt_20240809.gz"):
        with gzip.open(Path(folder) / "recordings" / name, "rb") as lines:
            for line in lines:
                frame = line.partition(b" ")[2]
                if frame.startswith(b'{"lastUpdateId"'):
                    found = msgspec.json.decode(frame, type=PartialDepthMessage, strict=False)
                    taken = DepthSnapshot(found.last_update_id, found.bids, found.asks)
                    assert sync.snapshot(taken) is Need.NOTHING
                    note_top()
                    continue
                ((_, event),) = decode(frame)
                if type(event) is DepthEvent:
                    sync.feed(event, 0)
                    note_top()
                elif type(event) is BookTickerEvent:
                    top_ids.append(event.update_id)
                    tops.append((event.bid, event.ask))
    pairs = [(bisect_right(top_ids, update_id) - 1, top) for update_id, *top in after_diff]
    compared = sum(at >= 0 for at, _ in pairs)
    equal = sum(at >= 0 and list(tops[at]) == top for at, top in pairs)
    assert sync.resyncs == sync.missed == 0
    assert compared == 6493
    assert equal >= 6491


async def test_a_fault_in_fetching_is_logged_and_the_book_still_comes(kit, caplog):
    rest = Snapshots(KeyError("lastUpdateId"), snapshot(10))
    feed = BookFeed(rest, "BTCUSDT", lambda _symbol: None)
    feed.feed(update(10, 10), 0)
    await kit.until(lambda: feed.sync.state is BookState.SYNCHRONISED)
    assert len(rest.asked) == 2
    assert "KeyError: 'lastUpdateId'" in caplog.text
    await feed.close()
