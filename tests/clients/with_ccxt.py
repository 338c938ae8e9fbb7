"""Calls of ccxt against a simulated exchange; prints one JSON object with what each gave.

Run it in the environment of requirements/clients.lock: with_ccxt.py REST_URL STREAM_URL KEY SECRET
"""

import asyncio
import json
import sys

import ccxt
import ccxt.async_support
import ccxt.pro

REST_URL, STREAM_URL, KEY, SECRET = sys.argv[1:]
SYMBOL = "BTC/USDT"


def pointed(kind, **credentials):
    exchange = kind(
        {
            "options": {
                "fetchMarkets": {"types": ["spot"]},
                "defaultType": "spot",
                "adjustForTimeDifference": True,
            },
            "timeout": 20_000,
            **credentials,
        }
    )
    urls = exchange.urls["api"]
    for name, path in {"public": "/api/v3", "private": "/api/v3", "v1": "/api/v1"}.items():
        urls[name] = REST_URL + path
    for name in ("sapi", "sapiV2", "sapiV3", "sapiV4"):
        urls[name] = f"{REST_URL}/sapi/v{name.removeprefix('sapiV') if 'V' in name else 1}"
    if "ws" in urls:
        urls["ws"]["spot"] = f"{STREAM_URL}/ws"
    return exchange


def kind_of(call):
    try:
        return call()
    except ccxt.BaseError as error:
        return type(error).__name__


def synchronous():
    exchange = pointed(ccxt.binance, apiKey=KEY, secret=SECRET)
    markets = exchange.load_markets()
    since = exchange.milliseconds() - 5 * 86_400_000
    return {
        "markets": sorted(markets),
        "precision": markets[SYMBOL]["precision"]["price"],
        "smallest_cost": markets[SYMBOL]["limits"]["cost"]["min"],
        "time": exchange.fetch_time(),
        "candles": len(exchange.fetch_ohlcv(SYMBOL, "1w", limit=1000)),
        "bids": len(exchange.fetch_order_book(SYMBOL, 100)["bids"]),
        "last": exchange.fetch_ticker(SYMBOL)["last"],
        "tickers": len(exchange.fetch_tickers()),
        "old_trades": len(exchange.fetch_trades(SYMBOL, since=since, limit=500)),
        "balance": exchange.fetch_balance()["USDT"]["free"],
        "currencies": sorted(exchange.fetch_currencies()),
        "open_orders": exchange.fetch_open_orders(SYMBOL),
        "my_trades": exchange.fetch_my_trades(SYMBOL),
        "fee": exchange.fetch_trading_fee(SYMBOL)["taker"],
        "status": exchange.fetch_status()["status"],
        "order": kind_of(lambda: exchange.create_order(SYMBOL, "limit", "buy", 1, 1)),
        "wrong_secret": kind_of(pointed(ccxt.binance, apiKey=KEY, secret="x").fetch_balance),
        "wrong_key": kind_of(pointed(ccxt.binance, apiKey="x", secret="x").fetch_balance),
    }


async def asynchronous():
    exchange = pointed(ccxt.async_support.binance, apiKey=KEY, secret=SECRET)
    try:
        candles, book, balance = await asyncio.gather(
            exchange.fetch_ohlcv(SYMBOL, "1m", limit=1000),
            exchange.fetch_order_book(SYMBOL),
            exchange.fetch_balance(),
        )
        return {
            "candles": len(candles),
            "asks": len(book["asks"]),
            "balance": balance["BTC"]["free"],
        }
    finally:
        await exchange.close()


async def streaming():
    exchange = pointed(ccxt.pro.binance)
    try:
        async with asyncio.timeout(60):
            book = await exchange.watch_order_book(SYMBOL)
            for _ in range(5):
                book = await exchange.watch_order_book(SYMBOL)
            trades = await exchange.watch_trades(SYMBOL)
            candles = await exchange.watch_ohlcv(SYMBOL, "1m")
            ticker = await exchange.watch_ticker(SYMBOL)
        return {
            "crossed": book["bids"][0][0] >= book["asks"][0][0],
            "trades": len(trades) > 0,
            "candles": len(candles) > 0,
            "ticker": ticker["last"] > 0,
        }
    finally:
        await exchange.close()


if __name__ == "__main__":
    told = {
        "sync": synchronous(),
        "async": asyncio.run(asynchronous()),
        "pro": asyncio.run(streaming()),
    }
    print(json.dumps(told))
