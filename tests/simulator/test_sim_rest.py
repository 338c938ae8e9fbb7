import json
from itertools import pairwise

import pytest

from engine.market.interval import INTERVALS
from engine.simulator.limits import Limits

MINUTE_MS = 60_000


async def test_every_endpoint_answers_with_its_weight(start):
    client = await start()
    used = 0
    for path, params, weight in (
        ("ping", {}, 1),
        ("time", {}, 1),
        ("exchangeInfo", {}, 20),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m"}, 2),
        ("uiKlines", {"symbol": "BTCUSDT", "interval": "1h", "limit": 3}, 2),
        ("depth", {"symbol": "BTCUSDT"}, 5),
        ("depth", {"symbol": "BTCUSDT", "limit": 500}, 25),
        ("depth", {"symbol": "BTCUSDT", "limit": 1000}, 50),
        ("depth", {"symbol": "BTCUSDT", "limit": 5000}, 250),
        ("ticker/24hr", {"symbol": "BTCUSDT"}, 2),
        ("ticker/24hr", {}, 80),
        ("ticker/price", {"symbol": "BTCUSDT"}, 2),
        ("ticker/price", {}, 4),
        ("ticker/bookTicker", {"symbols": '["BTCUSDT","LTCUSDT"]'}, 4),
        ("avgPrice", {"symbol": "BTCUSDT"}, 2),
        ("trades", {"symbol": "BTCUSDT"}, 25),
        ("aggTrades", {"symbol": "BTCUSDT"}, 4),
    ):
        status, body, headers = await client.ask(path, **params)
        used += weight
        assert (status, int(headers["X-MBX-USED-WEIGHT-1M"])) == (200, used), (path, body)


@pytest.mark.parametrize(
    ("path", "params", "code", "message"),
    [
        ("klines", {"interval": "1m"}, -1102, "Mandatory parameter 'symbol'"),
        ("klines", {"symbol": "BTCUSDT"}, -1102, "Mandatory parameter 'interval'"),
        ("klines", {"symbol": "NOPE", "interval": "1m"}, -1121, "Invalid symbol."),
        ("klines", {"symbol": "BTCUSDT", "interval": "7m"}, -1120, "Invalid interval."),
        ("klines", {"symbol": "btcusdt", "interval": "1m"}, -1100, "Illegal characters"),
        ("depth", {"symbol": "BTCUSDT", "limit": "-1"}, -1100, "parameter 'limit'"),
        ("depth", {"symbol": "BTCUSDT", "limit": "0"}, -1130, "'limit' is not valid"),
        ("depth", {"symbol": ""}, -1105, "Parameter 'symbol' was empty."),
        ("time", {"foo": "1"}, -1104, "read '0' parameter(s) but was sent '1'"),
        ("ticker/24hr", {"symbols": "BTCUSDT"}, -1100, "parameter 'symbols'"),
        ("ticker/24hr", {"symbol": "BTCUSDT", "type": "X"}, -1139, "Invalid ticker type."),
        ("ticker/price", {"symbol": "BTCUSDT", "symbols": '["BTCUSDT"]'}, -1128, "Combination"),
        ("ticker/price", {"symbols": '["BTCUSDT","BTCUSDT"]'}, -1151, "multiple times"),
        ("ticker/price", {"symbols": json.dumps(["A"] * 101)}, -1101, "'100' and received '101'"),
        ("exchangeInfo", {"symbolStatus": "X"}, -1122, "Invalid symbolStatus."),
    ],
)
async def test_wrong_requests_get_the_official_error(start, path, params, code, message):
    client = await start()
    status, body, _ = await client.ask(path, **params)
    assert (status, body["code"]) == (400, code)
    assert message in body["msg"]
    assert body.keys() == {"code", "msg"}


async def test_a_parameter_given_twice_is_refused(start):
    client = await start()
    url = f"{client.running.rest_url}/api/v3/depth?symbol=BTCUSDT&symbol=LTCUSDT"
    async with client.session.get(url) as response:
        assert response.status == 400
        assert (await response.json())["code"] == -1101


