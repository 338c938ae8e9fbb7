"""A recording comes back frame for frame, and what it lacks follows from its trades."""

import asyncio
import gzip
import json
import logging
import math
import os
from collections import defaultdict
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest

from engine.simulator.pump import Pump
from engine.simulator.recording import Line, Unread, combined, merged, read_lines
from engine.simulator.replay import ReplayError, open_replay
from engine.simulator.server import serve

MINUTE_MS = 60_000
BEGIN_MS = 1_723_161_540_000  # a full minute
RECORDER_LATE_MS = 1270
IN_TIME_S = 30


# -- making small recordings ---------------------------------------------------------------------


def line(time_ms, message):
    """One line as the recorder writes it: its clock is behind, the message 20 ms under way."""
    text = json.dumps(message, separators=(",", ":"))
    return f"{(time_ms + 20 - RECORDER_LATE_MS) * 1_000_000 + 123} {text}"


def wrap(stream, data):
    return {"stream": stream, "data": data}


def trade(
    number, time_ms, price, quantity="0.50000000", *, sold=False, symbol="TESTUSDT", event_ms=None
):
    data = {"e": "trade", "E": event_ms or time_ms, "s": symbol, "t": number, "p": price}
    data |= {"q": quantity, "T": time_ms, "m": sold, "M": True}
    return wrap(f"{symbol.lower()}@trade", data)


def diff(first, last, time_ms, bids=(), asks=(), symbol="TESTUSDT"):
    data = {"e": "depthUpdate", "E": time_ms, "s": symbol, "U": first, "u": last}
    data |= {"b": [list(level) for level in bids], "a": [list(level) for level in asks]}
    return wrap(f"{symbol.lower()}@depth@100ms", data)


def top(update_id, bid, ask, symbol="TESTUSDT"):
    data = {"u": update_id, "s": symbol, "b": bid, "B": "1.00000000", "a": ask, "A": "2.00000000"}
    return wrap(f"{symbol.lower()}@bookTicker", data)


def snapshot(update_id, bids, asks):
    return {
        "lastUpdateId": update_id,
        "bids": [list(level) for level in bids],
        "asks": [list(level) for level in asks],
    }


def write(path, messages):
    text = "".join(line(time_ms, message) + "\n" for time_ms, message in messages)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def session():
    """Three minutes from the middle of one on; the second whole minute has no trade."""
    start = BEGIN_MS - 20_000
    return [
        (start, diff(101, 103, start, [("99.00", "1.0")])),
        (start + 40, trade(1, start + 30, "100.00000000")),
        (start + 50, top(105, "99.00000000", "101.00000000")),
        (start + 100, snapshot(106, [("99.00", "2.0"), ("98.00", "3.0")], [("101.00", "4.0")])),
        (start + 120, diff(104, 107, start + 110, [("98.50", "1.5")], [("101.00", "0.0")])),
        (start + 200, diff(108, 108, start + 200, [], [("100.50", "0.7")])),
        (BEGIN_MS + 5_000, trade(2, BEGIN_MS + 4_990, "100.50000000")),
        (BEGIN_MS + 9_000, trade(3, BEGIN_MS + 8_999, "99.50000000", "0.25000000", sold=True)),
        (BEGIN_MS + 9_100, diff(109, 110, BEGIN_MS + 9_100, [("98.50", "0.0")])),
        (
            BEGIN_MS + 2 * MINUTE_MS + 1_000,
            trade(4, BEGIN_MS + 2 * MINUTE_MS + 990, "101.00000000"),
        ),
        (BEGIN_MS + 3 * MINUTE_MS + 500, top(110, "99.00000000", "100.50000000")),
    ]


# -- playing them --------------------------------------------------------------------------------


@asynccontextmanager
async def playing(paths, speed=math.inf):
    source = open_replay(paths, start=None, start_ms=None)
    async with serve(source, speed=speed) as running, aiohttp.ClientSession() as http:
        yield running, http


async def listen_to_the_end(running, http, streams):
    """Return all frames of `streams` up to the end of the replay."""
    frames = []
    url = f"{running.stream_url}/stream?streams={'/'.join(streams)}"
    async with asyncio.timeout(IN_TIME_S), http.ws_connect(url, max_msg_size=0) as socket:
        asking = None
        async for message in socket:
            assert message.type is aiohttp.WSMsgType.TEXT
            frames.append(message.data)
            if asking is None:
                asking = asyncio.create_task(_ask_when_ended(running, socket))
            if message.data.startswith('{"result":["'):
                await asking
                return frames[:-1]
    raise AssertionError("the connection ended before the replay")


