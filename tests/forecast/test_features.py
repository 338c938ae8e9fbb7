from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from ta.momentum import RSIIndicator, StochasticOscillator
from ta.trend import MACD, ADXIndicator
from ta.volatility import BollingerBands
from ta.volume import MFIIndicator

from engine.forecast.features import (
    FEATURE_NAMES,
    LIVE_ROWS,
    WARM_UP,
    features_sha,
    make_features,
    unknown_features,
)
from engine.forecast.rolling import ewma


def column(features: np.ndarray, name: str) -> np.ndarray:
    return features[..., FEATURE_NAMES.index(name)]


def test_ewma_equals_pandas(market):
    values = market(1_000)["close"]
    for alpha in (1.0, 0.5, 2 / 49, 1 / 14):
        expected = pd.Series(values).ewm(alpha=alpha, adjust=False).mean().to_numpy()
        np.testing.assert_allclose(ewma(values, alpha), expected, rtol=1e-12)


def test_features_equal_their_twins_in_ta(market):
    columns = market(1_500)
    features = make_features(columns)
    high, low, close, volume = (
        pd.Series(columns[name]) for name in ("high", "low", "close", "volume")
    )
    twins = {
        "rsi_14": RSIIndicator(close).rsi() / 100 - 0.5,
        "bollinger_20": BollingerBands(close).bollinger_pband() - 0.5,
        "stochastic_14": StochasticOscillator(high, low, close).stoch() / 100 - 0.5,
        "money_flow_14": MFIIndicator(high, low, close, volume).money_flow_index() / 100 - 0.5,
        "adx_14": ADXIndicator(high, low, close).adx() / 100,
    }
    for name, twin in twins.items():
        np.testing.assert_allclose(
            column(features, name)[WARM_UP:], twin.to_numpy()[WARM_UP:], atol=1e-8, err_msg=name
        )
    returns = np.diff(np.log(columns["close"]), prepend=np.log(columns["close"][0]))
    sigma = np.sqrt(pd.Series(returns**2).ewm(span=48, adjust=False).mean().to_numpy())
    histogram = MACD(close).macd_diff().to_numpy() / (columns["close"] * sigma)
    np.testing.assert_allclose(
        column(features, "macd_histogram")[WARM_UP:], histogram[WARM_UP:], atol=1e-8
    )


@pytest.mark.parametrize("row", [40, 60, 100, 300, 1000, 1400])
def test_the_future_changes_no_feature(market, row):
    columns = market(1_500)
    altered = {name: values.copy() for name, values in columns.items()}
    for name, values in altered.items():
        if name != "open_time_ms":
            values[row + 1 :] *= np.linspace(1.5, 3.0, len(values) - row - 1)
    before, after = make_features(columns), make_features(altered)
    np.testing.assert_array_equal(before[: row + 1], after[: row + 1])
    assert not np.array_equal(before[row + 1 :], after[row + 1 :])


def test_a_prefix_gives_the_same_rows(market):
    columns = market(900)
    whole = make_features(columns)
    for stop in (1, 2, 64, 65, 500, 777):
        part = make_features({name: values[:stop] for name, values in columns.items()})
        np.testing.assert_allclose(part, whole[:stop], atol=1e-9)


def test_live_rows_give_what_full_history_gives(market):
    columns = market(6_000)
    whole = make_features(columns)
    spread = whole[WARM_UP:].std(axis=0)
    for stop in range(1_000, 6_000, 311):
        tail = {name: values[stop - LIVE_ROWS : stop] for name, values in columns.items()}
        difference = np.abs(make_features(tail)[-10:] - whole[stop - 10 : stop])
        assert (difference <= 1e-6 * spread).all()


@pytest.mark.recorded
def test_live_rows_give_what_full_history_gives_on_real_minutes(recorded_minutes):
    assert unknown_features(recorded_minutes) == ("taker_buy_share",)
    whole = make_features(recorded_minutes)
    assert np.isfinite(whole).all()
    spread = whole[WARM_UP:].std(axis=0)
    for stop in range(1_000, 41_000, 1_003):
        tail = {name: values[stop - LIVE_ROWS : stop] for name, values in recorded_minutes.items()}
        assert (np.abs(make_features(tail)[-10:] - whole[stop - 10 : stop]) <= 1e-6 * spread).all()


def test_many_symbols_at_once_equal_each_alone(market):
    markets = [market(700, seed) for seed in (1, 2, 3)]
    together = {
        name: markets[0][name]
        if name == "open_time_ms"
        else np.stack([one[name] for one in markets])
        for name in markets[0]
    }
    made = make_features(together)
    assert made.shape == (3, 700, len(FEATURE_NAMES))
    for one, expected in zip(markets, made, strict=True):
        np.testing.assert_allclose(make_features(one), expected, atol=1e-12)


def test_unknown_taker_volume_is_named_and_zero(market):
    columns = market(600)
    columns["taker_buy_volume"] = np.full(600, np.nan)
    assert unknown_features(columns) == ("taker_buy_share",)
    assert not column(make_features(columns), "taker_buy_share").any()
    known = market(600)
    assert unknown_features(known) == ()
    assert column(make_features(known), "taker_buy_share").any()
    assert not column(make_features(known, ["taker_buy_share"]), "taker_buy_share").any()


def test_flat_and_empty_candles_give_finite_features(market):
    columns = market(600)
    for name in ("open", "high", "low", "close"):
        columns[name][300:] = columns["close"][300]
    for name in ("volume", "quote_volume", "trades", "taker_buy_volume"):
        columns[name][200:] = 0.0
    assert np.isfinite(make_features(columns)).all()


def test_the_hash_names_this_definition():
    assert len(features_sha()) == 64
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES) == 21
