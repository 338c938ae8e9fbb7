"""The roster captures what the settings ask for, and notes promises and statuses in the store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from engine.binance.rest import RestError
from engine.capture import roster as roster_module
from engine.capture.board import Board
from engine.capture.roster import Roster
from engine.market.interval import DAY_MS, MINUTE_MS
from engine.market.symbol import SymbolInfo
from engine.store import Store, promises

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MINUTE_0 = 1_795_000_020_000
T0 = MINUTE_0 + 12_345
MINUTE_1 = MINUTE_0 + MINUTE_MS
UNICODE = "币安人生USDT"


def info(name: str, status: str = "TRADING", quote: str = "USDT") -> SymbolInfo:
    return SymbolInfo(name, name.removesuffix(quote), quote, status)


class Clock:
    """An exchange clock that a test sets."""

    is_set = True
    first_ms = None

    def __init__(self) -> None:
        self.time_ms = T0

    def now_ms(self) -> int:
        return self.time_ms


class Facts:
    """An exchange of which a test says what it has."""

    def __init__(self, infos: Iterable[SymbolInfo]) -> None:
        self.markets = {item.name: item for item in infos}
        self.known: dict[str, SymbolInfo] = {}
        self.watched: tuple[str, ...] = ()

    def put(self, *infos: SymbolInfo) -> None:
        self.markets |= {item.name: item for item in infos}

    async def read_all(self, *, background: bool = False) -> dict[str, SymbolInfo]:
        del background
        self.known = dict(self.markets)
        return dict(self.markets)

    async def read_watched(self, *, background: bool = False) -> dict[str, SymbolInfo]:
        everything = await self.read_all(background=background)
        return {name: item for name, item in everything.items() if name in self.watched}

    def all_known(self) -> dict[str, SymbolInfo]:
        return self.known

    def delisted(self, symbols: Iterable[str]) -> None:
        for name in symbols:
            self.known.pop(name, None)


class Case:
    """A roster, what it asks and what it tells."""

    def __init__(self, store: Store, facts: Facts, clock: Clock) -> None:
        self.store, self.facts, self.clock = store, facts, clock
        self.said: list[str] = []

    def start(
        self,
        *wanted: str,
        intervals: tuple[str, ...] = ("1m",),
        watchlist: tuple[str, ...] = ("BTCUSDT",),
    ) -> Roster:
        self.said.clear()
        self.board = Board()
        self.board.set_watchlist(list(watchlist))
        self.facts.watched = watchlist
        self.roster = Roster(
            self.facts,
            self.store,
            self.board,
            self.clock,
            wanted=wanted,
            intervals=intervals,
            speed=1.0,
            on_notice=lambda _, text: self.said.append(text),
        )
        self.roster.load()
        return self.roster

    async def look(self, later_ms: int = 0) -> None:
        self.clock.time_ms += later_ms
        self.roster.take(await self.roster.read())
        await asyncio.to_thread(self.store.writer.flush)

    def expected(self, symbol: str, start_ms: int, end_ms: int) -> list[tuple[int, int]]:
        found = promises.expected_ranges(self.store.reader, "1m", start_ms, end_ms, [symbol])
        return found.get(symbol, [])


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    facts = Facts([info("BTCUSDT"), info("ETHUSDT"), info("OLDUSDT", "BREAK"), info(UNICODE)])
    with Store.open(tmp_path, source="live") as store:
        store.writer._gather_s = 0.005  # tests wait for most commits one by one
        yield Case(store, facts, Clock())


async def test_all_means_every_market_that_trades(case: Case) -> None:
    roster = case.start("all")
    assert roster.symbols == ("BTCUSDT",)
    await case.look()
    assert roster.symbols == ("BTCUSDT", "ETHUSDT", UNICODE)
    assert roster.series() == {(name, "1m") for name in roster.symbols}
    assert sorted(promises.captured_series(case.store.reader)) == sorted(roster.series())
    assert case.said == []


async def test_every_market_has_the_intervals_and_the_watchlist_1m_as_well(case: Case) -> None:
    roster = case.start("ETH*", intervals=("5m", "1h"))
    await case.look()
    assert roster.ordered_series() == [
        ("BTCUSDT", "1m"),
        ("BTCUSDT", "5m"),
        ("BTCUSDT", "1h"),
        ("ETHUSDT", "5m"),
        ("ETHUSDT", "1h"),
    ]


async def test_a_listing_is_captured_and_expected_from_the_last_look_on(case: Case) -> None:
    case.start("USDT")
    await case.look()
    revision = case.roster.revision
    case.facts.put(info("NEWUSDT"), info("ODDUSDT"), info("FOREIGNEUR", quote="EUR"))
    await case.look(5 * MINUTE_MS)
    assert {"NEWUSDT", "ODDUSDT"} <= set(case.roster.symbols)
    assert "FOREIGNEUR" not in case.roster.symbols
    assert case.roster.revision > revision
    assert case.said == ["2 markets are listed and captured from now on: NEWUSDT, ODDUSDT."]
    assert case.expected("NEWUSDT", MINUTE_0, MINUTE_0 + DAY_MS) == [(MINUTE_0, MINUTE_0 + DAY_MS)]


async def test_a_market_that_stops_is_kept_but_nothing_is_expected(case: Case) -> None:
    case.start("all")
    await case.look()
    case.facts.put(info("ETHUSDT", "HALT"))
    await case.look(10 * MINUTE_MS)
    assert ("ETHUSDT", "1m") in case.roster.series()
    assert not case.roster.is_trading("ETHUSDT")
    assert case.said == ["1 market is not trading any more: ETHUSDT (HALT)."]
    case.facts.put(info("ETHUSDT"))
    await case.look(60 * MINUTE_MS)
    assert case.said[-1] == "1 market is trading again: ETHUSDT."
    stop_ms = MINUTE_1 + 10 * MINUTE_MS
    assert case.expected("ETHUSDT", MINUTE_0, MINUTE_0 + DAY_MS) == [
        (MINUTE_0, stop_ms),
        # When it was reopened between two looks nobody knows: all of that counts.
        (stop_ms, MINUTE_0 + DAY_MS),
    ]


async def test_what_two_looks_saw_closed_is_not_expected(case: Case) -> None:
    case.start("all")
    await case.look()
    case.facts.put(info("ETHUSDT", "HALT"))
    await case.look(10 * MINUTE_MS)
    case.facts.put(info("ETHUSDT", "A_WORD_OF_NEXT_YEAR"))
    await case.look(30 * MINUTE_MS)
    case.facts.put(info("ETHUSDT"))
    await case.look(5 * MINUTE_MS)
    assert case.expected("ETHUSDT", MINUTE_0, MINUTE_0 + DAY_MS) == [
        (MINUTE_0, MINUTE_1 + 10 * MINUTE_MS),
        (MINUTE_1 + 40 * MINUTE_MS, MINUTE_0 + DAY_MS),
    ]


async def test_a_minute_that_a_look_saw_closed_is_not_doubtful(case: Case) -> None:
    case.start("all")
    await case.look()
    case.facts.put(info("ETHUSDT", "HALT"))
    await case.look(5 * MINUTE_MS - T0 % MINUTE_MS)
    case.facts.put(info("ETHUSDT"))
    await case.look(5 * MINUTE_MS)
    seen_ms = MINUTE_0 + 5 * MINUTE_MS
    assert case.expected("ETHUSDT", MINUTE_0, MINUTE_0 + DAY_MS) == [
        (MINUTE_0, seen_ms),
        (seen_ms + MINUTE_MS, MINUTE_0 + DAY_MS),
    ]


async def test_a_market_that_is_missing_once_is_not_delisted(case: Case) -> None:
    case.start("all")
    await case.look()
    lost = case.facts.markets.pop("ETHUSDT")
    await case.look(5 * MINUTE_MS)
    assert "ETHUSDT" in case.roster.symbols
    case.facts.put(lost)
    await case.look(5 * MINUTE_MS)
    assert case.said == []


async def test_a_delisted_market_is_dropped_at_the_look_that_missed_it(case: Case) -> None:
    case.start("all", watchlist=("BTCUSDT", "ETHUSDT"))
    case.board.set_info(info("ETHUSDT"))
    await case.look()
    del case.facts.markets["ETHUSDT"], case.facts.markets[UNICODE]
    await case.look(5 * MINUTE_MS)
    await case.look(5 * MINUTE_MS)
    assert case.roster.symbols == ("BTCUSDT",)
    (said,) = case.said
    assert said.startswith("2 markets are delisted and no longer captured")
    assert case.board.symbol("ETHUSDT").info.status == "DELISTED"
    ((_, last_ms),) = case.expected(UNICODE, T0, T0 + DAY_MS)
    assert last_ms == MINUTE_0 + 5 * MINUTE_MS
    case.facts.put(info("ETHUSDT"))
    await case.look(5 * MINUTE_MS)
    assert "ETHUSDT" in case.roster.symbols
    assert case.said[1:] == ["1 market is listed and captured from now on: ETHUSDT."]


async def test_a_market_that_never_opens_again_is_let_go_after_a_week(case: Case) -> None:
    case.start("all")
    await case.look()
    case.facts.put(info("ETHUSDT", "BREAK"))
    await case.look(MINUTE_MS)
    await case.look(6 * DAY_MS)
    assert "ETHUSDT" in case.roster.symbols
    await case.look(2 * DAY_MS)
    assert "ETHUSDT" not in case.roster.symbols
    case.facts.put(info("ETHUSDT"))
    await case.look(MINUTE_MS)
    assert "ETHUSDT" in case.roster.symbols


async def test_a_start_without_network_goes_on_with_what_is_stored(case: Case) -> None:
    case.start("all")
    await case.look()
    series = case.roster.series()
    case.facts.markets.clear()
    roster = case.start("all")
    assert roster.series() == series
    assert roster.status("OLDUSDT") == "BREAK"
    with pytest.raises(RestError, match="no market at all"):
        await roster.read()


async def test_what_was_listed_and_halted_while_the_engine_was_down_is_told(case: Case) -> None:
    case.start("all")
    await case.look()
    case.facts.put(info("NEWUSDT"), info("ETHUSDT", "BREAK"))
    case.start("all")
    await case.look(DAY_MS)
    assert case.said == [
        "1 market is listed and captured from now on: NEWUSDT.",
        "1 market is not trading any more: ETHUSDT (BREAK).",
    ]
    ((from_ms, _),) = case.expected("NEWUSDT", T0 - DAY_MS, T0 + DAY_MS)
    assert from_ms == MINUTE_0


async def test_what_the_settings_name_no_more_ends_with_the_last_look_of_before(case: Case) -> None:
    case.start("all")
    await case.look()
    await case.look(60 * MINUTE_MS)
    case.start("BTC*")
    assert case.roster.symbols == ("BTCUSDT",)
    await case.look(DAY_MS)
    assert promises.captured_series(case.store.reader) == [("BTCUSDT", "1m")]
    ((_, last_ms),) = case.expected("ETHUSDT", T0, T0 + 2 * DAY_MS)
    assert last_ms == MINUTE_0 + 60 * MINUTE_MS
    case.start("all")
    await case.look(DAY_MS)
    assert len(case.expected("ETHUSDT", T0, T0 + 4 * DAY_MS)) == 2
    assert case.said == []


async def test_the_first_look_at_all_markets_calls_none_of_them_new(case: Case) -> None:
    case.start()
    await case.look()
    case.start("all")
    await case.look(DAY_MS)
    ((from_ms, _),) = case.expected(UNICODE, T0, T0 + 2 * DAY_MS)
    assert from_ms == MINUTE_0 + DAY_MS
    assert case.said == []


async def test_the_watchlist_is_captured_from_the_key_press_on(case: Case) -> None:
    roster = case.start()
    await case.look()
    case.clock.time_ms += 90 * MINUTE_MS
    case.board.set_watchlist(["BTCUSDT", UNICODE])
    roster.watchlist_changed(info(UNICODE))
    assert (UNICODE, "1m") in roster.series()
    case.board.set_watchlist(["BTCUSDT"])
    case.clock.time_ms += 10 * MINUTE_MS
    roster.watchlist_changed()
    await asyncio.to_thread(case.store.writer.flush)
    ((from_ms, to_ms),) = case.expected(UNICODE, T0, T0 + DAY_MS)
    assert from_ms == MINUTE_0 + 90 * MINUTE_MS
    assert to_ms == MINUTE_0 + 100 * MINUTE_MS


async def test_words_that_match_nothing_are_told_once(case: Case) -> None:
    case.start("all", "BTCUSD")
    await case.look()
    await case.look(MINUTE_MS)
    (said,) = case.said
    assert "'BTCUSD'; did you mean BTCUSDT" in said


async def test_words_that_all_match_nothing_are_refused(case: Case) -> None:
    roster = case.start("DOGEX", "XRP*")
    facts = await roster.read()
    with pytest.raises(roster_module.NoMarkets, match="'DOGEX' or 'XRP"):
        roster.stand_ins(facts)


async def test_what_the_store_refused_is_written_at_the_next_look(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("no")

    case.start("all")
    with monkeypatch.context() as patch:
        patch.setattr(promises, "promise", refuse)
        await case.look()
    assert promises.captured_series(case.store.reader) == []
    await case.look(MINUTE_MS)
    assert len(promises.captured_series(case.store.reader)) == 3
