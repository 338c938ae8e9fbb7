import json
import math
import threading
from itertools import pairwise

import pytest

from engine.market.interval import INTERVALS
from engine.simulator.generated import GeneratedMarket
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
        ("historicalTrades", {"symbol": "BTCUSDT"}, 25),
        ("historicalBlockTrades", {"symbol": "BTCUSDT"}, 25),
        ("aggTrades", {"symbol": "BTCUSDT"}, 4),
        ("ticker", {"symbol": "BTCUSDT", "windowSize": "3h"}, 4),
        ("ticker", {"symbols": '["BTCUSDT","LTCUSDT"]'}, 8),
        ("ticker/tradingDay", {"symbol": "BTCUSDT"}, 4),
        ("executionRules", {"symbol": "BTCUSDT"}, 2),
        ("executionRules", {}, 40),
        ("referencePrice", {"symbol": "BTCUSDT"}, 2),
        ("referencePrice/calculation", {"symbol": "BTCUSDT"}, 2),
    ):
        status, body, headers = await client.ask(path, **params)
        used += weight
        assert (status, int(headers["X-MBX-USED-WEIGHT-1M"])) == (200, used), (path, body)
        assert headers["X-MBX-USED-WEIGHT"] == str(used)


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
        ("exchangeInfo", {"permissions": "X"}, -1130, "'permissions' is not valid"),
        ("exchangeInfo", {"permissions": "[SPOT"}, -1135, "parameter 'permissions'"),
        ("exchangeInfo", {"permissions": "SPOT", "symbol": "BTCUSDT"}, -1128, "Combination"),
        ("ticker", {}, -1102, "Param 'symbol' or 'symbols' must be sent"),
        ("ticker", {"symbol": "BTCUSDT", "windowSize": "60m"}, -1130, "'windowSize'"),
        ("ticker/tradingDay", {"symbol": "BTCUSDT", "timeZone": "15"}, -1130, "'timeZone'"),
        ("ticker/price", {"symbol": "BTCUSDT", "symbolStatus": "BREAK"}, -1220, "symbolStatus"),
        ("referencePrice", {}, -1102, "Mandatory parameter 'symbol'"),
        ("aggTrades", {"symbol": "BTCUSDT", "fromId": "1", "endTime": "1"}, -1128, "Combination"),
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
    assert [limit["rateLimitType"] for limit in info["rateLimits"]] == [
        "REQUEST_WEIGHT",
        "ORDERS",
        "ORDERS",
        "RAW_REQUESTS",
    ]
    assert info["rateLimits"][0]["limit"] == 6000
    assert {
        "ICEBERG_PARTS",
        "MARKET_LOT_SIZE",
        "TRAILING_DELTA",
        "PERCENT_PRICE_BY_SIDE",
        "NOTIONAL",
        "MAX_NUM_ORDERS",
        "MAX_NUM_ALGO_ORDERS",
    } <= filters.keys()
    assert (await client.get("exchangeInfo", permissions='["MARGIN"]'))["symbols"] == []
    assert len((await client.get("exchangeInfo", permissions="SPOT"))["symbols"]) == 2


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


# -- trades of the past ----------------------------------------------------------------------------


async def test_trades_of_the_past_follow_by_one_up_to_the_newest(start):
    client = await start()
    client.running.exchange.clock.stop()
    newest = await client.get("trades", symbol="LTCUSDT", limit=1000)
    first = newest[0]["id"] - 1500
    rows = await client.get("historicalTrades", symbol="LTCUSDT", fromId=first, limit=1000)
    assert [row["id"] for row in rows] == list(range(first, first + 1000))
    more = await client.get("historicalTrades", symbol="LTCUSDT", fromId=first + 1000, limit=1000)
    assert [row["id"] for row in more] == list(range(first + 1000, first + 2000))
    assert more[500:] == newest[: len(more) - 500]
    last = await client.get("historicalTrades", symbol="LTCUSDT", limit=3)
    assert last == newest[-3:]
    beyond = newest[-1]["id"] + 1
    assert await client.get("historicalTrades", symbol="LTCUSDT", fromId=beyond) == []


