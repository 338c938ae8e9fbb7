"""Facts about markets, asked for again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from engine.binance.lists import Listing, OddEntries
from engine.binance.rest import BadAnswer, UnknownSymbol, pick_symbols
from engine.capture.board import Board
from engine.market.symbol import SymbolInfo
from engine.markets import Markets
from engine.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from engine.market.ticker import Ticker


class Exchange:
    """Names its markets in objects that are made for each answer."""

    def __init__(self) -> None:
        self.odd = OddEntries()
        self.statuses = {"BTCUSDT": "TRADING", "ETHUSDT": "TRADING"}

    async def all_symbols(self, *, background: bool = False) -> Listing[SymbolInfo]:
        _ = background
        return Listing(
            SymbolInfo(name, name[:3], name[3:], status) for name, status in self.statuses.items()
        )

    async def symbols(
        self, names: Sequence[str], *, background: bool = False
    ) -> Listing[SymbolInfo]:
        infos = {info.name: info for info in await self.all_symbols(background=background)}
        return Listing(pick_symbols(infos, names))

    async def tickers(self, symbols: Sequence[str]) -> list[Ticker]:
        raise BadAnswer("no prices of " + ", ".join(symbols))


@pytest.mark.parametrize("watched", [["BTCUSD"], ["ETHUSDT", "BTCUSD"]])
async def test_a_watchlist_that_is_asked_for_alone_hints_at_any_market(
    tmp_path: Path, watched: list[str]
) -> None:
    exchange: Any = Exchange()
    said: list[str] = []
    with Store.open(tmp_path, source="live") as store:
        board = Board()
        board.set_watchlist(watched)
        markets = Markets(exchange, store, board, watched, lambda _, text: said.append(text))
        facts = await markets.read_watched()
        assert list(facts) == watched[:-1]
        try:
            await markets.load_watchlist(facts)
        except UnknownSymbol as error:
            said.append(str(error))
    assert "'BTCUSD'; did you mean BTCUSDT?" in said[0]


async def test_facts_that_are_told_again_stay_the_same_objects(tmp_path: Path) -> None:
    exchange: Any = Exchange()
    with Store.open(tmp_path, source="live") as store:
        markets = Markets(exchange, store, Board(), ["BTCUSDT"], lambda *_: None)
        first = await markets.read_all()
        exchange.statuses["ETHUSDT"] = "BREAK"
        second = await markets.read_all()
    assert second["BTCUSDT"] is first["BTCUSDT"]
    assert second["ETHUSDT"] == replace(first["ETHUSDT"], status="BREAK")
