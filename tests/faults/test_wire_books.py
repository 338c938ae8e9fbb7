"""Cases 13 to 18 of the forty: the order book of a whole engine beside the exchange's own."""

from __future__ import annotations

import asyncio

import pytest

from engine.binance.depth_sync import BookState
from engine.capture.subscriptions import Lease
from engine.market.interval import MINUTE_MS

pytestmark = pytest.mark.faults

SYMBOL = "BTCUSDT"
LEVELS = 100


@pytest.fixture
def with_book(started, eventually):
    """Return a function that starts exchange and engine with a viewer of the book."""

    async def begin(**options):
        running, engine = await started(speed=20.0, **options)
        engine.subscriptions.lease(1, Lease(SYMBOL, "1m"))
        await eventually(lambda: SYMBOL in engine.collector.books)
        feed = engine.collector.books[SYMBOL]
        await eventually(lambda: feed.sync.state is BookState.SYNCHRONISED)
        return running, engine, feed

    return begin


def shown(feed) -> tuple:
    book = feed.sync.book
    return book.bids(LEVELS), book.asks(LEVELS)


async def assert_book_is_true(running, feed, eventually, symbol: str = SYMBOL) -> None:
    """Stop the exchange and compare the best levels with its own."""
    exchange = running.exchange
    exchange.clock.stop()
    try:
        await asyncio.sleep(0.15)
        exchange.push_diff(symbol, fast=True)
        last_id, bids, asks = exchange.snapshot(symbol, LEVELS)
        await eventually(lambda: feed.sync.book.last_update_id == last_id)
        assert shown(feed) == (bids, asks)
        assert bids[0][0] < asks[0][0]
    finally:
        exchange.clock.resume()


async def candles_are_true(running, engine, eventually, stored_equals_truth) -> None:
    until_ms = running.exchange.now_ms + MINUTE_MS
    await eventually(lambda: running.exchange.now_ms > until_ms)
    await stored_equals_truth(engine, running)


async def never_crossed(engine, feed, seconds: float) -> None:
    for _ in range(int(seconds / 0.02)):
        await asyncio.sleep(0.02)
        bids, asks = shown(feed)
        if feed.sync.state is BookState.SYNCHRONISED and bids and asks:
            assert bids[0][0] < asks[0][0]


async def test_case_13_a_gap_of_three_diffs(
    bounded, with_book, eventually, stored_equals_truth
) -> None:
    running, engine, feed = await with_book()
    missed, snapshots = feed.sync.missed, feed.snapshots
    running.faults.drop_depth = 3
    # The ids tell, long before a book that lacks updates is crossed.
    await eventually(lambda: feed.sync.missed > missed)
    await eventually(lambda: feed.snapshots > snapshots)
    await eventually(lambda: feed.sync.state is BookState.SYNCHRONISED)
    await assert_book_is_true(running, feed, eventually)
    await candles_are_true(running, engine, eventually, stored_equals_truth)
    bounded(engine, 5)


async def test_case_14_a_snapshot_older_than_the_buffer(
    bounded, with_book, eventually, stored_equals_truth
) -> None:
    running, engine, feed = await with_book()
    running.faults.stale_snapshots = True
    # The first snapshot since the switch is the one that all later ones repeat.
    await engine.rest.depth(SYMBOL, 1000)
    running.faults.drop_depth = 3
    tried = feed.snapshots
    await eventually(lambda: feed.snapshots >= tried + 2)
    assert feed.sync.state is not BookState.SYNCHRONISED
    await never_crossed(engine, feed, 0.5)
    running.faults.stale_snapshots = False
    await eventually(lambda: feed.sync.state is BookState.SYNCHRONISED, 30.0)
    await assert_book_is_true(running, feed, eventually)
    await candles_are_true(running, engine, eventually, stored_equals_truth)
    bounded(engine, 5)


async def test_case_15_the_first_diff_straddles_the_snapshot(
    bounded, with_book, eventually, stored_equals_truth
) -> None:
    running, engine, feed = await with_book()
    exchange = running.exchange
    for _ in range(5):
        snapshots = feed.snapshots
        feed.reset("a test starts it over")
        await eventually(lambda: feed.snapshots > snapshots)  # noqa: B023
        # The exchange changes between two pushes, so that the next diff begins before the snapshot.
        bid = exchange.snapshot(SYMBOL, 1)[1][0][0]
        exchange.depth(SYMBOL, [(bid - 500.0, 1.0)], [])
        await eventually(lambda: feed.sync.state is BookState.SYNCHRONISED)
        await assert_book_is_true(running, feed, eventually)
    await candles_are_true(running, engine, eventually, stored_equals_truth)
    bounded(engine, 5)


