"""Facts about markets, asked for again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from engine.binance.lists import Listing
from engine.capture.board import Board
from engine.market.symbol import SymbolInfo
from engine.markets import Markets
from engine.store import Store

if TYPE_CHECKING:
    from pathlib import Path


class Exchange:
    """Names its markets in objects that are made for each answer."""

    def __init__(self) -> None:
        self.statuses = {"BTCUSDT": "TRADING", "ETHUSDT": "TRADING"}

    async def all_symbols(self, *, background: bool = False) -> Listing[SymbolInfo]:
        _ = background
        return Listing(
            SymbolInfo(name, name[:3], name[3:], status) for name, status in self.statuses.items()
        )


async def test_facts_that_are_told_again_stay_the_same_objects(tmp_path: Path) -> None:
    exchange: Any = Exchange()
    with Store.open(tmp_path, source="live") as store:
        markets = Markets(exchange, store, Board(), ["BTCUSDT"], lambda *_: None)
        first = await markets.read_all()
        exchange.statuses["ETHUSDT"] = "BREAK"
        second = await markets.read_all()
    assert second["BTCUSDT"] is first["BTCUSDT"]
    assert second["ETHUSDT"] == replace(first["ETHUSDT"], status="BREAK")
