"""What the simulated exchange says looks like what the real one says and documents."""

import ast
import asyncio
import gzip
import hmac
import json
import os
import re
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

import engine.simulator
from engine.simulator.generated import GeneratedMarket
from engine.simulator.limits import Limits
from engine.simulator.protocol.keys import make_key
from engine.simulator.server import serve

pytestmark = pytest.mark.recorded

START_MS = 1_733_011_230_000
SYMBOLS = ("BTCUSDT", "ETHUSDT")
IN_TIME_S = 30
# Documented as optional (shown "only if" in the pages that the examples come from).
OPTIONAL = {"sors"}
DECIMAL = re.compile(r"-?\d+(\.\d+)?")


def wire():
    directory = os.environ.get("KLINETOP_RECORDINGS")
    if not directory:
        pytest.skip("KLINETOP_RECORDINGS is not set")
    return Path(directory) / "wire"


def documented(section, doc=None):
    """Return all example payloads of one section of the documentation."""
    examples = json.loads((wire() / "doc_examples.json").read_text())
    found = [e["json"] for e in examples if e["section"] == section and doc in (None, e["doc"])]
    assert found, section
    return found


@asynccontextmanager
async def exchange(*, speed=30.0, limits=None):
    source = GeneratedMarket(seed=3, symbols=SYMBOLS, start_ms=START_MS, history_days=3)
    async with (
        serve(source, speed=speed, limits=limits) as running,
        aiohttp.ClientSession() as http,
    ):
        yield running, http


def shape_faults(got, example, where="$"):
    """List where `got` has other keys or JSON types than `example`; decimals are a type too."""
    if type(got) is not type(example):
        return [f"{where}: {type(got).__name__}, documented {type(example).__name__}"]
    if isinstance(example, dict):
        keys = (got.keys() ^ example.keys()) - OPTIONAL
        faults = [f"{where}: key {key}" for key in sorted(keys)]
        for key in got.keys() & example.keys():
            faults += shape_faults(got[key], example[key], f"{where}.{key}")
        return faults
    if isinstance(example, list):
        return _list_faults(got, example, where)
    if isinstance(example, str) and DECIMAL.fullmatch(example) and not DECIMAL.fullmatch(got):
        return [f"{where}: '{got}' is no number, documented '{example}'"]
    return []


def _list_faults(got, example, where):
    if not example or example == [{}]:
        return []
    if all(isinstance(item, dict | list) for item in example):
        return [
            fault
            for index, item in enumerate(got)
            for fault in shape_faults(item, example[0], f"{where}[{index}]")
        ]
    if all(type(item) is type(example[0]) for item in example) and not DECIMAL.fullmatch(
        str(example[0])
    ):
        return [f"{where}: {item!r}" for item in got if type(item) is not type(example[0])]
    if len(got) != len(example):
        return [f"{where}: {len(got)} items, documented {len(example)}"]
    pairs = zip(got, example, strict=True)
    return [
        fault
        for index, (item, wanted) in enumerate(pairs)
        for fault in shape_faults(item, wanted, f"{where}[{index}]")
    ]


def decimals_faults(got, real, where="$"):
    """List numbers in strings that have another number of decimals than in a real message."""
    if isinstance(real, dict):
        return [
            fault
            for key in real.keys() & got.keys()
            for fault in decimals_faults(got[key], real[key], f"{where}.{key}")
        ]
    if isinstance(real, str) and DECIMAL.fullmatch(real) and "." in real:
        places = [len(text.partition(".")[2]) for text in (got, real)]
        return [f"{where}: {got}, really {real}"] if places[0] != places[1] else []
    return []


# -- REST ----------------------------------------------------------------------------------------

