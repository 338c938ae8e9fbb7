"""Decoding of frames: the documented payloads, and anything else."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.binance.events import (
    AggTradeEvent,
    BookTickerEvent,
    CommandAnswer,
    DepthEvent,
    KlineEvent,
    MiniTickerEvent,
    PartialDepthEvent,
    ServerShutdown,
    TickerEvent,
    TradeEvent,
    UnknownEvent,
)
from engine.binance.payloads import BadMessage, decode
from engine.market.candle import Candle
from engine.market.ticker import Ticker
from engine.market.trade import Trade

MINI = {"e": "24hrMiniTicker", "E": 1795000001023, "s": "BTCUSDT", "c": "84212.5", "o": "84522.7",
        "h": "85011.0", "l": "83770.0", "v": "18211.3", "q": "1535820011.0"}  # fmt: skip
TICKER = {**MINI, "e": "24hrTicker", "p": "-310.2", "P": "-0.367", "w": "84333.1", "x": "84522.7",
          "Q": "0.0012", "b": "84212.49", "B": "2.1", "a": "84212.50", "A": "0.8",
          "O": 1794913601023, "C": 1795000001023, "F": 1, "L": 2, "n": 2}  # fmt: skip
KLINE = {"e": "kline", "E": 1795000002004, "s": "BTCUSDT", "k": {
    "t": 1794999960000, "T": 1795000019999, "s": "BTCUSDT", "i": "1m", "f": 100, "L": 177,
    "o": "84210.01000000", "c": "84212.50000000", "h": "84213.00000000", "l": "84209.99000000",
    "v": "3.41500000", "n": 78, "x": True, "q": "287583.11000000", "V": "1.90000000",
    "Q": "160001.02000000", "B": "0"}}  # fmt: skip
TRADE = {"e": "trade", "E": 1795000000412, "s": "BTCUSDT", "t": 5100200377, "p": "84212.5",
         "q": "0.0012", "T": 1795000000411, "m": True, "M": True}  # fmt: skip
AGG = {"e": "aggTrade", "E": 1795000000412, "s": "BTCUSDT", "a": 39011, "p": "84212.50",
       "q": "0.5", "f": 100, "l": 105, "T": 1795000000411, "m": False, "M": True}  # fmt: skip
DEPTH = {"e": "depthUpdate", "E": 1795000000500, "s": "BTCUSDT", "U": 1570001, "u": 1570019,
         "b": [["84212.49000000", "2.10000000"], ["84200.0", "0.00000000"]],
         "a": [["84213.1", "0.25"]]}  # fmt: skip
BOOK = {"u": 400900217, "s": "BTCUSDT", "b": "84212.49", "B": "2.1", "a": "84212.50", "A": "0.8"}
PARTIAL = {"lastUpdateId": 160, "bids": [["84212.49", "2.1"]], "asks": [["84212.50", "0.8"]]}

TICKER_VALUE = Ticker(
    "BTCUSDT", 1795000001023, 84212.5, 84522.7, 85011.0, 83770.0, 18211.3, 1535820011.0
)
EXPECTED = {
    "btcusdt@kline_1m": (
        KLINE,
        KlineEvent(
            "BTCUSDT", "1m", 1795000002004,
            Candle(1794999960000, 84210.01, 84213.0, 84209.99, 84212.5, 3.415, 287583.11, 78, 1.9,
                   160001.02, True),
        ),
    ),
    "btcusdt@trade": (
        TRADE,
        TradeEvent("BTCUSDT", 1795000000412,
                   Trade(5100200377, 1795000000411, 84212.5, 0.0012, True)),
    ),
    "btcusdt@aggTrade": (
        AGG,
        AggTradeEvent("BTCUSDT", 1795000000412, 39011, 100,
                      Trade(105, 1795000000411, 84212.5, 0.5, False)),
    ),
    "btcusdt@ticker": (
        TICKER, TickerEvent("BTCUSDT", 1795000001023, TICKER_VALUE, 84212.49, 84212.5),
    ),
    "btcusdt@miniTicker": (MINI, MiniTickerEvent("BTCUSDT", 1795000001023, TICKER_VALUE)),
    "btcusdt@bookTicker": (
        BOOK, BookTickerEvent("BTCUSDT", 400900217, 84212.49, 2.1, 84212.5, 0.8),
    ),
    "btcusdt@depth": (
        DEPTH,
        DepthEvent("BTCUSDT", 1795000000500, 1570001, 1570019,
                   [(84212.49, 2.1), (84200.0, 0.0)], [(84213.1, 0.25)]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("stream", EXPECTED)
@pytest.mark.parametrize("as_bytes", [False, True])
def test_documented_payloads_combined_and_raw(stream, as_bytes):
    data, event = EXPECTED[stream]
    for message in ({"stream": stream, "data": data}, {"data": data, "stream": stream}, data):
        for separators in ((",", ":"), (", ", ": ")):
            text = json.dumps(message, separators=separators)
            assert decode(text.encode() if as_bytes else text) == [(stream, event)]


@pytest.mark.parametrize("name", ["depth5", "depth10@100ms", "depth20"])
def test_partial_depth_takes_its_symbol_from_the_stream(name):
    event = PartialDepthEvent("BTCUSDT", 160, [(84212.49, 2.1)], [(84212.5, 0.8)])
    stream = f"btcusdt@{name}"
    assert decode(json.dumps({"stream": stream, "data": PARTIAL})) == [(stream, event)]


def test_fast_and_slow_depth_are_told_apart():
    stream = "btcusdt@depth@100ms"
    text = json.dumps({"stream": stream, "data": DEPTH}, separators=(",", ":"))
    assert decode(text) == [(stream, EXPECTED["btcusdt@depth"][1])]


def test_array_of_all_markets_gives_one_event_each():
    other = {**MINI, "s": "币安人生USDT"}
    text = json.dumps({"stream": "!miniTicker@arr", "data": [MINI, other]}, ensure_ascii=False)
    assert [(stream, event.symbol) for stream, event in decode(text)] == [
        ("!miniTicker@arr", "BTCUSDT"),
        ("!miniTicker@arr", "币安人生USDT"),
    ]
    raw = decode(json.dumps([MINI]))
    assert raw == [("btcusdt@miniTicker", EXPECTED["btcusdt@miniTicker"][1])]


@pytest.mark.parametrize("ensure_ascii", [False, True])
def test_symbols_that_are_not_ascii(ensure_ascii):
    stream = "币安人生usdt@trade"
    message = {"stream": stream, "data": {**TRADE, "s": "币安人生USDT"}}
    text = json.dumps(message, separators=(",", ":"), ensure_ascii=ensure_ascii)
    assert [(name, event.symbol) for name, event in decode(text)] == [(stream, "币安人生USDT")]


@pytest.mark.parametrize("missing", [("V", "Q"), ("V", "Q", "n")])
def test_what_a_kline_does_not_tell_is_none(missing):
    body = {key: value for key, value in KLINE["k"].items() if key not in missing}
    ((_, event),) = decode(json.dumps({**KLINE, "k": body}))
    assert event.candle.taker_buy_volume is None
    assert event.candle.taker_buy_quote_volume is None
    assert (event.candle.trades is None) == ("n" in missing)
    ((_, event),) = decode(json.dumps({**KLINE, "k": {**KLINE["k"], "V": None}}))
    assert event.candle.taker_buy_volume is None


def test_microseconds_become_milliseconds():
    body = {**KLINE["k"], "t": 1794999960000000}
    ((_, event),) = decode(json.dumps({**KLINE, "E": 1795000002004123, "k": body}))
    assert event.event_time_ms == 1795000002004
    assert event.candle.open_time_ms == 1794999960000


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"result":null,"id":1}', CommandAnswer(1)),
        ('{"result":["a@trade"],"id":"x"}', CommandAnswer("x")),
        ('{"code":2,"msg":"Invalid request","id":3}', CommandAnswer(3, "Invalid request (code 2)")),
        ('{"error":{"code":4,"msg":"Too many"},"id":19}', CommandAnswer(19, "Too many (code 4)")),
        ('{"code":3,"msg":"Invalid JSON"}', CommandAnswer(None, "Invalid JSON (code 3)")),
        ('{"error":"blahblah"}', CommandAnswer(None, "blahblah")),
    ],
)
def test_answers_to_commands(text, answer):
    assert decode(text) == [("", answer)]


def test_shutdown_is_known_without_subscription():
    event = ServerShutdown(1795000000000)
    raw = {"e": "serverShutdown", "E": 1795000000000}
    for message in (raw, {"stream": "!serverShutdown", "data": raw}):
        assert decode(json.dumps(message)) == [("!serverShutdown", event)]


@pytest.mark.parametrize(
    "message",
    [
        {"e": "avgPrice", "E": 1, "s": "BTCUSDT", "w": "1"},
        {"stream": "btcusdt@blockTrade", "data": {"e": "blockTrade"}},
        {"stream": "!ticker_1h@arr", "data": []},
        {"something": "else"},
        PARTIAL,
    ],
)
def test_kinds_without_use_are_told_as_such(message):
    assert [type(event) for _, event in decode(json.dumps(message))] == [UnknownEvent]


TEXT = json.dumps({"stream": "btcusdt@kline_1m", "data": KLINE}, separators=(",", ":"))


@pytest.mark.parametrize(
    "frame",
    [
        "",
        " ",
        b"",
        TEXT[:-1],
        TEXT + "}",
        "NaN",
        "\ufeff" + TEXT,
        TEXT.replace('"84213.00000000"', "NaN"),
        TEXT.replace('"84213.00000000"', '"NaN"'),
        TEXT.replace('"84213.00000000"', '"Infinity"'),
        TEXT.replace('"84213.00000000"', '"1e30"'),
        TEXT.replace('"84213.00000000"', '"-1"'),
        TEXT.replace('"84213.00000000"', '""'),
        TEXT.replace('"84213.00000000"', "{}"),
        TEXT.replace('"84213.00000000"', "null"),
        TEXT.replace("1794999960000", "-5"),
        TEXT.replace("1794999960000", "1" + "0" * 30),
        TEXT.replace('"x":true,', ""),
        TEXT.replace("BTCUSDT", "\ud800"),
        TEXT.encode().replace(b"BTCUSDT", b"\xff\xfe"),
        b'{"stream":"\xff@kline_1m","data":{}}',
        '{"stream":"btcusdt@kline_1m"}',
        '{"stream":"btcusdt@kline_1m","data":null}',
        '{"stream":5,"data":{}}',
        "[1]",
        "5",
        '"text"',
        "[" * 100_000,
        '{"stream":"btcusdt@kline_1m","data":' + "[" * 100_000,
        '{"a":' * 100_000,
        json.dumps({**DEPTH, "U": 5, "u": 4}),
        json.dumps({**DEPTH, "b": [["1"]]}),
        json.dumps({**DEPTH, "b": [["1", "2", "3"]]}),
        json.dumps({**TRADE, "t": 2**70}),
    ],
)
def test_bad_frames_are_refused_with_a_reason(frame):
    with pytest.raises(BadMessage) as caught:
        decode(frame)
    assert 0 < len(str(caught.value)) <= 220


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)
SAMPLES = [
    *(data for data, _ in EXPECTED.values()),
    *({"stream": stream, "data": data} for stream, (data, _) in EXPECTED.items()),
    {"stream": "!miniTicker@arr", "data": [MINI]},
    {"stream": "btcusdt@depth5", "data": PARTIAL},
    {"result": None, "id": 1},
    {"error": {"code": 1, "msg": "x"}, "id": 1},
    [MINI, TICKER],
]


def replaced(draw, value):
    """Put something else at one random place of a JSON value."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: replaced(draw, value[key])}
    if isinstance(value, list) and value and draw(st.booleans()):
        return [replaced(draw, value[0]), *value[1:]]
    return draw(JSON)


