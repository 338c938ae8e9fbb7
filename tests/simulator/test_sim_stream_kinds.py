"""The stream names of the official documentation, and those that clients use by default."""

import asyncio
import json

import pytest
from aiohttp import WSMsgType

from engine.simulator.protocol.event_times import event_in_microseconds
from engine.simulator.pump import Pump
from engine.simulator.streams import canonical, is_well_formed, parse_stream

MINUTE_MS = 60_000
DAY_MS = 1440 * MINUTE_MS
ROLLING = {"1h": 60 * MINUTE_MS, "4h": 240 * MINUTE_MS, "1d": DAY_MS}


async def one_of_each(client, receive, names, query=""):
    seen = {}

    def all_there(message):
        seen.setdefault(message["stream"], message["data"])
        return seen.keys() == set(names)

    async with client.socket(f"/stream?streams={'/'.join(names)}{query}") as socket:
        await receive(socket, all_there)
    return seen


async def nothing_but(socket, receive, *, kind):
    """Read until a message of the stream `kind`, which shows that pushes go on."""
    messages = await receive(socket, lambda m: m["stream"].endswith(kind))
    return {m["stream"] for m in messages}


async def test_every_pace_of_every_book_stream_speaks_under_the_name_that_was_asked_for(
    start, receive
):
    client = await start(speed=20)
    names = [
        f"btcusdt@depth{levels}{pace}"
        for levels in ("", "5", "10", "20")
        for pace in ("", "@100ms", "@1000ms")
    ]
    seen = await one_of_each(client, receive, names)
    for name, data in seen.items():
        levels = name.partition("@depth")[2].partition("@")[0]
        assert len(data["bids"]) == int(levels) if levels else data["e"] == "depthUpdate"


async def test_two_names_of_one_stream_say_the_same(start, receive):
    client = await start(speed=20)
    async with client.socket("/stream?streams=btcusdt@depth/btcusdt@depth@1000ms") as socket:
        messages = await receive(socket, lambda m: m["stream"] == "btcusdt@depth@1000ms")
    assert messages[-1]["data"] == messages[-2]["data"]
    assert messages[-2]["stream"] == "btcusdt@depth"


async def test_rolling_windows(start, receive):
    client = await start(speed=20)
    names = [f"btcusdt@ticker_{size}" for size in ROLLING]
    names += [f"!ticker_{size}@arr" for size in ROLLING]
    seen = await one_of_each(client, receive, names)
    for size, length_ms in ROLLING.items():
        ticker = seen[f"btcusdt@ticker_{size}"]
        assert ticker["e"] == f"{size}Ticker"
        assert ticker["E"] == ticker["C"]
        assert ticker["O"] % MINUTE_MS == 0
        assert length_ms <= ticker["C"] - ticker["O"] < length_ms + MINUTE_MS
        (row,) = [m for m in seen[f"!ticker_{size}@arr"] if m["s"] == "BTCUSDT"]
        assert row.keys() == ticker.keys()


