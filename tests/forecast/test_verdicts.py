"""Verdicts on markets that are flat, pegged, one-sided, or hardly move."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from engine.forecast.baselines import (
    BOOSTING,
    LOGISTIC,
    MAJORITY,
    boosting_probabilities,
    fit_baselines,
)
from engine.forecast.enough import check_enough
from engine.forecast.evaluation import COIN_TOSS, CONSTANT, EDGE, evaluate
from engine.forecast.features import WARM_UP
from engine.forecast.ledger import TIE, Tally, Waiting, outcome_of
from engine.forecast.metrics import accuracy, block_ids
from engine.forecast.protocol import JobConfig
from engine.forecast.training import prepare
from engine.forecast.tutorial import train_tutorial
from engine.forecast.values import ForecastError
from engine.market.forecast import BETTER, RIVALLED, UNTOLD, WORSE

CONFIG = JobConfig(symbol="ODDUSDT", interval="1m")
MINUTE_MS = 60_000
ROWS = 4_000


def walk(close: np.ndarray) -> dict[str, np.ndarray]:
    """One-minute candles with these closes; volumes as of a market that is hardly traded."""
    opened = np.concatenate([close[:1], close[:-1]])
    rows = len(close)
    return {
        "open_time_ms": 1_700_000_040_000 // MINUTE_MS * MINUTE_MS + np.arange(rows) * MINUTE_MS,
        "open": opened,
        "high": np.maximum(opened, close),
        "low": np.minimum(opened, close),
        "close": close,
        "volume": np.ones(rows),
        "quote_volume": close.copy(),
        "trades": np.ones(rows),
        "taker_buy_volume": np.full(rows, 0.5),
        "taker_buy_quote_volume": np.full(rows, np.nan),
    }


def rising(rng: np.random.Generator) -> np.ndarray:
    return 100.0 + np.arange(ROWS) + 0.5 * rng.random(ROWS)


def falling(rng: np.random.Generator) -> np.ndarray:
    return rising(rng)[::-1].copy()


def pegged(rng: np.random.Generator) -> np.ndarray:
    return rng.choice([0.9999, 1.0], ROWS)


def three_ticks(rng: np.random.Generator) -> np.ndarray:
    return rng.choice([0.9999, 1.0, 1.0001], ROWS)


def alternating(_: np.random.Generator) -> np.ndarray:
    return 1.0 + 0.01 * (np.arange(ROWS) % 2)


def walking(rng: np.random.Generator) -> np.ndarray:
    return 100.0 * np.exp(np.cumsum(1e-3 * rng.standard_normal(ROWS)))


MARKETS = (rising, falling, pegged, three_ticks, alternating, walking)


def figures(columns, model) -> dict:
    """Judge `model` (probabilities from training windows and labels) as training does."""
    prepared = prepare(columns, CONFIG)
    samples, split = prepared.samples, prepared.split
    train, unseen = prepared.windows(split.train), prepared.windows(split.test)
    labels = prepared.labels(split.train)
    with threadpool_limits(1):
        baselines = fit_baselines(train, labels, samples.reversal[split.train])
        others = baselines.probabilities(unseen, samples.reversal[split.test])
        others[BOOSTING] = boosting_probabilities(train, labels, unseen)
    p_up = model(others, prepared.labels(split.test))
    blocks = block_ids(samples.open_time_ms[samples.ends[split.test]], CONFIG.lookahead)
    return evaluate(p_up, prepared.labels(split.test), blocks, others)


def sure(up: bool, doubt: float):
    return lambda others, labels: np.full(len(labels), 1.0 - doubt if up else doubt)


@settings(max_examples=12, deadline=None)
@given(
    make=st.sampled_from(MARKETS),
    seed=st.integers(0, 9),
    up=st.booleans(),
    doubt=st.sampled_from([0.5, 0.4, 0.1, 1e-3, 1e-6, 0.0]),
)
def test_a_constant_call_is_never_an_edge(make, seed, up, doubt):
    columns = walk(make(np.random.default_rng(seed)))
    assert figures(columns, sure(up, doubt))["verdict"] == COIN_TOSS


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    share=st.sampled_from([0.0, 0.02, 0.2, 0.5, 0.9, 0.99, 1.0]),
    skill=st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.0]),
    base=st.sampled_from([0.01, 0.5, 0.99]),
)
def test_an_edge_is_right_more_often_than_the_best_constant(seed, share, skill, base):
    rng = np.random.default_rng(seed)
    labels = (rng.random(600) < share).astype(np.int8)
    p_up = np.clip(share + skill * (labels - 0.5) + 0.05 * rng.standard_normal(600), 0.0, 1.0)
    found = evaluate(p_up, labels, np.arange(600) // 30, {MAJORITY: np.full(600, base)})
    always = max(labels.mean(), 1 - labels.mean())
    assert found["constant"]["accuracy"] == pytest.approx(always)
    if found["verdict"] == EDGE:
        assert accuracy(p_up, labels) > always
        assert found["gain"]["low"] > 0


@pytest.mark.parametrize("make", [rising, falling])
def test_one_sided_training_makes_baselines_as_sure_as_a_network_can_be(make):
    prepared = prepare(walk(make(np.random.default_rng(1))), CONFIG)
    split, samples = prepared.split, prepared.samples
    train, unseen = prepared.windows(split.train), prepared.windows(split.test)
    labels = prepared.labels(split.train)
    baselines = fit_baselines(train, labels, samples.reversal[split.train])
    found = baselines.probabilities(unseen, samples.reversal[split.test])
    found[BOOSTING] = boosting_probabilities(train, labels, unseen)
    for name in (MAJORITY, LOGISTIC, BOOSTING):
        assert (found[name] == float(make is rising)).all(), name
    network = np.clip(found[MAJORITY], 1e-4, 1 - 1e-4)
    times = samples.open_time_ms[samples.ends[split.test]]
    judged = evaluate(network, prepared.labels(split.test), block_ids(times, 5), found)
    assert judged["accuracy"] == 1.0
    assert judged["verdict"] == COIN_TOSS
    assert judged["best_baseline"] in {MAJORITY, LOGISTIC, BOOSTING, CONSTANT}


def test_a_baseline_that_is_sure_and_wrong_once_does_not_make_an_edge():
    """One jump: the majority never saw it, and a model that doubts a little is no better."""
    labels = np.ones(1_000, dtype=np.int8)
    labels[500] = 0
    rivals = {MAJORITY: np.ones(1_000)}
    found = evaluate(np.full(1_000, 0.999), labels, np.arange(1_000) // 50, rivals)
    assert found["verdict"] == COIN_TOSS


def test_better_probabilities_with_the_calls_of_a_constant_are_no_edge():
    labels = (np.arange(1_000) % 10 != 0).astype(np.int8)
    p_up = np.where(labels == 1, 0.97, 0.6)
    p_up[[100, 500]] = 0.4
    found = evaluate(p_up, labels, np.arange(1_000) // 20, {MAJORITY: np.full(1_000, 0.9)})
    assert found["gain"]["low"] > 0
    assert found["accuracy"] > found["constant"]["accuracy"]
    assert found["verdict"] == COIN_TOSS


def test_better_probabilities_are_no_edge_where_a_rival_is_right_as_often():
    labels = (np.arange(1_000) % 2).astype(np.int8)
    wrong = np.arange(1_000) % 25 == 0
    p_up = np.where(wrong ^ (labels == 1), 0.9, 0.1)
    sure = np.where(wrong ^ (labels == 1), 1.0, 0.0)
    blocks = np.arange(1_000) // 20
    assert evaluate(p_up, labels, blocks, {MAJORITY: np.full(1_000, 0.5)})["verdict"] == EDGE
    found = evaluate(p_up, labels, blocks, {BOOSTING: sure})
    assert found["gain"]["low"] > 0
    assert found["baselines"][BOOSTING] == found["accuracy"]
    assert found["verdict"] == COIN_TOSS


def test_a_pegged_market_counts_its_ties():
    close = pegged(np.random.default_rng(5))
    samples = prepare(walk(close), CONFIG).samples
    known = np.arange(WARM_UP + CONFIG.window - 1, ROWS - 5)
    assert sorted([*samples.ends, *samples.ties]) == known.tolist()
    assert (close[samples.ties + 5] == close[samples.ties]).all()
    assert (close[samples.ends + 5] != close[samples.ends]).all()
    assert 0.4 < len(samples.ties) / len(known) < 0.6


def sentence(close, config=CONFIG) -> str:
    with pytest.raises(ForecastError) as error:
        check_enough(walk(close), config)
    return str(error.value)


def test_a_flat_market_is_called_flat_whatever_is_asked_of_it():
    text = sentence(np.full(6_000, 1.0))
    assert "ODDUSDT 1m is flat: all 6,000 closed candles close at 1" in text
    assert "fetch" not in text
    columns = walk(np.full(6_000, 0.25))
    with pytest.raises(ForecastError, match="is flat"):
        train_tutorial(columns, CONFIG, report=print, is_cancelled=lambda: False)


def test_a_market_that_hardly_moves_is_told_apart_from_one_that_is_short():
    jump = np.ones(6_000)
    jump[3_000:] = 1.5
    text = sentence(jump)
    assert "hardly moves: only 5 of 5,636 closes differ" in text
    assert "5,631 are ties" in text
    assert "fetch" not in text
    one_trade_a_day = np.repeat(np.random.default_rng(1).random(10) + 1.0, 1_440)
    assert "hardly moves" in sentence(one_trade_a_day)
    mostly_ties = np.ones(6_000)
    mostly_ties[::23] = 1.01
    assert "hardly moves" in sentence(mostly_ties)


def test_too_few_candles_name_gaps_and_count_ties_into_what_is_needed():
    rng = np.random.default_rng(2)
    text = sentence(rng.choice([1.0, 1.1], 1_000))
    assert "1,000 closed candles, which give" in text
    assert "ties" in text
    wanted = int(text.split("fetch about ")[1].split(" ")[0].replace(",", ""))
    check_enough(walk(rng.choice([1.0, 1.1], int(wanted * 1.1))), CONFIG)
    columns = walk(walking(rng))
    columns["open_time_ms"] = columns["open_time_ms"] + np.arange(ROWS) // 300 * MINUTE_MS
    with pytest.raises(ForecastError, match="4,000 closed candles with 13 gaps between them"):
        check_enough(columns, CONFIG)


def tally_of(outcomes: str, p_up: float, calls: dict[str, int]) -> Tally:
    """`+` a higher close, `-` a lower one, `=` the same; the model always says `p_up`."""
    tally = Tally()
    for at, mark in enumerate(outcomes):
        waiting = Waiting(at, "X", "1m", "v1", at * MINUTE_MS, 0, 100.0, p_up)
        close = {"+": 101.0, "-": 99.0, "=": 100.0}[mark]
        tally.add(waiting, outcome_of(waiting, close), calls)
    return tally


def test_a_live_record_counts_ties_and_scores_none():
    tally = tally_of("+=" * 50 + "-=" * 50, 0.7, {"majority": 1})
    record = tally.record(5)
    assert (record.resolved, record.ties) == (100, 100)
    assert record.hit_rate == 0.5
    assert record.baselines == {"majority": 0.5}
    assert record.brier == pytest.approx((0.3**2 + 0.7**2) / 2)
    waiting = Waiting(1, "X", "1m", "v1", 0, 0, 100.0, 0.3)
    assert outcome_of(waiting, 100.0).state == TIE
    assert tally_of("===", 0.7, {}).record(5).ties == 3


@pytest.mark.parametrize(
    ("outcomes", "p_up", "calls", "standing", "rival"),
    [
        ("+" * 500, 0.9, {"majority": 1}, RIVALLED, "majority"),
        ("+" * 500, 0.9, {}, RIVALLED, "always higher"),
        ("-" * 500, 0.1, {}, RIVALLED, "always lower"),
        ("-" * 500, 0.9, {}, WORSE, "always lower"),
        ("+-" * 250, 0.9, {"majority": 1}, UNTOLD, "majority"),
    ],
)
def test_a_live_record_is_not_better_where_a_constant_is_right_as_often(
    outcomes, p_up, calls, standing, rival
):
    record = tally_of(outcomes, p_up, calls).record(5)
    assert (record.standing, record.rival) == (standing, rival)
    assert (record.needed is None) == (standing != UNTOLD)


def test_a_live_record_that_beats_every_rival_is_better():
    tally = Tally()
    for at in range(1_000):
        up = at % 2 == 0
        waiting = Waiting(at, "X", "1m", "v1", at * MINUTE_MS, 0, 100.0, 0.8 if up else 0.2)
        tally.add(waiting, outcome_of(waiting, 101.0 if up else 99.0), {"reversal": 1})
    record = tally.record(5)
    assert record.standing == BETTER
    assert record.rival_rate == 0.5
