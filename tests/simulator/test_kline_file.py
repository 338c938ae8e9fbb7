"""A kline file becomes a live market whose candles are the file's rows."""

import asyncio
import csv
import gzip
import json
import math
import os
import zipfile
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.market.candle import Candle
from engine.market.interval import INTERVALS
from engine.market.kline_csv import COLUMNS
from engine.simulator.kline_file import load_kline_files
from engine.simulator.market_state import MarketState
from engine.simulator.protocol.zones import is_made_of
from engine.simulator.pump import Pump
from engine.simulator.replay import ReplayError, is_kline_replay, open_replay
from engine.simulator.replay_book import MadeUpBook
from engine.simulator.replay_fills import derive_fills
from engine.simulator.server import serve
from engine.simulator.streams import parse_stream
from engine.simulator.ticker_pushes import TickerPushes

MINUTE_MS = 60_000
FIRST_MS = 1_733_011_200_000  # 2024-12-01 00:00 UTC
IN_TIME_S = 60


# -- files ---------------------------------------------------------------------------------------


def row(index, *, length_ms=MINUTE_MS, known_sides=False):
    """One row whose numbers fit together and differ from those of its neighbours."""
    open_ms = FIRST_MS + index * length_ms
    base = 10_000 + 7 * (index % 13)
    prices = [base, base + 40, base - 35, base + (index % 5) * 3 - 6]
    volume = Decimal(1200 + index) / 1000
    quote = volume * Decimal(base + index % 4) / 100
    sides = (volume / 2, quote / 2, 0) if known_sides else ("", "", "")
    o, h, low, c = (f"{Decimal(price) / 100:f}" for price in prices)
    return (open_ms, o, h, low, c, volume, open_ms + length_ms - 1, quote, 40 + index % 9, *sides)


def write(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return path


@pytest.fixture
def minutes(tmp_path):
    """Sixty minutes of TESTUSDT; minute 40 is missing."""
    return write(tmp_path / "TESTUSDT_1m.csv", [row(n) for n in range(60) if n != 40])


@asynccontextmanager
async def playing(path, start, speed):
    source = open_replay([path], start=start, start_ms=None)
    async with serve(source, speed=speed) as running, aiohttp.ClientSession() as http:
        yield running, http


async def listen_to_the_end(running, http, streams):
    """Return all messages of `streams` up to the end of the replay."""
    messages = []
    url = f"{running.stream_url}/stream?streams={'/'.join(streams)}"
    async with asyncio.timeout(IN_TIME_S), http.ws_connect(url, max_msg_size=0) as socket:
        asking = asyncio.create_task(_ask_when_ended(running, socket))
        async for frame in socket:
            message = json.loads(frame.data)
            if "result" in message:
                await asking
                return messages
            messages.append(message["data"])
    raise AssertionError("the connection ended before the replay")


async def _ask_when_ended(running, socket):
    await running.ended
    await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})


async def get(running, http, path):
    async with http.get(f"{running.rest_url}/api/v3/{path}") as answer:
        assert answer.status == 200
        return await answer.json()


