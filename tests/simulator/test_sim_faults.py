"""Faults of the simulated exchange: each does what it says, and only that."""

import asyncio
import json

import aiohttp
import pytest

from engine.market.interval import INTERVALS, MINUTE_MS
from engine.market.symbol import SymbolInfo
from engine.simulator.limits import Limits
from engine.simulator.load import publish_burst

STREAM = "ltcusdt@kline_1m"


def is_closed(message):
    return message.get("k", {}).get("x", False)


async def closes(receive, socket, count):
    found = []
    while len(found) < count:
        found.append((await receive(socket, is_closed))[-1]["k"])
    return found


async def row_of(client, open_time_ms, path="api/v3/klines", symbol="LTCUSDT"):
    query = {"symbol": symbol, "interval": "1m", "startTime": open_time_ms, "limit": 1}
    async with client.session.get(f"{client.running.rest_url}/{path}", params=query) as answer:
        rows = await answer.json()
    return rows[0] if rows and rows[0][0] == open_time_ms else None


async def test_closes_are_lost_repeated_changed_and_late(start, receive):
    client = await start(speed=300)
    faults = client.running.faults
    async with client.socket(f"/ws/{STREAM}") as socket:
        (first,) = await closes(receive, socket, 1)
        faults.skip_close("LTCUSDT", "1m", 2)
        (after,) = await closes(receive, socket, 1)
        assert after["t"] == first["t"] + 3 * MINUTE_MS
        faults.repeat_close("*", "*")
        one, same, other = await closes(receive, socket, 3)
        assert one == same
        assert other["t"] == one["t"] + MINUTE_MS
        faults.repeat_close("LTCUSDT", "1m", change={"trades": 9999, "close": one_price(other)})
        one, changed = await closes(receive, socket, 2)
        assert (changed["t"], changed["n"]) == (one["t"], 9999)
        assert (await row_of(client, one["t"]))[8] == 9999
        faults.late_close("LTCUSDT", "1m", 1, 70_000)
        early, late = await closes(receive, socket, 2)
        assert late["t"] == early["t"] - MINUTE_MS
    with pytest.raises(ValueError, match="colour"):
        faults.repeat_close("LTCUSDT", "1m", change={"colour": 1})


def one_price(kline):
    return float(kline["c"])


