import asyncio
import json
import time

import aiohttp
import pytest

from engine.market.interval import MINUTE_MS
from engine.simulator.hub import text_frame
from engine.simulator.limits import Limits
from engine.simulator.load import publish_at_rate, publish_burst

KINDS = (
    "trade", "aggTrade", "ticker", "miniTicker", "bookTicker", "avgPrice", "depth", "depth@100ms",
    "depth5", "depth10@100ms", "depth20@100ms", "kline_1s", "kline_1m", "kline_1h", "kline_1w",
    "kline_1M",
)  # fmt: skip


def is_closed(message):
    return message.get("data", message).get("k", {}).get("x", False)


async def command(socket, receive, **message):
    await socket.send_str(json.dumps(message))
    return (await receive(socket, lambda m: "e" not in m and "stream" not in m))[-1]


async def test_raw_and_combined_payloads(start, receive):
    client = await start(speed=20)
    async with client.socket("/ws/btcusdt@trade") as socket:
        message = (await receive(socket))[0]
        assert message["e"] == "trade"
        assert list(message) == ["e", "E", "s", "t", "p", "q", "T", "m", "M"]
    async with client.socket("/stream?streams=btcusdt@trade/ltcusdt@bookTicker") as socket:
        messages = await receive(socket, lambda m: m["stream"] == "btcusdt@trade")
        assert messages[-1]["data"]["s"] == "BTCUSDT"
        assert all(m.keys() == {"stream", "data"} for m in messages)


async def test_every_stream_kind_speaks(start, receive):
    client = await start(speed=20)
    names = [f"btcusdt@{kind}" for kind in KINDS] + ["!miniTicker@arr"]
    seen = {}

    def all_there(message):
        seen.setdefault(message["stream"], message["data"])
        return len(seen) == len(names)

    async with client.socket("/stream?streams=" + "/".join(names)) as socket:
        await receive(socket, all_there)
    assert len(seen["btcusdt@depth5"]["bids"]) == 5
    assert seen["btcusdt@kline_1M"]["k"]["i"] == "1M"
    assert seen["!miniTicker@arr"][0]["e"] == "24hrMiniTicker"
    assert "e" not in seen["btcusdt@bookTicker"]


async def test_streamed_closed_candles_equal_rest(start, receive):
    client = await start(speed=300)
    async with client.socket("/ws/ltcusdt@kline_1m/ltcusdt@kline_3m") as socket:
        closed = []
        while sum(m["k"]["i"] == "3m" for m in closed) < 2:
            closed.append((await receive(socket, is_closed))[-1])
    minutes = [m["k"] for m in closed if m["k"]["i"] == "1m"]
    assert [k["t"] for k in minutes] == [
        minutes[0]["t"] + n * MINUTE_MS for n in range(len(minutes))
    ]
    for message in closed:
        kline = message["k"]
        assert message["E"] == kline["T"] + 1
        (row,) = await client.get(
            "klines", symbol="LTCUSDT", interval=kline["i"], startTime=kline["t"], limit=1
        )
        keys = "tohlcvTqnVQB"
        assert row == [kline[key] for key in keys]
        assert kline["n"] == 0 or kline["L"] - kline["f"] + 1 == kline["n"]


async def test_candles_equal_the_streamed_trades(start, receive):
    client = await start(speed=200)
    async with client.socket("/ws/btcusdt@kline_1m/btcusdt@trade") as socket:
        await receive(socket, is_closed)
        messages = await receive(socket, is_closed)
    kline = messages[-1]["k"]
    trades = [m for m in messages if m["e"] == "trade"]
    prices = [float(m["p"]) for m in trades]
    assert len(trades) == kline["n"]
    assert trades[0]["t"] == kline["f"]
    assert trades[-1]["t"] == kline["L"]
    assert (float(kline["o"]), float(kline["c"])) == (prices[0], prices[-1])
    assert (float(kline["h"]), float(kline["l"])) == (max(prices), min(prices))
    assert float(kline["v"]) == round(sum(float(m["q"]) for m in trades), 8)
    taker = sum(float(m["q"]) for m in trades if not m["m"])
    assert float(kline["V"]) == round(taker, 8)


