"""What a model did on rows it never saw, beside the baselines and beside another model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.forecast.metrics import accuracy, block_interval, brier, log_losses

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from engine.forecast.values import JsonObject

    Floats = NDArray[np.float64]

EDGE = "edge"
COIN_TOSS = "coin toss"
LEAST_COMMON_ROWS = 200


def evaluate(
    p_up: Floats,
    labels: NDArray[np.int8],
    blocks: NDArray[np.int64],
    baselines: Mapping[str, Floats],
) -> JsonObject:
    """Score probabilities on unseen samples.

    The verdict is `edge` only when the model's mean log-loss beats that of the best baseline with
    the whole 95 % interval of the difference (resampled by blocks) and its accuracy interval lies
    above a half; else it is `coin toss`.

    Args:
        p_up: Shape (samples,).
        labels: Shape (samples,).
        blocks: Shape (samples,), see `metrics.block_ids`.
        baselines: Probabilities by baseline, each of shape (samples,).
    """
    right = ((p_up >= 0.5) == (labels == 1)).astype(float)
    low, high = block_interval(right, blocks)
    losses = log_losses(p_up, labels)
    baseline_losses = {name: log_losses(p, labels) for name, p in baselines.items()}
    best = min(baseline_losses, key=lambda name: float(baseline_losses[name].mean()))
    gain = baseline_losses[best] - losses
    gain_low, gain_high = block_interval(gain, blocks)
    return {
        "test_rows": len(labels),
        "accuracy": accuracy(p_up, labels),
        "low": max(0.0, low),
        "high": min(1.0, high),
        "brier": brier(p_up, labels),
        "log_loss": float(losses.mean()),
        "share_up": float(labels.mean()),
        "baselines": {name: accuracy(p, labels) for name, p in baselines.items()},
        "baselines_log_loss": {name: float(loss.mean()) for name, loss in baseline_losses.items()},
        "baselines_brier": {name: brier(p, labels) for name, p in baselines.items()},
        "best_baseline": best,
        "gain": {"mean": float(gain.mean()), "low": gain_low, "high": gain_high},
        "verdict": EDGE if gain_low > 0.0 and low > 0.5 else COIN_TOSS,
    }


def compare(
    challenger: Floats, champion: Floats, labels: NDArray[np.int8], blocks: NDArray[np.int64]
) -> JsonObject:
    """Compare two models on identical rows that neither of them was fitted on.

    `better` is True only when the 95 % interval of the mean log-loss difference lies above zero.
    """
    gain = log_losses(champion, labels) - log_losses(challenger, labels)
    enough = len(labels) >= LEAST_COMMON_ROWS
    low, high = block_interval(gain, blocks)
    return {
        "rows": len(labels),
        "mean": float(gain.mean()) if len(labels) else 0.0,
        "low": low if enough else None,
        "high": high if enough else None,
        "better": bool(enough and low > 0.0),
    }