async def _ask_when_ended(running, socket):
    await running.ended
    await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})


async def get(running, http, path):
    async with http.get(f"{running.rest_url}/api/v3/{path}") as answer:
        assert answer.status == 200
        return await answer.json()


def closed_klines(frames):
    klines = [json.loads(frame)["data"]["k"] for frame in frames if "@kline" in frame[:60]]
    return [kline for kline in klines if kline["x"]]


# -- lines ---------------------------------------------------------------------------------------


def test_a_payload_is_kept_byte_for_byte(tmp_path):
    payload = '{"e":"trade", "E":1,"s":"TESTUSDT" ,"p":"1.50"}'
    path = tmp_path / "odd.txt"
    path.write_text(f'1723161253937085768 {{"stream":"testusdt@trade","data":{payload}}}\n')
    (found,) = read_lines(path)
    assert found == Line(1_723_161_253_937_085_768, "stream", "testusdt@trade", payload.encode())


@pytest.mark.parametrize(
    ("message", "stream"),
    [
        ({"e": "trade", "s": "TESTUSDT", "E": 1}, "testusdt@trade"),
        ({"e": "kline", "s": "TESTUSDT", "E": 1, "k": {"i": "5m"}}, "testusdt@kline_5m"),
        ({"u": 7, "s": "TESTUSDT", "b": "1", "B": "1", "a": "2", "A": "1"}, "testusdt@bookTicker"),
        ([{"e": "24hrMiniTicker", "s": "TESTUSDT"}], "!miniTicker@arr"),
    ],
)
def test_raw_messages_are_given_their_stream(tmp_path, message, stream):
    path = tmp_path / "raw.txt"
    path.write_text(f"1723161253937085768 {json.dumps(message)}\n")
    (found,) = read_lines(path)
    assert (found.kind, found.name) == ("stream", stream)


def test_lines_with_seconds_and_urls_are_read(tmp_path):
    path = tmp_path / "feed.txt"
    path.write_text(
        "wss://stream.example:9443/stream?streams=testusdt@trade\n"
        '1633998512.0633569: {"stream":"testusdt@trade","data":{"e":"trade"}}\n'
        "https://api.example/api/v3/depth?symbol=TESTUSDT&limit=1000 -> 1633998512.5: "
        '{"lastUpdateId":5,"bids":[],"asks":[]}\n'
    )
    first, second = read_lines(path)
    assert first[:3] == (1_633_998_512_063_356_900, "stream", "testusdt@trade")
    assert second[:3] == (1_633_998_512_500_000_000, "depth", "TESTUSDT")


def test_lines_that_hold_no_message_are_told_with_their_number(tmp_path):
    path = tmp_path / "torn.txt"
    path.write_text(
        line(BEGIN_MS, trade(1, BEGIN_MS, "1.0"))
        + '\nno time here\n1723161253937085768 {"stream":"testusdt@trade","da'
    )
    found = list(read_lines(path))
    assert [type(item) for item in found] == [Line, Unread, Unread]
    assert [item.line_number for item in found[1:]] == [2, 3]


def test_a_recording_whose_end_is_missing_gives_what_it_holds(tmp_path):
    path = write(tmp_path / "whole.gz", session() * 50)
    torn = tmp_path / "torn.gz"
    torn.write_bytes(path.read_bytes()[:-40])
    found = list(read_lines(torn))
    assert len(found) > 100
    assert isinstance(found[-1], Unread)
    assert "half-written" in found[-1].reason


# -- opening -------------------------------------------------------------------------------------


def test_what_can_not_be_played_is_said_in_a_sentence(tmp_path):
    empty = tmp_path / "empty.gz"
    empty.write_bytes(b"")
    text = tmp_path / "letter.txt"
    text.write_text("Dear reader,\nthis is no market.\n")
    silent = tmp_path / "silent.txt"
    silent.write_text('1723161253937085768 {"result":null,"id":1}\n')
    recording = write(tmp_path / "rec.txt", session())
    for paths, start, words in [
        ([], None, "at least one"),
        ([tmp_path / "none.gz"], None, "There is no file"),
        ([tmp_path], None, "directory"),
        ([empty], None, "is empty"),
        ([text], None, "neither a recording"),
        ([silent], None, "no message of any market"),
        ([recording], "2024-08-10", "from 2024-08-08 23:58:40 to 2024-08-09 00:02:00"),
        ([recording], "once upon a time", "is no time; write it as"),
    ]:
        with pytest.raises(ReplayError, match=words):
            open_replay(paths, start=start, start_ms=None)


