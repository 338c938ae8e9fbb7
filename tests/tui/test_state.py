"""Merging frames: deltas by open time and id, what is forgotten, what is told twice."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engine.market.candle import Candle
from engine.market.trade import Trade
from engine.service import contract
from tui.state import DeskState, Series


def frame(**sections: Any) -> contract.Frame:
    return contract.Frame(revision=sections.pop("revision", 1), **sections)


def candle(time_ms: int, close: float = 1.0) -> Candle:
    return Candle(time_ms, 1.0, max(1.0, close), min(1.0, close), close, 1.0, 1.0)


def chart(candles: list[Candle], *, reset: bool = False, symbol: str = "BTCUSDT") -> Any:
    return contract.ChartSection(symbol, "1m", 2, reset=reset, candles=tuple(candles))


def test_a_full_frame_changes_every_section(desk):
    state = DeskState()
    changed = state.apply(desk.full_frame(), wall_ms=desk.WALL_MS)
    assert changed == {"status", "tickers", "book", "chart", "trades", "storage", "forecast"}
    assert state.revision == 1
    assert len(state.tickers) == 12


def test_an_empty_frame_changes_nothing(desk):
    state = DeskState()
    state.apply(desk.full_frame(), wall_ms=1)
    assert state.apply(frame(revision=2), wall_ms=2) == frozenset()
    assert state.status_wall_ms == 1


def test_candles_replace_by_open_time_and_follow():
    state = DeskState()
    state.apply(frame(chart=chart([candle(0), candle(60)], reset=True)), wall_ms=0)
    state.apply(frame(chart=chart([candle(60, 2.0), candle(120)])), wall_ms=0)
    assert [(one.open_time_ms, one.close) for one in state.series.candles] == [
        (0, 1.0),
        (60, 2.0),
        (120, 1.0),
    ]


def test_candles_of_another_symbol_replace_all_even_without_reset():
    state = DeskState()
    state.apply(frame(chart=chart([candle(0)], reset=True)), wall_ms=0)
    state.apply(frame(chart=chart([candle(60)], symbol="ETHUSDT")), wall_ms=0)
    assert state.series.times == [60]


def test_old_candles_are_forgotten_beyond_what_was_asked_for():
    state = DeskState()
    state.apply(frame(chart=chart([candle(0)], reset=True)), wall_ms=0, bars=10)
    state.apply(
        frame(chart=chart([candle(60 * step) for step in range(1, 17)])), wall_ms=0, bars=10
    )
    assert len(state.series.candles) == 10
    assert state.series.times[-1] == 960


@given(st.lists(st.integers(0, 50).map(lambda number: number * 60), max_size=60))
def test_a_series_is_always_sorted_and_unique(times):
    series = Series()
    for time_ms in times:
        series.merge((candle(time_ms),))
    assert series.times == sorted(set(times))
    assert [one.open_time_ms for one in series.candles] == series.times


def test_trades_are_appended_once_and_capped(desk):
    state = DeskState()
    first = desk.trades()
    state.apply(frame(trades=first), wall_ms=0, tape_length=100)
    newer = Trade(200, desk.NOW_MS, 1.0, 1.0, buyer_is_maker=False)
    again = msgspec.structs.replace(first, reset=False, trades=(*first.trades[-3:], newer))
    state.apply(frame(trades=again), wall_ms=0, tape_length=100)
    ids = [trade.trade_id for trade in state.tape]
    assert len(ids) == len(set(ids)) == 100
    assert ids[-1] == 200


def test_symbols_off_the_watchlist_are_forgotten(desk):
    state = DeskState()
    state.apply(frame(tickers=desk.tickers()), wall_ms=0)
    state.apply(frame(tickers=contract.TickersSection(("ETHUSDT",), ())), wall_ms=0)
    assert list(state.tickers) == ["ETHUSDT"]


def test_a_notice_is_told_once():
    state = DeskState()
    notice = contract.Notice(5, "info", "Training is done.")
    state.apply(frame(notices=(notice,)), wall_ms=0)
    assert state.take_fresh_notices() == [notice]
    state.forget_revision()
    state.apply(frame(notices=(notice,)), wall_ms=0)
    assert state.take_fresh_notices() == []
    assert list(state.notices) == [notice]
