"""A whole engine captures all markets of an exchange whose listings change under way."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from engine.capture import roster as roster_module
from engine.market.interval import DAY_MS, MINUTE_MS, parse_interval
from engine.market.symbol import SymbolInfo
from engine.service.reports import status_report
from engine.settings_model import DEFAULT_SYMBOLS
from engine.simulator.generated import GeneratedMarket
from engine.simulator.server import Running, serve
from engine.store import promises

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from engine.runtime import Engine

START_MS = 1_795_000_012_345
UNICODE = "币安人生USDT"
SYMBOLS = ("BTCUSDT", "LTCUSDT", "ETHBTC", UNICODE)
SPEED = 60.0


@pytest.fixture
async def running(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setattr(roster_module, "LOOK_AT_LEAST_EVERY_S", 0.1)
    monkeypatch.setattr(roster_module, "LOOK_EVERY_S", 6.0)
    market = GeneratedMarket(7, SYMBOLS, start_ms=START_MS, history_days=2)
    async with serve(market, speed=SPEED) as exchange:
        yield exchange


def said(engine: Engine) -> str:
    return " ".join(notice.text for notice in engine.notices.after(0))


def stored(engine: Engine, symbol: str) -> dict[int, Any]:
    return {row.open_time_ms: row for row in engine.store.reader.candles(symbol, "1m")}


async def test_a_name_in_any_script_comes_whole_from_the_wire_to_the_disk(
    running: Running, engine_on, eventually
) -> None:
    engine = await engine_on(running, SPEED, symbols=("BTCUSDT",), markets=("all",))
    await eventually(lambda: set(engine.roster.symbols) == set(SYMBOLS))
    await eventually(lambda: len(stored(engine, UNICODE)) >= 3)
    candles = stored(engine, UNICODE)
    first_ms, last_ms = min(candles), max(candles)
    truth = await running.exchange.candles(UNICODE, parse_interval("1m"), first_ms, last_ms, 1_000)
    assert truth[-1].open_time_ms == last_ms
    assert all(
        (row.close, row.volume)
        == (candles[row.open_time_ms].close, candles[row.open_time_ms].volume)
        for row in truth
    )
    assert all(engine.board.symbol(symbol).last for symbol in SYMBOLS)
    assert engine.board.watchlist == ["BTCUSDT"]


async def test_listings_halts_and_delistings_are_followed(
    running: Running, engine_on, eventually
) -> None:
    engine = await engine_on(running, SPEED, symbols=("BTCUSDT",), markets=("usdt",))
    await eventually(lambda: engine.state == "running")
    assert engine.roster.symbols == ("BTCUSDT", "LTCUSDT", UNICODE)
    running.faults.list_symbol(SymbolInfo("NEWUSDT", "NEW", "USDT", "TRADING"))
    running.faults.list_symbol(SymbolInfo("NEWBTC", "NEW", "BTC", "TRADING"))
    await eventually(lambda: "NEWUSDT" in engine.roster.symbols)
    await eventually(lambda: stored(engine, "NEWUSDT"))
    assert "1 market is listed and captured from now on: NEWUSDT." in said(engine)

    running.faults.set_status("LTCUSDT", "CANCEL_ONLY")
    await eventually(lambda: not engine.roster.is_trading("LTCUSDT"))
    halted_ms = engine.clock.now_ms()
    await eventually(lambda: max(stored(engine, UNICODE), default=0) > START_MS)
    running.faults.delist(UNICODE)
    await eventually(lambda: UNICODE not in engine.roster.symbols)
    await eventually(lambda: "1 market is delisted and no longer captured" in said(engine))
    await eventually(
        lambda: all(
            UNICODE not in name
            for connection in running.faults.connections
            for name in connection.streams
        )
    )
    running.faults.set_status("LTCUSDT", "TRADING")
    await eventually(lambda: engine.roster.is_trading("LTCUSDT"))
    await eventually(lambda: max(stored(engine, "LTCUSDT")) > halted_ms + MINUTE_MS)
    await eventually(lambda: "trading again: LTCUSDT" in said(engine))
    captured = {symbol for symbol, _ in promises.captured_series(engine.store.reader)}
    assert captured == {"BTCUSDT", "LTCUSDT", "NEWUSDT"}
    spans = promises.expected_ranges(engine.store.reader, "1m", START_MS, START_MS + DAY_MS)
    assert len(spans["LTCUSDT"]) == 2
    assert spans[UNICODE][-1][1] < engine.clock.now_ms()


async def test_a_start_without_network_streams_all_markets_of_before(
    running: Running, engine_on, eventually
) -> None:
    engine = await engine_on(running, SPEED, symbols=("BTCUSDT",), markets=("all",))
    await eventually(lambda: engine.roster.symbols[3:])
    await engine.close()
    engine.store.close()
    running.faults.rest_answer(503)
    again = await engine_on(running, SPEED, symbols=("BTCUSDT",), markets=("all",))
    assert set(again.roster.symbols) == set(SYMBOLS)
    await eventually(
        lambda: (
            {f"{symbol.lower()}@kline_1m" for symbol in SYMBOLS}
            <= {name for link in running.faults.connections for name in link.streams}
        )
    )
    assert again.state == "connecting"


async def test_markets_that_do_not_exist_end_the_engine_with_a_sentence(
    running: Running, engine_on, eventually
) -> None:
    refusals: list[str] = []
    await engine_on(running, SPEED, markets=("USDX",), on_refused=refusals.append)
    await eventually(lambda: refusals)
    assert refusals == ["No market of the exchange matches 'USDX'; did you mean USDT?"]


async def test_an_exchange_without_the_usual_markets_shows_captured_ones(
    engine_on, eventually
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        market = GeneratedMarket(7, ("NEWEUR", "NEWTRY"), start_ms=START_MS, history_days=1)
        exchange = await stack.enter_async_context(serve(market, speed=SPEED))
        engine = await engine_on(exchange, SPEED, symbols=DEFAULT_SYMBOLS, markets=("eur",))
        await eventually(lambda: engine.state == "running")
        assert engine.board.watchlist == ["NEWEUR"]
        assert engine.roster.symbols == ("NEWEUR",)
        await engine.close()


async def test_an_odd_market_is_told_and_hides_no_other(
    running: Running, engine_on, eventually
) -> None:
    engine = await engine_on(running, SPEED, symbols=("BTCUSDT",), markets=("all",))
    await eventually(lambda: engine.state == "running")
    running.exchange.infos["ODD USDT"] = SymbolInfo("ODD USDT", "ODD", "USDT", "TRADING")
    running.faults.list_symbol(SymbolInfo("NEWUSDT", "NEW", "USDT", "TRADING"))
    await eventually(lambda: "NEWUSDT" in engine.roster.symbols)
    assert set(engine.roster.symbols) == {*SYMBOLS, "NEWUSDT"}
    assert "holds an entry that can not be understood: ODD USDT ('ODD USDT' is" in said(engine)
    told = status_report(engine)["capture"]["left_out"]
    assert list(told) == ["exchangeInfo"]
    assert told["exchangeInfo"][0].startswith("ODD USDT (")
    query = "SELECT raw FROM quarantine WHERE origin = 'rest exchangeInfo'"
    kept = await eventually(lambda: engine.store.reader.query(query))
    assert "ODD USDT" in kept[0]["raw"]