REST = [
    ("ping", "Test connectivity", 0),
    ("time", "Check server time", 0),
    ("exchangeInfo", "Exchange information", 0),
    ("exchangeInfo?symbol=BTCUSDT", "Exchange information", 0),
    ("depth?symbol=BTCUSDT", "Order book", 0),
    ("trades?symbol=BTCUSDT", "Recent trades list", 0),
    ("aggTrades?symbol=BTCUSDT", "Compressed/Aggregate trades list", 0),
    ("klines?symbol=BTCUSDT&interval=1m", "Kline/Candlestick data", 0),
    ("klines?symbol=BTCUSDT&interval=1d&limit=2", "Kline/Candlestick data", 0),
    ("uiKlines?symbol=BTCUSDT&interval=1h", "UIKlines", 0),
    ("avgPrice?symbol=BTCUSDT", "Current average price", 0),
    ("ticker/24hr?symbol=BTCUSDT", "24hr ticker price change statistics", 0),
    ("ticker/24hr", "24hr ticker price change statistics", 1),
    ('ticker/24hr?symbols=["BTCUSDT","ETHUSDT"]', "24hr ticker price change statistics", 1),
    ("ticker/24hr?symbol=BTCUSDT&type=MINI", "24hr ticker price change statistics", 2),
    ("ticker/24hr?type=MINI", "24hr ticker price change statistics", 3),
    ("ticker/price?symbol=BTCUSDT", "Symbol price ticker", 0),
    ("ticker/price", "Symbol price ticker", 1),
    ("ticker/bookTicker?symbol=BTCUSDT", "Symbol order book ticker", 0),
    ("ticker/bookTicker", "Symbol order book ticker", 1),
    ("historicalTrades?symbol=BTCUSDT&fromId=1", "Old trade lookup", 0),
    ("ticker?symbol=BTCUSDT", "Rolling window price change statistics", 0),
    ('ticker?symbols=["BTCUSDT"]&windowSize=4h', "Rolling window price change statistics", 1),
    ("ticker?symbol=BTCUSDT&type=MINI", "Rolling window price change statistics", 2),
    ('ticker?symbols=["BTCUSDT"]&type=MINI', "Rolling window price change statistics", 3),
    ("ticker/tradingDay?symbol=BTCUSDT", "Trading Day Ticker", 0),
    ('ticker/tradingDay?symbols=["BTCUSDT","ETHUSDT"]', "Trading Day Ticker", 1),
    ("ticker/tradingDay?symbol=BTCUSDT&type=MINI", "Trading Day Ticker", 2),
    ("executionRules?symbol=BTCUSDT", "Query Execution Rules", 0),
    ("referencePrice?symbol=BTCUSDT", "Query Reference Price", 0),
    ("referencePrice/calculation?symbol=BTCUSDT", "Query Reference Price Calculation", 1),
]
SIGNED = [
    ("account", "Account information (USER_DATA)"),
    ("account/commission?symbol=BTCUSDT", "Query Commission Rates (USER_DATA)"),
    ("rateLimit/order", "Query Unfilled Order Count (USER_DATA)"),
]


async def test_rest_answers_have_the_documented_keys_and_types():
    faults = {}
    async with exchange() as (running, http):
        await some_trades(running, http)
        for path, section, number in REST:
            async with http.get(f"{running.rest_url}/api/v3/{path}") as answer:
                assert answer.status == 200, path
                assert answer.headers["X-MBX-USED-WEIGHT-1M"].isdigit()
                assert answer.content_type == "application/json"
                got = await answer.json()
            example = documented(section, "rest-api")[number]
            assert got or not example, path
            found = shape_faults(got, example)
            if found:
                faults[path] = found
    assert faults == {}


async def test_signed_answers_have_the_documented_keys_and_types():
    key = make_key()
    source = GeneratedMarket(seed=3, symbols=SYMBOLS, start_ms=START_MS, history_days=3)
    faults = {}
    async with serve(source, keys=[key]) as running, aiohttp.ClientSession() as http:
        for path, section in SIGNED:
            name, _, query = path.partition("?")
            query = f"{query}&timestamp={running.exchange.clock.now_ms()}".lstrip("&")
            signature = hmac.new(key.secret.encode(), query.encode(), "sha256").hexdigest()
            url = f"{running.rest_url}/api/v3/{name}?{query}&signature={signature}"
            async with http.get(url, headers={"X-MBX-APIKEY": key.name}) as answer:
                got = await answer.json()
            found = shape_faults(got, documented(section, "rest-api")[0])
            if found:
                faults[path] = found
    assert faults == {}


