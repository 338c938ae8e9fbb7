"""What the exchange says about its markets, and which of them are watched."""

from __future__ import annotations

import logging
import time
from difflib import get_close_matches
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from engine.binance.rest import EXCHANGE_INFO, BadAnswer, RestError, UnknownSymbol, pick_symbols
from engine.capture.collector import wall_ms
from engine.market.symbol import has_letters
from engine.settings_model import DEFAULT_SYMBOLS
from engine.store.symbols import put_meta, put_symbols

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Future

    from engine.binance.lists import Listing
    from engine.binance.rest import RestClient
    from engine.capture.board import Board
    from engine.market.symbol import SymbolInfo
    from engine.store import Store

log = logging.getLogger(__name__)

ALL_FOR_S = 3600.0
_WATCHLIST = "watchlist"


class _KeptWatchlist(msgspec.Struct, frozen=True):
    """A watchlist that a viewer changed, and the settings' symbols that it was changed from."""

    settings: tuple[str, ...]
    symbols: tuple[str, ...]


class Markets:
    """Facts about markets, and the watchlist.

    A watchlist that was changed in a terminal is kept in the store and comes back at the next
    start, for as long as the settings name the same symbols as then; other symbols there win.

    Args:
        symbols: The watchlist of the settings.
        on_notice: Told what users should know, as level and text.
    """

    def __init__(
        self,
        rest: RestClient,
        store: Store,
        board: Board,
        symbols: Sequence[str],
        on_notice: Callable[[str, str], None],
    ) -> None:
        self._rest = rest
        self._store = store
        self._board = board
        self._settings_symbols = tuple(symbols)
        self._on_notice = on_notice
        self._known: dict[str, SymbolInfo] = {}
        self._unknown: UnknownSymbol | None = None
        self._stored: dict[str, SymbolInfo] = {}
        self._all_at_s: float | None = None

    def load_stored(self) -> None:
        """Take watchlist and facts from the store, for a start without a network."""
        self._board.set_watchlist(list(self._stored_watchlist()))
        for info in self._store.reader.symbol_infos():
            self._known[info.name] = self._stored[info.name] = info
        for name in self._board.watchlist:
            if name in self._known:
                self._board.set_info(self._known[name])

    async def read_all(self, *, background: bool = False) -> dict[str, SymbolInfo]:
        """Ask for facts about all markets, trading or not, in the order of the exchange.

        Raises:
            RestError: when the exchange can not be asked.
        """
        told = await self._rest.all_symbols(background=background)
        # Equal facts keep their first objects, which would else scatter anew with every look.
        known = self._known
        infos = [was if (was := known.get(info.name)) == info else info for info in told]
        self._learn(infos)
        self._known = {info.name: info for info in infos} | self._not_understood(told)
        self._all_at_s = time.monotonic()
        return dict(self._known)

    async def read_watched(self, *, background: bool = False) -> dict[str, SymbolInfo]:
        """Ask for facts about the watchlist; what the exchange lacks is left out of the answer.

        Raises:
            RestError: when the exchange can not be asked.
        """
        names = self._board.watchlist
        kept: dict[str, SymbolInfo] = {}
        try:
            infos = await self._rest.symbols(names, background=background)
        except UnknownSymbol as error:
            self._unknown = error
            kept = {name: self._known[name] for name in error.not_understood if name in self._known}
            known = [name for name in names if name not in error.symbols]
            infos = await self._rest.symbols(known, background=background)
        self._learn(infos)
        return {info.name: info for info in infos} | kept

    def _not_understood(self, infos: Listing[SymbolInfo]) -> dict[str, SymbolInfo]:
        """Return what was known before of markets whose entries can not be understood now.

        They are there, so nobody may take them for delisted. An entry that does not say its name
        may be that of any market that is missing.
        """
        if not infos.odd:
            return {}
        odd = {entry.name for entry in infos.odd}
        if not all(entry.is_named for entry in infos.odd):
            odd |= self._known.keys()
        understood = {info.name for info in infos}
        return {name: info for name, info in self._known.items() if name in odd - understood}

    async def load_watchlist(
        self, facts: Mapping[str, SymbolInfo], stand_ins: Sequence[str] = ()
    ) -> None:
        """Take facts of the watchlist, ask for its statistics, leave out what the exchange lacks.

        Args:
            facts: What the exchange said about its markets just now.
            stand_ins: The watchlist where the exchange has no market of the usual one.

        Raises:
            UnknownSymbol: when it lacks all of the watchlist.
            RestError: when the exchange can not be asked.
        """
        try:
            pick_symbols(facts, self._board.watchlist, self._rest.odd.of(EXCHANGE_INFO))
        except UnknownSymbol as error:
            # The one who asked for the watchlist alone was told the nearest of all names.
            asked = self._unknown
            is_same = asked is not None and asked.symbols == error.symbols
            self._leave_out(asked if asked is not None and is_same else error, facts, stand_ins)
        for name in self._board.watchlist:
            self._board.set_info(facts[name])
        try:
            tickers = await self._rest.tickers(self._board.watchlist)
        except BadAnswer as error:
            # The streams tell prices, too; an odd answer about them keeps nothing from its start.
            log.warning("the prices of the watchlist could not be read: %s", error)
            return
        for ticker in tickers:
            self._board.set_ticker(ticker, None, None)

    async def load_prices(self, symbols: Sequence[str]) -> None:
        """Ask for statistics of markets that no stream has told any of yet.

        A quiet market is pushed only when it trades; without this it would have no price.
        """
        try:
            tickers = await self._rest.tickers(symbols, background=True)
        except RestError as error:
            log.warning("the prices of quiet markets could not be read: %s", error)
            return
        for ticker in tickers:
            if self._board.symbol(ticker.symbol).ticker is None:
                self._board.set_ticker(ticker, None, None)

    def delisted(self, symbols: Iterable[str]) -> None:
        """Forget markets that the exchange has no more; the store keeps them as `DELISTED`."""
        gone = [
            replace(info, status="DELISTED") for name in symbols if (info := self._stored.get(name))
        ]
        self._learn(gone)
        for info in gone:
            del self._known[info.name]

    def _leave_out(
        self, error: UnknownSymbol, facts: Mapping[str, SymbolInfo], stand_ins: Sequence[str]
    ) -> None:
        known = [name for name in self._board.watchlist if name in facts]
        is_usual = self._settings_symbols == DEFAULT_SYMBOLS
        if not known and not (is_usual and stand_ins):
            raise error
        self._board.set_watchlist(known or list(stand_ins))
        if is_usual and stand_ins:
            return
        text = f"{error} It is left out of the watchlist."
        log.warning("%s", text)
        self._on_notice("warning", text)

    def tell_board(self, name: str) -> None:
        """Give the board what is known about a market that somebody looks at."""
        info = self._known.get(name)
        if info is not None:
            self._board.set_info(info)

    def all_known(self) -> dict[str, SymbolInfo]:
        """Return all that is known, without asking."""
        return dict(self._known)

    async def find(self, name: str) -> SymbolInfo | None:
        """Return what is known about a market, None when the exchange does not have it.

        Raises:
            RestError: when it is not known yet and the exchange can not be asked.
        """
        if name not in self._known:
            try:
                self._learn(await self._rest.symbols([name]))
            except UnknownSymbol:
                return None
        return self._known.get(name)

    async def load_all(self) -> None:
        """Load all markets of the exchange, at most once an hour."""
        now_s = time.monotonic()
        if self._all_at_s is not None and now_s - self._all_at_s < ALL_FOR_S:
            return
        self._known.update({info.name: info for info in await self._rest.symbols(None)})
        self._all_at_s = now_s

    def search(self, query: str, limit: int) -> list[SymbolInfo]:
        """Return trading markets that hold the letters of `query` in order, best first."""
        letters = query.upper().strip()
        scored = [
            (not info.name.startswith(letters), letters not in info.name, len(info.name), info.name)
            for info in self._known.values()
            if info.is_trading and has_letters(info.name, letters)
        ]
        return [self._known[name] for *_, name in sorted(scored)[: max(limit, 0)]]

    def near(self, name: str) -> list[str]:
        """Return up to three known markets with a similar name."""
        return get_close_matches(name, self._known, n=3)

    def set_watchlist(self, symbols: Sequence[str]) -> None:
        """Change the watchlist, and keep it for the next start."""
        self._board.set_watchlist(list(symbols))
        kept = _KeptWatchlist(self._settings_symbols, tuple(symbols))
        text = msgspec.json.encode(kept).decode()
        self._store.writer.run(lambda connection: put_meta(connection, _WATCHLIST, text))

    def _learn(self, infos: Sequence[SymbolInfo]) -> None:
        changed = [info for info in infos if self._stored.get(info.name) != info]
        self._known.update({info.name: info for info in infos})
        if not changed:
            return
        self._stored.update({info.name: info for info in changed})
        done = self._store.writer.run(
            lambda connection: put_symbols(connection, changed, wall_ms())
        )
        done.add_done_callback(self._learnt)

    def _learnt(self, done: Future[None]) -> None:
        if not done.cancelled() and done.exception() is not None:
            log.warning("what the exchange says was not stored: %s", done.exception())
            self._stored.clear()

    def _stored_watchlist(self) -> tuple[str, ...]:
        text = self._store.reader.meta(_WATCHLIST)
        if text is None:
            return self._settings_symbols
        try:
            kept = msgspec.json.decode(text, type=_KeptWatchlist)
        except msgspec.DecodeError as error:
            self._on_notice("warning", f"The stored watchlist could not be read: {error}.")
            return self._settings_symbols
        is_current = kept.settings == self._settings_symbols and kept.symbols
        return kept.symbols if is_current else self._settings_symbols
