"""The public calls of python-binance against the simulated exchange."""

from contextlib import asynccontextmanager

import pytest
from binance import AsyncClient
from binance.exceptions import BinanceAPIException

MINUTE_MS = 60_000


@asynccontextmanager
async def python_binance(client):
    class LocalClient(AsyncClient):
        API_URL = API_TESTNET_URL = API_DEMO_URL = f"{client.running.rest_url}/api"

    made = await LocalClient.create()
    try:
        yield made
    finally:
        await made.close_connection()


async def test_tickers_of_every_kind(start):
    client = await start()
    async with python_binance(client) as binance:
        window = await binance.get_ticker(symbol="BTCUSDT")
        assert window["symbol"] == "BTCUSDT"
        for size in ("15m", "4h", "7d"):
            row = await binance.get_symbol_ticker_window(symbol="BTCUSDT", windowSize=size)
            assert row["count"] > 0
        day = await binance.v3_get_ticker_trading_day(symbol="BTCUSDT", timeZone="8")
        assert day["closeTime"] - day["openTime"] == 1440 * MINUTE_MS - 1
        assert float((await binance.get_avg_price(symbol="BTCUSDT"))["price"]) > 0
        assert len(await binance.get_orderbook_tickers()) == 2
        assert len(await binance.get_all_tickers()) == 2


async def test_trades_from_an_earlier_time(start):
    client = await start()
    async with python_binance(client) as binance:
        newest = await binance.get_recent_trades(symbol="LTCUSDT", limit=1)
        first = newest[0]["id"] - 5000
        old = await binance.get_historical_trades(symbol="LTCUSDT", fromId=first, limit=10)
        assert [row["id"] for row in old] == list(range(first, first + 10))
        begin_ms = newest[0]["time"] - 3 * 60 * MINUTE_MS
        walked = []
        async for row in binance.aggregate_trade_iter("LTCUSDT", start_str=begin_ms):
            walked.append(row["a"])
            if len(walked) == 1500:
                break
        assert walked == list(range(walked[0], walked[0] + 1500))


async def test_candles_of_months_and_of_other_zones(start):
    client = await start()
    async with python_binance(client) as binance:
        months = await binance.get_klines(symbol="BTCUSDT", interval="1M", limit=1000)
        assert len(months) == 3
        days = await binance.get_klines(symbol="BTCUSDT", interval="1d", timeZone="8", limit=9)
        assert all(row[0] % (1440 * MINUTE_MS) == 16 * 60 * MINUTE_MS for row in days)
        ui = await binance.get_ui_klines(symbol="BTCUSDT", interval="1h", limit=5)
        assert [len(row) for row in ui] == [12] * 5


async def test_what_is_not_served_is_an_error_of_the_exchange(start):
    client = await start()
    async with python_binance(client) as binance:
        with pytest.raises(BinanceAPIException) as refused:
            await binance.stream_get_listen_key()
        assert refused.value.status_code == 404