@st.composite
def nearly_right(draw):
    return json.dumps(replaced(draw, draw(st.sampled_from(SAMPLES))))


@st.composite
def damaged(draw):
    raw = bytearray(json.dumps(draw(st.sampled_from(SAMPLES)), separators=(",", ":")).encode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw) - 1))
        raw[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
        if not raw:
            break
    return bytes(raw)


def numbers(event):
    """Yield all floats of an event."""
    if isinstance(event, float):
        yield event
    elif isinstance(event, (list, tuple)):
        for item in event:
            yield from numbers(item)
    elif hasattr(event, "__struct_fields__"):
        for name in event.__struct_fields__:
            yield from numbers(getattr(event, name))


@settings(max_examples=600, deadline=None)
@given(st.one_of(nearly_right(), damaged(), st.binary(max_size=60), st.text(max_size=60)))
def test_nothing_but_bad_message_is_ever_raised(frame):
    try:
        pairs = decode(frame)
    except BadMessage:
        return
    for stream, event in pairs:
        assert isinstance(stream, str)
        assert all(math.isfinite(value) and value >= 0 for value in numbers(event))


@settings(max_examples=200, deadline=None)
@given(st.floats(0, 1e15), st.integers(0, 2**61), st.booleans())
def test_numbers_survive_exactly(price, number, maker):
    message = {**TRADE, "p": f"{price:.8f}", "t": number, "m": maker}
    ((_, event),) = decode(json.dumps({"stream": "btcusdt@trade", "data": message}))
    assert event.trade.price == float(f"{price:.8f}")
    assert (event.trade.trade_id, event.trade.buyer_is_maker) == (number, maker)


@pytest.mark.recorded
def test_recorded_messages_and_documented_examples_decode():
    folder = os.environ.get("KLINETOP_RECORDINGS")
    if not folder:
        pytest.skip("KLINETOP_RECORDINGS is not set")
    wire = Path(folder) / "wire"
    kinds = set()
    for line in (wire / "ws_messages_raw.jsonl").read_text().splitlines():
        # The file holds futures too, whose depth5 has another form.
        if "@depth5" not in line:
            kinds |= {type(event) for _, event in decode(line)}
    for example in json.loads((wire / "doc_examples.json").read_text()):
        if example["doc"] == "web-socket-streams":
            kinds |= {type(event) for _, event in decode(json.dumps(example["json"]))}
    assert kinds >= {
        KlineEvent, TradeEvent, AggTradeEvent, TickerEvent, MiniTickerEvent, BookTickerEvent,
        DepthEvent, ServerShutdown, CommandAnswer,
    }  # fmt: skip
