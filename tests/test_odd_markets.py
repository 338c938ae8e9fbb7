"""What is known of markets when the exchange tells it oddly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from engine.binance.rest import RestClient
from engine.capture.board import Board
from engine.markets import Markets
from engine.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

STRANGE_FILTER = {"filterType": "PRICE_FILTER", "tickSize": 0.01}


def entry(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "symbol": name, "status": "TRADING", "baseAsset": name[:3], "quoteAsset": name[3:]
    } | changes  # fmt: skip


class Exchange:
    """Its exchangeInfo is what a test puts into `entries`."""

    def __init__(self) -> None:
        self.entries: list[Any] = [entry("BTCUSDT"), entry("ETHUSDT"), entry("LTCUSDT")]
        self.tickers: list[Any] = []

    async def prices(self, request: web.Request) -> web.Response:
        return web.json_response(self.tickers)

    async def info(self, request: web.Request) -> web.Response:
        wanted = request.query.get("symbols", "")
        rows = [
            row
            for row in self.entries
            if not wanted or not isinstance(row, dict) or f'"{row["symbol"]}"' in wanted
        ]
        return web.json_response({"symbols": rows, "rateLimits": []})


@pytest.fixture
async def exchange() -> Exchange:
    return Exchange()


@pytest.fixture
async def markets(exchange: Exchange, tmp_path: Path) -> AsyncIterator[Markets]:
    app = web.Application()
    app.router.add_get("/api/v3/exchangeInfo", exchange.info)
    app.router.add_get("/api/v3/ticker/24hr", exchange.prices)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    rest = RestClient(f"http://{host}:{port}")
    with Store.open(tmp_path, source="live") as store:
        made = Markets(rest, store, Board(), ("BTCUSDT", "ETHUSDT"), lambda *_: None)
        made.load_stored()
        yield made
    await rest.close()
    await runner.cleanup()


async def test_a_known_market_whose_entry_turns_odd_is_not_missing(
    markets: Markets, exchange: Exchange
) -> None:
    before = await markets.read_all()
    exchange.entries[1] = entry("ETHUSDT", filters=[STRANGE_FILTER])
    after = await markets.read_all()
    assert set(after) == set(before)
    assert after["ETHUSDT"] == before["ETHUSDT"]
    watched = await markets.read_watched()
    assert set(watched) == {"BTCUSDT", "ETHUSDT"}
    del exchange.entries[1]
    assert set(await markets.read_all()) == {"BTCUSDT", "LTCUSDT"}


async def test_while_an_entry_does_not_say_its_name_nothing_counts_as_missing(
    markets: Markets, exchange: Exchange
) -> None:
    await markets.read_all()
    exchange.entries[1:] = [None]
    assert set(await markets.read_all()) == {"BTCUSDT", "ETHUSDT", "LTCUSDT"}


async def test_an_odd_market_that_was_never_known_hides_no_other(
    markets: Markets, exchange: Exchange
) -> None:
    exchange.entries = [entry("ETHUSDT", filters=[STRANGE_FILTER]), 5, entry("BTCUSDT")]
    assert set(await markets.read_all()) == {"BTCUSDT"}
    assert await markets.find("ETHUSDT") is None


async def test_a_watchlist_whose_prices_can_not_be_understood_is_there(
    markets: Markets, exchange: Exchange
) -> None:
    exchange.tickers = [{"symbol": "BTCUSDT", "lastPrice": None}]
    await markets.load_watchlist(await markets.read_watched())
    board = markets._board
    assert board.watchlist == ["BTCUSDT", "ETHUSDT"]
    assert all(board.symbol(name).info is not None for name in board.watchlist)