async def test_a_book_from_snapshot_and_diffs_equals_the_exchange(start, receive, wire_book):
    client = await start(speed=20)
    exchange = client.running.exchange
    async with client.socket("/ws/btcusdt@depth@100ms") as socket:
        first = (await receive(socket))[0]
        book = wire_book()
        book.load(await client.get("depth", symbol="BTCUSDT", limit=5000))
        assert book.last_id >= first["U"]
        last_u = None
        for _ in range(15):
            event = (await receive(socket))[0]
            assert last_u is None or event["U"] == last_u + 1
            last_u = event["u"]
            book.apply(event)
            assert not book.is_crossed
        exchange.clock.stop()
        snapshot = await client.get("depth", symbol="BTCUSDT", limit=5000)
        exchange.push_diff("BTCUSDT", fast=True)
        while book.last_id < snapshot["lastUpdateId"]:
            book.apply((await receive(socket))[0])
    true = wire_book()
    true.load(snapshot)
    assert book.last_id == true.last_id
    assert book.levels() == true.levels()
    assert len(true.bids) > 300


async def test_book_tickers_are_the_top_of_the_book(start, receive, wire_book):
    client = await start(speed=20)
    async with client.socket("/ws/btcusdt@bookTicker/btcusdt@depth@100ms") as socket:
        await receive(socket, lambda m: m.get("e") == "depthUpdate")
        book, top, compared = wire_book(), None, 0
        book.load(await client.get("depth", symbol="BTCUSDT", limit=5000))
        while compared < 15:
            message = (await receive(socket))[0]
            if "e" not in message:
                top = message
                continue
            book.apply(message)
            if top is not None and book.last_id == message["u"] >= top["u"]:
                compared += 1
                assert max(book.bids) == float(top["b"])
                assert min(book.asks) == float(top["a"])
                assert book.bids[max(book.bids)] == float(top["B"])


async def test_commands(start, receive):
    client = await start()
    async with client.socket() as socket:

        async def ask(**message):
            return await command(socket, receive, **message)

        name = "btcusdt@kline_1d"
        assert await ask(method="SUBSCRIBE", params=[name], id=1) == {"result": None, "id": 1}
        assert await ask(method="LIST_SUBSCRIPTIONS", id="a") == {"result": [name], "id": "a"}
        assert await ask(method="GET_PROPERTY", params=["combined"], id=2) == {
            "result": False,
            "id": 2,
        }
        await ask(method="SET_PROPERTY", params=["combined", True], id=3)
    async with client.socket() as socket:
        assert (await ask(method="UNSUBSCRIBE", params=[name], id=4))["id"] == 4
        assert (await ask(method="LIST_SUBSCRIPTIONS", id=None)) == {"result": [], "id": None}


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("{", 3, "Invalid JSON"),
        pytest.param("[" * 3000, 3, "Invalid JSON", id="too deep"),
        ('{"method":"SUBSCRIB","params":[],"id":1}', 2, "unknown variant SUBSCRIB"),
        ('{"method":"SUBSCRIBE","id":1}', 2, "missing field `params`"),
        ('{"method":"SUBSCRIBE","params":[1],"id":1}', 2, "expected a string"),
        ('{"method":"SUBSCRIBE","params":[],"id":1.5}', 2, "request ID"),
        ('{"method":"SUBSCRIBE","params":[],"id":"a b"}', 2, "request ID"),
        ('{"method":"GET_PROPERTY","params":["x"],"id":1}', 0, "Unknown property"),
        ('{"method":"SET_PROPERTY","params":["combined","x"],"id":1}', 1, "Boolean"),
        ('{"method":"SET_PROPERTY","params":["combined"],"id":1}', 2, "too few"),
        ('{"method":"LIST_SUBSCRIPTIONS","params":["x"],"id":1}', 2, "too many"),
    ],
)
async def test_wrong_commands_are_answered_with_their_error(start, receive, text, code, message):
    client = await start()
    async with client.socket() as socket:
        await socket.send_str(text)
        (answer,) = await receive(socket)
        assert answer["code"] == code
        assert message in answer["msg"]