async def test_trades_of_an_earlier_minute_add_up_to_its_candle(start):
    client = await start()
    now = (await client.get("time"))["serverTime"]
    open_ms = now // MINUTE_MS * MINUTE_MS - 2000 * MINUTE_MS
    (candle,) = await client.get(
        "klines", symbol="BTCUSDT", interval="1m", startTime=open_ms, limit=1
    )
    rows = await client.get(
        "aggTrades",
        symbol="BTCUSDT",
        startTime=open_ms,
        endTime=open_ms + MINUTE_MS - 1,
        limit=1000,
    )
    assert sum(row["l"] - row["f"] + 1 for row in rows) == candle[8]
    assert round(math.fsum(float(row["q"]) for row in rows), 8) == float(candle[5])
    assert (rows[0]["p"], rows[-1]["p"]) == (candle[1], candle[4])
    bought = round(math.fsum(float(row["q"]) for row in rows if not row["m"]), 8)
    assert bought == float(candle[9])


async def test_aggregate_trades_are_the_same_from_an_id_a_time_and_an_end(start):
    client = await start()
    client.running.exchange.clock.stop()
    newest = await client.get("aggTrades", symbol="LTCUSDT", limit=1000)
    first = newest[0]["a"] - 700
    rows = await client.get("aggTrades", symbol="LTCUSDT", fromId=first, limit=1000)
    assert [row["a"] for row in rows] == list(range(first, first + 1000))
    assert rows[700:] == newest[:300]
    for before, after in pairwise(rows):
        assert after["f"] == before["l"] + 1
    begin = rows[100]["T"]
    assert (
        await client.get("aggTrades", symbol="LTCUSDT", startTime=begin, limit=50) == rows[100:150]
    )
    assert await client.get("aggTrades", symbol="LTCUSDT", endTime=begin, limit=50) == rows[51:101]


async def test_a_replay_says_that_it_has_forgotten_its_old_trades(start, market):
    class Forgetful:
        """The same market as a source that keeps no trades."""

        def __init__(self, made):
            for name in ("start_ms", "made_up", "recorded_streams", "whole_from_ms", "finest"):
                setattr(self, name, getattr(made, name))
            for name in ("symbols", "history", "recent_trades", "start", "run"):
                setattr(self, name, getattr(made, name))

    client = await start(Forgetful(market()))
    (newest,) = await client.get("trades", symbol="BTCUSDT", limit=1)
    for path, params in (
        ("historicalTrades", {"fromId": newest["id"] - 5000}),
        ("aggTrades", {"startTime": newest["time"] - 86_400_000}),
    ):
        status, body, _ = await client.ask(path, symbol="BTCUSDT", **params)
        assert (status, body["code"]) == (400, -1020)
        assert "A replay keeps its newest trades only" in body["msg"]


# -- windows and zones -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["1m", "59m", "4h", "1d", "7d"])
async def test_a_rolling_window_is_its_minutes(start, size):
    client = await start()
    client.running.exchange.clock.stop()
    row = await client.get("ticker", symbol="LTCUSDT", windowSize=size)
    now = (await client.get("time"))["serverTime"]
    unit = {"m": MINUTE_MS, "h": 60 * MINUTE_MS, "d": 1440 * MINUTE_MS}[size[-1]]
    assert row["openTime"] == (now - int(size[:-1]) * unit) // MINUTE_MS * MINUTE_MS
    assert row["closeTime"] == now
    minutes = await whole(client, "LTCUSDT", row["openTime"], now)
    assert row["openPrice"] == minutes[0][1]
    assert row["lastPrice"] == minutes[-1][4]
    assert float(row["highPrice"]) == max(float(minute[2]) for minute in minutes)
    assert float(row["lowPrice"]) == min(float(minute[3]) for minute in minutes)
    assert float(row["volume"]) == round(math.fsum(float(minute[5]) for minute in minutes), 8)
    assert row["count"] == sum(minute[8] for minute in minutes)
    assert row["lastId"] - row["firstId"] + 1 == row["count"]
    mini = await client.get("ticker", symbol="LTCUSDT", windowSize=size, type="MINI")
    assert mini == {key: row[key] for key in mini}
    assert "priceChange" not in mini