async def test_klines_follow_the_time_range_rule(start):
    client = await start()
    client.running.exchange.clock.stop()
    now = (await client.get("time"))["serverTime"]
    newest = await client.get("klines", symbol="LTCUSDT", interval="1m")
    assert len(newest) == 500
    assert newest[-1][0] == now // MINUTE_MS * MINUTE_MS
    assert newest[-1][6] == newest[-1][0] + MINUTE_MS - 1
    first = newest[100][0]

    async def rows(**params):
        return await client.get("klines", symbol="LTCUSDT", interval="1m", **params)

    assert await rows(startTime=first, limit=3) == newest[100:103]
    assert await rows(startTime=first - 1, limit=3) == newest[100:103]
    assert await rows(endTime=first, limit=3) == newest[98:101]
    assert await rows(startTime=first, endTime=first + MINUTE_MS) == newest[100:102]
    assert await rows(startTime=first) == newest[100:]
    assert await rows(startTime=now + MINUTE_MS) == []
    assert len(await rows(limit=5000)) == 1000


@pytest.mark.parametrize("interval", list(INTERVALS))
async def test_every_interval_is_served_with_the_open_candle_last(start, interval):
    client = await start()
    rows = await client.get("klines", symbol="LTCUSDT", interval=interval, limit=2)
    now = (await client.get("time"))["serverTime"]
    grid = INTERVALS[interval]
    assert len(rows) == 2
    assert now // MINUTE_MS - rows[-1][6] // MINUTE_MS <= 0
    for row in rows:
        assert grid.is_aligned(row[0])
        assert row[6] == grid.close_time(row[0])
    assert grid.next(rows[0][0]) == rows[1][0]


async def test_the_weight_limit_leads_to_429_and_ignoring_it_to_418(start):
    limits = Limits(weight_per_minute=60, ignored_before_ban=2)
    client = await start(limits=limits)
    answers = []
    for _ in range(12):
        status, body, headers = await client.ask("trades", symbol="BTCUSDT")
        answers.append(status)
        if status in (418, 429):
            assert int(headers["Retry-After"]) >= 1
            assert body["code"] == -1003
    first = answers.index(429)
    assert answers[:first] == [200] * first
    assert 429 in answers
    assert answers[-1] == 418
    status, body, headers = await client.ask("ping")
    assert status == 418
    assert "IP banned until" in body["msg"]


async def test_exchange_info_gives_ticks_and_steps(start):
    client = await start()
    info = await client.get("exchangeInfo", symbol="BTCUSDT")
    (symbol,) = info["symbols"]
    filters = {row["filterType"]: row for row in symbol["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000"
    assert filters["LOT_SIZE"]["stepSize"] == "0.00001000"
    assert symbol["status"] == "TRADING"
    assert "klinetopMadeUp" not in symbol
    assert info["rateLimits"][0]["limit"] == 6000


async def test_ticker_trades_and_klines_agree(start):
    client = await start()
    client.running.exchange.clock.stop()
    (trade,) = await client.get("trades", symbol="BTCUSDT", limit=1)
    day = await client.get("ticker/24hr", symbol="BTCUSDT")
    price = await client.get("ticker/price", symbol="BTCUSDT")
    rows = await client.get("klines", symbol="BTCUSDT", interval="1m", limit=1)
    assert day["lastPrice"] == price["price"] == rows[0][4] == trade["price"]
    assert day["lastId"] == trade["id"]
    mini = await client.get("ticker/24hr", symbol="BTCUSDT", type="MINI")
    assert mini == {key: day[key] for key in mini}


async def test_agg_trades_cover_their_trades_without_a_hole(start):
    client = await start()
    rows = await client.get("aggTrades", symbol="BTCUSDT", limit=500)
    for before, after in pairwise(rows):
        assert after["a"] == before["a"] + 1
        assert after["f"] == before["l"] + 1
    assert any(row["l"] > row["f"] for row in rows)
    chosen = await client.get("aggTrades", symbol="BTCUSDT", fromId=rows[10]["a"], limit=3)
    assert chosen == rows[10:13]


async def test_a_faulty_rest_answers_with_html(start):
    client = await start()
    client.running.faults.rest_status = 403
    async with client.session.get(f"{client.running.rest_url}/api/v3/ping") as response:
        assert response.status == 403
        assert response.content_type == "text/html"
