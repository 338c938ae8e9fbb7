"""One odd entry of a list from outside never hides another."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from aiohttp import web
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.binance.events import BadEntry, MiniTickerEvent
from engine.binance.lists import OddEntries, OddEntry
from engine.binance.payloads import BadMessage, decode
from engine.binance.requester import BadAnswer, UnknownSymbol
from engine.binance.rest import RestClient
from engine.binance.rest_rows import EXCHANGE_INFO, KLINES, TICKERS, TRADES

MINUTE_MS = 60_000
START_MS = 1_794_960_000_000


def market(number: int) -> dict[str, Any]:
    return {
        "symbol": f"C{number}USDT", "status": "TRADING", "baseAsset": f"C{number}",
        "quoteAsset": "USDT", "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.01000000"},
            {"filterType": "LOT_SIZE", "stepSize": "0.00100000"},
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        ],
    }  # fmt: skip


def kline(number: int) -> list[Any]:
    at_ms = START_MS + number * MINUTE_MS
    return [at_ms, "1.5", "2.5", "0.5", "2.0", "10", at_ms + 59_999, "20", 7, "4", "8", "0"]


def trade(number: int) -> dict[str, Any]:
    return {"id": number, "price": "9.5", "qty": "0.1", "time": START_MS, "isBuyerMaker": True}


def ticker(number: int) -> dict[str, Any]:
    return {
        "symbol": f"C{number}USDT", "lastPrice": "2", "openPrice": "1", "highPrice": "3",
        "lowPrice": "0.5", "volume": "10", "quoteVolume": "20", "closeTime": START_MS,
    }  # fmt: skip


def mini(number: int) -> dict[str, Any]:
    return {
        "e": "24hrMiniTicker", "E": START_MS, "s": f"C{number}USDT", "c": "2", "o": "1", "h": "3",
        "l": "0.5", "v": "10", "q": "20",
    }  # fmt: skip


def info(markets: list[Any], limits: list[Any] | None = None) -> bytes:
    return json.dumps({"symbols": markets, "rateLimits": limits or []}).encode()


_FLOATS = st.floats(allow_nan=False, allow_infinity=False)
_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | _FLOATS | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn, entry: Any) -> Any:
    """Change an entry in any way: replaced, a member of it replaced or gone."""
    kind = draw(st.sampled_from(["whole", "member", "gone"]))
    if kind == "whole":
        return draw(_ANY)
    changed = json.loads(json.dumps(entry))
    key = draw(st.sampled_from(list(changed) if isinstance(changed, dict) else range(11)))
    if kind == "gone":
        del changed[key]
    else:
        changed[key] = draw(_ANY)
    return changed


def around(make: Any, at: int, entry: Any, count: int = 5) -> list[Any]:
    """Return `count` entries with `entry` among them at `at`."""
    entries = [make(number) for number in range(count)]
    return [*entries[:at], entry, *entries[at:]]


@given(st.data(), st.integers(0, 5))
def test_any_change_of_one_entry_leaves_the_others_as_they_are(data: Any, at: int) -> None:
    for make, decoder in ((kline, KLINES), (trade, TRADES), (ticker, TICKERS)):
        alone = decoder.decode(json.dumps([make(number) for number in range(5)]).encode())
        assert not alone.odd
        entry = data.draw(mutated(make(9)))
        found = decoder.decode(json.dumps(around(make, at, entry)).encode())
        assert len(found) + len(found.odd) == 6
        others = list(found)
        if not found.odd:
            del others[at]
        assert others == list(alone)


@given(st.data(), st.integers(0, 5))
def test_any_change_of_one_market_leaves_the_others_as_they_are(data: Any, at: int) -> None:
    alone = EXCHANGE_INFO.decode(info([market(number) for number in range(5)])).markets
    entry = data.draw(mutated(market(9)))
    name = entry.get("symbol") if isinstance(entry, dict) else None
    found = EXCHANGE_INFO.decode(info(around(market, at, entry))).markets
    assume(name not in [each.name for each in alone])
    assert [each for each in found if each.name != name] == list(alone)
    assert len(found) + len(found.odd) == 6


@given(st.data(), st.integers(0, 5))
def test_any_change_of_one_ticker_of_an_array_leaves_the_others(data: Any, at: int) -> None:
    entry = data.draw(mutated(mini(9)))
    alone = [event for _, event in decode(json.dumps([mini(number) for number in range(5)]))]
    combined = {"stream": "!miniTicker@arr", "data": around(mini, at, entry)}
    for frame in (json.dumps(combined), json.dumps(around(mini, at, entry))):
        events = [event for _, event in decode(frame)]
        assert [event for event in events if event in alone] == alone
        assert len(events) == 6


@pytest.mark.parametrize(
    ("odd", "name", "reason"),
    [
        (None, "null", "got `null`"),
        (5, "5", "got `int`"),
        ("BTCUSDT", '"BTCUSDT"', "got `str`"),
        ([], "[]", "got `array`"),
        (market(9) | {"symbol": None}, '{"symbol": null, "status": "TRADING", "b', "got `null`"),
        (market(9) | {"symbol": "  "}, "  ", "no market's name"),
        (market(9) | {"baseAsset": 7}, "C9USDT", "got `int`"),
        (market(9) | {"filters": [5]}, "C9USDT", "got `int`"),
        (market(9) | {"filters": {}}, "C9USDT", "got `object`"),
        (
            market(9) | {"filters": [{"filterType": "PRICE_FILTER", "tickSize": 0.01}]},
            "C9USDT",
            "got `float`",
        ),
        (
            market(9) | {"filters": [{"filterType": "LOT_SIZE", "stepSize": "a lot"}]},
            "C9USDT",
            "no step of a price",
        ),
        (market(1), "C1USDT", "comes twice"),
    ],
)
def test_an_odd_market_is_named_with_the_reason(odd: Any, name: str, reason: str) -> None:
    found = EXCHANGE_INFO.decode(info(around(market, 3, odd))).markets
    assert [each.name for each in found] == [f"C{number}USDT" for number in range(5)]
    (entry,) = found.odd
    assert entry.name == name
    assert reason in entry.reason


def test_a_filter_of_another_kind_is_no_fault_of_a_market() -> None:
    strange = market(0)
    strange["filters"].append({"filterType": "NEXT_YEARS", "tickSize": 5, "stepSize": [1]})
    found = EXCHANGE_INFO.decode(info([strange])).markets
    assert (found[0].tick_size, found[0].step_size, found.odd) == ("0.01000000", "0.00100000", ())


def test_an_odd_rate_limit_hides_no_other() -> None:
    known = {
        "rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 1200
    }  # fmt: skip
    for odd in (None, 5, {"limit": "many"}, known | {"limit": -1, "interval": "DAY"}):
        decoded = EXCHANGE_INFO.decode(info([market(0)], [odd, known]))
        assert (decoded.weight_limit, len(decoded.markets)) == (1200, 1)
    assert EXCHANGE_INFO.decode(info([market(0)], [known | {"limit": -5}])).weight_limit is None


def test_an_array_of_which_nothing_is_understood_is_bad() -> None:
    for frame in ('{"stream":"!miniTicker@arr","data":[5,null]}', "[5,null]"):
        with pytest.raises(BadMessage):
            decode(frame)
    (one, other) = decode(json.dumps([mini(0), mini(1) | {"c": "NaN"}]))
    assert isinstance(one[1], MiniTickerEvent)
    assert isinstance(other[1], BadEntry)
    assert other[1].name == "C1USDT"


# --- through the client --------------------------------------------------------------------------


@pytest.fixture
async def told() -> list[tuple[str, list[str]]]:
    return []


@pytest.fixture
async def rest(rest_server, told):
    rest_server.routes["time"] = lambda _request: web.json_response(
        {"serverTime": START_MS + 100 * MINUTE_MS}
    )
    client = RestClient(
        rest_server.url,
        on_odd=lambda what, odd: told.append((what, [entry.name for entry in odd])),
    )
    yield client
    await client.close()


async def test_an_odd_market_is_told_once_and_the_others_are_there(
    rest, rest_server, told, caplog
) -> None:
    caplog.set_level(logging.WARNING)
    odd = market(9) | {"filters": [{"filterType": "PRICE_FILTER", "tickSize": 0.01}]}
    rest_server.routes["exchangeInfo"] = lambda _request: web.Response(
        body=info(around(market, 2, odd))
    )
    for _ in range(3):
        assert len(await rest.all_symbols()) == 5
    assert told == [("exchangeInfo", ["C9USDT"])]
    assert rest.odd.count == 1
    (record,) = caplog.records
    assert "C9USDT (Expected `str`, got `float`" in record.getMessage()
    with pytest.raises(UnknownSymbol, match="holds an entry that can not be understood: C9USDT"):
        await rest.symbols(["C1USDT", "C9USDT"])
    with pytest.raises(UnknownSymbol, match=r"no market called 'NOPE'.*understood: C9USDT"):
        await rest.symbols(["NOPE", "C9USDT"])


async def test_an_odd_candle_leaves_the_page_and_a_repeated_one_too(
    rest, rest_server, told
) -> None:
    bad = kline(7)
    bad[4] = "NaN"
    rows = [kline(5), kline(6), kline(6), bad, kline(8)]
    rest_server.routes["klines"] = lambda _request: web.json_response(rows)
    page = await rest.klines("BTCUSDT", "1m", end_ms=START_MS)
    assert [candle.open_time_ms for candle in page] == [
        START_MS + number * MINUTE_MS for number in (5, 6, 8)
    ]
    assert [entry.name for entry in page.odd] == [
        str(START_MS + number * MINUTE_MS) for number in (7, 6)
    ]
    assert told[0][0] == "1m candles of BTCUSDT"


async def test_a_list_of_which_nothing_is_understood_is_refused(rest, rest_server) -> None:
    for body in ("[[1],[2]]", "[5]", '{"rows":[]}', "[[1]"):
        rest_server.routes["klines"] = lambda _request, body=body: web.Response(text=body)
        with pytest.raises(BadAnswer, match="something else than expected"):
            await rest.klines("BTCUSDT", "1m", end_ms=START_MS)


@pytest.mark.parametrize("level", [None, 5, ["1"], ["x", "1"], ["-1", "1"], ["1", "NaN"], {}])
async def test_a_book_is_never_taken_without_one_of_its_levels(rest, rest_server, level) -> None:
    whole = {"lastUpdateId": 5, "bids": [["99", "1"], ["98", "1"]], "asks": [["101", "2"]]}
    for side in ("bids", "asks"):
        body = whole | {side: [*whole[side], level]}
        rest_server.routes["depth"] = lambda _request, body=body: web.json_response(body)
        with pytest.raises(BadAnswer):
            await rest.depth("BTCUSDT", 100)
    diff = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": 1, "u": 2, "b": [level], "a": []}
    with pytest.raises(BadMessage):
        decode(json.dumps({"stream": "btcusdt@depth", "data": diff}))


def test_what_is_left_out_is_bounded() -> None:
    entries = OddEntries()
    for number in range(2_000):
        entries.take("trades", [OddEntry(str(number), "odd", "{}")])
    assert len(entries.named["trades"]) == entries.count == 1_000
