"""Percentiles of latencies that were counted in buckets, hour by hour."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.capture.latency import LatencyHistogram

LATENCIES = st.lists(st.floats(0.11, 100_000.0), min_size=1, max_size=60)


def histogram(values: list[float]) -> LatencyHistogram:
    made = LatencyHistogram()
    for value in values:
        made.add(value)
    return made


@given(st.lists(LATENCIES, min_size=1, max_size=4), st.sampled_from([1, 50, 95, 99, 100]))
def test_percentiles_of_merged_hours_are_those_of_all_values(
    hours: list[list[float]], percent: int
) -> None:
    merged = LatencyHistogram.merged(histogram(hour).to_json() for hour in hours)
    values = sorted(value for hour in hours for value in hour)
    exact = values[max(1, math.ceil(len(values) * percent / 100)) - 1]
    assert merged.percentile(percent) == pytest.approx(exact, rel=0.026)
    assert merged.max_ms == values[-1]
    assert merged.count == len(values)


def test_nothing_has_no_percentile_and_reads_back_from_the_schemas_default() -> None:
    assert LatencyHistogram.from_json("{}").percentile(50) is None


def test_what_is_too_small_or_too_large_counts_at_the_edge() -> None:
    made = histogram([-5.0, 0.0, 1e9])
    assert made.percentile(50) == pytest.approx(0.1)
    assert made.percentile(100) == pytest.approx(3_600_000, rel=0.06)