def test_the_clock_is_the_exchanges_not_the_recorders(tmp_path):
    source = open_replay([write(tmp_path / "rec.txt", session())], start=None, start_ms=None)
    assert source.start_ms == BEGIN_MS - 20_000


def test_symbols_have_the_steps_of_their_numbers(tmp_path):
    source = open_replay([write(tmp_path / "rec.txt", session())], start=None, start_ms=None)
    (info,) = source.symbols()
    assert (info.name, info.base, info.quote) == ("TESTUSDT", "TEST", "USDT")
    assert (info.price_decimals, info.quantity_decimals) == (1, 2)


# -- playing -------------------------------------------------------------------------------------


async def test_every_frame_comes_once_in_order_and_unchanged(tmp_path):
    messages = session()
    paths = [write(tmp_path / "b.txt", messages[6:]), write(tmp_path / "a.gz", messages[:6])]
    streams = ["testusdt@trade", "testusdt@depth@100ms", "testusdt@bookTicker"]
    async with playing(paths) as (running, http):
        frames = await listen_to_the_end(running, http, streams)
        assert running.exchange.has_ended
        ended_ms = running.exchange.clock.now_ms()
    recorded = [json.dumps(m, separators=(",", ":")) for _, m in messages if "stream" in m]
    assert frames == recorded
    assert ended_ms == BEGIN_MS + 3 * MINUTE_MS + 500


async def test_a_raw_subscriber_gets_the_bare_payload(tmp_path):
    path = write(tmp_path / "rec.txt", session())
    async with playing([path]) as (running, http):
        url = f"{running.stream_url}/ws/testusdt@bookTicker"
        async with asyncio.timeout(IN_TIME_S), http.ws_connect(url) as socket:
            first = await socket.receive_str()
    expected = top(105, "99.00000000", "101.00000000")["data"]
    assert first == json.dumps(expected, separators=(",", ":"))


async def test_a_recording_waits_for_a_listener_and_keeps_its_pace(tmp_path):
    path = write(tmp_path / "rec.txt", session()[:6])
    arrived = []
    async with playing([path], speed=1.0) as (running, http):
        for _ in range(3):
            book = await get(running, http, "depth?symbol=TESTUSDT")
            assert book["lastUpdateId"] == 106
        url = f"{running.stream_url}/stream?streams=testusdt@depth@100ms"
        async with asyncio.timeout(IN_TIME_S), http.ws_connect(url) as socket:
            while len(arrived) < 3:
                message = json.loads(await socket.receive_str())["data"]
                arrived.append((message["u"], message["E"], running.exchange.clock.now_ms()))
    assert [update_id for update_id, _, _ in arrived] == [103, 107, 108]
    assert all(now_ms >= event_ms for _, event_ms, now_ms in arrived)


async def test_candles_follow_from_the_trades_of_whole_minutes(tmp_path):
    path = write(tmp_path / "rec.txt", session())
    async with playing([path]) as (running, http):
        frames = await listen_to_the_end(running, http, ["testusdt@trade", "testusdt@kline_1m"])
        rows = await get(running, http, "klines?symbol=TESTUSDT&interval=1m")
    assert [int(row[0]) for row in rows] == [BEGIN_MS + n * MINUTE_MS for n in range(4)]
    first, flat, third = ([float(x) for x in row[1:6]] for row in rows[:3])
    assert first == [100.5, 100.5, 99.5, 99.5, 0.75]
    assert flat == [99.5, 99.5, 99.5, 99.5, 0.0]
    assert third == [101.0, 101.0, 101.0, 101.0, 0.5]
    assert [row[8] for row in rows] == [2, 0, 1, 0]
    assert float(rows[0][9]) == 0.5
    assert [k["t"] for k in closed_klines(frames)] == [int(row[0]) for row in rows[:3]]


