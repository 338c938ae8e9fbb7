"""Which series are captured: what the settings ask for, as far as the exchange trades it.

The roster looks at exchangeInfo every five minutes and keeps the store's promises and statuses
(`engine.store.promises`) up to date. Between two looks nobody knows when a market was listed or
reopened: such a time of doubt counts as trading, so that nothing escapes the ledger of gaps.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Protocol

import msgspec

from engine.binance.rest import RestError
from engine.capture.roster_store import Look, Notes, after, read_stored
from engine.capture.roster_words import Changes
from engine.capture.selection import Selection, select_markets, unknown_sentence
from engine.market.interval import DAY_MS
from engine.store import StoreError
from engine.store.promises import TRADING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Future

    from engine.binance.clock import ExchangeClock
    from engine.capture.board import Board
    from engine.capture.roster_store import Key
    from engine.market.symbol import SymbolInfo
    from engine.store import Store

log = logging.getLogger(__name__)

LOOK_EVERY_S = 300.0
LOOK_AT_LEAST_EVERY_S = 5.0
IDLE_FOR_MS = 7 * DAY_MS
STAND_INS = 12
DELISTED = "DELISTED"
WATCHLIST_INTERVAL = "1m"


class NoMarkets(Exception):
    """Raised when the settings ask for markets and the exchange has none of them."""


class MarketFacts(Protocol):
    """Who asks the exchange about its markets."""

    async def read_all(self, *, background: bool = False) -> dict[str, SymbolInfo]:
        """Return all markets of the exchange, in its order."""
        ...

    async def read_watched(self, *, background: bool = False) -> dict[str, SymbolInfo]:
        """Return those of the watchlist that the exchange has."""
        ...

    def all_known(self) -> dict[str, SymbolInfo]:
        """Return what was said about markets when the exchange was last asked."""
        ...

    def delisted(self, symbols: Iterable[str]) -> None:
        """Forget markets that the exchange has no more."""
        ...


class Roster:
    """Keeps the set of captured series.

    A market is captured when the settings ask for it and it trades, from then on also while it
    does not trade (its stream shows when it opens again), until it has not traded for a week. The
    watchlist is always captured.

    Args:
        wanted: The words of the setting `markets`; see `select_markets`.
        intervals: Names of the intervals that are captured of each market; of the watchlist `1m`
            is captured, too.
        on_notice: Told what users should know, as level and text.

    Attributes:
        symbols: Captured markets: the watchlist, then the others in the order of the exchange.
        revision: Grows with each change of the series.
        failures: Looks that failed; `last_error` says why the last one did.
    """

    def __init__(
        self,
        facts: MarketFacts,
        store: Store,
        board: Board,
        clock: ExchangeClock,
        *,
        wanted: Sequence[str],
        intervals: Sequence[str],
        speed: float,
        on_notice: Callable[[str, str], None],
    ) -> None:
        self._facts = facts
        self._store = store
        self._board = board
        self._clock = clock
        self._wanted = tuple(wanted)
        self._intervals = tuple(intervals)
        self._every_s = max(LOOK_AT_LEAST_EVERY_S, LOOK_EVERY_S / max(speed, 1.0))
        self._on_notice = on_notice
        self._statuses: dict[str, tuple[str, int]] = {}
        self._promised: frozenset[Key] = frozenset()
        self._selected: tuple[str, ...] = ()
        self._missed: dict[str, int] = {}
        self._unknown: tuple[str, ...] = ()
        self._last_look: Look | None = None
        self._has_looked = False
        self._is_behind = False
        self._series: frozenset[Key] = frozenset()
        self.symbols: tuple[str, ...] = ()
        self.revision = 0
        self.failures = 0
        self.last_error = ""

    # --- what others ask -----------------------------------------------------------------------

    def series(self) -> frozenset[Key]:
        """Return the (symbol, interval) pairs that are captured now."""
        return self._series

    def ordered_series(self) -> list[Key]:
        """Return the same, the watchlist's first and the others in the order of the exchange."""
        intervals = dict.fromkeys((WATCHLIST_INTERVAL, *self._intervals))
        pairs = ((symbol, name) for symbol in self.symbols for name in intervals)
        return [pair for pair in pairs if pair in self._series]

    def is_trading(self, symbol: str) -> bool:
        """Tell whether a market trades; one whose status was never told counts as trading."""
        return self.status(symbol) in (TRADING, "")

    def status(self, symbol: str) -> str:
        """Return the status of a market in the exchange's words, `DELISTED`, or nothing."""
        return self._statuses.get(symbol, ("", 0))[0]

    def not_trading(self) -> list[str]:
        """Return the captured markets that do not trade now."""
        return [symbol for symbol in self.symbols if not self.is_trading(symbol)]

    def by_status(self) -> dict[str, int]:
        """Return how many captured markets have each status; `unknown` before the first look."""
        return dict(Counter(self.status(symbol) or "unknown" for symbol in self.symbols))

    @property
    def is_whole(self) -> bool:
        """Whether markets beside the watchlist are captured."""
        return bool(self._wanted)

    # --- life ----------------------------------------------------------------------------------

    def load(self) -> None:
        """Begin with what is stored, for a start without a network; blocks for milliseconds."""
        self._read_stored()
        captured = {symbol for symbol, _ in self._promised}
        infos = tuple(self._facts.all_known().values())
        meant = select_markets(self._wanted, infos).symbols
        self._selected = tuple(name for name in meant if name in captured)
        self._settle()

    async def read(self, *, background: bool = False) -> dict[str, SymbolInfo]:
        """Ask the exchange for the markets that matter here, by name.

        Raises:
            RestError: when it can not be asked.
        """
        if not self.is_whole:
            return await self._facts.read_watched(background=background)
        facts = await self._facts.read_all(background=background)
        if not facts:
            raise RestError("The exchange names no market at all; klinetop asks again.")
        return facts

    def stand_ins(self, facts: Mapping[str, SymbolInfo]) -> list[str]:
        """Return markets for the watchlist where the exchange has none of the usual ones.

        Raises:
            NoMarkets: when the settings' markets match nothing.
        """
        infos = tuple(facts.values())
        selection = select_markets(self._wanted, infos)
        if selection.unknown and not selection.symbols:
            raise NoMarkets(unknown_sentence(selection.unknown, infos))
        return [name for name in selection.symbols if facts[name].is_trading][:STAND_INS]

    def take(self, facts: Mapping[str, SymbolInfo]) -> None:
        """Take what the exchange says about its markets.

        A market that is missing in one answer is delisted when it is missing in the next one, too.
        """
        if self._is_behind:
            self._read_stored()
        now_ms = self._clock.now_ms()
        selection = select_markets(self._wanted, tuple(facts.values()))
        self._check(selection, facts)
        delisted = self._gone(facts, now_ms)
        changes = self._status_changes(facts, delisted)
        early_ms = after(self._last_look, now_ms)
        noted = {
            name: delisted.get(name, early_ms if name in changes.begun else now_ms)
            for name in changes.statuses
        }
        for name, time_ms in noted.items():
            self._statuses[name] = (changes.statuses[name], time_ms)
        before = {symbol for symbol, _ in self._series | self._promised}
        captured = before - self._idle(now_ms)
        self._selected = tuple(
            name for name in selection.symbols if self.is_trading(name) or name in captured
        ) + tuple(name for name in self._missed if name in captured)
        self._settle()
        self._board_facts(facts, delisted)
        self._facts.delisted(delisted)
        self._last_look, last = Look(now_ms, self.is_whole), self._last_look
        self._write(changes, noted, delisted, now_ms, last)
        self._tell(changes, before)
        self._has_looked = True

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                self.take(await self.read(background=True))
            except (RestError, StoreError) as error:
                self.failures += 1
                self.last_error = str(error)
                log.warning("the exchange's markets could not be read: %s", error)
            else:
                self.last_error = ""

    def watchlist_changed(self, info: SymbolInfo | None = None) -> None:
        """Capture what came to the watchlist; end the promise of what left it.

        Args:
            info: What the exchange says about the market that came.
        """
        statuses = {}
        if info is not None and self.status(info.name) != info.status:
            statuses[info.name] = info.status
            self._statuses[info.name] = (info.status, self._clock.now_ms())
        self._settle()
        if self._has_looked:
            now_ms = self._clock.now_ms()
            changes = Changes(statuses=statuses)
            self._write(changes, dict.fromkeys(statuses, now_ms), {}, now_ms, self._last_look)

    # --- one look ------------------------------------------------------------------------------

    def _check(self, selection: Selection, facts: Mapping[str, SymbolInfo]) -> None:
        if selection.unknown != self._unknown or not self._has_looked:
            self._unknown = selection.unknown
            if not selection.unknown:
                return
            sentence = unknown_sentence(selection.unknown, tuple(facts.values()))
            log.warning("%s", sentence)
            self._on_notice("warning", sentence)

    def _gone(self, facts: Mapping[str, SymbolInfo], now_ms: int) -> dict[str, int]:
        """Return what is missing for the second time, and when it was for the first."""
        known = self._statuses if self.is_whole else self._board.watchlist
        missing = [n for n in known if n not in facts and self.status(n) not in (DELISTED, "")]
        gone = {name: self._missed[name] for name in missing if name in self._missed}
        self._missed = {name: now_ms for name in missing if name not in gone}
        return gone

    def _status_changes(
        self, facts: Mapping[str, SymbolInfo], delisted: Mapping[str, int]
    ) -> Changes:
        last = self._last_look
        saw_all = last is not None and last.is_whole and self.is_whole
        changes = Changes()
        for name in delisted:
            changes.statuses[name] = DELISTED
            changes.delisted.append(name)
        for name, info in facts.items():
            before = self.status(name)
            if before == info.status:
                continue
            changes.statuses[name] = info.status
            if before == DELISTED or (not before and saw_all):
                changes.listed.append(name)
            elif before and info.is_trading:
                changes.reopened.append(name)
            elif before == TRADING:
                changes.stopped.append(name)
        return changes

    def _idle(self, now_ms: int) -> set[str]:
        """Return the markets that have not traded for long: delisted ones at once."""
        return {
            name
            for name, (status, since_ms) in self._statuses.items()
            if status == DELISTED or (status != TRADING and now_ms - since_ms > IDLE_FOR_MS)
        }

    def _settle(self) -> None:
        """Work out the series from watchlist and selection."""
        watched = [name for name in self._board.watchlist if self.status(name) != DELISTED]
        symbols = tuple(dict.fromkeys((*watched, *self._selected)))
        series = {(symbol, WATCHLIST_INTERVAL) for symbol in watched}
        series |= {(symbol, interval) for symbol in symbols for interval in self._intervals}
        if symbols != self.symbols or series != self._series:
            self.symbols, self._series = symbols, frozenset(series)
            self.revision += 1

    def _board_facts(self, facts: Mapping[str, SymbolInfo], delisted: Mapping[str, int]) -> None:
        for name, board in self._board.symbols.items():
            if name in facts:
                self._board.set_info(facts[name])
            elif name in delisted and board.info is not None:
                self._board.set_info(msgspec.structs.replace(board.info, status=DELISTED))

    def _tell(self, changes: Changes, before: set[str]) -> None:
        for level, sentence in changes.sentences(before | set(self.symbols)):
            log.info("%s", sentence)
            self._on_notice(level, sentence)
        captured, series = len(self.symbols), len(self._series)
        if not self._has_looked and self.is_whole:
            log.info("%d markets (%d series) are captured", captured, series)

    # --- the store -----------------------------------------------------------------------------

    def _read_stored(self) -> None:
        self._statuses, self._promised, self._last_look = read_stored(self._store.reader)
        self._is_behind = False

    def _write(
        self,
        changes: Changes,
        noted: Mapping[str, int],
        delisted: Mapping[str, int],
        now_ms: int,
        last: Look | None,
    ) -> None:
        early_ms = after(last, now_ms)
        begun, ended = self._series - self._promised, self._promised - self._series
        # What an earlier run promised and the settings name no more ends with that run.
        end_ms = now_ms if self._has_looked else early_ms
        # At full speed a replay has run for minutes when the first answer is there.
        began_ms = now_ms if self._has_looked else (self._clock.first_ms or now_ms)
        notes = Notes(
            [(name, status, noted[name]) for name, status in changes.statuses.items()],
            [(key, early_ms if key[0] in changes.begun else began_ms) for key in sorted(begun)],
            [(key, delisted.get(key[0], end_ms)) for key in sorted(ended)],
            self._last_look,
        )
        self._promised = self._series
        self._store.writer.run(notes.write).add_done_callback(self._written)

    def _written(self, done: Future[None]) -> None:
        if not done.cancelled() and done.exception() is not None:
            log.error("what is captured could not be noted: %s", done.exception())
            self._is_behind = True
