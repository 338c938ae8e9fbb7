import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.market.candle import Candle, fault_of
from engine.market.capture_figures import Completeness, DayQuality, completeness
from engine.market.kline_csv import is_plausible
from engine.market.symbol import SymbolInfo, decimals_of
from engine.market.ticker import Ticker

GOOD = Candle(0, 10.0, 12.0, 9.0, 11.0, 5.0, 52.0, 3, 2.0, 21.0)
any_float = st.floats() | st.sampled_from([0.0, -0.0, 1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"high": math.inf}, "finite"),
        ({"volume": math.nan}, "finite"),
        ({"taker_buy_volume": math.nan}, "finite"),
        ({"low": 0.0}, "zero or negative"),
        ({"low": -1.0}, "zero or negative"),
        ({"low": 10.5}, "outside"),
        ({"high": 10.5}, "outside"),
        ({"volume": -1.0}, "negative"),
        ({"quote_volume": -0.5}, "negative"),
        ({"trades": -1}, "negative"),
        ({"taker_buy_quote_volume": -1.0}, "negative"),
    ],
)
def test_each_fault_is_named(changes: dict[str, float], words: str) -> None:
    assert words in str(fault_of(msgspec.structs.replace(GOOD, **changes)))


def test_unknown_amounts_and_a_minute_without_trades_are_fine() -> None:
    assert fault_of(GOOD) is None
    assert fault_of(Candle(0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0)) is None
    assert fault_of(Candle(0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0)) is None


@given(
    st.lists(any_float, min_size=6, max_size=6),
    st.none() | st.integers(),
    st.none() | any_float,
    st.none() | any_float,
)
def test_the_quick_check_agrees_with_the_one_in_words(
    values: list[float], trades: int | None, base: float | None, quote: float | None
) -> None:
    candle = Candle(0, *values, trades, base, quote)
    assert is_plausible(candle) == (fault_of(candle) is None)


@pytest.mark.parametrize(
    ("step", "decimals"),
    [("0.01000000", 2), ("1.00000000", 0), ("0.00000001", 8), ("10", 0), ("0.1", 1), ("1.", 0)],
)
def test_decimals_of_a_step(step: str, decimals: int) -> None:
    assert decimals_of(step) == decimals


def test_symbol_info_tells_decimals_and_trading() -> None:
    info = SymbolInfo("币安人生USDT", "币安人生", "USDT", "BREAK", "0.00010000", "1.00000000")
    assert (info.price_decimals, info.quantity_decimals, info.is_trading) == (4, 0, False)


def test_change_percent_of_a_ticker() -> None:
    ticker = Ticker("BTCUSDT", 0, last=110.0, open=100.0, high=1, low=1, volume=1, quote_volume=1)
    assert ticker.change_percent == pytest.approx(10.0)
    assert msgspec.structs.replace(ticker, open=0.0).change_percent == 0.0


@pytest.mark.parametrize(
    ("coverage", "expected", "stored", "gaps", "dropped", "known"),
    [
        ((), 0, 0, {}, 0, Completeness.UNKNOWN),
        ((None,) * 24, 0, 0, {}, 0, Completeness.NOTHING_EXPECTED),
        ((None, 1.0), 60, 60, {"filled": 3, "exchange_hole": 1}, 0, Completeness.COMPLETE),
        ((None, 1.0), 60, 59, {}, 0, Completeness.INCOMPLETE),
        ((0.5, 1.0), 120, 90, {}, 0, Completeness.INCOMPLETE),
        ((), 0, 0, {"open": 1}, 0, Completeness.INCOMPLETE),
        ((None,) * 24, 0, 0, {}, 2, Completeness.INCOMPLETE),
    ],
)
def test_capture_is_complete_unknown_or_one_of_two_other_things(
    coverage: tuple[float | None, ...],
    expected: int,
    stored: int,
    gaps: dict[str, int],
    dropped: int,
    known: Completeness,
) -> None:
    day = DayQuality(1, 1, expected, stored, stored, 0) if coverage else None
    assert completeness(coverage, day, gaps, dropped) is known