async def test_a_trade_that_arrives_after_its_minute_still_counts_in_it(tmp_path):
    late = BEGIN_MS + MINUTE_MS - 5
    path = write(
        tmp_path / "rec.txt",
        [
            (BEGIN_MS - 1_000, trade(1, BEGIN_MS - 1_000, "100.0")),
            (BEGIN_MS + 100, trade(2, BEGIN_MS + 100, "101.0")),
            (BEGIN_MS + MINUTE_MS + 10, top(1, "99.0", "102.0")),
            (BEGIN_MS + MINUTE_MS + 30, trade(3, late, "102.0", event_ms=late + 5)),
            (BEGIN_MS + MINUTE_MS + 900, trade(4, BEGIN_MS + MINUTE_MS + 900, "103.0")),
        ],
    )
    async with playing([path]) as (running, http):
        frames = await listen_to_the_end(running, http, ["testusdt@trade", "testusdt@kline_1m"])
    (kline,) = closed_klines(frames)
    assert (kline["t"], kline["n"], float(kline["c"]), kline["L"]) == (BEGIN_MS, 2, 102.0, 3)


async def test_the_book_is_the_snapshot_with_the_diffs_applied(tmp_path):
    path = write(tmp_path / "rec.txt", session())
    async with playing([path]) as (running, http):
        before = await get(running, http, "depth?symbol=TESTUSDT&limit=10")
        await listen_to_the_end(running, http, ["testusdt@trade"])
        after = await get(running, http, "depth?symbol=TESTUSDT&limit=10")
    assert before["lastUpdateId"] == 106
    assert [float(price) for price, _ in before["bids"]] == [99.0, 98.0]
    assert after["lastUpdateId"] == 110
    assert [(float(p), float(q)) for p, q in after["bids"]] == [(99.0, 2.0), (98.0, 3.0)]
    assert [(float(p), float(q)) for p, q in after["asks"]] == [(100.5, 0.7)]


async def test_an_odd_market_of_a_recorded_listing_hides_no_other(tmp_path):
    market = {
        "symbol": "TESTUSDT", "status": "TRADING", "baseAsset": "TEST", "quoteAsset": "USDT",
        "filters": [{"filterType": "PRICE_FILTER", "tickSize": "0.05"}],
    }  # fmt: skip
    odd = market | {"symbol": "ODDUSDT", "filters": [{"filterType": "LOT_SIZE", "stepSize": 1}]}
    listing = {"rest": "exchangeInfo", "data": {"symbols": [None, odd, market, 5]}}
    path = write(tmp_path / "rec.txt", [(BEGIN_MS - 5_000, listing), *session()])
    async with playing([path]) as (running, http):
        info = await get(running, http, "exchangeInfo?symbol=TESTUSDT")
    (shown,) = info["symbols"]
    filters = {item["filterType"]: item for item in shown["filters"]}
    assert float(filters["PRICE_FILTER"]["tickSize"]) == 0.05


async def test_the_top_that_rest_shows_is_the_recorded_one(tmp_path):
    path = write(tmp_path / "rec.txt", session())
    async with playing([path]) as (running, http):
        await listen_to_the_end(running, http, ["testusdt@trade"])
        shown = await get(running, http, "ticker/bookTicker?symbol=TESTUSDT")
        price = await get(running, http, "ticker/price?symbol=TESTUSDT")
    assert (float(shown["bidPrice"]), float(shown["askPrice"])) == (99.0, 100.5)
    assert (float(shown["bidQty"]), float(shown["askQty"])) == (1.0, 2.0)
    assert float(price["price"]) == 101.0


async def test_where_diffs_are_missing_the_next_snapshot_takes_over(tmp_path):
    at = BEGIN_MS
    path = write(
        tmp_path / "rec.txt",
        [
            (at, snapshot(10, [("9.0", "1.0")], [("11.0", "1.0")])),
            (at + 100, diff(11, 12, at + 100, [("9.5", "1.0")])),
            (at + 200, diff(20, 21, at + 200, [("9.7", "1.0")])),
            (at + 300, snapshot(22, [("9.8", "1.0")], [("10.9", "1.0")])),
            (at + 400, diff(22, 23, at + 400, [("9.9", "1.0")])),
        ],
    )
    async with playing([path]) as (running, http):
        frames = await listen_to_the_end(running, http, ["testusdt@depth@100ms"])
        book = await get(running, http, "depth?symbol=TESTUSDT")
    assert len(frames) == 3
    assert book["lastUpdateId"] == 23
    assert [float(price) for price, _ in book["bids"]] == [9.9, 9.8]


