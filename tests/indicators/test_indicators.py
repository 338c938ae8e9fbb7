from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from engine.indicators.session_vwap import session_vwap
from engine.indicators.ta_columns import bollinger, ema, macd, rsi, sma, tutorial_indicators

DAY_MS = 86_400_000


@pytest.fixture
def columns():
    rng = np.random.default_rng(1)
    rows = 600
    close = 100 * np.exp(np.cumsum(1e-3 * rng.standard_normal(rows)))
    opened = np.concatenate([[100.0], close[:-1]])
    volume = rng.gamma(2.0, 5.0, rows)
    return {
        "open_time_ms": np.arange(rows) * 60_000,
        "open": opened,
        "high": np.maximum(opened, close) * 1.0005,
        "low": np.minimum(opened, close) * 0.9995,
        "close": close,
        "volume": volume,
        "quote_volume": volume * (opened + close) / 2,
    }


def test_averages_by_hand(columns):
    close = columns["close"]
    made = sma(close, 20)
    assert np.isnan(made[:19]).all()
    np.testing.assert_allclose(made[19:], np.convolve(close, np.ones(20) / 20, "valid"))
    expected = close[0]
    for price in close[1:]:
        expected += (price - expected) * 2 / 11
    assert ema(close, 10)[-1] == pytest.approx(expected)


def test_bands_oscillators_and_shapes(columns):
    close = columns["close"]
    bands = bollinger(close)
    np.testing.assert_allclose(
        bands["upper"][-1], close[-20:].mean() + 2 * close[-20:].std(), rtol=1e-12
    )
    np.testing.assert_allclose(bands["middle"] * 2, bands["upper"] + bands["lower"])
    lines = macd(close)
    np.testing.assert_allclose(lines["histogram"], lines["macd"] - lines["signal"])
    assert 0 <= np.nanmin(rsi(close)) <= np.nanmax(rsi(close)) <= 100
    assert rsi(np.arange(1.0, 40.0))[-1] == 100


def test_the_tutorial_set_reads_no_future(columns):
    whole = tutorial_indicators(columns)
    part = tutorial_indicators({name: values[:450] for name, values in columns.items()})
    assert len(whole) == 40
    for name, values in whole.items():
        assert values.shape == (600,)
        np.testing.assert_allclose(
            values[:450], part[name], rtol=1e-9, atol=1e-9, equal_nan=True, err_msg=name
        )
        assert np.isfinite(values[350:]).all(), name


def test_session_vwap_leaves_out_what_a_source_does_not_tell():
    columns = {
        "open_time_ms": np.arange(3) * 60_000,
        "volume": [2.0, 5.0, 2.0],
        "quote_volume": [20.0, np.nan, 40.0],
    }
    assert session_vwap(columns).tolist() == [10.0, 10.0, 15.0]


def test_session_vwap_starts_anew_each_day():
    times = np.array([DAY_MS - 120_000, DAY_MS - 60_000, DAY_MS, DAY_MS + 60_000, DAY_MS + 120_000])
    made = session_vwap(
        {
            "open_time_ms": times,
            "volume": np.array([1.0, 3.0, 0.0, 2.0, 2.0]),
            "quote_volume": np.array([10.0, 60.0, 0.0, 20.0, 40.0]),
        }
    )
    np.testing.assert_allclose(made, [10.0, 17.5, np.nan, 10.0, 15.0])
    assert (
        session_vwap(
            {name: np.empty(0) for name in ("open_time_ms", "volume", "quote_volume")}
        ).size
        == 0
    )


@pytest.mark.parametrize(
    "module", ["engine.indicators.ta_columns", "engine.forecast.live", "engine.forecast.tutorial"]
)
def test_importing_costs_no_heavy_library(module):
    code = (
        f"import sys, {module}; heavy = 'pandas ta tensorflow keras sklearn scipy'.split();"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