async def whole(client, symbol, start_ms, end_ms):
    url = f"{client.running.rest_url}/sim/klines"
    params = {"symbol": symbol, "interval": "1m", "startTime": start_ms, "endTime": end_ms}
    rows = []
    while params["startTime"] <= end_ms:
        async with client.session.get(url, params=params | {"limit": 10_000}) as response:
            page = await response.json()
        rows += page
        params["startTime"] = page[-1][0] + MINUTE_MS
    return rows


async def test_the_trading_day_is_the_day_of_a_zone(start):
    client = await start()
    client.running.exchange.clock.stop()
    row = await client.get("ticker/tradingDay", symbol="LTCUSDT", timeZone="+08:00")
    (day,) = await client.get("klines", symbol="LTCUSDT", interval="1d", timeZone="+08:00", limit=1)
    assert (row["openTime"], row["closeTime"]) == (day[0], day[6])
    assert (row["openPrice"], row["highPrice"], row["lowPrice"], row["lastPrice"]) == tuple(
        day[1:5]
    )
    assert float(row["volume"]) == float(day[5])
    assert row["count"] == day[8]
    utc = await client.get("ticker/tradingDay", symbol="LTCUSDT")
    assert utc["openTime"] % 86_400_000 == 0


@pytest.mark.parametrize(
    ("interval", "zone"),
    [("4h", "-3"), ("4h", "05:30"), ("1d", "+08:00"), ("1w", "05:30"), ("1M", "-3")],
)
async def test_candles_of_a_zone_are_those_minutes(start, zone, interval):
    client = await start()
    client.running.exchange.clock.stop()
    rows = await client.get("klines", symbol="LTCUSDT", interval=interval, timeZone=zone, limit=3)
    hours, _, minutes = zone.strip("+").partition(":")
    offset = (int(hours) * 60 + int(minutes or 0)) * MINUTE_MS
    for row in rows:
        assert INTERVALS[interval].is_aligned(row[0] + offset)
    assert rows[0][6] + 1 == rows[1][0]
    before = await whole(client, "LTCUSDT", rows[-2][0], rows[-2][6])
    assert rows[-2][1] == before[0][1]
    assert float(rows[-2][2]) == max(float(minute[2]) for minute in before)
    assert rows[-2][4] == before[-1][4]
    assert float(rows[-2][5]) == round(math.fsum(float(minute[5]) for minute in before), 8)
    assert rows[-2][8] == sum(minute[8] for minute in before)
    assert rows[-1][1] == (await whole(client, "LTCUSDT", rows[-1][0], rows[-1][0]))[0][1]


@pytest.mark.parametrize(("zone", "status"), [("8", 200), ("05:30", 400)])
async def test_candles_of_hours_are_not_cut_for_a_zone(start, market, zone, status):
    class Hourly:
        """The same market as a source that has nothing finer than hours."""

        def __init__(self, made):
            self.finest = INTERVALS["1h"]
            for name in ("start_ms", "made_up", "recorded_streams", "whole_from_ms"):
                setattr(self, name, getattr(made, name))
            for name in ("symbols", "history", "recent_trades", "run", "start"):
                setattr(self, name, getattr(made, name))

    client = await start(Hourly(market()))
    params = {"symbol": "LTCUSDT", "interval": "1d", "timeZone": zone, "limit": 2}
    found, _, _ = await client.ask("klines", **params)
    assert found == status