async def test_the_sixth_message_of_a_second_closes_the_connection(start):
    client = await start()
    async with client.socket() as socket:
        for number in range(6):
            await socket.send_str(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
        async with asyncio.timeout(60):
            while not socket.closed:
                await socket.receive()
        assert socket.close_code == 1008


async def test_a_long_command_is_silently_ignored(start, receive):
    client = await start()
    names = [f"s{number}usdt@kline_1m" for number in range(300)]
    async with client.socket() as socket:
        await socket.send_str(json.dumps({"method": "SUBSCRIBE", "params": names, "id": 1}))
        answer = await command(socket, receive, method="LIST_SUBSCRIPTIONS", id=2)
        assert answer == {"result": [], "id": 2}


async def test_a_connection_has_at_most_so_many_streams(start, receive):
    client = await start(limits=Limits(most_streams=3))
    async with client.socket() as socket:
        names = [f"s{number}usdt@trade" for number in range(4)]
        answer = await command(socket, receive, method="SUBSCRIBE", params=names, id=1)
        assert answer == {"error": {"code": 4, "msg": "Too many subscriptions"}, "id": 1}
    with pytest.raises(aiohttp.WSServerHandshakeError):
        async with client.socket("/stream?streams=" + "/".join(names)):
            pass


async def test_a_long_url_is_served_and_a_too_long_one_is_refused(start, receive):
    client = await start(speed=20)
    names = ["btcusdt@trade"] + [f"sim{number:05d}usdt@kline_1m" for number in range(300)]
    async with client.socket("/stream?streams=" + "/".join(names)) as socket:
        assert (await receive(socket))[0]["stream"] == "btcusdt@trade"
    with pytest.raises(aiohttp.WSServerHandshakeError, match="414"):
        async with client.socket("/stream?streams=" + "/".join(names * 2)):
            pass


async def test_unknown_streams_are_accepted_and_silent(start, receive):
    client = await start(speed=20)
    async with client.socket() as socket:
        names = ["nopeusdt@trade", "btcusdt@nope", "btcusdt@kline_7m"]
        answer = await command(socket, receive, method="SUBSCRIBE", params=names, id=1)
        assert answer == {"result": None, "id": 1}
        with pytest.raises(TimeoutError):
            await receive(socket, timeout_s=0.3)


async def test_a_reader_that_does_not_read_is_cut_and_others_go_on(start, receive):
    bound = 300_000
    client = await start(limits=Limits(most_backlog_bytes=bound))
    exchange = client.running.exchange
    async with client.socket("/ws/x@load") as lazy, client.socket("/ws/x@load") as reader:
        slow = next(iter(exchange.faults.connections))
        lazy._reader._protocol.transport.pause_reading()
        payload = json.dumps({"pad": "x" * 10_000}).encode()
        received = 0
        async with asyncio.timeout(60):
            while len(exchange.faults.connections) == 2:
                publish_burst(exchange, "x@load", [payload] * 10)
                received += len(await receive(reader))
                assert slow.backlog_bytes <= 4 * bound
                for _ in range(9):
                    await receive(reader)
        publish_burst(exchange, "x@load", [b'{"last":1}'])
        assert (await receive(reader))[-1] == {"last": 1}
        lazy._reader._protocol.transport.abort()


async def test_the_server_pings_and_cuts_who_does_not_answer(start):
    client = await start(limits=Limits(ping_s=0.05, pong_s=0.2))
    url = client.running.stream_url + "/ws"
    async with client.session.ws_connect(url, autoping=False) as socket:
        message = await asyncio.wait_for(socket.receive(), 60)
        assert message.type is aiohttp.WSMsgType.PING
        async with asyncio.timeout(60):
            while message.type is aiohttp.WSMsgType.PING:
                message = await socket.receive()
    assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


@pytest.mark.parametrize("size", [1, 125, 126, 65535, 65536, 200_000])
async def test_frames_of_every_length_arrive_whole(start, size):
    client = await start()
    payload = b"x" * size
    async with client.socket("/ws/x@load") as socket:
        publish_burst(client.running.exchange, "x@load", [payload, b"end"])
        assert (await socket.receive()).data == payload.decode()
        assert (await socket.receive()).data == "end"
    assert text_frame(payload).endswith(payload)


# -- faults ------------------------------------------------------------------------------------


async def test_a_glued_burst_arrives_whole_and_in_order(start, receive):
    client = await start()
    async with client.socket("/stream?streams=x@load") as socket:
        payloads = [b'{"n":%d}' % number for number in range(5000)]
        publish_burst(client.running.exchange, "x@load", payloads)
        messages = await receive(socket, lambda m: m["data"]["n"] == 4999)
        assert [m["data"]["n"] for m in messages] == list(range(5000))


async def test_load_at_a_rate_is_complete(start, receive):
    client = await start()
    async with client.socket("/ws/a@load/b@load") as socket:
        sender = asyncio.create_task(
            publish_at_rate(
                client.running.exchange,
                ["a@load", "b@load"],
                lambda stream, number: b'{"n":%d}' % number,
                messages_per_s=20_000,
                seconds=0.25,
            )
        )
        messages = await receive(socket, lambda m: m["n"] == 4999)
        assert await sender == 5000
        assert [m["n"] for m in messages] == list(range(5000))


async def test_silence_and_stall(start, receive):
    client = await start()
    exchange, faults = client.running.exchange, client.running.faults
    async with client.socket("/ws/x@load") as socket:
        faults.silent = True
        publish_burst(exchange, "x@load", [b'{"n":1}'])
        faults.silent = False
        faults.stall(0.2)
        begin = time.monotonic()
        publish_burst(exchange, "x@load", [b'{"n":2}'])
        publish_burst(exchange, "x@load", [b'{"n":3}'])
        assert [m["n"] for m in await receive(socket, lambda m: m["n"] == 3)] == [2, 3]
        assert time.monotonic() - begin >= 0.15


async def test_dropped_and_refused_connections(start, receive):
    client = await start()
    faults = client.running.faults
    async with client.socket("/ws/btcusdt@trade") as socket:
        assert faults.drop_connections() == 1
        async with asyncio.timeout(60):
            while not socket.closed:
                await socket.receive()
        assert socket.close_code == 1006
    faults.refuse_connections(60)
    with pytest.raises(aiohttp.WSServerHandshakeError):
        async with client.socket():
            pass
    faults.refuse_connections(0)
    async with client.socket() as socket:
        assert (await command(socket, receive, method="LIST_SUBSCRIPTIONS", id=1))["id"] == 1


async def test_depth_faults(start, receive):
    client = await start(speed=20)
    faults = client.running.faults
    async with client.socket("/ws/btcusdt@depth@100ms") as socket:
        before = (await receive(socket))[-1]
        faults.drop_depth = 1
        after = (await receive(socket))[-1]
        while after["U"] == before["u"] + 1:
            before, after = after, (await receive(socket))[-1]
        assert after["U"] > before["u"] + 1
        faults.duplicate_depth = 1
        before, after = after, (await receive(socket))[-1]
        while after != before:
            before, after = after, (await receive(socket))[-1]
    faults.stale_snapshots = True
    stale = await client.get("depth", symbol="BTCUSDT")
    client.running.exchange.depth("BTCUSDT", [(1.0, 1.0)], [])
    assert await client.get("depth", symbol="BTCUSDT") == stale
    faults.stale_snapshots = False
    fresh = await client.get("depth", symbol="BTCUSDT")
    assert fresh["lastUpdateId"] > stale["lastUpdateId"]
