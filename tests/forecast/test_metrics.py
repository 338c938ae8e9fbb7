from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle

from engine.forecast.metrics import (
    accuracy,
    block_ids,
    block_interval,
    brier,
    live_interval,
    log_losses,
    needed_outcomes,
    wilson,
)

DAY_MS = 86_400_000


def test_scores_equal_scikit_learn():
    rng = np.random.default_rng(1)
    p, labels = rng.uniform(size=500), rng.integers(0, 2, 500).astype(np.int8)
    assert accuracy(p, labels) == pytest.approx(oracle.accuracy_score(labels, p >= 0.5))
    assert brier(p, labels) == pytest.approx(oracle.brier_score_loss(labels, p))
    assert log_losses(p, labels).mean() == pytest.approx(oracle.log_loss(labels, p))


def test_wilson_of_55_in_100_does_not_tell_it_from_a_coin():
    low, high = wilson(55, 100)
    assert [round(100 * low, 1), round(100 * high, 1)] == [45.2, 64.4]
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("share", "expected"), [(0.52, 4_904), (0.48, 4_904), (0.55, 783)])
def test_needed_outcomes(share, expected):
    assert needed_outcomes(share) == expected
    assert needed_outcomes(share, 5) == 5 * expected
    assert needed_outcomes(0.5) == needed_outcomes(0.51)


def test_block_interval_covers_the_truth_where_wilson_does_not():
    rng = np.random.default_rng(2)
    runs, rows, lookahead = 300, 1_500, 5
    covered = covered_by_wilson = 0
    for _ in range(runs):
        price = np.cumsum(rng.standard_normal(rows + 2 * lookahead))
        now = np.arange(lookahead, lookahead + rows)
        rose = price[now + lookahead] > price[now]
        hits = (rose == (price[now] < price[now - lookahead])).astype(float)
        blocks = block_ids(now * 60_000, lookahead)
        low, high = block_interval(hits, blocks, draws=300)
        covered += low <= 0.5 <= high
        low, high = wilson(hits.sum(), rows)
        covered_by_wilson += low <= 0.5 <= high
    assert 0.91 <= covered / runs <= 0.99
    assert covered_by_wilson / runs < 0.87


def test_blocks_are_days_when_there_are_ten():
    times = np.arange(12 * 24) * (DAY_MS // 24)
    assert len(np.unique(block_ids(times, 5))) == 12
    assert len(np.unique(block_ids(times[:100], 5))) == 10


def test_live_interval_counts_overlap_until_there_are_ten_days():
    assert live_interval([55], [100], 5) == wilson(11, 20)
    assert live_interval([], [], 5) == (0.0, 1.0)
    hits = [60, 40] * 6
    low, high = live_interval(hits, [100] * 12, 5)
    assert low < 0.5 < high
    assert (low, high) != wilson(sum(hits) / 5, 240)
