"""The WebSocket API answers as REST does, in the form of its own documentation."""

import contextlib
import hmac
import json

import aiohttp
import pytest

from engine.simulator.limits import Limits
from engine.simulator.protocol.keys import make_key

PATHS = [
    ("ping", "ping", {}),
    ("exchangeInfo", "exchangeInfo", {"symbols": ["BTCUSDT", "LTCUSDT"]}),
    ("depth", "depth", {"symbol": "BTCUSDT", "limit": 20}),
    ("trades.recent", "trades", {"symbol": "BTCUSDT", "limit": 5}),
    ("trades.historical", "historicalTrades", {"symbol": "BTCUSDT", "limit": 5}),
    ("trades.aggregate", "aggTrades", {"symbol": "BTCUSDT", "limit": 5}),
    ("klines", "klines", {"symbol": "BTCUSDT", "interval": "1h", "limit": 3}),
    ("uiKlines", "uiKlines", {"symbol": "BTCUSDT", "interval": "1d", "timeZone": "8", "limit": 3}),
    ("avgPrice", "avgPrice", {"symbol": "BTCUSDT"}),
    ("ticker.24hr", "ticker/24hr", {"symbols": ["BTCUSDT", "LTCUSDT"]}),
    ("ticker.tradingDay", "ticker/tradingDay", {"symbol": "BTCUSDT"}),
    ("ticker", "ticker", {"symbol": "BTCUSDT", "windowSize": "7d"}),
    ("ticker.price", "ticker/price", {"symbol": "BTCUSDT"}),
    ("ticker.book", "ticker/bookTicker", {"symbol": "BTCUSDT"}),
    ("referencePrice", "referencePrice", {"symbol": "BTCUSDT"}),
    ("executionRules", "executionRules", {"symbol": "BTCUSDT"}),
]


@contextlib.asynccontextmanager
async def api(client, query=""):
    async with client.socket("/ws-api/v3" + query) as socket:

        async def ask(method, params=None, ident=1):
            request = {"id": ident, "method": method}
            await socket.send_json(request if params is None else {**request, "params": params})
            return await socket.receive_json()

        yield ask


async def test_methods_say_what_rest_says(start):
    client = await start()
    client.running.exchange.clock.stop()
    async with api(client) as ask:
        for method, path, params in PATHS:
            answer = await ask(method, params, ident="a-1")
            assert list(answer) == ["id", "status", "result", "rateLimits"], method
            assert (answer["id"], answer["status"]) == ("a-1", 200)
            query = {
                name: json.dumps(value, separators=(",", ":")) if isinstance(value, list) else value
                for name, value in params.items()
            }
            assert answer["result"] == await client.get(path, **query), method


async def test_rate_limits_are_those_of_rest_and_can_be_left_out(start):
    client = await start()
    _, _, headers = await client.ask("klines", symbol="BTCUSDT", interval="1m")
    used = int(headers["X-MBX-USED-WEIGHT-1M"])
    async with api(client) as ask:
        answer = await ask("v3/depth", {"symbol": "BTCUSDT", "limit": 5000})
        assert answer["rateLimits"] == [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": 6000,
                "count": used + 2 + 250,
            }
        ]
        assert "rateLimits" not in await ask("time", {"returnRateLimits": False})
    async with api(client, "?returnRateLimits=false&timeUnit=microsecond") as ask:
        answer = await ask("time", ident=None)
        assert answer.keys() == {"id", "status", "result"}
        assert answer["id"] is None
        assert answer["result"]["serverTime"] > 10**15
        assert "rateLimits" in await ask("time", {"returnRateLimits": True})


