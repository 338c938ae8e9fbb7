"""Synchronisation of a book against a model of the true one."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.binance.depth_sync import BookState, DepthSnapshot, DepthSync, Need
from engine.binance.events import DepthEvent
from engine.market.book import OrderBook


def event(first, last, bids=(), asks=()):
    return DepthEvent("BTCUSDT", 1795000000000 + last, first, last, list(bids), list(asks))


def snapshot(last, bids=((99.0, 1.0),), asks=((101.0, 1.0),)):
    return DepthSnapshot(last, list(bids), list(asks))


def synchronised(last=100):
    sync = DepthSync("BTCUSDT")
    assert sync.feed(event(last, last), 0) is Need.SNAPSHOT
    assert sync.snapshot(snapshot(last)) is Need.NOTHING
    assert sync.state is BookState.SYNCHRONISED
    return sync


def test_it_starts_unsynchronised_and_asks_with_the_first_update():
    sync = DepthSync("BTCUSDT")
    assert (sync.state, sync.reason) == ("unsynchronised", "waiting for the first update")
    assert not sync.needs_snapshot
    assert sync.age_ms(5) is None
    assert sync.feed(event(10, 12), 1000) is Need.SNAPSHOT
    assert (sync.state, sync.reason) == ("buffering", "fetching a snapshot")
    assert len(sync.book) == 0


def test_a_snapshot_before_any_update_is_not_trusted():
    sync = DepthSync("BTCUSDT")
    assert sync.snapshot(snapshot(5)) is Need.NOTHING
    assert sync.state is BookState.UNSYNCHRONISED


@pytest.mark.parametrize(
    ("last_update_id", "is_good"),
    [(8, False), (9, True), (10, True), (12, True), (15, True), (16, True), (30, True)],
)
def test_snapshot_is_taken_unless_it_is_older_than_the_first_update(last_update_id, is_good):
    sync = DepthSync("BTCUSDT")
    sync.feed(event(10, 12, bids=[(98.0, 1.0)]), 0)
    sync.feed(event(13, 15, bids=[(98.0, 0.0), (97.0, 2.0)]), 0)
    need = sync.snapshot(snapshot(last_update_id))
    assert need is (Need.NOTHING if is_good else Need.SNAPSHOT)
    assert (sync.state is BookState.SYNCHRONISED) == is_good
    if is_good:
        assert sync.book.last_update_id == max(15, last_update_id)
        applied = last_update_id < 15
        assert sync.book.bids() == ([(99.0, 1.0), (97.0, 2.0)] if applied else [(99.0, 1.0)])
    else:
        assert "older" in sync.reason


def test_an_old_snapshot_is_followed_by_a_good_one():
    sync = DepthSync("BTCUSDT")
    sync.feed(event(10, 12), 0)
    assert sync.snapshot(snapshot(3)) is Need.SNAPSHOT
    sync.feed(event(13, 14), 0)
    assert sync.snapshot(snapshot(13)) is Need.NOTHING
    assert sync.book.last_update_id == 14


def test_updates_continue_the_book_and_quantities_are_absolute():
    sync = synchronised()
    assert sync.feed(event(101, 103, bids=[(99.0, 7.0), (98.5, 1.0)]), 2000) is Need.NOTHING
    sync.feed(event(104, 104, bids=[(98.5, 0.0), (55.0, 0.0)], asks=[(100.5, 3.0)]), 2100)
    assert sync.book.bids() == [(99.0, 7.0)]
    assert sync.book.asks() == [(100.5, 3.0), (101.0, 1.0)]
    assert sync.book.last_update_id == 104
    assert sync.age_ms(2150) == 50


@pytest.mark.parametrize("ids", [(90, 95), (100, 100), (99, 100)])
def test_old_and_repeated_updates_change_nothing(ids):
    sync = synchronised()
    assert sync.feed(event(*ids, bids=[(50.0, 1.0)]), 0) is Need.NOTHING
    assert sync.book.bids() == [(99.0, 1.0)]
    assert sync.ignored == 1


def test_an_update_that_overlaps_the_book_is_applied():
    sync = synchronised()
    assert sync.feed(event(98, 102, bids=[(50.0, 1.0)]), 0) is Need.NOTHING
    assert sync.book.last_update_id == 102
    assert sync.book.bids() == [(99.0, 1.0), (50.0, 1.0)]


def test_a_gap_throws_the_book_away_and_keeps_the_update_that_told():
    sync = synchronised()
    assert sync.feed(event(104, 105, bids=[(98.0, 5.0)]), 0) is Need.SNAPSHOT
    assert (sync.state, sync.reason) == ("buffering", "3 updates missed, fetching a snapshot")
    assert len(sync.book) == 0
    assert (sync.resyncs, sync.missed) == (1, 3)
    assert sync.snapshot(snapshot(102)) is Need.SNAPSHOT, "the stale one that crosses other books"
    assert sync.snapshot(snapshot(103)) is Need.NOTHING
    assert sync.book.bids() == [(99.0, 1.0), (98.0, 5.0)]
    assert sync.reason == ""


def test_a_gap_inside_the_buffer_makes_its_older_part_useless():
    sync = DepthSync("BTCUSDT")
    sync.feed(event(10, 12, bids=[(98.0, 1.0)]), 0)
    sync.feed(event(20, 21, bids=[(97.0, 1.0)]), 0)
    assert sync.snapshot(snapshot(12)) is Need.SNAPSHOT
    assert sync.snapshot(snapshot(19)) is Need.NOTHING
    assert sync.book.bids() == [(99.0, 1.0), (97.0, 1.0)]


def test_a_crossed_book_is_thrown_away():
    sync = synchronised()
    assert sync.feed(event(101, 101, bids=[(101.0, 1.0)]), 0) is Need.SNAPSHOT
    assert sync.state is BookState.BUFFERING
    assert "crossed" in sync.reason


def test_a_crossed_snapshot_is_not_taken():
    sync = DepthSync("BTCUSDT")
    sync.feed(event(10, 10), 0)
    assert sync.snapshot(snapshot(10, bids=[(102.0, 1.0)])) is Need.SNAPSHOT
    assert sync.state is BookState.BUFFERING


def test_reset_forgets_everything_and_says_why():
    sync = synchronised()
    sync.reset("the connection was lost")
    assert (sync.state, sync.reason) == ("unsynchronised", "the connection was lost")
    assert len(sync.book) == 0
    assert sync.feed(event(5, 6), 0) is Need.SNAPSHOT
    assert sync.snapshot(snapshot(5)) is Need.NOTHING


def test_the_buffer_is_bounded_and_what_it_drops_is_not_missed_silently():
    sync = DepthSync("BTCUSDT", buffer_cap=3)
    for last in range(10, 16):
        sync.feed(event(last, last, bids=[(90.0 + last / 100, 1.0)]), 0)
    assert sync.snapshot(snapshot(11)) is Need.SNAPSHOT
    assert sync.snapshot(snapshot(12)) is Need.NOTHING
    assert len(sync.book.bids()) == 4


def test_a_book_that_no_snapshot_comes_for_holds_seconds_of_updates() -> None:
    sync = DepthSync("BTCUSDT")
    for last in range(1, 5_001):
        sync.feed(event(last, last), 0)
    assert sync.snapshot(snapshot(4_600)) is Need.SNAPSHOT  # 40 s of the quickest stream ago
    assert sync.snapshot(snapshot(4_800)) is Need.NOTHING
    assert sync.state is BookState.SYNCHRONISED


def test_ids_that_begin_anew_end_in_a_new_snapshot():
    sync = synchronised(10_000)
    needs = [sync.feed(event(last, last), 0) for last in range(1, 400)]
    assert Need.SNAPSHOT in needs
    assert sync.snapshot(snapshot(399)) is Need.NOTHING
    assert sync.state is BookState.SYNCHRONISED


def test_digit_boundary_with_many_levels():
    asks = [(100_000.0 + step, 1.0) for step in range(1200)]
    sync = DepthSync("BTCUSDT")
    sync.feed(event(1, 1), 0)
    sync.snapshot(DepthSnapshot(1, [(99_899.0, 1.0)], asks))
    sync.feed(event(2, 2, asks=[(99_900.0 + step, 2.0) for step in range(100)]), 0)
    assert sync.book.asks(2) == [(99_900.0, 2.0), (99_901.0, 2.0)]
    assert len(sync.book.asks()) == 1300


def test_drift_asks_for_far_levels_and_a_fresh_snapshot_gives_them():
    sync = DepthSync("BTCUSDT")
    sync.feed(event(1, 1), 0)
    sync.snapshot(DepthSnapshot(1, [(100.0, 1.0), (90.0, 1.0)], [(101.0, 1.0), (111.0, 1.0)]))
    assert not sync.has_drifted
    sync.feed(event(2, 2, bids=[(109.0, 1.0)], asks=[(101.0, 0.0)]), 0)
    assert sync.has_drifted
    far = DepthSnapshot(3, [(109.0, 1.0), (100.0, 1.0), (90.0, 1.0)], [(111.0, 1.0), (130.0, 9.0)])
    assert sync.snapshot(far) is Need.NOTHING
    assert sync.book.last_update_id == 2, "a snapshot ahead of the stream waits for it"
    sync.feed(event(3, 4, asks=[(112.0, 4.0)]), 0)
    assert sync.state is BookState.SYNCHRONISED
    assert sync.book.last_update_id == 4
    assert sync.book.asks() == [(111.0, 1.0), (112.0, 4.0), (130.0, 9.0)]
    assert not sync.has_drifted


# --- against a model ----------------------------------------------------------------------------


class TrueMarket:
    """A book that changes by one update at a time, and what the exchange would send of it."""

    def __init__(self, seed, count):
        chance = random.Random(seed)
        book = OrderBook(
            0, [(100.0 - i, 1.0) for i in range(5)], [(101.0 + i, 1.0) for i in range(5)]
        )
        self.books = [self._levels(book)]
        self.events = []
        while len(self.events) < count:
            first = book.last_update_id + 1
            changes = {}
            for _ in range(chance.randint(1, 3)):
                is_bid = chance.random() < 0.5
                price = 100.0 - chance.randint(0, 7) if is_bid else 101.0 + chance.randint(0, 7)
                level = (price, float(chance.randint(0, 3)))
                side = 0 if is_bid else 1
                book.apply(book.last_update_id + 1, [level][side:], [level][:side])
                changes[price] = (side, level)
                self.books.append(self._levels(book))
            bids = [level for side, level in changes.values() if side == 0]
            asks = [level for side, level in changes.values() if side == 1]
            self.events.append(event(first, book.last_update_id, bids, asks))

    @staticmethod
    def _levels(book):
        return book.bids(), book.asks()

    def snapshot(self, last_update_id):
        bids, asks = self.books[last_update_id]
        return DepthSnapshot(last_update_id, bids, asks)


STEPS = st.lists(
    st.one_of(
        st.just("next"), st.just("next"), st.just("next"), st.just("drop"), st.just("repeat"),
        st.just("swap"), st.just("old"), st.just("reset"),
        st.tuples(st.just("snapshot"), st.integers(0, 12)),
        st.tuples(st.just("snapshot"), st.integers(0, 3)),
    ),
    min_size=5, max_size=60,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 10_000), STEPS)
def test_a_synchronised_book_is_the_true_book(seed, steps):
    """Lose, repeat and swap events, and answer with snapshots that are some events stale."""
    market = TrueMarket(seed, 70)
    sync = DepthSync("BTCUSDT")
    at = 0

    def check():
        if sync.state is BookState.SYNCHRONISED:
            book = sync.book
            assert (book.bids(), book.asks()) == market.books[book.last_update_id]
            assert not book.is_crossed
            assert sync.reason == ""
        else:
            assert len(sync.book) == 0
            assert sync.reason

    for step in steps:
        kind, lag = step if isinstance(step, tuple) else (step, 0)
        if kind == "snapshot":
            newest = market.events[min(at, 69)].last_update_id
            sync.snapshot(market.snapshot(max(0, newest - lag)))
        elif kind == "drop":
            at += 1
        elif kind == "reset":
            sync.reset("a test")
        else:
            chosen = {"next": [at], "repeat": [at, at], "swap": [at + 1, at], "old": [at // 2]}[
                kind
            ]
            for index in chosen:
                sync.feed(market.events[min(index, 69)], at)
                check()
            at += {"next": 1, "repeat": 1, "swap": 2, "old": 0}[kind]
        check()
    # With the stream whole again one fresh snapshot is enough.
    at = min(at, 60)
    sync.reset("a test")
    sync.feed(market.events[at], at)
    sync.snapshot(market.snapshot(market.events[at + 1].last_update_id))
    sync.feed(market.events[at + 1], at)
    sync.feed(market.events[at + 2], at)
    assert sync.state is BookState.SYNCHRONISED
    check()
