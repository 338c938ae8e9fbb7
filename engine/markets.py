"""What the exchange says about its markets, and which of them are watched."""

from __future__ import annotations

import logging
import time
from difflib import get_close_matches
from typing import TYPE_CHECKING

import msgspec

from engine.binance.rest import UnknownSymbol
from engine.capture.collector import wall_ms
from engine.store.symbols import put_meta, put_symbols

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
        self._all_at_s: float | None = None

    def load_stored(self) -> None:
        """Take watchlist and facts from the store, for a start without a network."""
        self._board.set_watchlist(list(self._stored_watchlist()))
        for info in self._store.reader.symbol_infos():
            self._known[info.name] = info
        for name in self._board.watchlist:
            if name in self._known:
                self._board.set_info(self._known[name])

    async def load_watchlist(self) -> None:
        """Ask for facts and statistics of the watchlist; leave out what the exchange lacks.

        Raises:
            UnknownSymbol: when it lacks all of them.
            RestError: when the exchange can not be asked.
        """
        try:
            infos = await self._rest.symbols(self._board.watchlist)
        except UnknownSymbol as error:
            known = [name for name in self._board.watchlist if name not in error.symbols]
            if not known:
                raise
            log.warning("%s It is left out of the watchlist.", error)
            self._on_notice("warning", f"{error} It is left out of the watchlist.")
            self._board.set_watchlist(known)
            infos = await self._rest.symbols(known)
        for info in infos:
            self._board.set_info(info)
        self._learn(infos)
        for ticker in await self._rest.tickers(self._board.watchlist):
            self._board.set_ticker(ticker, None, None)

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
            if info.is_trading and _has_letters(info.name, letters)
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
        self._known.update({info.name: info for info in infos})
        self._store.writer.run(lambda connection: put_symbols(connection, infos, wall_ms()))

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


def _has_letters(name: str, letters: str) -> bool:
    rest = iter(name)
    return all(letter in rest for letter in letters)
