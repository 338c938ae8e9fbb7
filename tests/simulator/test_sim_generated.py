import asyncio
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.market.candle import fault_of
from engine.market.interval import DAY_MS, INTERVALS, MINUTE_MS
from engine.settings_model import DEMO_EDITION
from engine.simulator.candles import OpenBucket, OpenCandle, join, resample
from engine.simulator.clock import ExchangeClock
from engine.simulator.exchange import Exchange
from engine.simulator.generated import EDITION, GeneratedMarket
from engine.simulator.generated_feed import Feed
from engine.simulator.listings import UnknownMarket, list_markets
from engine.simulator.market_model import OutOfRange
from engine.simulator.market_trades import HOUR_MS, aggregate, quotes

START_MS = 1_795_000_012_345
HOUR = START_MS // HOUR_MS * HOUR_MS
MINUTE = INTERVALS["1m"]


def minutes_of(market, symbol, start_ms, count):
    return market.history(symbol, MINUTE, start_ms, start_ms + count * MINUTE_MS, count)


def test_candles_are_what_the_trades_add_up_to(market):
    made = market()
    hour = made.past.hour("LTCUSDT", HOUR)
    trades = made.past.trades("LTCUSDT", hour, 0, len(hour.times_ms))
    built, candle = [], None
    for time_ms in range(HOUR, HOUR + HOUR_MS, MINUTE_MS):
        inside = [t for t in trades if time_ms <= t.time_ms < time_ms + MINUTE_MS]
        candle = OpenCandle(time_ms, candle.close if candle else inside[0].price)
        for trade in inside:
            candle.add(trade)
        built.append(candle.candle(closed=True))
    assert built == minutes_of(made, "LTCUSDT", HOUR, 60)
    assert any(candle.trades == 0 for candle in built) or min(c.trades for c in built) >= 1


def test_trade_ids_follow_by_one_over_hours_and_days(market):
    made = market()
    day = START_MS // DAY_MS * DAY_MS
    hours = [made.past.hour("LTCUSDT", day - DAY_MS + n * HOUR_MS) for n in range(48)]
    for before, after in pairwise(hours):
        assert after.first_id == before.first_id + len(before.times_ms)


def test_takers_buy_at_the_ask_and_sell_at_the_bid(market):
    hour = market().past.hour("BTCUSDT", HOUR)
    assert (hour.prices[hour.buys] == hour.asks[hour.buys]).all()
    assert (hour.prices[~hour.buys] == hour.bids[~hour.buys]).all()
    assert (hour.asks > hour.bids).all()
    assert 0.2 < hour.buys.mean() < 0.8


def test_quotes_go_straight_from_trade_to_trade():
    times_ms, bids, asks = [1000, 2000], [10, 20], [11, 22]
    told = [
        quotes(times_ms, bids, asks, at_ms, sum(time <= at_ms for time in times_ms))
        for at_ms in (0, 1000, 1500, 2000, 5000)
    ]
    assert told == [(10, 11), (10, 11), (15, 16), (20, 22), (20, 22)]


def test_every_candle_can_be_true(market):
    made = market(32)
    for info in made.symbols():
        rows = minutes_of(made, info.name, HOUR - HOUR_MS, 60)
        assert len(rows) == 60
        assert [fault_of(row) for row in rows] == [None] * 60


def test_neither_start_nor_number_of_markets_changes_the_market(market):
    one = market(("LTCUSDT",), start_ms=START_MS + 3 * DAY_MS)
    many = market(("BTCUSDT", "ETHUSDT", "LTCUSDT"))
    start = HOUR - 100 * MINUTE_MS
    assert minutes_of(one, "LTCUSDT", start, 200) == minutes_of(many, "LTCUSDT", start, 200)


def test_another_seed_is_another_market(market):
    other = GeneratedMarket(8, ("LTCUSDT",), start_ms=START_MS)
    assert minutes_of(market(), "LTCUSDT", HOUR, 5) != minutes_of(other, "LTCUSDT", HOUR, 5)