async def test_a_rolling_window_equals_the_one_of_rest(start, receive):
    client = await start()
    exchange = client.running.exchange
    exchange.clock.stop()
    rest = await client.get("ticker", symbol="BTCUSDT", windowSize="1h")
    async with client.socket("/ws/btcusdt@ticker_1h") as socket:
        await socket.send_str('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        await receive(socket, lambda m: m.get("id") == 1)
        Pump(exchange).push_tickers()
        (pushed,) = await receive(socket)
    keys = {"o": "openPrice", "h": "highPrice", "l": "lowPrice", "c": "lastPrice", "v": "volume",
            "q": "quoteVolume", "O": "openTime", "n": "count", "w": "weightedAvgPrice"}  # fmt: skip
    assert {key: pushed[key] for key in keys} == {key: rest[name] for key, name in keys.items()}


async def test_all_market_arrays_hold_what_has_changed(start, receive):
    client = await start(speed=20)
    names = ["!miniTicker@arr", "!miniTicker@arr@1000ms", "!ticker_1h@arr"]
    seen = await one_of_each(client, receive, names)
    for rows in seen.values():
        assert {row["s"] for row in rows} <= {"BTCUSDT", "LTCUSDT"}
    client.running.exchange.set_status("BTCUSDT", "HALT")
    async with client.socket("/ws/!ticker_1h@arr") as socket:
        await receive(socket)
        assert [row["s"] for row in (await receive(socket))[-1]] == ["LTCUSDT"]


async def test_prices(start, receive):
    client = await start(speed=20)
    seen = await one_of_each(client, receive, ["btcusdt@avgPrice", "btcusdt@referencePrice"])
    average, reference = seen["btcusdt@avgPrice"], seen["btcusdt@referencePrice"]
    assert average["i"] == "5m"
    assert list(reference) == ["e", "s", "r", "t"]
    assert float(reference["r"]) == pytest.approx(float(average["w"]), rel=0.05)


async def test_candles_of_utc_plus_eight(start, receive):
    client = await start(speed=20)
    names = [f"btcusdt@kline_{name}@+08:00" for name in ("1m", "4h", "6h", "1d", "1w", "1M")]
    seen = await one_of_each(client, receive, names)
    for name, message in seen.items():
        interval = name.partition("_")[2].partition("@")[0]
        assert message["k"]["i"] == interval
        (row,) = await client.get(
            "klines", symbol="BTCUSDT", interval=interval, timeZone="+08:00", limit=1
        )
        assert (message["k"]["t"], message["k"]["T"]) == (row[0], row[6])
    assert seen["btcusdt@kline_1d@+08:00"]["k"]["t"] % DAY_MS == 16 * 60 * MINUTE_MS


async def test_a_day_of_utc_plus_eight_closes_and_equals_rest(start, receive, market):
    end_ms = 1_795_017_600_000  # 16:00 UTC
    client = await start(market(start_ms=end_ms - 20_000), speed=60)
    async with client.socket("/ws/btcusdt@kline_1d@+08:00") as socket:
        closed = (await receive(socket, lambda m: m["k"]["x"]))[-1]["k"]
    assert closed["T"] == end_ms - 1
    (row,) = await client.get("klines", symbol="BTCUSDT", interval="1d", timeZone="+08:00",
                              startTime=closed["t"], limit=1)  # fmt: skip
    assert row == [closed[key] for key in "tohlcvTqnVQB"]


@pytest.mark.parametrize("unit", ["MICROSECOND", "microsecond"])
async def test_times_in_microseconds(start, receive, unit):
    client = await start(speed=20)
    now_ms = client.running.exchange.now_ms
    kinds = ("trade", "aggTrade", "kline_1m", "ticker", "miniTicker", "avgPrice", "depth@100ms",
             "ticker_1h", "referencePrice")  # fmt: skip
    names = [f"btcusdt@{kind}" for kind in kinds] + ["!miniTicker@arr"]
    seen = await one_of_each(client, receive, names, f"&timeUnit={unit}")
    seen["!miniTicker@arr"] = seen["!miniTicker@arr"][0]
    for name, data in seen.items():
        times = [data[key] for key in ("E", "O", "C") if key in data]
        times += [data["T"]] if name.endswith(("rade", "avgPrice")) else []
        times += [data["t"]] if name.endswith("referencePrice") else []
        times += [data["k"]["t"], data["k"]["T"] + 1] if "k" in data else []
        assert times, name
        assert all(time % 1000 == 0 and time > now_ms * 999 for time in times), name
    assert seen["btcusdt@trade"]["t"] < now_ms
    async with client.socket(f"/ws/btcusdt@trade?timeUnit={unit}") as socket:
        assert (await receive(socket))[0]["T"] > now_ms * 1000
        client.running.faults.shutdown_notice()
        notice = (await receive(socket, lambda m: m["e"] == "serverShutdown"))[-1]
        assert notice["E"] >= now_ms * 1000


async def test_an_unknown_time_unit_is_refused(start):
    client = await start()
    url = client.running.rest_url + "/stream?streams=btcusdt@trade&timeUnit=NANOSECOND"
    async with client.session.get(url, headers={"Upgrade": "websocket"}) as answer:
        assert answer.status == 400
        assert (await answer.json())["code"] == -1194


def test_microseconds_leave_everything_but_times():
    for text in (b'{"u":5,"s":"X","b":"1"}', b'{"lastUpdateId":9,"bids":[],"asks":[]}', b"[]",
                 b'{"e":"trade","E":1795000000000000,"t":7}', b"no json"):  # fmt: skip
        assert event_in_microseconds(text) == text


# -- names that no stream has --------------------------------------------------------------------


UNKNOWN = [
    "nopeusdt@trade", "btcusdt@nope", "btcusdt@kline_7m", "btcusdt@kline_1m@+09:00",
    "btcusdt@depth7", "btcusdt@depth@500ms", "btcusdt@depth20@0ms", "BTCUSDT@trade",
    "btcusdt@ticker_2h", "btcusdt@ticker@1000ms", "!ticker@arr", "!bookTicker",
    "btcusdt@blockTrade", "!miniTicker@arr@3000ms", "btcusdt", "a" * 64,
]  # fmt: skip


async def test_names_that_no_stream_has_are_acknowledged_and_silent(start, receive):
    client = await start(speed=20)
    async with client.socket("/stream?streams=btcusdt@miniTicker") as socket:
        await socket.send_str(json.dumps({"method": "SUBSCRIBE", "params": UNKNOWN, "id": 1}))
        answer = (await receive(socket, lambda m: "stream" not in m))[-1]
        assert answer == {"result": None, "id": 1}
        for _ in range(4):
            assert await nothing_but(socket, receive, kind="@miniTicker") == {"btcusdt@miniTicker"}


@pytest.mark.parametrize(
    "name", ["", "@trade", "btc usdt@trade", "btcusdt@", "btcusdt@@trade", "@@@rubbish###", "a/b"]
)
async def test_a_name_of_another_form_is_an_error_and_closes(start, receive, name):
    client = await start()
    async with client.socket() as socket:
        await socket.send_str(json.dumps({"method": "SUBSCRIBE", "params": [name], "id": "x"}))
        (answer,) = await receive(socket)
        problem = {"code": 2, "msg": "Invalid request: invalid stream"}
        assert answer == {"error": problem, "id": "x"}
        assert (await socket.receive()).type is WSMsgType.CLOSE
        assert socket.close_code == 1008


async def test_a_url_with_a_name_of_another_form_is_an_error_and_closes(start, receive):
    client = await start()
    async with client.socket("/stream?streams=btcusdt@trade/nonsense!") as socket:
        (answer,) = await receive(socket)
        assert answer["error"]["code"] == 2
        assert (await socket.receive()).type is WSMsgType.CLOSE


def test_names_taken_apart():
    assert canonical("btcusdt@depth5@1000ms") == "btcusdt@depth5"
    assert canonical("btcusdt@kline_1h@+08:00") == "btcusdt@kline_1h"
    assert canonical("btcusdt@kline_1d@+08:00") == "btcusdt@kline_1d@+08:00"
    assert canonical("btcusdt@nope@1000ms") == "btcusdt@nope@1000ms"
    assert parse_stream("这是测试币456@trade").symbol == "这是测试币456"
    assert is_well_formed("这是测试币456@kline_1d@+08:00")


# -- control -------------------------------------------------------------------------------------


async def test_ids_and_properties(start, receive):
    client = await start()
    async with client.socket("/ws?timeUnit=MILLISECOND") as socket:

        async def ask(text):
            await socket.send_str(text)
            return (await receive(socket, lambda m: "e" not in m and "stream" not in m))[-1]

        for ident in (-(2**63), "9d32157c-a556-4d27-9866-66760a174b57", None):
            text = json.dumps({"method": "GET_PROPERTY", "params": ["combined"], "id": ident})
            assert await ask(text) == {"result": False, "id": ident}
        text = '{"method":"SET_PROPERTY","params":["combined",true],"id":4}'
        assert await ask(text) == {"result": None, "id": 4}
    async with client.socket("/stream") as socket:
        text = '{"method":"GET_PROPERTY","params":["combined"],"id":5}'
        assert await ask(text) == {"result": True, "id": 5}
        text = '{"method":"SUBSCRIBE","params":["btcusdt@depth@1000ms"],"id":6}'
        assert await ask(text) == {"result": None, "id": 6}
        text = '{"method":"LIST_SUBSCRIPTIONS","id":7}'
        assert await ask(text) == {"result": ["btcusdt@depth@1000ms"], "id": 7}
        text = '{"method":"UNSUBSCRIBE","params":["btcusdt@depth@1000ms","never@trade"],"id":8}'
        assert await ask(text) == {"result": None, "id": 8}
    assert not client.running.exchange.hub.wants("btcusdt@depth")


async def test_a_socket_that_leaves_takes_its_names_along(start):
    client = await start()
    hub = client.running.exchange.hub
    async with client.socket("/ws/btcusdt@depth@1000ms/btcusdt@depth") as socket:
        await socket.send_str('{"method":"LIST_SUBSCRIPTIONS","id":7}')
        await socket.receive()
        assert list(hub.streams) == ["btcusdt@depth"]
        assert hub.wants_book("btcusdt")
    async with asyncio.timeout(60):
        while hub.streams:  # noqa: ASYNC110 - nobody tells when a socket has left
            await asyncio.sleep(0)
    assert not hub.wants_book("btcusdt")
