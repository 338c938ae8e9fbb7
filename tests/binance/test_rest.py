"""The REST client against a scripted exchange on a real socket."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import time
import tracemalloc

import msgspec
import pytest
from aiohttp import web

from engine.binance import requester, rest_rows
from engine.binance.rest import (
    BadAnswer,
    Blocked,
    RateLimited,
    RestClient,
    RestError,
    UnknownSymbol,
    Unreachable,
    WeightBudget,
    depth_weight,
    near_names,
)
from engine.market.interval import INTERVALS, UnknownInterval

MINUTE_MS = 60_000
FIRST_MS = 1_794_960_000_000
TIME_MS = FIRST_MS + 5_000 * MINUTE_MS


@pytest.fixture(autouse=True)
def quick_repeats(monkeypatch):
    monkeypatch.setattr(requester, "_FIRST_WAIT_S", 0.005)


@pytest.fixture
async def rest(rest_server):
    rest_server.routes["time"] = lambda _request: answer({"serverTime": TIME_MS})
    client = RestClient(rest_server.url)
    yield client
    await client.close()


def answer(body, *, status=200, headers=None):
    return web.Response(
        text=json.dumps(body), status=status, headers=headers, content_type="application/json"
    )


def row(open_ms, interval):
    close_ms = INTERVALS[interval].close_time(open_ms)
    return [open_ms, "1.5", "2.5", "0.5", "2.0", "10.0", close_ms, "20.0", 7, "4.0", "8.0", "0"]


def kline_route(interval="1m", *, holes=(), server_limit=1000):
    """Serve candles as the exchange does, from FIRST_MS up to the one that is open at TIME_MS."""
    grid = INTERVALS[interval]
    opens = []
    open_ms = grid.floor(FIRST_MS)
    while open_ms <= TIME_MS:
        if not any(start <= open_ms < end for start, end in holes):
            opens.append(open_ms)
        open_ms = grid.next(open_ms)

    def route(request):
        query = request.query
        assert query["symbol"] == "BTCUSDT"
        assert query["interval"] == interval
        limit = min(int(query.get("limit", 500)), server_limit)
        start, end = int(query.get("startTime", 0)), int(query.get("endTime", 2**60))
        chosen = [at for at in opens if start <= at <= end]
        chosen = chosen[:limit] if "startTime" in query else chosen[-limit:]
        return answer([row(at, interval) for at in chosen])

    return route, opens


# --- candles ------------------------------------------------------------------------------------


async def test_candles_are_decoded_and_the_running_one_is_open(rest, rest_server):
    rest_server.routes["klines"], opens = kline_route()
    candles = await rest.klines("BTCUSDT", "1m", limit=3)
    assert [candle.open_time_ms for candle in candles] == opens[-3:]
    assert [candle.closed for candle in candles] == [True, True, False]
    first = candles[0]
    assert (first.open, first.high, first.low, first.close) == (1.5, 2.5, 0.5, 2.0)
    assert (first.volume, first.quote_volume, first.trades) == (10.0, 20.0, 7)
    assert (first.taker_buy_volume, first.taker_buy_quote_volume) == (4.0, 8.0)


async def test_candle_is_closed_by_the_exchange_clock_read_before_it(rest, rest_server):
    """A minute that ends while the answer travels must not count as closed."""
    moment = TIME_MS + MINUTE_MS - 1
    rest_server.routes["time"] = lambda _request: answer({"serverTime": moment})

    def klines(_request):
        nonlocal moment
        moment += 2000
        return answer([row(TIME_MS, "1m")])

    rest_server.routes["klines"] = klines
    (candle,) = await rest.klines("BTCUSDT", "1m", limit=1)
    assert not candle.closed
    (candle,) = await rest.klines("BTCUSDT", "1m", limit=1)
    assert candle.closed


async def test_columns_that_are_null_are_unknown(rest, rest_server):
    values = row(FIRST_MS, "1m")
    values[8:11] = [None, None, None]
    rest_server.routes["klines"] = lambda _request: answer([values])
    (candle,) = await rest.klines("BTCUSDT", "1m")
    assert candle.trades is None
    assert candle.taker_buy_volume is None
    assert candle.taker_buy_quote_volume is None


async def test_microseconds_become_milliseconds(rest, rest_server):
    values = row(FIRST_MS, "1m")
    values[0] *= 1000
    values[6] = values[6] * 1000 + 999
    rest_server.routes["klines"] = lambda _request: answer([values])
    (candle,) = await rest.klines("BTCUSDT", "1m")
    assert (candle.open_time_ms, candle.closed) == (FIRST_MS, True)


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2000, 2500])
async def test_history_pages_without_gap_or_duplicate(rest, rest_server, count):
    rest_server.routes["klines"], opens = kline_route()
    end_ms = FIRST_MS + count * MINUTE_MS
    pages = [page async for page in rest.history("BTCUSDT", "1m", FIRST_MS, end_ms)]
    found = [candle.open_time_ms for page in pages for candle in page]
    assert found == opens[:count]
    assert all(candle.closed for page in pages for candle in page)
    assert rest_server.counts["klines"] == -(-count // 1000)


@pytest.mark.parametrize("interval", ["3m", "1h", "1d", "1w", "1M"])
async def test_history_of_every_kind_of_grid(rest, rest_server, interval):
    rest_server.routes["klines"], opens = kline_route(interval, server_limit=9)
    start_ms = INTERVALS[interval].floor(FIRST_MS)
    pages = [page async for page in rest.history("BTCUSDT", interval, start_ms, TIME_MS + 1)]
    assert [candle.open_time_ms for page in pages for candle in page] == opens
    assert [candle.closed for page in pages for candle in page][-1] is False


async def test_history_goes_on_behind_a_hole_of_the_exchange(rest, rest_server):
    hole = (FIRST_MS + 700 * MINUTE_MS, FIRST_MS + 1900 * MINUTE_MS)
    rest_server.routes["klines"], opens = kline_route(holes=[hole])
    end_ms = FIRST_MS + 2500 * MINUTE_MS
    pages = [page async for page in rest.history("BTCUSDT", "1m", FIRST_MS, end_ms)]
    found = [candle.open_time_ms for page in pages for candle in page]
    assert found == [at for at in opens if at < end_ms]


async def test_unknown_interval_is_refused_before_any_request(rest, rest_server):
    with pytest.raises(UnknownInterval, match="choose one of"):
        await rest.klines("BTCUSDT", "7m")
    assert rest_server.requests == []


# --- the rest of the endpoints ------------------------------------------------------------------


def symbol_row(name):
    return {
        "symbol": name, "status": "TRADING", "baseAsset": name[:-4], "quoteAsset": "USDT",
        "permissions": [], "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "tickSize": "0.01000000"},
            {"filterType": "LOT_SIZE", "stepSize": "0.00001000"},
            {"filterType": "NOTIONAL", "minNotional": "5"},
        ],
    }  # fmt: skip


def info_route(*names, limit=6000):
    limits = [
        {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300000},
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": limit},
    ]

    def route(request):
        asked = json.loads(request.query.get("symbols", "null"))
        if asked is not None and not set(asked) <= set(names):
            return answer({"code": -1121, "msg": "Invalid symbol."}, status=400)
        chosen = names if asked is None else [name for name in names if name in asked]
        body = {"timezone": "UTC", "serverTime": TIME_MS, "rateLimits": limits, "sors": []}
        return answer({**body, "symbols": [symbol_row(name) for name in chosen]})

    return route


async def test_symbols_come_in_order_and_the_limit_is_learnt(rest, rest_server):
    rest_server.routes["exchangeInfo"] = info_route("BTCUSDT", "ETHUSDT", "币安USDT", limit=1200)
    found = await rest.symbols(["币安USDT", "BTCUSDT"])
    assert [info.name for info in found] == ["币安USDT", "BTCUSDT"]
    assert (found[1].base, found[1].quote) == ("BTC", "USDT")
    assert (found[1].price_decimals, found[1].quantity_decimals) == (2, 5)
    assert rest.budget.used == (20, 1200)
    query = rest_server.requests[0][2]
    assert query["showPermissionSets"] == "false"
    assert json.loads(query["symbols"]) == ["币安USDT", "BTCUSDT"]


async def test_unknown_symbols_are_named(rest, rest_server):
    rest_server.routes["exchangeInfo"] = info_route("BTCUSDT", "ETHUSDT")
    with pytest.raises(UnknownSymbol, match="'NOPEUSDT'") as caught:
        await rest.symbols(["BTCUSDT", "NOPEUSDT"])
    assert caught.value.symbols == ("NOPEUSDT",)


async def test_all_symbols_of_a_large_exchange(rest, rest_server):
    names = [f"COIN{number}USDT" for number in range(3000)]
    rest_server.routes["exchangeInfo"] = info_route(*names)
    found = await rest.symbols()
    assert [info.name for info in found] == names
    assert rest_server.requests[0][2]["symbolStatus"] == "TRADING"


async def test_older_exchange_without_the_small_form(rest, rest_server):
    plain = info_route("BTCUSDT")

    def route(request):
        if "showPermissionSets" in request.query:
            return answer({"code": -1104, "msg": "Not all sent parameters were read."}, status=400)
        return plain(request)

    rest_server.routes["exchangeInfo"] = route
    assert [info.name for info in await rest.symbols()] == ["BTCUSDT"]
    assert [info.name for info in await rest.symbols(["BTCUSDT"])] == ["BTCUSDT"]


async def test_depth_trades_and_tickers(rest, rest_server):
    rest_server.routes["depth"] = lambda _request: answer(
        {"lastUpdateId": 160, "bids": [["99.0", "1.0"]], "asks": [["101.0", "2.0"]]}
    )
    rest_server.routes["trades"] = lambda _request: answer(
        [{"id": 5, "price": "99.5", "qty": "0.1", "quoteQty": "9.95", "time": TIME_MS,
          "isBuyerMaker": True, "isBestMatch": True}]
    )  # fmt: skip
    rest_server.routes["ticker/24hr"] = lambda request: answer(
        [{"symbol": name, "lastPrice": "2.0", "openPrice": "1.0", "highPrice": "3.0",
          "lowPrice": "0.5", "volume": "10.0", "quoteVolume": "20.0", "openTime": 1,
          "closeTime": TIME_MS, "count": 3} for name in json.loads(request.query["symbols"])]
    )  # fmt: skip
    snapshot = await rest.depth("BTCUSDT", 100)
    assert (snapshot.last_update_id, snapshot.bids, snapshot.asks) == (
        160, [(99.0, 1.0)], [(101.0, 2.0)],
    )  # fmt: skip
    (trade,) = await rest.trades("BTCUSDT", 1)
    assert (trade.trade_id, trade.price, trade.quantity, trade.buyer_is_maker) == (
        5, 99.5, 0.1, True,
    )  # fmt: skip
    tickers = await rest.tickers(["BTCUSDT", "ETHUSDT"])
    assert [ticker.symbol for ticker in tickers] == ["BTCUSDT", "ETHUSDT"]
    assert tickers[0].change_percent == pytest.approx(100.0)
    assert await rest.tickers([]) == []
    assert rest.budget.used[0] == 5 + 25 + 2


def test_weight_of_snapshots():
    weights = {limit: depth_weight(limit) for limit in (5, 100, 101, 500, 1000, 5000)}
    assert weights == {5: 5, 100: 5, 101: 25, 500: 25, 1000: 50, 5000: 250}


async def test_clock_offset_is_taken_from_half_the_round_trip(rest, rest_server):
    ahead_ms = 3_600_000

    def route(_request):
        return answer({"serverTime": int(time.time() * 1000) + ahead_ms})

    rest_server.routes["time"] = route
    assert rest.clock_offset_ms is None
    server_ms = await rest.server_time()
    assert rest.clock_offset_ms == pytest.approx(ahead_ms, abs=500)
    said_ms, sent_s, received_s = rest.last_time_answer
    assert said_ms == server_ms
    assert sent_s <= received_s <= time.monotonic()


# --- limits and failures ------------------------------------------------------------------------


class Clock:
    """A wall clock that only sleeping moves."""

    def __init__(self):
        self.at_s = 601.5

    async def sleep(self, seconds):
        self.at_s += seconds
        await asyncio.sleep(0)


def limited(rest_server, **options):
    clock = Clock()
    weights = WeightBudget(1000, wall_s=lambda: clock.at_s, sleep=clock.sleep, **options)
    return clock, RestClient(rest_server.url, budget=weights)


@pytest.mark.parametrize("status", [429, 418])
async def test_retry_after_is_obeyed_by_all_requests(rest_server, status):
    clock, rest = limited(rest_server)
    refused_at = []
    served_at = []

    def route(_request):
        if not refused_at:
            refused_at.append(clock.at_s)
            body = {"code": -1003, "msg": "Too much request weight used."}
            return answer(body, status=status, headers={"Retry-After": "30"})
        served_at.append(clock.at_s)
        return answer({"serverTime": TIME_MS})

    rest_server.routes["time"] = route
    await rest.server_time()
    await asyncio.gather(*(rest.server_time() for _ in range(5)))
    assert len(served_at) == 6
    assert min(served_at) >= refused_at[0] + 30
    await rest.close()


async def test_long_ban_is_raised_with_its_term_and_nothing_more_is_sent(rest_server):
    _, rest = limited(rest_server)
    until_ms = int((time.time() + 7200) * 1000)
    text = f"Way too much request weight used; IP banned until {until_ms}. Please use WebSocket."
    rest_server.routes["time"] = lambda _request: answer({"code": -1003, "msg": text}, status=418)
    for _ in range(3):
        with pytest.raises(RateLimited, match="banned") as caught:
            await rest.server_time()
        assert caught.value.retry_after_s == pytest.approx(7200, abs=30)
    assert len(rest_server.requests) == 1
    await rest.close()


async def test_used_weight_of_the_exchange_paces_background_work(rest_server):
    clock, rest = limited(rest_server)
    headers = {"X-MBX-USED-WEIGHT-1M": "600"}
    rest_server.routes["time"] = lambda _request: answer({"serverTime": 1}, headers=headers)
    start_s = clock.at_s
    await rest.server_time()
    assert rest.budget.used == (600, 1000)
    await rest.server_time()
    assert clock.at_s == start_s
    await rest.server_time(background=True)
    assert clock.at_s == start_s + 60
    await rest.close()


@pytest.mark.parametrize("status", [403, 451])
async def test_blocked_region_names_hosts_and_settings(rest, rest_server, status):
    rest_server.routes["depth"] = lambda _request: web.Response(status=status, text="<html>")
    with pytest.raises(Blocked) as caught:
        await rest.depth("BTCUSDT")
    for word in (str(status), "rest_url", "stream_url", "data-api.binance.vision"):
        assert word in str(caught.value)
    assert rest_server.counts["depth"] == 1


async def test_server_errors_are_tried_again_and_then_told(rest, rest_server):
    failures = 2

    def route(_request):
        nonlocal failures
        failures -= 1
        return answer({}, status=502) if failures >= 0 else answer({"serverTime": 7})

    rest_server.routes["time"] = route
    assert await rest.server_time() == 7
    failures = 99
    with pytest.raises(Unreachable, match="HTTP 502"):
        await rest.server_time()
    assert rest_server.counts["time"] == 3 + requester.TRIES


async def test_nobody_there_is_a_sentence():
    rest = RestClient("http://127.0.0.1:9")
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9 refused the connection"):
        await rest.server_time()
    await rest.close()


@pytest.mark.parametrize(
    "body",
    ["", "<html>", "{}", "[1]", '{"serverTime":"soon"}', '{"serverTime":', "[" * 90_000, "\x00"],
)
async def test_senseless_answers_are_told(rest, rest_server, body):
    rest_server.routes["time"] = lambda _request: web.Response(text=body)
    with pytest.raises(BadAnswer, match="rest_url"):
        await rest.server_time()


@pytest.mark.parametrize(
    ("code", "message", "error"),
    [
        (-1121, "Invalid symbol.", UnknownSymbol),
        (-1100, "Illegal characters found in parameter 'symbol'; legal range is x", UnknownSymbol),
        (-1130, "Data sent for parameter 'limit' is not valid.", BadAnswer),
    ],
)
async def test_refusals_become_sentences(rest, rest_server, code, message, error):
    rest_server.routes["depth"] = lambda _request: answer(
        {"code": code, "msg": message}, status=400
    )
    with pytest.raises(error) as caught:
        await rest.depth("NOPEUSDT")
    assert isinstance(caught.value, RestError)
    assert ("NOPEUSDT" if error is UnknownSymbol else message) in str(caught.value)
    assert rest_server.counts["depth"] == 1


async def test_library_logs_nothing_on_stderr_and_keeps_the_pinned_names(rest, rest_server):
    await rest.server_time()
    library = logging.getLogger("binance")
    assert any(isinstance(handler, logging.NullHandler) for handler in library.handlers)
    from binance import AsyncClient

    assert callable(AsyncClient._handle_response)
    assert callable(AsyncClient._get)
    assert AsyncClient.PUBLIC_API_VERSION == "v3"


def test_importing_the_room_does_not_import_the_library():
    program = (
        "import sys, engine.binance.rest, engine.binance.supervisor, engine.binance.book_feed;"
        "heavy = {'binance', 'pandas', 'numpy', 'engine.simulator'} & set(sys.modules);"
        "sys.exit(', '.join(sorted(heavy)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_listing_of_thousands_is_never_whole_in_memory() -> None:
    kinds = ("LOT_SIZE", "ICEBERG_PARTS", "MARKET_LOT_SIZE", "NOTIONAL", "MAX_NUM_ORDERS")
    filters = [{"filterType": "PRICE_FILTER", "tickSize": "0.01"}]
    filters += [{"filterType": kind, "stepSize": "0.1"} for kind in kinds]
    rows = [
        {"symbol": f"M{n}USDT", "baseAsset": f"M{n}", "quoteAsset": "USDT", "filters": filters}
        for n in range(2_000)
    ]
    body = msgspec.json.encode({"symbols": rows})
    rest_rows.EXCHANGE_INFO.decode(body)
    tracemalloc.start()
    try:
        listing = rest_rows.EXCHANGE_INFO.decode(body)
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert listing.markets[-1].tick_size == "0.01"
    assert most < 1.6 * kept


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("http://blocked.invalid/page", "blocked.invalid"),
        ("https://blocked.invalid:8443/", "blocked.invalid:8443"),
        ("//other.invalid", "other.invalid"),
        ("http://[", "http://["),
        ("/login?next=1", "its own /login"),
    ],
)
async def test_a_redirect_is_not_followed_and_names_both_hosts(rest, rest_server, location, target):
    def away(_request):
        return web.Response(status=302, headers={"Location": location})

    rest_server.routes["klines"] = away
    with pytest.raises(Unreachable) as caught:
        await rest.klines("BTCUSDT", "1m", limit=1)
    host = rest_server.url.removeprefix("http://")
    said = f"{host} does not answer itself but redirects to {target} (HTTP 302)"
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("BTCUSD", ["BTCUSDT", "BTCUSD1"]),
        ("BTCUSTD", ["BTCUSDT", "BTCUSDC"]),
        ("QQQ", []),
        ("", []),
    ],
)
def test_the_markets_that_a_name_may_stand_for(name, near):
    assert near_names(name, ["BTCUSD1", "BTCUSDC", "BTCUSDT", "ETHUSDT"])[:2] == near