@pytest.mark.parametrize("activity", [0.004, 0.05, 1.0, 4.0])
def test_every_minute_is_what_its_trades_add_up_to(activity):
    made = GeneratedMarket(11, 16, start_ms=START_MS, activity=activity)
    for model in made.models.values():
        hour = made.past.hour(model.listing.info.name, HOUR)
        day = model.minutes(HOUR // DAY_MS)
        first = HOUR % DAY_MS // MINUTE_MS
        before = int(day.candles.close[first - 1])
        told = [column[first : first + 60].tolist() for column in day.candles]
        assert [column.tolist() for column in aggregate(hour, MINUTE_MS, before)] == told
        assert min(hour.quantities) >= 1
        assert min(hour.bids) >= 1


def test_another_process_makes_the_same_market(market):
    program = (
        "from engine.simulator.generated import GeneratedMarket as G;"
        f"m = G(7, ('LTCUSDT',), start_ms={START_MS}); h = m.past.hour('LTCUSDT', {HOUR});"
        "print(h.first_id, h.prices.tolist(), h.times_ms.tolist(), h.quantities.tolist())"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    hour = market().past.hour("LTCUSDT", HOUR)
    expected = f"{hour.first_id} {hour.prices.tolist()} {hour.times_ms.tolist()} "
    assert printed.strip() == expected + f"{hour.quantities.tolist()}"


def test_the_edition_is_the_one_that_databases_are_stamped_with():
    assert EDITION == DEMO_EDITION


def test_a_change_of_values_needs_another_edition(market):
    hour = market().past.hour("LTCUSDT", HOUR)
    told = [hour.first_id, len(hour.times_ms), int(hour.times_ms[100])]
    told += [hour.prices[:3].tolist(), hour.quantities[:3].tolist()]
    assert (EDITION, told) == (2, [159248787, 1116, 338659, [10482, 10486, 10486], [384, 599, 599]])


def test_markets_are_correlated_and_volatility_changes(market):
    np = pytest.importorskip("numpy")
    made = market()
    day = START_MS // DAY_MS * DAY_MS - 2 * DAY_MS
    returns = []
    for symbol in ("BTCUSDT", "LTCUSDT"):
        closes = [row.close for row in minutes_of(made, symbol, day, 1440)]
        returns.append(np.diff(np.log(closes[::5])))
    assert np.corrcoef(returns)[0, 1] > 0.3
    by_hour = [part.std() for part in np.array_split(returns[0], 24)]
    assert max(by_hour) > 1.5 * min(by_hour)


@pytest.mark.parametrize("name", ["3m", "5m", "30m", "1h", "8h", "1d", "3d", "1w", "1M"])
def test_longer_candles_are_resampled_from_minutes(market, name):
    made = market()
    interval = INTERVALS[name]
    end_ms = interval.floor(START_MS)
    rows = made.history("LTCUSDT", interval, None, end_ms, 2)
    assert rows
    start = rows[0].open_time_ms
    minutes = minutes_of(made, "LTCUSDT", start, (end_ms - start) // MINUTE_MS)
    assert resample(minutes, interval) == rows


def test_history_takes_the_oldest_from_a_start_and_the_newest_without(market):
    made = market()
    end = HOUR
    newest = made.history("LTCUSDT", MINUTE, None, end, 3)
    assert [row.open_time_ms for row in newest] == [end - n * MINUTE_MS for n in (3, 2, 1)]
    oldest = made.history("LTCUSDT", MINUTE, end - 600_001, end, 3)
    assert [row.open_time_ms for row in oldest] == [end - 600_000 + n * MINUTE_MS for n in range(3)]
    assert made.history("LTCUSDT", MINUTE, None, end - 81 * DAY_MS, 3) == []


def test_seconds_add_up_to_their_minute(market):
    made = market()
    seconds = made.history("LTCUSDT", INTERVALS["1s"], HOUR, HOUR + MINUTE_MS, 60)
    assert len(seconds) == 60
    minute = minutes_of(made, "LTCUSDT", HOUR, 1)[0]
    joined = join(HOUR, [row for row in seconds if row.trades])
    assert (joined.high, joined.low, joined.close) == (minute.high, minute.low, minute.close)
    assert (joined.volume, joined.trades) == (minute.volume, minute.trades)


class Onlooker:
    """Somebody who wants books kept up to date."""

    combined = False

    def send(self, frame):
        pass


def collect(market, step_ms):
    """Return the trades and the book changes of 3 minutes that the feed gives in steps."""
    trades, tops = [], []

    class Recorder(Exchange):
        def trade(self, symbol, trade, *, count=1):
            trades.append((symbol, trade))
            super().trade(symbol, trade, count=count)
            tops.append((self.states[symbol].book.top(), trade))

    exchange = Recorder(market, ExchangeClock(market.start_ms, running=False))
    exchange.load()
    for name in market.models:
        exchange.hub.subscribe(Onlooker(), f"{name.lower()}@depth@100ms")
    feed = Feed(market, exchange, [model.listing for model in market.models.values()])
    feed.start()
    for time_ms in range(market.start_ms, market.start_ms + 3 * MINUTE_MS, step_ms):
        feed.emit_until(time_ms)
        feed.churn()
        for state in exchange.states.values():
            bid, _, ask, _ = state.book.top()
            assert bid < ask
    feed.emit_until(market.start_ms + 3 * MINUTE_MS)
    return sorted(trades, key=lambda row: (row[0], row[1].trade_id)), tops, exchange


async def test_speed_changes_no_trade(market):
    fast, _, _ = collect(market(), 20_000)
    slow, _, _ = collect(market(), 70)
    assert fast == slow


async def test_a_trade_prints_at_the_top_of_the_book(market):
    _, tops, _ = collect(market(), 1000)
    assert len(tops) > 100
    for (bid, _, ask, _), trade in tops:
        assert trade.price == (bid if trade.buyer_is_maker else ask)


async def test_a_book_that_nobody_follows_is_brought_up_to_date_when_asked_for(start):
    client = await start(speed=60)
    before = await client.get("depth", symbol="BTCUSDT", limit=5)
    await asyncio.sleep(0.5)
    after = await client.get("depth", symbol="BTCUSDT", limit=5)
    assert after["lastUpdateId"] > before["lastUpdateId"]
    trade = client.running.exchange.states["BTCUSDT"].last_trade
    (row,) = [await client.get("ticker/bookTicker", symbol="BTCUSDT")]
    assert float(row["bidPrice"]) < float(row["askPrice"])
    assert abs(float(row["bidPrice"]) / trade.price - 1) < 0.002


async def test_live_minutes_equal_the_history_of_a_later_start(market):
    _, _, exchange = collect(market(), 500)
    first = START_MS // MINUTE_MS * MINUTE_MS
    later = market(start_ms=START_MS + HOUR_MS)
    for symbol in exchange.states:
        rows = await exchange.candles(symbol, MINUTE, first, None, 10)
        assert [row.closed for row in rows] == [True, True, True, False]
        assert rows[:3] == minutes_of(later, symbol, first, 3)


async def test_the_ticker_is_its_24_hours(market):
    made = market()
    _, _, exchange = collect(made, 500)
    state = exchange.states["LTCUSDT"]
    now = exchange.now_ms
    day = state.ticker(now)
    rows = await exchange.candles("LTCUSDT", MINUTE, None, None, 1441)
    before, window = rows[0], rows[1:]
    joined = join(window[0].open_time_ms, window)
    assert (day.open, day.high, day.low, day.last) == (
        joined.open,
        joined.high,
        joined.low,
        joined.close,
    )
    assert day.volume == pytest.approx(joined.volume, abs=1e-8)
    assert day.quote_volume == pytest.approx(joined.quote_volume, abs=1e-6)
    assert day.trades == joined.trades
    assert day.last_id == state.last_trade.trade_id
    assert day.previous_close == before.close


@pytest.mark.parametrize("name", ["3m", "15m", "1h", "1d", "1w", "1M"])
async def test_an_open_long_candle_is_resampled_from_its_minutes(market, name):
    _, _, exchange = collect(market(), 1000)
    interval = INTERVALS[name]
    first = interval.floor(exchange.now_ms)
    minutes = await exchange.candles("LTCUSDT", MINUTE, first, None, 50_000)
    (row,) = await exchange.candles("LTCUSDT", interval, first, None, 5)
    assert not row.closed
    assert row == join(first, minutes, closed=False)
    assert exchange.states["LTCUSDT"].open_candle(interval) == row


@given(st.lists(st.floats(0, 1e9).map(lambda value: round(value, 8)), min_size=1, max_size=40))
@settings(max_examples=60)
def test_a_running_bucket_equals_the_join(volumes):
    from engine.market.candle import Candle

    candles = [
        Candle(n * MINUTE_MS, 1.0 + n, 2.0 + n, 0.5, 1.5, v, v * 3, n, v / 2, v)
        for n, v in enumerate(volumes)
    ]
    bucket = OpenBucket(0)
    for candle in candles[:-1]:
        bucket.add(candle)
    assert bucket.copy().with_minute(candles[-1], closed=True) == join(0, candles)


def test_more_markets_than_known_ones_are_invented():
    listings = list_markets(150)
    assert len({listing.info.name for listing in listings}) == 150
    assert list_markets(["FOOUSDC"])[0].info.base == "FOO"


def test_wrong_names_and_starts_are_refused_in_a_sentence():
    with pytest.raises(UnknownMarket, match="'btc-usd' is no market name"):
        list_markets(["btc-usd"])
    for name in ("BTCUSD", "btc-usd", "btc/usdt"):
        with pytest.raises(UnknownMarket, match=r"did you mean BTCUSDT\?"):
            list_markets([name])
    with pytest.raises(UnknownMarket, match="such as BTCUSDT"):
        list_markets(["é"])
    with pytest.raises(OutOfRange, match="from 2010 to 2059"):
        GeneratedMarket(start_ms=1_000_000_000)