def test_every_error_is_in_the_exchanges_list():
    listed = {
        (body["code"], re.sub(r"'?%s'?|'[^']*'", "*", body["msg"]))
        for body in json.loads((wire() / "error_bodies_from_docs.json").read_text())
    }
    folder = Path(engine.simulator.__file__).parent
    found = set()
    for path in folder.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "ApiError":
                code, message = call.args[:2]
                text = "".join(
                    part.value if isinstance(part, ast.Constant) else "%s"
                    for part in getattr(message, "values", [message])
                )
                found.add((ast.literal_eval(code), re.sub(r"'?%s'?|'[^']*'", "*", text)))
    assert len(found) > 20
    # Of the two limits the length of the minute is written out; a replay says what it has.
    ours = {(code, text) for code, text in found - listed if code not in (-1003, -1020)}
    assert ours == set()


async def some_trades(running, http):
    """Wait until each market had trades and a finished aggregate trade."""
    waiting = {f"{symbol.lower()}@aggTrade" for symbol in SYMBOLS}
    url = f"{running.stream_url}/stream?streams={'/'.join(waiting)}"
    async with asyncio.timeout(IN_TIME_S), http.ws_connect(url) as socket:
        while waiting:
            waiting.discard(json.loads(await socket.receive_str())["stream"])


async def test_filters_have_the_keys_of_the_real_exchange_info():
    path = wire().parent / "recordings" / "cryptofeed_BINANCE.0.gz"
    first = gzip.decompress(path.read_bytes()).decode().splitlines()[0]
    real = json.loads(first[first.index("{") :])
    (btc,) = (row for row in real["symbols"] if row["symbol"] == "BTCUSDT")
    filters = {row["filterType"]: row for row in btc["filters"]}
    async with (
        exchange() as (running, http),
        http.get(f"{running.rest_url}/api/v3/exchangeInfo?symbol=BTCUSDT") as answer,
    ):
        ours = (await answer.json())["symbols"][0]["filters"]
    by_type = {row["filterType"]: row for row in ours}
    for name in ("PRICE_FILTER", "LOT_SIZE"):
        assert shape_faults(by_type[name], filters[name]) == []
        assert decimals_faults(by_type[name], filters[name]) == []


# -- streams -------------------------------------------------------------------------------------

STREAMS = {
    "btcusdt@aggTrade": "Aggregate Trade Streams",
    "btcusdt@trade": "Trade Streams",
    "btcusdt@kline_1m": "Kline/Candlestick Streams for UTC",
    "btcusdt@kline_1s": "Kline/Candlestick Streams for UTC",
    "btcusdt@kline_1d": "Kline/Candlestick Streams for UTC",
    "btcusdt@miniTicker": "Individual Symbol Mini Ticker Stream",
    "btcusdt@ticker": "Individual Symbol Ticker Streams",
    "btcusdt@bookTicker": "Individual Symbol Book Ticker Streams",
    "btcusdt@avgPrice": "Average Price",
    "btcusdt@referencePrice": "Reference Price Streams",
    "btcusdt@kline_1d@+08:00": "Kline/Candlestick Streams with timezone offset",
    "btcusdt@ticker_1h": "Individual Symbol Rolling Window Statistics Streams",
    "btcusdt@ticker_4h": "Individual Symbol Rolling Window Statistics Streams",
    "btcusdt@ticker_1d": "Individual Symbol Rolling Window Statistics Streams",
    "btcusdt@depth5@1000ms": "Partial Book Depth Streams",
    "btcusdt@depth@1000ms": "Diff. Depth Stream",
    "btcusdt@depth5": "Partial Book Depth Streams",
    "btcusdt@depth10@100ms": "Partial Book Depth Streams",
    "btcusdt@depth20@100ms": "Partial Book Depth Streams",
    "btcusdt@depth": "Diff. Depth Stream",
    "btcusdt@depth@100ms": "Diff. Depth Stream",
}
ARRAY = "!miniTicker@arr"
ROLLING_ARRAY = "!ticker_1h@arr"


