"""The board keeps the newest facts, numbered by revision."""

from __future__ import annotations

from engine.capture.board import Board
from engine.market.candle import Candle
from engine.market.trade import Trade
from engine.service.contract import View
from engine.service.sections import chart_section, grouped, trades_section


def trade(number: int, second: int, *, is_sell: bool, quantity: float = 1.0) -> Trade:
    return Trade(number, second * 1000, 100.0, quantity, is_sell)


def test_a_trade_seen_twice_counts_once() -> None:
    board = Board()
    board.add_trade("BTCUSDT", trade(1, 0, is_sell=False))
    revision = board.revision
    board.add_trade("BTCUSDT", trade(1, 0, is_sell=False))
    assert board.revision == revision
    assert len(board.symbol("BTCUSDT").trades) == 1


def test_flow_speaks_of_the_last_minute_only() -> None:
    board = Board()
    board.add_trade("BTCUSDT", trade(1, 0, is_sell=True, quantity=9.0))
    board.add_trade("BTCUSDT", trade(2, 50, is_sell=False, quantity=3.0))
    board.add_trade("BTCUSDT", trade(3, 61, is_sell=True, quantity=1.0))
    assert board.symbol("BTCUSDT").flow() == (0.75, 2.0)


def test_a_viewer_gets_each_trade_once() -> None:
    board = Board()
    view = View(focused="BTCUSDT")
    board.add_trade("BTCUSDT", trade(1, 0, is_sell=False))
    first = trades_section(board, view, 0, whole=True)
    since = board.revision
    board.add_trade("BTCUSDT", trade(2, 1, is_sell=False))
    second = trades_section(board, view, since, whole=False)
    assert first is not None
    assert second is not None
    assert [t.trade_id for t in first.trades] == [1]
    assert [t.trade_id for t in second.trades] == [2]
    assert trades_section(board, view, board.revision, whole=False) is None


def test_a_candle_that_comes_late_into_the_middle_replaces_the_viewer_s_chart() -> None:
    board = Board()
    board.series_of("BTCUSDT", "1m")
    for minute in (0, 2, 3):
        board.set_candle("BTCUSDT", "1m", Candle(minute * 60_000, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0))
    since = board.revision
    board.set_candle("BTCUSDT", "1m", Candle(60_000, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0))
    section = chart_section(board, View(focused="BTCUSDT"), since, whole=False)
    assert section is not None
    assert section.reset
    assert [candle.open_time_ms // 60_000 for candle in section.candles] == [0, 1, 2, 3]


def test_grouping_rounds_bids_down_and_asks_up() -> None:
    bids = [(10.4, 1.0), (10.1, 2.0), (9.9, 4.0)]
    asks = [(10.6, 1.0), (11.0, 2.0), (11.2, 4.0)]
    assert grouped(bids, 1.0, 5, down=True) == [(10.0, 3.0), (9.0, 4.0)]
    assert grouped(asks, 1.0, 5, down=False) == [(11.0, 3.0), (12.0, 4.0)]


def test_grouping_keeps_whole_buckets() -> None:
    bids = [(10.4, 1.0), (9.9, 4.0), (9.1, 1.0), (8.0, 1.0)]
    assert grouped(bids, 1.0, 2, down=True) == [(10.0, 1.0), (9.0, 5.0)]
