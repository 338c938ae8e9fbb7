from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.forecast.features import WARM_UP
from engine.forecast.protocol import JobConfig
from engine.forecast.scaling import fit_scaler
from engine.forecast.split import split_in_time
from engine.forecast.training import prepare
from engine.forecast.windows import make_samples, segments, window_view
from engine.market.interval import parse_interval

MINUTE = parse_interval("1m")
WINDOW, LOOKAHEAD = 10, 5


def test_labels_and_edges(market):
    columns = market(700)
    columns["close"][500] = columns["close"][495]
    samples = make_samples(columns, MINUTE, WINDOW, LOOKAHEAD)
    assert samples.ends[0] == WARM_UP + WINDOW - 1
    assert samples.ends[-1] == 700 - LOOKAHEAD - 1, "the unknown tail has no label"
    assert 495 not in samples.ends, "a tie has no label"
    close = columns["close"]
    for end, label in zip(samples.ends, samples.labels, strict=True):
        assert label == (close[end + LOOKAHEAD] > close[end])
    for end, call in zip(samples.ends, samples.reversal, strict=True):
        assert call == (close[end] < close[end - LOOKAHEAD])


def test_nothing_crosses_a_missing_candle(market):
    columns = market(1_400)
    keep = np.arange(1_400) != 700
    columns = {name: values[keep] for name, values in columns.items()}
    samples = make_samples(columns, MINUTE, WINDOW, LOOKAHEAD)
    times = columns["open_time_ms"]
    for end in samples.ends:
        covered = times[end - WINDOW + 1 - WARM_UP : end + LOOKAHEAD + 1]
        assert (np.diff(covered) == MINUTE.length_ms).all()
    assert {0, 1} == set(np.searchsorted([700], samples.ends, side="right"))


def test_months_of_any_length_follow_each_other():
    month = parse_interval("1M")
    times = [0]
    for _ in range(30):
        times.append(month.next(times[-1]))
    assert segments(np.array(times), month) == [(0, 31)]
    del times[7]
    assert segments(np.array(times), month) == [(0, 7), (7, 30)]


@given(rows=st.integers(12, 60), window=st.integers(1, 10), width=st.integers(1, 4))
def test_windows_equal_slices(rows, window, width):
    features = np.random.default_rng(rows).standard_normal((rows, width))
    ends = np.arange(window - 1, rows)
    view = window_view(features, window, ends)
    assert view.shape == (len(ends), window, width)
    for end, one in zip(ends, view, strict=True):
        np.testing.assert_array_equal(one, features[end - window + 1 : end + 1])


@settings(deadline=None)
@given(
    count=st.integers(30, 3_000),
    gap=st.integers(2, 30),
    holes=st.lists(st.integers(0, 2_999), max_size=20),
)
def test_slices_share_neither_rows_nor_label_bars(count, gap, holes):
    ends = np.array(sorted(set(range(count)) - set(holes)), dtype=np.intp) + 400
    split = split_in_time(ends, gap)
    slices = [ends[split.train], ends[split.stopping], ends[split.test]]
    for early, late in pairwise(slices):
        if len(early) and len(late):
            assert late.min() - early.max() > gap
    joined = np.concatenate(slices)
    assert len(set(joined.tolist())) == len(joined)


def test_scaler_knows_training_rows_only(market):
    config = JobConfig(symbol="X", interval="1m")
    columns = market(4_000)
    prepared = prepare(columns, config)
    first_unseen = prepared.samples.ends[prepared.split.stopping[0]] - WINDOW
    altered = {name: values.copy() for name, values in columns.items()}
    for name, values in altered.items():
        if name != "open_time_ms":
            values[first_unseen:] *= 1.7
    again = prepare(altered, config)
    np.testing.assert_array_equal(prepared.scaler.center, again.scaler.center)
    np.testing.assert_array_equal(prepared.scaler.scale, again.scaler.scale)
    assert np.abs(prepared.windows(prepared.split.test)).max() <= 4.0


def test_scaler_uses_median_and_quartiles():
    scaler = fit_scaler(np.column_stack([np.arange(101.0), np.full(101, 3.0)]))
    np.testing.assert_allclose(scaler.center, [50, 3])
    np.testing.assert_allclose(scaler.scale, [50, 1])
    np.testing.assert_allclose(
        scaler.apply(np.array([[75.0, 3.0], [1e9, -1e9]])), [[0.5, 0], [4, -4]]
    )
