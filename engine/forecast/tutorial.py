"""The widely copied tutorial recipe, with the figure it claims and the figure that came next.

Windows of ten candles with `ta` indicators, each window scaled by its own minimum and maximum,
shuffled before the split, the last hundred as validation, a relu LSTM fitted for dozens of
epochs. Neighbouring windows share nine of ten rows and four of five label bars, so the shuffle
puts near-copies of the validation windows into training: the claimed accuracy is mostly recall.
It is here to show that, and never makes a champion.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from engine.forecast.enough import check_not_flat, hardly_moves
from engine.forecast.features import WARM_UP
from engine.forecast.lstm import watch
from engine.forecast.metrics import accuracy, block_ids, block_interval, brier, log_losses, wilson
from engine.forecast.protocol import Progress
from engine.forecast.values import ForecastError
from engine.forecast.windows import segments
from engine.indicators.ta_columns import tutorial_indicators
from engine.market.interval import parse_interval

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from engine.forecast.features import Columns
    from engine.forecast.protocol import JobConfig
    from engine.forecast.values import JsonObject

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int8]

WINDOW = 10
LOOKAHEAD = 5
TRAIN_ROWS = 1_000
VALIDATION = 100
UNSEEN_ROWS = 2_000
EPOCHS = 30
_GAP = WINDOW + LOOKAHEAD
_UNITS = 64
_LEAST_UNSEEN = 300


def tutorial_windows(features: Floats) -> Floats:
    """Scale each window by its own minimum and maximum to [-1, 1]; flat columns become 0.

    Args:
        features: Shape (rows, features).

    Returns:
        Shape (rows - WINDOW + 1, WINDOW, features).
    """
    windows = sliding_window_view(features, WINDOW, axis=0).transpose(0, 2, 1)
    low, high = windows.min(axis=1, keepdims=True), windows.max(axis=1, keepdims=True)
    spread = high - low
    scaled = np.zeros(windows.shape)
    np.divide(windows - low, spread, out=scaled, where=spread > 0)
    return np.where(spread > 0, scaled * 2.0 - 1.0, 0.0)


def train_tutorial(
    columns: Columns,
    config: JobConfig,
    *,
    report: Callable[[Progress], None],
    is_cancelled: Callable[[], bool],
) -> JsonObject:
    """Train by the tutorial on 1,000 candles and score it on up to 2,000 that follow.

    Args:
        columns: Closed candles of one symbol, ascending; the newest stretch without a gap is used.
        config: Names the market, the seed and the interval; the recipe fixes the rest.
        report: Told of progress.
        is_cancelled: Asked after every batch.

    Returns:
        Figures: `claimed_accuracy` (its own validation) and `accuracy` (what came next), both
        with intervals, and the majority's accuracy on the same unseen rows. What came next is
        scored as everything is: ties are counted and left out.

    Raises:
        ForecastError: there are too few candles in a row, or their closes hardly change.
        Cancelled: `is_cancelled` said so.
    """
    started = time.monotonic()
    windows, labels, times, is_tie = _samples(columns, config)
    order = np.random.default_rng(config.seed).permutation(TRAIN_ROWS)
    learned, validated = order[:-VALIDATION], order[-VALIDATION:]
    after = np.arange(TRAIN_ROWS + _GAP, len(labels))
    unseen = after[~is_tie[after]]
    if len(unseen) < _LEAST_UNSEEN:
        ties = len(after) - len(unseen)
        raise ForecastError(hardly_moves(config, len(unseen), ties, _LEAST_UNSEEN))
    scores = _fit(windows, labels, learned, validated, config.seed, report, is_cancelled)
    report(Progress("evaluating", message="Scoring the tutorial's model on what came next."))
    claimed, p_up = scores(windows[validated]), scores(windows[unseen])
    hits = round(accuracy(claimed, labels[validated]) * VALIDATION)
    right = ((p_up >= 0.5) == (labels[unseen] == 1)).astype(float)
    low, high = block_interval(right, block_ids(times[unseen], LOOKAHEAD))
    claimed_low, claimed_high = wilson(hits, VALIDATION)
    majority = float(labels[learned].mean() >= 0.5)
    return {
        "recipe": config.recipe,
        "rows": TRAIN_ROWS,
        "claimed_accuracy": hits / VALIDATION,
        "claimed_low": claimed_low,
        "claimed_high": claimed_high,
        "claimed_rows": VALIDATION,
        "test_rows": len(unseen),
        "ties": len(after) - len(unseen),
        "accuracy": accuracy(p_up, labels[unseen]),
        "low": max(0.0, low),
        "high": min(1.0, high),
        "brier": brier(p_up, labels[unseen]),
        "log_loss": float(log_losses(p_up, labels[unseen]).mean()),
        "baselines": {"majority": float((labels[unseen] == majority).mean())},
        "seconds": round(time.monotonic() - started, 2),
    }


def _samples(
    columns: Columns, config: JobConfig
) -> tuple[Floats, Labels, NDArray[np.int64], NDArray[np.bool_]]:
    """Return windows, labels, times, and which outcomes are ties.

    The unknown tail is dropped; a tie has label 0, as the tutorial has it.
    """
    check_not_flat(columns, config)
    open_time_ms = np.asarray(columns["open_time_ms"], dtype=np.int64)
    pieces = segments(open_time_ms, parse_interval(config.interval))
    start, stop = pieces[-1] if pieces else (0, 0)
    start = max(start, stop - (WARM_UP + TRAIN_ROWS + _GAP + UNSEEN_ROWS + _GAP))
    least = WARM_UP + TRAIN_ROWS + 2 * _GAP + _LEAST_UNSEEN
    if stop - start < least:
        raise ForecastError(
            f"The tutorial recipe needs {least:,} candles without a gap, and {config.symbol} "
            f"{config.interval} has {stop - start:,}: fetch more with 'klinetop backfill "
            f"{config.symbol} --start …'."
        )
    piece = {name: values[start:stop] for name, values in columns.items()}
    prices = [np.asarray(piece[name], dtype=np.float64) for name in _PRICES]
    features = np.column_stack([*prices, *tutorial_indicators(piece).values()])[WARM_UP:]
    features = np.nan_to_num(features, nan=0.0, posinf=0.0, neginf=0.0)
    close = prices[_PRICES.index("close")][WARM_UP:]
    times = open_time_ms[start:stop][WARM_UP:]
    windows = tutorial_windows(features)[:-LOOKAHEAD]
    ends = np.arange(len(windows)) + WINDOW - 1
    labels = (close[ends + LOOKAHEAD] > close[ends]).astype(np.int8)
    return windows, labels, times[ends], close[ends + LOOKAHEAD] == close[ends]


_PRICES = ("open", "high", "low", "close", "volume")


def _fit(
    windows: Floats,
    labels: Labels,
    learned: NDArray[np.intp],
    validated: NDArray[np.intp],
    seed: int,
    report: Callable[[Progress], None],
    is_cancelled: Callable[[], bool],
) -> Callable[[Floats], Floats]:
    import keras

    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input(windows.shape[1:]),
            keras.layers.LSTM(_UNITS, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(_UNITS, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer="adam", loss="binary_crossentropy", jit_compile=False)
    started = time.monotonic()

    def on_epoch(loss: list[float], val_loss: list[float]) -> None:
        share = (time.monotonic() - started) / len(loss)
        report(
            Progress(
                "training",
                network=1,
                networks=1,
                epoch=len(loss),
                epochs=EPOCHS,
                loss=tuple(loss),
                val_loss=tuple(val_loss),
                eta_s=share * (EPOCHS - len(loss)),
            )
        )

    inputs, targets = windows.astype(np.float32), labels.astype(np.float32)
    model.fit(
        inputs[learned],
        targets[learned],
        validation_data=(inputs[validated], targets[validated]),
        batch_size=64,
        epochs=EPOCHS,
        verbose=0,
        callbacks=[watch(on_epoch, is_cancelled)],
    )

    def scores(chosen: Floats) -> Floats:
        answer = model(chosen.astype(np.float32), training=False)
        return np.asarray(answer, dtype=np.float64)[:, 0]

    return scores