async def one_of_each(running, http, streams):
    """Return one whole message of each stream; a depth diff is taken when both sides changed."""
    got = {}
    url = f"{running.stream_url}/stream?streams={'/'.join(streams)}"
    async with asyncio.timeout(IN_TIME_S), http.ws_connect(url, max_msg_size=0) as socket:
        while got.keys() != set(streams):
            message = json.loads(await socket.receive_str())
            assert message.keys() == {"stream", "data"}
            data = message["data"]
            if (
                isinstance(data, dict)
                and data.get("e") == "depthUpdate"
                and not (data["b"] and data["a"])
            ):
                continue
            got.setdefault(message["stream"], data)
    return got


async def test_stream_payloads_have_the_documented_keys_and_types():
    async with exchange() as (running, http):
        got = await one_of_each(running, http, [*STREAMS, ARRAY, ROLLING_ARRAY])
    faults = {
        stream: found
        for stream, section in STREAMS.items()
        if (found := shape_faults(got[stream], documented(section, "web-socket-streams")[0]))
    }
    assert faults == {}
    (mini,) = documented("Individual Symbol Mini Ticker Stream")
    assert shape_faults(got[ARRAY], [mini]) == []
    (rolling,) = documented("Individual Symbol Rolling Window Statistics Streams")
    assert shape_faults(got[ROLLING_ARRAY], [rolling]) == []
    assert {row["s"] for row in got[ARRAY]} <= set(SYMBOLS)


def real_spot_messages():
    """Real messages of spot streams by stream name; those of futures have other keys."""
    lines = (wire() / "ws_messages_raw.jsonl").read_text().splitlines()
    messages = [json.loads(line) for line in lines if line.strip()]
    found = {}
    for message in messages:
        if (
            isinstance(message, dict)
            and "stream" in message
            and message["stream"].startswith("btcusdt@")
        ):
            found.setdefault(message["stream"], message["data"])
        elif isinstance(message, list) and message[0].get("e") == "24hrMiniTicker":
            found.setdefault(ARRAY, message)
    for stream in ("btcusdt@depth5", "btcusdt@depth", "btcusdt@markPrice", "btcusdt@kline_15m"):
        found.pop(stream, None)
    for key in ("a", "b"):  # order ids, removed on 2024-06-18
        del found["btcusdt@trade"][key]
    path = wire().parent / "recordings" / "btcusdt_20240808.gz"
    with gzip.open(path, "rt") as recording:
        for line in recording:
            message = json.loads(line.partition(" ")[2])
            data = message.get("data", {})
            if "e" not in data or data.get("a"):
                found.setdefault(message.get("stream", "snapshot"), data or message)
            if {"btcusdt@bookTicker", "btcusdt@depth@100ms", "snapshot"} <= found.keys():
                return found
    raise AssertionError("the recording lacks a kind of message")


async def test_messages_have_the_keys_types_and_decimals_of_real_ones():
    real = real_spot_messages()
    snapshot = real.pop("snapshot")
    expected = {
        "btcusdt@aggTrade", "btcusdt@trade", "btcusdt@ticker", "btcusdt@miniTicker", ARRAY,
        "btcusdt@kline_1m", "btcusdt@bookTicker", "btcusdt@depth@100ms",
    }  # fmt: skip
    assert real.keys() == expected
    async with exchange() as (running, http):
        got = await one_of_each(running, http, list(real))
        async with http.get(f"{running.rest_url}/api/v3/depth?symbol=BTCUSDT&limit=1000") as answer:
            book = await answer.json()
    faults = {}
    for stream, message in real.items():
        found = shape_faults(got[stream], message)
        if isinstance(message, dict):
            found += decimals_faults(got[stream], message)
            assert list(got[stream]) == list(message), stream
        if found:
            faults[stream] = found
    assert faults == {}
    assert shape_faults(book, snapshot) == []


# -- commands ------------------------------------------------------------------------------------