async def test_what_is_wrong_with_a_request(start):
    client = await start()
    async with api(client) as ask:
        answer = await ask("depth", {"symbol": "NOPE"})
        assert answer["status"] == 400
        assert answer["error"] == {"code": -1121, "msg": "Invalid symbol."}
        assert (await ask("depth"))["error"]["code"] == -1102
        assert (await ask("depth", {"symbol": "BTCUSDT", "x": 1}))["error"]["code"] == -1104
        assert (await ask("depth", ["BTCUSDT"]))["error"]["code"] == -1135
        assert (await ask("nope.nope"))["error"]["code"] == -1020
    async with client.socket("/ws-api/v3") as socket:
        for text in ("{", "[]", '{"id":1}'):
            await socket.send_str(text)
            assert (await socket.receive_json())["error"]["code"] == -1135


async def test_above_the_weight_limit_the_answer_says_when_to_come_back(start):
    client = await start(limits=Limits(weight_per_minute=300))
    async with api(client) as ask:
        await ask("depth", {"symbol": "BTCUSDT", "limit": 5000})
        answer = await ask("depth", {"symbol": "BTCUSDT", "limit": 5000})
        assert (answer["status"], answer["error"]["code"]) == (429, -1003)
        data = answer["error"]["data"]
        assert 0 < data["retryAfter"] - data["serverTime"] <= 60_000
    with pytest.raises(aiohttp.WSServerHandshakeError):
        async with api(client):
            pass


async def test_signed_requests_and_orders(start, caplog):
    key = make_key()
    client = await start(keys=[key])

    def signed(**params):
        params |= {"apiKey": key.name, "timestamp": client.running.exchange.clock.now_ms()}
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
        sign = hmac.new(key.secret.encode(), payload.encode(), "sha256").hexdigest()
        return {**params, "signature": sign}

    async with api(client) as ask:
        account = await ask("account.status", signed(omitZeroBalances="true"))
        assert account["result"]["accountType"] == "SPOT"
        wrong = await ask("account.status", {**signed(), "signature": "0" * 64})
        assert wrong["error"]["code"] == -1022
        order = signed(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="1")
        for method, params, code in (
            ("order.place", order, -2015),
            ("session.logon", signed(), -2015),
            ("order.place", {"symbol": "BTCUSDT"}, -2014),
            ("userDataStream.subscribe.signature", signed(), -2015),
        ):
            answer = await ask(method, params)
            assert (answer["status"], answer["error"]["code"]) == (401, code)
            assert f"refused WebSocket {method}:" in caplog.text


async def test_a_session_says_that_nobody_has_logged_on(start):
    client = await start()
    async with api(client, "?timeUnit=MICROSECOND") as ask:
        for method in ("session.status", "session.logout"):
            answer = (await ask(method))["result"]
            assert answer["apiKey"] is None
            assert 10**15 < answer["connectedSince"] <= answer["serverTime"]


async def test_faults_reach_it(start):
    client = await start()
    async with client.socket("/ws-api/v3") as socket:
        await socket.send_json({"id": 1, "method": "ping"})
        await socket.receive_json()
        assert client.running.faults.drop_connections() == 1
        assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


async def test_json_that_is_too_deep_is_invalid_json(start):
    client = await start()
    async with client.socket("/ws-api/v3") as socket:
        await socket.send_str("[" * 3000)
        answer = await socket.receive_json()
        assert (answer["status"], answer["error"]["code"]) == (400, -1135)
        await socket.send_json({"id": 1, "method": "ping"})
        assert (await socket.receive_json())["result"] == {}


async def test_an_order_in_other_letters_is_no_method_and_logged(start, caplog):
    client = await start()
    async with api(client) as ask:
        assert (await ask("Order.Place", {}))["error"]["code"] == -1020
    assert "refused WebSocket Order.Place:" in caplog.text


async def test_an_order_is_logged_on_one_line(start, caplog):
    client = await start()
    async with api(client) as ask:
        await ask("order.place\n\x1b[31m" + "x" * 900, {})
    (told,) = [record.getMessage() for record in caplog.records if "no orders" in record.msg]
    shown = r"order.place\n\x1b[31m" + "x" * 183
    assert told == f"refused WebSocket {shown}: the simulated exchange takes no orders"