async def test_without_another_snapshot_a_gap_leaves_no_book(tmp_path, caplog):
    at = BEGIN_MS
    path = write(
        tmp_path / "rec.txt",
        [
            (at, snapshot(10, [("9.0", "1.0")], [("11.0", "1.0")])),
            (at + 100, diff(11, 12, at + 100, [("9.5", "1.0")])),
            (at + 200, diff(20, 21, at + 200, [("9.7", "1.0")])),
        ],
    )
    with caplog.at_level(logging.WARNING):
        async with playing([path]) as (running, http):
            frames = await listen_to_the_end(running, http, ["testusdt@depth@100ms"])
            book = await get(running, http, "depth?symbol=TESTUSDT")
    assert len(frames) == 2
    assert book == {"lastUpdateId": 0, "bids": [], "asks": []}
    assert "missing before 20" in caplog.text


async def test_streams_of_the_recording_are_never_derived_as_well(tmp_path):
    kline = {
        "t": BEGIN_MS,
        "T": BEGIN_MS + MINUTE_MS - 1,
        "s": "TESTUSDT",
        "i": "1m",
        "f": 1,
        "L": 2,
    }
    kline |= {"o": "1.0", "c": "1.0", "h": "1.0", "l": "1.0", "v": "1.0", "n": 2, "x": True}
    kline |= {"q": "1.0", "V": "1.0", "Q": "1.0", "B": "0"}
    ended = BEGIN_MS + MINUTE_MS
    recorded = wrap(
        "testusdt@kline_1m", {"e": "kline", "E": ended + 5, "s": "TESTUSDT", "k": kline}
    )
    path = write(
        tmp_path / "rec.txt",
        [
            (BEGIN_MS - 50, trade(1, BEGIN_MS - 50, "2.0")),
            (BEGIN_MS + 10, trade(2, BEGIN_MS + 10, "2.0")),
            (ended + 5, recorded),
            (ended + 3 * MINUTE_MS, trade(3, ended + 3 * MINUTE_MS, "2.0")),
        ],
    )
    async with playing([path]) as (running, http):
        frames = await listen_to_the_end(running, http, ["testusdt@kline_1m", "testusdt@trade"])
        rows = await get(running, http, f"klines?symbol=TESTUSDT&interval=1m&startTime={BEGIN_MS}")
    klines = [frame for frame in frames if "@kline" in frame]
    assert klines == [json.dumps(recorded, separators=(",", ":"))]
    assert float(rows[0][4]) == 1.0


async def test_a_recorded_stream_is_had_by_each_of_its_names(tmp_path):
    slow = diff(101, 103, BEGIN_MS + 500, [("99.00", "1.0")])
    slow["stream"] = "testusdt@depth@1000ms"
    path = write(
        tmp_path / "rec.txt",
        [
            (BEGIN_MS, trade(1, BEGIN_MS, "2.0")),
            (BEGIN_MS + 200, snapshot(100, [("98.00", "3.0")], [("101.00", "4.0")])),
            (BEGIN_MS + 500, slow),
        ],
    )
    names = ["testusdt@depth", "testusdt@depth@1000ms"]
    async with playing([path]) as (running, http):
        frames = [json.loads(f) for f in await listen_to_the_end(running, http, names)]
        book = await get(running, http, "depth?symbol=TESTUSDT")
    assert frames == [wrap(name, slow["data"]) for name in names]
    assert book["lastUpdateId"] == 103


async def test_a_recording_without_a_book_or_a_price_invents_none(tmp_path):
    path = write(tmp_path / "rec.txt", [(BEGIN_MS, top(5, "1.0", "2.0"))])
    kinds = ["depth", "depth5", "depth10@100ms", "ticker", "ticker_1h", "avgPrice",
             "referencePrice", "kline_1m", "kline_1d@+08:00"]  # fmt: skip
    names = [f"testusdt@{kind}" for kind in kinds] + ["!miniTicker@arr", "!ticker_1d@arr"]
    async with playing([path]) as (running, http):
        url = f"{running.stream_url}/stream?streams={'/'.join(names)}"
        async with asyncio.timeout(IN_TIME_S), http.ws_connect(url) as socket:
            await running.ended
            pump = Pump(running.exchange)
            pump.push_tickers()
            for flag in (True, False):
                pump.push_depth(fast=flag)
                pump.push_candles(seconds=flag)
            await socket.send_str('{"method":"GET_PROPERTY","params":["combined"],"id":1}')
            assert (await socket.receive_json())["id"] == 1