def numbers_of(path):
    """Read a file's rows independently: open time -> o h l c v q n."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt") as file:
        return {
            int(cells["open_time"]): (
                *(float(cells[key]) for key in ("open", "high", "low", "close", "volume")),
                float(cells["quote_volume"]),
                int(cells["count"]),
            )
            for cells in csv.DictReader(file)
        }


def closed(messages, interval="1m"):
    klines = [m["k"] for m in messages if m["e"] == "kline"]
    return {
        k["t"]: (*(float(k[key]) for key in "ohlcvq"), k["n"])
        for k in klines
        if k["x"] and k["i"] == interval
    }


# -- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["TESTUSDT_1m.csv", "TESTUSDT-1m-2024-12.csv.gz", "testusdt-1m.zip"]
)
def test_symbol_and_interval_come_from_name_and_spacing(tmp_path, minutes, name):
    path = tmp_path / "in" / name
    path.parent.mkdir()
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(minutes, "anything.csv")
    else:
        data = minutes.read_bytes()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert is_kline_replay([path])
    (history,) = load_kline_files([path])
    assert (history.info.name, history.info.base, history.info.quote) == (
        "TESTUSDT", "TEST", "USDT",
    )  # fmt: skip
    assert history.interval is INTERVALS["1m"]
    assert len(history.candles) == 59
    assert (history.info.price_decimals, history.info.quantity_decimals) == (2, 3)


def test_bad_rows_are_left_out_and_counted(tmp_path, minutes):
    path = tmp_path / "TESTUSDT.csv"
    lines = minutes.read_text().splitlines()
    lines[5] = "half,a,row"
    lines[8] = lines[8].replace(str(FIRST_MS + 7 * MINUTE_MS), str(FIRST_MS + 7 * MINUTE_MS + 1))
    path.write_text("\n".join([*lines, lines[10]]))
    (history,) = load_kline_files([path])
    assert (len(history.candles), history.bad_rows) == (57, 3)


def test_files_of_one_market_continue_each_other(tmp_path):
    write(tmp_path / "TESTUSDT-1m-02.csv", [row(n) for n in range(10, 20)])
    write(tmp_path / "TESTUSDT-1m-01.csv", [row(n) for n in range(10)])
    write(tmp_path / "OTHERUSDT-1m.csv", [row(n) for n in range(20)])
    found = load_kline_files(sorted(tmp_path.iterdir()))
    assert [(history.info.name, len(history.candles)) for history in found] == [
        ("OTHERUSDT", 20),
        ("TESTUSDT", 20),
    ]


def test_a_file_of_another_tool_is_played_too(tmp_path):
    path = tmp_path / "Binance_BTCUSDT_1h.csv"
    rows = [
        f"2024-12-0{1 + n // 24} {n % 24:02}:00,BTC/USDT,{100 + n},{104 + n},{98 + n},{101 + n},2"
        for n in reversed(range(48))
    ]
    path.write_text(
        "\n".join(["https://example.org", "Date,Symbol,Open,High,Low,Close,Volume BTC", *rows])
    )
    [history] = load_kline_files([path])
    assert is_kline_replay([path])
    assert (history.info.name, history.interval.name, history.bad_rows) == ("BTCUSDT", "1h", 0)
    first = history.candles[0]
    assert (first.open_time_ms, first.open, first.close) == (FIRST_MS, 100.0, 101.0)
    assert (first.trades, first.quote_volume) == (None, 202.0)  # 2 at (104 + 98 + 101) / 3


def test_what_can_not_be_played_is_said_in_a_sentence(tmp_path, minutes):
    odd = write(tmp_path / "ODD.csv", [row(n, length_ms=7_000) for n in range(5)])
    lone = write(tmp_path / "LONE.csv", [row(0)])
    nameless = write(tmp_path / "-1m.csv", [row(n) for n in range(5)])
    hours = write(tmp_path / "HOURUSDT.csv", [row(n, length_ms=60 * MINUTE_MS) for n in range(5)])
    torn = tmp_path / "TORN.csv.gz"
    torn.write_bytes(gzip.compress(minutes.read_bytes())[:-30])
    recording = tmp_path / "rec.txt"
    recording.write_text('1723161253937085768 {"stream":"a@trade","data":{}}\n')
    for paths, start, words in [
        ([odd], None, "7 s apart"),
        ([lone], None, "fewer than two"),
        ([nameless], None, "does not begin with its symbol"),
        ([minutes, hours], None, "different intervals"),
        ([torn], None, "damaged or half-written"),
        ([minutes, recording], None, "name one kind"),
        ([minutes], "gibberish", "is no time"),
        ([minutes], "2023-01-01", "lies outside"),
    ]:
        with pytest.raises(ReplayError, match=words):
            open_replay(paths, start=start, start_ms=None)


# -- where it starts, and what came before -------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "start_ms", "minute"),
    [
        (None, None, 35),
        ("2024-12-01 00:20", None, 20),
        ("2024-12-01T00:20:30Z", None, 20),
        ("1 December 2024 00:20", None, 20),
        (None, FIRST_MS + 50 * MINUTE_MS + 5, 50),
        ("2024-12-01 00:20", FIRST_MS + 50 * MINUTE_MS, 20),
        (None, FIRST_MS - 10, 0),
        (None, FIRST_MS + 1000 * MINUTE_MS, 60),
    ],
)
def test_it_starts_where_it_is_told(minutes, start, start_ms, minute):
    source = open_replay([minutes], start=start, start_ms=start_ms)
    assert source.start_ms == FIRST_MS + minute * MINUTE_MS


def test_history_is_the_files_rows_before_the_start(minutes):
    source = open_replay([minutes], start="2024-12-01 00:50", start_ms=None)
    rows = source.history("TESTUSDT", INTERVALS["1m"], None, source.start_ms, 1000)
    assert {
        c.open_time_ms: (c.open, c.high, c.low, c.close, c.volume, c.quote_volume, c.trades)
        for c in rows
    } == {t: n for t, n in numbers_of(minutes).items() if t < source.start_ms}
    assert all(candle.taker_buy_volume is None for candle in rows)
    assert [c.open_time_ms for c in rows] == sorted(c.open_time_ms for c in rows)


@pytest.mark.parametrize("name", ["1m", "5m", "15m", "1h"])
def test_pages_of_history_join_without_hole_or_overlap(minutes, name):
    source = open_replay([minutes], start="2024-12-01 00:59", start_ms=None)
    interval = INTERVALS[name]
    whole = source.history("TESTUSDT", interval, None, source.start_ms, 1000)
    paged, start = [], FIRST_MS
    while page := source.history("TESTUSDT", interval, start, source.start_ms, 4):
        paged += page
        start = page[-1].open_time_ms + 1
    assert paged == whole
    assert len(whole) == {"1m": 58, "5m": 11, "15m": 3, "1h": 0}[name]
    assert whole[-2:] == source.history("TESTUSDT", interval, None, source.start_ms, 2)


def test_longer_candles_are_joined_and_finer_ones_do_not_exist(tmp_path):
    path = write(
        tmp_path / "TESTUSDT_15m.csv",
        [row(n, length_ms=15 * MINUTE_MS, known_sides=True) for n in range(2, 30)],
    )
    source = open_replay([path], start="2024-12-01 06:00", start_ms=None)
    assert source.finest is INTERVALS["15m"]
    assert source.history("TESTUSDT", INTERVALS["5m"], None, source.start_ms, 10) == []
    hours = source.history("TESTUSDT", INTERVALS["1h"], None, source.start_ms, 10)
    assert [c.open_time_ms for c in hours] == [FIRST_MS + n * 3_600_000 for n in range(1, 6)]
    quarters = [row(n, length_ms=15 * MINUTE_MS, known_sides=True) for n in range(4, 8)]
    assert hours[0].trades == sum(cells[8] for cells in quarters)
    assert hours[0].volume == float(sum(cells[5] for cells in quarters))
    assert hours[0].taker_buy_volume == float(sum(cells[9] for cells in quarters))


# -- made-up trades ------------------------------------------------------------------------------


@st.composite
def candles(draw):
    """Candles that real trades in ticks of 0.01 and steps of 0.001 add up to."""
    count = draw(st.integers(1, 60))
    prices = draw(st.lists(st.integers(90_000, 110_000), min_size=count, max_size=count))
    steps = draw(st.lists(st.integers(1, 50_000), min_size=count, max_size=count))
    quote = sum(p * q for p, q in zip(prices, steps, strict=True))
    return Candle(
        FIRST_MS + draw(st.integers(0, 10_000)) * MINUTE_MS,
        prices[0] / 100,
        max(prices) / 100,
        min(prices) / 100,
        prices[-1] / 100,
        sum(steps) / 1000,
        quote / 100_000,
        count,
    )


@settings(max_examples=300, deadline=None)
@given(candle=candles(), at_most=st.integers(1, 80))
def test_made_up_trades_add_up_to_their_candle(candle, at_most):
    fills = derive_fills(candle, MINUTE_MS, price_decimals=2, quantity_decimals=3, at_most=at_most)
    prices = [fill.price for fill in fills]
    assert (prices[0], max(prices), min(prices), prices[-1]) == (
        candle.open, candle.high, candle.low, candle.close,
    )  # fmt: skip
    assert len(fills) <= at_most + 3
    assert sum(fill.trades for fill in fills) == candle.trades
    assert all(fill.trades >= 1 and fill.quantity > 0 for fill in fills)
    volume = sum(Decimal(repr(fill.quantity)) for fill in fills)
    assert volume == Decimal(repr(candle.volume))
    times = [fill.offset_ms for fill in fills]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] < MINUTE_MS
    for before, after in pairwise(fills):
        if before.price != after.price:
            assert after.buyer_is_maker == (after.price < before.price)


@settings(max_examples=200, deadline=None)
@given(candle=candles())
def test_quote_volume_is_met_up_to_a_ten_thousandth_of_the_price_range(candle):
    fills = derive_fills(candle, MINUTE_MS, price_decimals=2, quantity_decimals=3, at_most=100)
    quote = sum(Decimal(repr(f.price)) * Decimal(repr(f.quantity)) for f in fills)
    missed = abs(quote - Decimal(repr(candle.quote_volume)))
    allowed = Decimal(repr(candle.high - candle.low)) * Decimal(repr(candle.volume)) / 10_000
    if len(fills) >= 20:
        assert missed <= allowed
    elif len({candle.open, candle.high, candle.low, candle.close}) <= 2 and len(fills) == 2:
        assert missed <= allowed + Decimal("0.01")


def test_the_same_candle_always_gives_the_same_trades():
    candle = Candle(FIRST_MS, 100.0, 101.0, 99.0, 100.5, 12.0, 1201.0, 300)
    first, second = (
        derive_fills(candle, MINUTE_MS, price_decimals=2, quantity_decimals=3, at_most=100)
        for _ in range(2)
    )
    assert first == second


def test_a_candle_without_volume_has_no_trades():
    candle = Candle(FIRST_MS, 100.0, 100.0, 100.0, 100.0, 0.0, 0.0, 0)
    assert derive_fills(candle, MINUTE_MS, price_decimals=2, quantity_decimals=3, at_most=9) == []


@settings(max_examples=50, deadline=None)
@given(moves=st.lists(st.tuples(st.integers(1, 20_000), st.booleans()), min_size=1, max_size=20))
def test_the_made_up_book_is_never_crossed_and_has_the_last_price_at_its_top(moves):
    made_up = MadeUpBook(2, 3, seed=1)
    sides = {}, {}
    for ticks, sold in moves:
        changes = made_up.move(ticks / 100, 0.5, sold=sold)
        for side, levels in zip(sides, changes, strict=True):
            for price, quantity in levels:
                side.pop(price, None)
                if quantity:
                    side[price] = quantity
        bids, asks = sides
        assert max(bids) < min(asks)
        assert ticks / 100 in (max(bids), min(asks))
        assert min(min(bids.values()), min(asks.values())) > 0


# -- live ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "speed"), [("2024-12-01 00:20", math.inf), ("2024-12-01 00:45", 600)]
)
async def test_every_row_after_the_start_is_pushed_closed_as_it_stands(minutes, start, speed):
    async with playing(minutes, start, speed) as (running, http):
        start_ms = running.exchange.source.start_ms
        messages = await listen_to_the_end(running, http, ["testusdt@kline_1m"])
        assert running.exchange.has_ended
        rows = await get(running, http, "klines?symbol=TESTUSDT&interval=1m&limit=1000")
    rest = {r[0]: (*(float(r[n]) for n in (1, 2, 3, 4, 5, 7)), r[8]) for r in rows}
    expected = numbers_of(minutes)
    assert closed(messages) == {t: n for t, n in expected.items() if t >= start_ms}
    assert {t: n for t, n in rest.items() if t in expected} == expected
    assert set(rest) <= {*expected, FIRST_MS + 60 * MINUTE_MS}


async def test_what_the_file_does_not_tell_is_not_invented(minutes):
    async with playing(minutes, "2024-12-01 00:50", math.inf) as (running, http):
        messages = await listen_to_the_end(running, http, ["testusdt@kline_1m"])
        rows = await get(running, http, "klines?symbol=TESTUSDT&interval=1m")
        info = await get(running, http, "exchangeInfo")
    klines = [message["k"] for message in messages]
    assert klines
    assert all("V" not in kline and "Q" not in kline for kline in klines)
    assert all(cells[9] is None and cells[10] is None for cells in rows)
    assert info["symbols"][0]["klinetopMadeUp"] == ["book", "trades"]


async def test_taker_volumes_of_the_file_are_kept(tmp_path):
    path = write(tmp_path / "TESTUSDT_1m.csv", [row(n, known_sides=True) for n in range(20)])
    async with playing(path, "2024-12-01 00:10", math.inf) as (running, http):
        messages = await listen_to_the_end(running, http, ["testusdt@kline_1m"])
        rows = await get(running, http, "klines?symbol=TESTUSDT&interval=1m&limit=1000")
    pushed = {m["k"]["t"]: float(m["k"]["V"]) for m in messages if m["k"]["x"]}
    assert pushed == {row(n)[0]: float(row(n, known_sides=True)[9]) for n in range(10, 20)}
    assert [float(r[9]) for r in rows[:20]] == [
        float(row(n, known_sides=True)[9]) for n in range(20)
    ]


async def test_trades_ids_and_counts_add_up_on_the_wire(minutes):
    async with playing(minutes, "2024-12-01 00:20", math.inf) as (running, http):
        start_ms = running.exchange.source.start_ms
        streams = ["testusdt@aggTrade", "testusdt@trade", "testusdt@kline_1m"]
        messages = await listen_to_the_end(running, http, streams)
    aggregates = [m for m in messages if m["e"] == "aggTrade"]
    assert all(b["f"] == a["l"] + 1 for a, b in pairwise(aggregates))
    per_minute = {}
    for m in aggregates:
        minute = m["T"] // MINUTE_MS * MINUTE_MS
        count, volume = per_minute.get(minute, (0, Decimal(0)))
        per_minute[minute] = count + m["l"] - m["f"] + 1, volume + Decimal(m["q"])
    expected = {t: n for t, n in numbers_of(minutes).items() if t >= start_ms}
    assert {m["T"] // MINUTE_MS * MINUTE_MS for m in messages if m["e"] == "trade"} == set(expected)
    for open_ms in sorted(expected)[:-1]:
        assert per_minute[open_ms] == (expected[open_ms][6], Decimal(repr(expected[open_ms][4])))


async def test_the_made_up_book_follows_the_last_price_on_the_wire(minutes):
    async with playing(minutes, "2024-12-01 00:20", math.inf) as (running, http):
        await listen_to_the_end(running, http, ["testusdt@trade"])
        book = await get(running, http, "depth?symbol=TESTUSDT&limit=5000")
        price = float((await get(running, http, "ticker/price?symbol=TESTUSDT"))["price"])
    best_bid, best_ask = float(book["bids"][0][0]), float(book["asks"][0][0])
    assert best_bid < best_ask
    assert price in (best_bid, best_ask)
    assert price == numbers_of(minutes)[FIRST_MS + 59 * MINUTE_MS][3]


async def test_a_file_of_longer_rows_pushes_them_and_what_they_add_up_to(tmp_path):
    path = write(
        tmp_path / "TESTUSDT_15m.csv", [row(n, length_ms=15 * MINUTE_MS) for n in range(30)]
    )
    async with playing(path, "2024-12-01 02:00", math.inf) as (running, http):
        streams = ["testusdt@kline_1m", "testusdt@kline_15m", "testusdt@kline_1h"]
        messages = await listen_to_the_end(running, http, streams)
        minutes_rows = await get(running, http, "klines?symbol=TESTUSDT&interval=1m")
        hours = await get(running, http, "klines?symbol=TESTUSDT&interval=1h")
    expected = {t: n for t, n in numbers_of(path).items() if t >= FIRST_MS + 120 * MINUTE_MS}
    assert closed(messages, "15m") == expected
    assert closed(messages, "1m") == {}
    assert minutes_rows == []
    pushed_hours = closed(messages, "1h")
    assert list(pushed_hours) == [FIRST_MS + n * 60 * MINUTE_MS for n in range(2, 7)]
    third = [numbers_of(path)[FIRST_MS + n * 15 * MINUTE_MS] for n in range(8, 12)]
    assert pushed_hours[FIRST_MS + 120 * MINUTE_MS][6] == sum(cells[6] for cells in third)
    assert [r[0] for r in hours[:7]] == [FIRST_MS + n * 60 * MINUTE_MS for n in range(7)]


# -- the real file -------------------------------------------------------------------------------


def klines_directory():
    directory = os.environ.get("KLINETOP_RECORDINGS")
    if not directory:
        pytest.skip("KLINETOP_RECORDINGS is not set")
    return Path(directory) / "klines"


@pytest.mark.recorded
async def test_the_real_file_is_pushed_row_by_row():
    path = klines_directory() / "BTCUSDT_1m.csv.gz"
    async with playing(path, "2024-12-29 15:00", math.inf) as (running, http):
        start_ms = running.exchange.source.start_ms
        messages = await listen_to_the_end(running, http, ["btcusdt@kline_1m"])
        day = await get(running, http, "ticker/24hr?symbol=BTCUSDT")
    numbers = numbers_of(path)
    assert closed(messages) == {t: n for t, n in numbers.items() if t >= start_ms}
    day_from_ms = max(numbers) - 1439 * MINUTE_MS
    last_day = [n for t, n in numbers.items() if t > day_from_ms]
    assert float(day["highPrice"]) == max(n[1] for n in last_day)
    assert math.isclose(float(day["volume"]), math.fsum(n[4] for n in last_day), rel_tol=1e-9)


@pytest.mark.recorded
def test_made_up_trades_meet_the_real_candles():
    path = klines_directory() / "BTCUSDT_1m.csv.gz"
    (history,) = load_kline_files([path])
    for candle in history.candles[::400]:
        fills = derive_fills(candle, MINUTE_MS, price_decimals=2, quantity_decimals=5, at_most=200)
        prices = [fill.price for fill in fills]
        assert (prices[0], max(prices), min(prices), prices[-1]) == (
            candle.open, candle.high, candle.low, candle.close,
        )  # fmt: skip
        assert sum(f.trades for f in fills) == candle.trades
        assert sum(Decimal(repr(f.quantity)) for f in fills) == Decimal(repr(candle.volume))
        quote = math.fsum(fill.price * fill.quantity for fill in fills)
        assert math.isclose(quote, candle.quote_volume, rel_tol=1e-8)


# -- streams -------------------------------------------------------------------------------------


async def test_streams_say_what_a_file_of_quarters_can_tell(tmp_path):
    path = write(
        tmp_path / "TESTUSDT_15m.csv",
        [row(n, length_ms=15 * MINUTE_MS, known_sides=True) for n in range(200)],
    )
    told = ["kline_15m", "kline_4h@+08:00", "kline_6h@+08:00", "kline_1d@+08:00", "ticker_1h",
            "ticker_4h", "ticker", "avgPrice", "referencePrice", "depth5@1000ms"]  # fmt: skip
    silent = ["kline_1s", "kline_1m", "kline_5m@+08:00"]
    async with playing(path, "2024-12-02 12:00", math.inf) as (running, http):
        exchange = running.exchange
        names = [f"testusdt@{kind}" for kind in told + silent]
        url = f"{running.stream_url}/stream?streams={'/'.join(names)}&timeUnit=MICROSECOND"
        async with asyncio.timeout(IN_TIME_S), http.ws_connect(url, max_msg_size=0) as socket:
            await running.ended
            pump = Pump(exchange)
            pump.push_tickers()
            pump.push_depth(fast=False)
            for seconds in (True, False):
                pump.push_candles(seconds=seconds)
            await socket.send_str('{"method":"GET_PROPERTY","params":["combined"],"id":1}')
            heard = {}
            while True:
                message = json.loads((await socket.receive()).data)
                if "id" in message:
                    break
                heard[message["stream"]] = message["data"]
    assert heard.keys() == {f"testusdt@{kind}" for kind in told}
    assert heard["testusdt@ticker_1h"]["O"] % 1000 == 0
    assert heard["testusdt@kline_15m"]["k"]["T"] % 1000 == 999


@pytest.mark.parametrize(
    ("finest", "told", "silent"),
    [
        ("1s", ["1s", "1M", "1w@+08:00"], []),
        ("1h", ["1h", "6h@+08:00", "1M@+08:00"], ["1s", "30m"]),
        ("8h", ["8h", "1d@+08:00"], ["12h", "12h@+08:00", "6h"]),
        ("1d", ["1d", "3d", "1w", "1M"], ["1d@+08:00", "1M@+08:00", "12h"]),
        ("3d", ["3d"], ["1w", "1M"]),
    ],
)
def test_candles_that_cut_those_of_the_file_are_not_streamed(finest, told, silent):
    for names, is_told in ((told, True), (silent, False)):
        for name in names:
            stream = parse_stream(f"testusdt@kline_{name}")
            assert is_made_of(stream.interval, INTERVALS[finest]) is is_told, name


def test_windows_as_short_as_the_candles_are_not_told(tmp_path):
    path = write(
        tmp_path / "TESTUSDT_1h.csv", [row(n, length_ms=60 * MINUTE_MS) for n in range(100)]
    )
    source = open_replay([path], start="2024-12-03 00:00", start_ms=None)
    state = MarketState(source.symbols()[0], source, source.start_ms)
    state.load()
    pushes = TickerPushes({"TESTUSDT": state})
    now_ms = source.start_ms + 1
    assert pushes.payload(parse_stream("testusdt@ticker_1h"), now_ms) is None
    assert pushes.payload(parse_stream("!ticker_1h@arr"), now_ms) is None
    four = json.loads(pushes.payload(parse_stream("testusdt@ticker_4h"), now_ms))
    assert four["n"] == sum(row(n)[8] for n in range(44, 48))