async def test_times_come_in_microseconds_when_the_header_asks(start):
    client = await start()
    client.running.exchange.clock.stop()
    micro = {"X-MBX-TIME-UNIT": "MICROSECOND"}

    async def both(path):
        answers = []
        for headers in ({}, micro):
            url = f"{client.running.rest_url}/api/v3/{path}"
            async with client.session.get(url, headers=headers) as response:
                assert response.status == 200
                answers.append(await response.json())
        return answers

    milli, told = await both("time")
    assert told["serverTime"] == milli["serverTime"] * 1000
    milli, told = await both("klines?symbol=BTCUSDT&interval=1m&limit=2")
    assert [row[0] for row in told] == [row[0] * 1000 for row in milli]
    assert [row[6] for row in told] == [row[6] * 1000 + 999 for row in milli]
    assert [row[1:6] for row in told] == [row[1:6] for row in milli]
    milli, told = await both("trades?symbol=BTCUSDT&limit=2")
    assert [row["time"] for row in told] == [row["time"] * 1000 for row in milli]
    assert [row["id"] for row in told] == [row["id"] for row in milli]
    milli, told = await both("aggTrades?symbol=BTCUSDT&limit=2")
    assert [row["T"] for row in told] == [row["T"] * 1000 for row in milli]
    url = f"{client.running.rest_url}/api/v3/time"
    async with client.session.get(url, headers={"X-MBX-TIME-UNIT": "HOUR"}) as response:
        assert (response.status, (await response.json())["code"]) == (400, -1194)


async def test_the_reference_price_lies_within_the_last_five_minutes(start):
    client = await start()
    answer = await client.get("referencePrice", symbol="BTCUSDT")
    rows = await client.get("klines", symbol="BTCUSDT", interval="1m", limit=7)
    low, high = min(float(row[3]) for row in rows), max(float(row[2]) for row in rows)
    assert low <= float(answer["referencePrice"]) <= high
    rules = await client.get("executionRules", symbolStatus="TRADING")
    assert [row["symbol"] for row in rules["symbolRules"]] == ["BTCUSDT", "LTCUSDT"]


async def test_the_past_is_made_in_other_threads_than_the_one_that_answers(start, market):
    made = GeneratedMarket(23, ("LTCUSDT",), start_ms=market().start_ms)
    client = await start(made)
    threads = set()
    for name in ("history", "bucket", "trades_from", "time_of_trade"):
        setattr(made, name, noting(threads, getattr(made, name)))
    (newest,) = await client.get("trades", symbol="LTCUSDT", limit=1)
    old = {"symbol": "LTCUSDT", "fromId": newest["id"] - 90_000}
    for path, params in (
        ("klines", {"symbol": "LTCUSDT", "interval": "1M"}),
        ("klines", {"symbol": "LTCUSDT", "interval": "1w", "timeZone": "8"}),
        ("ticker", {"symbol": "LTCUSDT", "windowSize": "7d"}),
        ("historicalTrades", old),
        ("aggTrades", {"symbol": "LTCUSDT", "startTime": newest["time"] - 86_400_000}),
    ):
        threads.clear()
        await client.get(path, **params)
        assert threads, path
        assert threading.main_thread() not in threads, path


def noting(threads, function):
    def noted(*arguments):
        threads.add(threading.current_thread())
        return function(*arguments)

    return noted


# -- what is not there -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/v3/nothing", "/api/v1/ping", "/nothing", "/fapi/v1/time"])
async def test_an_unknown_path_has_no_body_but_html_for_a_browser(start, path):
    client = await start()
    url = client.running.rest_url + path
    async with client.session.get(url) as response:
        assert (response.status, await response.read()) == (404, b"")
    async with client.session.get(url, headers={"Accept": "text/html"}) as response:
        assert (response.status, response.content_type) == (404, "text/html")


async def test_an_unknown_path_of_the_wallet_is_told_in_json(start):
    client = await start()
    async with client.session.get(f"{client.running.rest_url}/sapi/v1/nothing") as response:
        body = await response.json()
        assert response.status == 404
    assert body | {"timestamp": 0} == {
        "timestamp": 0,
        "status": 404,
        "error": "Not Found",
        "message": "No message available",
        "path": "/sapi/v1/nothing",
    }


async def test_another_method_is_refused(start):
    client = await start()
    async with client.session.post(f"{client.running.rest_url}/api/v3/klines") as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET")
        assert await response.read() == b""
    url = f"{client.running.rest_url}/api/v3/userDataStream"
    async with client.session.post(url) as response:
        assert response.status == 404
