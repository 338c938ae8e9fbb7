"""The public calls of python-binance against the simulated exchange."""

from contextlib import asynccontextmanager

import pytest
from binance import AsyncClient, BinanceSocketManager
from binance.exceptions import BinanceAPIException
from binance.ws.depthcache import DepthCacheManager
from binance.ws.reconnecting_websocket import ReconnectingWebsocket

MINUTE_MS = 60_000


@asynccontextmanager
async def python_binance(client):
    class LocalClient(AsyncClient):
        API_URL = API_TESTNET_URL = API_DEMO_URL = f"{client.running.rest_url}/api"
        WS_API_URL = f"{client.running.stream_url}/ws-api/v3"

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


# -- sockets -------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def leaves_quiet_streams_soon(monkeypatch):
    """Let python-binance's sockets look more often whether they were closed."""
    monkeypatch.setattr(ReconnectingWebsocket, "TIMEOUT", 0.2)


def sockets(client, binance, **options):
    manager = BinanceSocketManager(binance, **options)
    manager.STREAM_URL = f"{client.running.stream_url}/"
    return manager


async def test_socket_managers(start):
    client = await start(speed=20)
    async with python_binance(client) as binance:
        manager = sockets(client, binance)
        for socket, kind in (
            (manager.kline_socket("BTCUSDT"), "kline"),
            (manager.trade_socket("BTCUSDT"), "trade"),
            (manager.aggtrade_socket("BTCUSDT"), "aggTrade"),
            (manager.symbol_miniticker_socket("BTCUSDT"), "24hrMiniTicker"),
            (manager.symbol_ticker_socket("BTCUSDT"), "24hrTicker"),
            (manager.depth_socket("BTCUSDT"), "depthUpdate"),
            (manager.depth_socket("BTCUSDT", interval=100), "depthUpdate"),
        ):
            async with socket as stream:
                assert (await stream.recv())["e"] == kind
        async with manager.miniticker_socket() as stream:
            assert {row["s"] for row in await stream.recv()} <= {"BTCUSDT", "LTCUSDT"}
        async with manager.depth_socket("BTCUSDT", depth="5") as stream:
            assert len((await stream.recv())["bids"]) == 5
        async with manager.symbol_book_ticker_socket("BTCUSDT") as stream:
            assert (await stream.recv())["s"] == "BTCUSDT"
        names = ["btcusdt@ticker_1h", "btcusdt@depth@1000ms", "btcusdt@kline_1d@+08:00"]
        async with manager.multiplex_socket(list(names)) as stream:
            while names:
                name = (await stream.recv())["stream"]
                if name in names:
                    names.remove(name)


async def test_times_of_a_socket_in_microseconds(start):
    client = await start(speed=20)
    async with python_binance(client) as binance:
        binance.TIME_UNIT = "MICROSECOND"
        async with sockets(client, binance).trade_socket("BTCUSDT") as stream:
            assert (await stream.recv())["T"] > 10**15


@pytest.mark.parametrize("interval_ms", [None, 100])
async def test_a_depth_cache_equals_the_book_of_rest(start, interval_ms):
    client = await start(speed=20)
    exchange = client.running.exchange
    async with python_binance(client) as binance:
        manager = DepthCacheManager(
            binance, "BTCUSDT", limit=1000, refresh_interval=0, bm=sockets(client, binance),
            ws_interval=interval_ms,
        )  # fmt: skip
        async with manager as stream:
            for _ in range(8):
                cache = await stream.recv()
            exchange.clock.stop()
            rest = await client.get("depth", symbol="BTCUSDT", limit=1000)
            exchange.push_diff("BTCUSDT", fast=interval_ms == 100)
            while manager._depth_cache.update_time is None or (
                manager._last_update_id < rest["lastUpdateId"]
            ):
                cache = await stream.recv()
        # What lies beyond its first snapshot it can not know.
        for ours, theirs in ((cache.get_bids(), rest["bids"]), (cache.get_asks(), rest["asks"])):
            assert ours[:300] == [[float(p), float(q)] for p, q in theirs[:300]]


async def test_requests_over_a_socket(start):
    client = await start()
    async with python_binance(client) as binance:
        assert (await binance.ws_get_time())["serverTime"] > 0
        assert len((await binance.ws_get_order_book(symbol="BTCUSDT", limit=10))["bids"]) == 10
        assert len(await binance.ws_get_klines(symbol="BTCUSDT", interval="1m", limit=7)) == 7
        assert (await binance.ws_get_symbol_ticker(symbol="BTCUSDT"))["symbol"] == "BTCUSDT"
        assert len((await binance.ws_get_exchange_info(symbol="BTCUSDT"))["symbols"]) == 1
        with pytest.raises(BinanceAPIException) as refused:
            await binance.ws_get_klines(symbol="NOPE", interval="1m")
        assert refused.value.status_code == 400