async def test_hidden_candles_are_in_the_record_only(start, receive):
    client = await start(speed=300)
    running = client.running
    now_ms = running.exchange.now_ms // MINUTE_MS * MINUTE_MS
    running.faults.hide_klines("LTCUSDT", "1m", now_ms, now_ms + 2 * MINUTE_MS, push=False)
    async with client.socket(f"/ws/{STREAM}") as socket:
        (kline,) = await closes(receive, socket, 1)
        assert kline["t"] >= now_ms + 2 * MINUTE_MS
    assert await row_of(client, now_ms) is None
    assert (await row_of(client, now_ms, "sim/klines"))[0] == now_ms
    page = await client.get(
        "klines", symbol="LTCUSDT", interval="1m", startTime=now_ms - 2 * MINUTE_MS, limit=3
    )
    # A page is full as long as there is more, as if the hidden ones had never been.
    assert [(row[0] - now_ms) // MINUTE_MS for row in page] == [-2, -1, 2]
    running.faults.show_klines()
    assert (await row_of(client, now_ms))[0] == now_ms


async def test_history_is_rewritten(start):
    client = await start()
    at_ms = client.running.exchange.now_ms // MINUTE_MS * MINUTE_MS - 600_000
    before = await row_of(client, at_ms)
    client.running.faults.rewrite_kline("LTCUSDT", "1m", at_ms, trades=before[8] + 5)
    after = await row_of(client, at_ms)
    assert after[8] == before[8] + 5
    assert after[:8] == before[:8]
    client.running.faults.rewrite_kline("*", "1m", at_ms, volume=7.0)
    url = f"{client.running.rest_url}/sim/klines"
    for symbol in ("LTCUSDT", "BTCUSDT"):
        assert float((await row_of(client, at_ms, "sim/klines", symbol))[5]) == 7.0
        query = {"symbol": symbol, "interval": "1m", "startTime": at_ms, "limit": 1, "first": 1}
        async with client.session.get(url, params=query) as answer:
            (first,) = await answer.json()
        assert float(first[5]) != 7.0, "as it was when it had closed"
        if symbol == "LTCUSDT":
            assert first == before


async def test_rest_answers_come_in_a_row_and_by_path(start):
    client = await start()
    faults = client.running.faults
    faults.rest_answer(500, count=2, paths=("klines",))
    faults.rest_answer(429, headers={"Retry-After": "7"}, count=1)
    faults.rest_answer(200, body=b"", count=1, paths=("/api/v3/time",))
    url = f"{client.running.rest_url}/api/v3/"
    seen = []
    for path in ("ping", "klines", "klines", "time", "ping"):
        async with client.session.get(url + path) as answer:
            seen.append((answer.status, answer.headers.get("Retry-After"), await answer.read()))
    assert [status for status, _, _ in seen] == [429, 500, 500, 200, 200]
    assert seen[0][1] == "7"
    assert json.loads(seen[0][2])["code"] == -1003
    assert seen[3][2] == b""
    assert faults.rest.given == 4
    faults.rest_answer(451)
    assert (await client.ask("ping"))[0] == 451
    faults.clear_rest()
    assert (await client.ask("ping"))[0] == 200


async def test_a_halted_market_has_no_minutes(start, receive):
    client = await start(speed=300)
    running = client.running
    running.faults.set_status("LTCUSDT", "BREAK")
    first_ms = running.exchange.now_ms // MINUTE_MS * MINUTE_MS + MINUTE_MS
    async with client.socket(f"/ws/{STREAM}/btcusdt@kline_1m/ltcusdt@trade") as socket:
        messages = await receive(
            socket, lambda m: is_closed(m) and m["k"]["t"] >= first_ms + MINUTE_MS
        )
        assert {m["s"] for m in messages if m.get("k", {"t": first_ms})["t"] >= first_ms} == {
            "BTCUSDT"
        }
        info = await client.get("exchangeInfo", symbol="LTCUSDT")
        assert info["symbols"][0]["status"] == "BREAK"
        running.faults.set_status("LTCUSDT", "TRADING")
        back = (await receive(socket, lambda m: m["s"] == "LTCUSDT" and is_closed(m)))[-1]["k"]
    rows = await client.get(
        "klines", symbol="LTCUSDT", interval="1m", startTime=first_ms - MINUTE_MS, endTime=back["t"]
    )
    assert [row[0] for row in rows] == [first_ms - MINUTE_MS, back["t"]]


async def test_markets_begin_and_end(start, receive):
    client = await start(speed=300)
    running = client.running
    running.faults.list_symbol(SymbolInfo("币安人生USDT", "", "", "TRADING"))
    async with client.socket("/ws/币安人生usdt@kline_1m") as socket:
        (kline,) = await closes(receive, socket, 1)
    assert kline["s"] == "币安人生USDT"
    rows = await client.get("klines", symbol="币安人生USDT", interval="1m", endTime=kline["t"])
    assert rows[-1] == [kline[key] for key in "tohlcvTqnVQB"]
    assert rows[0][0] >= running.exchange.source.start_ms // MINUTE_MS * MINUTE_MS
    assert "币安人生USDT" not in [info.name for info in running.exchange.source.symbols()]
    running.faults.delist("BTCUSDT")
    status, body, _ = await client.ask("klines", symbol="BTCUSDT", interval="1m")
    assert (status, body["code"]) == (400, -1121)
    names = [row["symbol"] for row in (await client.get("exchangeInfo"))["symbols"]]
    assert names == ["LTCUSDT", "币安人生USDT"]
    assert await row_of(client, rows[0][0] - MINUTE_MS, "sim/klines", "BTCUSDT")
    with pytest.raises(ValueError, match="already"):
        running.faults.list_symbol(SymbolInfo("LTCUSDT", "", "", "TRADING"))


async def test_frames_before_a_close_frame_arrive_with_it(start):
    client = await start()
    exchange = client.running.exchange
    async with client.socket("/ws/x@load") as socket:
        assert client.running.faults.close_connections(1008, unread=50) == 1
        publish_burst(exchange, "x@load", [b'{"glued":1}'])
        for number in range(60):
            exchange.hub.publish("x@load", b'{"n":%d}' % number)
        frames = []
        while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            frames.append(message.data)
        assert len(frames) == 50
        assert socket.close_code == 1008


async def test_half_a_frame_then_a_reset(start):
    client = await start()
    async with client.socket("/ws/x@load") as socket:
        assert client.running.faults.reset_mid_frame() == 1
        message = await asyncio.wait_for(socket.receive(), 60)
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    assert not client.running.faults.connections


async def test_raw_frames_and_the_shutdown_notice(start, receive):
    client = await start()
    faults = client.running.faults
    async with client.socket("/ws") as raw, client.socket("/stream") as combined:
        faults.shutdown_notice()
        plain = (await receive(raw))[0]
        assert plain["e"] == "serverShutdown"
        assert (await receive(combined))[0] == {"stream": "!serverShutdown", "data": plain}
        faults.send_raw("", 2)
        faults.send_raw(b"\xff")
        kinds = [await raw.receive() for _ in range(3)]
        assert [message.data for message in kinds] == ["", "", b"\xff"]


async def test_connects_are_limited_and_connections_end(start):
    client = await start(limits=Limits(most_connects=2, connects_window_s=60.0, life_s=0.2))
    async with client.socket() as socket, client.socket():
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            async with client.socket():
                pass
        assert refusal.value.status == 429
        assert 0 < int(refusal.value.headers["Retry-After"]) <= 60
        assert (await asyncio.wait_for(socket.receive(), 60)).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1001


async def test_an_end_time_between_two_minutes_gives_no_later_minute(start):
    client = await start(speed=600)
    exchange = client.running.exchange
    begin_ms = exchange.now_ms // MINUTE_MS * MINUTE_MS
    while exchange.now_ms < begin_ms + 6 * MINUTE_MS:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    end_ms = begin_ms + 3 * MINUTE_MS
    rows = await exchange.candles("LTCUSDT", INTERVALS["1m"], begin_ms, end_ms - 1, 100)
    assert [row.open_time_ms for row in rows] == [begin_ms + n * MINUTE_MS for n in range(3)]
