from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from engine.forecast.baselines import (
    BOOSTING,
    LOGISTIC,
    MAJORITY,
    REVERSAL,
    boosting_probabilities,
    fit_baselines,
)
from engine.forecast.evaluation import COIN_TOSS, EDGE, compare, evaluate
from engine.forecast.metrics import accuracy, block_ids
from engine.forecast.protocol import JobConfig
from engine.forecast.training import prepare
from engine.forecast.tutorial import tutorial_windows
from engine.forecast.values import ForecastError

CONFIG = JobConfig(symbol="BTCUSDT", interval="1m")


def judged(columns, permute: int | None = None, boosting: bool = True):
    """Fit the plain models as training does; give each one's probabilities on unseen rows."""
    prepared = prepare(columns, CONFIG)
    split = prepared.split
    labels = prepared.labels(split.train)
    if permute is not None:
        labels = np.random.default_rng(permute).permutation(labels)
    with threadpool_limits(1):
        return fitted(prepared, labels, boosting)


def fitted(prepared, labels, boosting):
    split = prepared.split
    train, unseen = prepared.windows(split.train), prepared.windows(split.test)
    baselines = fit_baselines(train, labels, prepared.samples.reversal[split.train])
    found = baselines.probabilities(unseen, prepared.samples.reversal[split.test])
    if boosting:
        found[BOOSTING] = boosting_probabilities(train, labels, unseen)
    times = prepared.samples.open_time_ms[prepared.samples.ends[split.test]]
    return found, prepared.labels(split.test), block_ids(times, CONFIG.lookahead)


def test_a_planted_signal_is_found(market):
    found, labels, _ = judged(market(12_000, 5, 0.2))
    assert accuracy(found[LOGISTIC], labels) > 0.57
    assert accuracy(found[REVERSAL], labels) < 0.43, "it bets against what was planted"
    assert accuracy(found[MAJORITY], labels) < 0.55


def test_permuted_labels_teach_nothing(market):
    found, labels, _ = judged(market(12_000, 5, 0.2), permute=1)
    for name in (LOGISTIC, BOOSTING):
        assert abs(accuracy(found[name], labels) - 0.5) < 0.07, name


def test_random_walks_are_called_a_coin_toss(market):
    verdicts, scores = [], []
    for seed in range(20):
        found, labels, blocks = judged(market(4_000, 100 + seed), boosting=False)
        model = found.pop(LOGISTIC)
        figures = evaluate(model, labels, blocks, found)
        verdicts.append(figures["verdict"])
        scores.append(figures["accuracy"])
    assert verdicts.count(COIN_TOSS) >= 18
    assert abs(np.mean(scores) - 0.5) < 0.02


def test_an_edge_needs_more_than_the_best_baseline():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 3_000).astype(np.int8)
    blocks = np.arange(3_000) // 100
    sure = np.where(labels == 1, 0.6, 0.4)
    coin = {"majority": np.full(3_000, 0.5)}
    assert evaluate(sure, labels, blocks, coin)["verdict"] == EDGE
    assert evaluate(sure, labels, blocks, {**coin, "twin": sure})["verdict"] == COIN_TOSS


def test_a_challenger_must_be_better_beyond_chance():
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 2, 2_000).astype(np.int8)
    blocks = np.arange(2_000) // 100
    coin, good = np.full(2_000, 0.5), np.where(labels == 1, 0.55, 0.45)
    noise = np.clip(0.5 + 0.02 * rng.standard_normal(2_000), 0.01, 0.99)
    assert compare(good, coin, labels, blocks)["better"] is True
    assert compare(coin, good, labels, blocks)["better"] is False
    assert compare(noise, coin, labels, blocks)["better"] is False
    few = slice(0, 150)
    assert compare(good[few], coin[few], labels[few], blocks[few])["better"] is False


def test_luck_is_neither_an_edge_nor_a_promotion():
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 2, 2_000).astype(np.int8)
    blocks = np.arange(2_000) // 100
    coin = np.full(2_000, 0.5)
    noises = [0.5 + 0.02 * np.clip(rng.standard_normal(2_000), -3, 3) for _ in range(40)]
    lucky = [p for p in noises if compare(p, coin, labels, blocks)["mean"] > 0]
    by_gain = sorted(lucky, key=lambda p: compare(p, coin, labels, blocks)["mean"])
    p = by_gain[len(by_gain) // 2]
    assert compare(p, coin, labels, blocks)["better"] is False
    assert evaluate(p, labels, blocks, {"coin": coin})["verdict"] == COIN_TOSS


def test_the_best_of_24_coins_is_not_promoted():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, 300).astype(np.int8)
    blocks = np.arange(300) // 20
    coin = np.full(300, 0.5)
    coins = [np.clip(0.5 + 0.1 * rng.standard_normal(300), 0, 1) for _ in range(24)]
    luckiest = max(coins, key=lambda p: accuracy(p, labels))
    assert compare(luckiest, coin, labels, blocks)["better"] is False


def test_too_few_candles_say_how_many_and_what_to_do(market):
    with pytest.raises(ForecastError, match=r"900 closed candles.*needs 1,500.*klinetop backfill"):
        prepare(market(900), CONFIG)


@pytest.mark.recorded
def test_real_minutes_give_the_small_edge_that_is_known(recorded_minutes):
    found, labels, blocks = judged(
        {name: values[-20_000:] for name, values in recorded_minutes.items()}, boosting=False
    )
    assert len(labels) > 3_500
    for name, p in found.items():
        assert 0.46 < accuracy(p, labels) < 0.55, name
    model = found.pop(LOGISTIC)
    assert evaluate(model, labels, blocks, found)["verdict"] == COIN_TOSS


def test_tutorial_windows_scale_each_window_alone():
    features = np.column_stack([np.arange(30.0), np.full(30, 7.0)])
    windows = tutorial_windows(features)
    assert windows.shape == (21, 10, 2)
    np.testing.assert_allclose(windows[5, :, 0], np.linspace(-1, 1, 10))
    assert not windows[:, :, 1].any(), "a flat column becomes zero"