async def test_case_16_diffs_twice_and_out_of_order(
    bounded, with_book, eventually, stored_equals_truth
) -> None:
    running, engine, feed = await with_book()
    running.faults.duplicate_depth = 5
    await eventually(lambda: running.faults.duplicate_depth == 0)
    await never_crossed(engine, feed, 0.3)
    running.faults.reorder_depth = 5
    await eventually(lambda: running.faults.reorder_depth == 0)
    await never_crossed(engine, feed, 0.5)
    await eventually(lambda: feed.sync.state is BookState.SYNCHRONISED, 30.0)
    await assert_book_is_true(running, feed, eventually)
    await candles_are_true(running, engine, eventually, stored_equals_truth)
    bounded(engine, 5)


@pytest.mark.parametrize(("below", "step"), [(99_999.0, 0.01), (9.99, 0.001)])
async def test_case_17_a_digit_boundary_with_more_than_a_thousand_levels(
    below, step, bounded, with_book, eventually, stored_equals_truth
) -> None:
    running, engine, feed = await with_book()
    exchange = running.exchange
    # The market's own makers rest, so that the book is what this test makes of it.
    exchange.clock.stop()
    await asyncio.sleep(0.15)
    _, old_bids, old_asks = exchange.snapshot(SYMBOL, 5000)
    above = 100_000.0 if below > 10 else 10.0
    gone = ([(price, 0.0) for price, _ in old_bids], [(price, 0.0) for price, _ in old_asks])
    exchange.depth(SYMBOL, *gone)
    bids = [(round(below - step * n, 3), 1.0 + n % 7) for n in range(1200)]
    asks = [(round(below + step * (n + 1), 3), 1.0 + n % 5) for n in range(1200)]
    exchange.depth(SYMBOL, bids, asks)
    assert asks[0][0] < above < asks[-1][0]
    exchange.push_diff(SYMBOL, fast=True)
    last_id = exchange.snapshot(SYMBOL, 1)[0]
    await eventually(lambda: feed.sync.book.last_update_id == last_id)
    exchange.depth(SYMBOL, [(bids[0][0], 9.0)], [(asks[0][0], 8.0)])
    exchange.push_diff(SYMBOL, fast=True)
    last_id, true_bids, true_asks = exchange.snapshot(SYMBOL, LEVELS)
    await eventually(lambda: feed.sync.book.last_update_id == last_id)
    assert shown(feed) == (true_bids, true_asks)
    assert true_asks[0] == (asks[0][0], 8.0)
    bounded(engine, 5)


async def test_case_18_the_end_of_a_level_that_nobody_knew(
    bounded, with_book, eventually, stored_equals_truth
) -> None:
    running, engine, feed = await with_book()
    exchange = running.exchange
    exchange.clock.stop()
    await asyncio.sleep(0.15)
    exchange.push_diff(SYMBOL, fast=True)
    last_id, bids, asks = exchange.snapshot(SYMBOL, LEVELS)
    await eventually(lambda: feed.sync.book.last_update_id == last_id)
    name = f"{SYMBOL.lower()}@depth@100ms"
    text = (
        f'{{"e":"depthUpdate","E":{exchange.now_ms},"s":"{SYMBOL}","U":{last_id + 1},'
        f'"u":{last_id + 1},"b":[["1.00000000","0.000"],["{bids[0][0]:.8f}","0.000"]],'
        f'"a":[["999999.00000000","0.00000000"]]}}'
    )
    exchange.hub.publish(name, text.encode())
    await eventually(lambda: feed.sync.book.last_update_id == last_id + 1)
    assert feed.sync.state is BookState.SYNCHRONISED
    assert shown(feed)[0][: LEVELS - 1] == bids[1:]
    assert shown(feed)[1] == asks
    exchange.clock.resume()
    # The exchange's own ids are one behind now: the engine sees it and starts over.
    await eventually(lambda: feed.sync.state is BookState.SYNCHRONISED, 20.0)
    await candles_are_true(running, engine, eventually, stored_equals_truth)
    bounded(engine, 5)