async def test_commands_are_answered_as_documented():
    sections = (
        "Subscribe to a stream", "Unsubscribe to a stream", "Listing Subscriptions",
        "Setting Properties", "Retrieving Properties",
    )  # fmt: skip
    subscription = documented(sections[0])[0]
    async with exchange() as (running, http):
        for section in sections:
            command, expected = documented(section)
            async with http.ws_connect(f"{running.stream_url}/ws") as socket:
                if section == "Listing Subscriptions":
                    await socket.send_json(subscription)
                    await answer_of(socket, subscription["id"])
                    expected = {**expected, "result": subscription["params"]}
                await socket.send_json(command)
                got = await answer_of(socket, command["id"])
            if section == "Retrieving Properties":
                expected = {**expected, "result": False}  # the example follows a SET_PROPERTY
            assert got == {**expected, "id": command["id"]}, section


async def answer_of(socket, number):
    async with asyncio.timeout(IN_TIME_S):
        while True:
            message = json.loads(await socket.receive_str())
            if isinstance(message, dict) and message.get("id") == number:
                return message


# -- errors --------------------------------------------------------------------------------------

REFUSED = [
    ("klines?symbol=NOSUCH&interval=1m", -1121),
    ("klines?symbol=BTCUSDT&interval=7m", -1120),
    ("klines?interval=1m", -1102),
    ("klines?symbol=BTCUSDT", -1102),
    ("klines?symbol=BTCUSDT&interval=1m&limit=many", -1100),
    ("klines?symbol=btcusdt&interval=1m", -1100),
    ("klines?symbol=BTCUSDT&interval=1m&timeZone=99", -1130),
    ("klines?symbol=BTCUSDT&interval=1m&colour=red", -1104),
    ("klines?symbol=&interval=1m", -1105),
    ("depth?symbol=BTCUSDT&symbol=ETHUSDT", -1101),
    ("depth?symbol=BTCUSDT&symbolStatus=HALT", -1220),
    ("depth", -1102),
    ("trades?symbol=NOSUCH", -1121),
    ('ticker/24hr?symbols=["BTCUSDT","NOSUCH"]', -1121),
    ('ticker/24hr?symbols=["BTCUSDT","BTCUSDT"]', -1151),
    ('ticker/price?symbol=BTCUSDT&symbols=["BTCUSDT"]', -1128),
    ("ticker/24hr?type=HUGE", -1139),
    ("ticker/24hr?symbolStatus=ASLEEP", -1122),
    ("aggTrades?symbol=BTCUSDT&fromId=1&startTime=1", -1128),
]


def is_documented(body):
    """Tell whether code and text stand in the documentation (`%s` fits anything)."""
    entries = json.loads((wire() / "error_bodies_from_docs.json").read_text())
    return any(
        re.fullmatch(".+".join(map(re.escape, entry["msg"].split("%s"))), body["msg"])
        for entry in entries
        if entry["code"] == body["code"]
    )


async def test_errors_have_documented_codes_and_texts():
    (example,) = documented("Error Codes")
    async with exchange() as (running, http):
        for path, code in REFUSED:
            async with http.get(f"{running.rest_url}/api/v3/{path}") as answer:
                body = await answer.json()
                assert answer.status == 400, path
            assert shape_faults(body, example) == [], path
            assert body["code"] == code, (path, body)
            assert is_documented(body), (path, body)


async def test_too_much_weight_is_refused_as_documented():
    seen = {}
    limits = Limits(weight_per_minute=60, ignored_before_ban=2)
    async with exchange(limits=limits) as (running, http):
        for _ in range(60):
            async with http.get(
                f"{running.rest_url}/api/v3/klines?symbol=BTCUSDT&interval=1m"
            ) as answer:
                if answer.status != 200:
                    seen.setdefault(answer.status, (await answer.json(), answer.headers))
            if 418 in seen:
                break
    assert seen.keys() == {429, 418}
    for body, headers in seen.values():
        assert body["code"] == -1003
        assert is_documented(body), body
        assert headers["Retry-After"].isdigit()
    assert "request weight per 1 MINUTE" in seen[429][0]["msg"]