# -- the real session ----------------------------------------------------------------------------


def recordings():
    directory = os.environ.get("KLINETOP_RECORDINGS")
    if not directory:
        pytest.skip("KLINETOP_RECORDINGS is not set")
    return Path(directory) / "recordings"


def expected_of(lines):
    """Compute frames, the final book and whole 1m candles of a recording, independently."""
    frames, trades, asked, diffs = [], [], None, []
    for item in lines:
        message = json.loads(item.payload)
        if item.kind == "depth":
            asked = message
            continue
        frames.append(combined(item.name, item.payload).decode())
        if item.name.endswith("@trade"):
            trades.append(message)
        elif item.name.endswith("@depth@100ms"):
            diffs.append(message)
    sides = book_of(asked, diffs)
    minutes = defaultdict(list)
    for message in trades:
        minutes[message["T"] // MINUTE_MS * MINUTE_MS].append(message)
    whole = sorted(minutes)[1:-1]
    candles = {t: _candle(minutes[t]) for t in whole}
    return frames, sides, diffs[-1]["u"], candles


def book_of(asked, diffs):
    sides = {"b": dict(asked["bids"]), "a": dict(asked["asks"])}
    for message in diffs:
        if message["u"] <= asked["lastUpdateId"]:
            continue
        for key, side in sides.items():
            for price, quantity in message[key]:
                side.pop(price, None)
                if float(quantity):
                    side[price] = quantity
    return sides


def _candle(trades):
    prices = [Decimal(trade["p"]) for trade in trades]
    amounts = [Decimal(trade["q"]) for trade in trades]
    buys = [not trade["m"] for trade in trades]
    return (
        prices[0], max(prices), min(prices), prices[-1], sum(amounts),
        sum(p * q for p, q in zip(prices, amounts, strict=True)), len(trades),
        sum(q for q, buy in zip(amounts, buys, strict=True) if buy),
    )  # fmt: skip


@pytest.mark.recorded
async def test_the_recorded_session_loses_nothing_at_full_speed():
    directory = recordings()
    paths = [directory / "btcusdt_20240808.gz", directory / "btcusdt_20240809.gz"]
    lines = [item for item in merged(paths) if isinstance(item, Line)]
    frames, sides, last_update_id, candles = expected_of(lines)
    streams = [f"btcusdt@{name}" for name in ("trade", "bookTicker", "depth@100ms", "kline_1m")]
    async with playing(paths) as (running, http):
        heard = await listen_to_the_end(running, http, streams)
        rows = await get(running, http, "klines?symbol=BTCUSDT&interval=1m")
        book = await get(running, http, "depth?symbol=BTCUSDT&limit=5000")
    assert [frame for frame in heard if "@kline" not in frame[:40]] == frames
    assert book["lastUpdateId"] == last_update_id
    assert {tuple(level) for level in book["bids"]} == set(sides["b"].items())
    assert {tuple(level) for level in book["asks"]} == set(sides["a"].items())
    pushed = {k["t"]: k for k in closed_klines(heard)}
    assert list(pushed) == list(candles)
    for row in rows[:-1]:
        numbers = [Decimal(row[n]) for n in (1, 2, 3, 4, 5, 7)]
        assert (*numbers, row[8], Decimal(row[9])) == candles[row[0]]
        kline = pushed[row[0]]
        assert [kline[key] for key in "ohlcvq"] == [row[n] for n in (1, 2, 3, 4, 5, 7)]


@pytest.mark.recorded
async def test_recordings_of_another_recorder_play_with_their_own_candles():
    directory = recordings()
    paths = sorted(directory.glob("cryptofeed_BINANCE_US.*"))
    async with playing(paths) as (running, http):
        frames = await listen_to_the_end(
            running, http, ["omgbusd@kline_1m", "omgbusd@depth@100ms", "compusdt@bookTicker"]
        )
        book = await get(running, http, "depth?symbol=OMGBUSD")
    streams = [json.loads(frame)["stream"] for frame in frames]
    assert streams.count("omgbusd@kline_1m") == 5
    assert streams.count("omgbusd@depth@100ms") == 159
    assert streams.count("compusdt@bookTicker") == 44
    last = [f for f in frames if "omgbusd@depth" in f][-1]
    assert book["lastUpdateId"] == json.loads(last)["data"]["u"]
