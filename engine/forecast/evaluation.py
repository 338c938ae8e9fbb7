"""What a model did on rows it never saw, beside the baselines and beside another model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.forecast.metrics import accuracy, block_interval, brier, log_losses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from engine.forecast.values import JsonObject

    Floats = NDArray[np.float64]

EDGE = "edge"
COIN_TOSS = "coin toss"
CONSTANT = "constant"
"""The best call, and the best probability, that never changes; known in hindsight only."""
LEAST_COMMON_ROWS = 200


def evaluate(
    p_up: Floats,
    labels: NDArray[np.int8],
    blocks: NDArray[np.int64],
    baselines: Mapping[str, Floats],
    ties: int = 0,
) -> JsonObject:
    """Score probabilities on unseen samples.

    The rivals are the baselines and the best constant, which knows the share of higher closes
    among these very samples. The verdict is `edge` only when

    - the whole 95 % interval (resampled by blocks) of the mean log-loss gained over the best rival
      lies above zero,
    - the interval of the accuracy lies above a half, and that of the accuracy gained over the best
      constant call above zero,
    - no rival is right as often;

    else it is `coin toss`.

    Args:
        p_up: Shape (samples,).
        labels: Shape (samples,).
        blocks: Shape (samples,), see `metrics.block_ids`.
        baselines: Probabilities by baseline, each of shape (samples,).
        ties: Outcomes of the same stretch of time that are no samples, because the close was the
            same; they are told, not scored.
    """
    right = ((p_up >= 0.5) == (labels == 1)).astype(float)
    low, high = block_interval(right, blocks)
    losses = log_losses(p_up, labels)
    share_up = float(labels.mean())
    rivals = {**baselines, CONSTANT: np.full(len(labels), share_up)}
    rival_losses = {name: log_losses(p, labels) for name, p in rivals.items()}
    rival_accuracies = {name: accuracy(p, labels) for name, p in rivals.items()}
    best = min(rival_losses, key=lambda name: float(rival_losses[name].mean()))
    gain = rival_losses[best] - losses
    gain_low, gain_high = block_interval(gain, blocks)
    constant_right = (labels == int(share_up >= 0.5)).astype(float)
    is_edge = (
        gain_low > 0.0
        and low > 0.5
        and block_interval(right - constant_right, blocks)[0] > 0.0
        and float(right.mean()) > max(rival_accuracies.values())
    )
    return {
        "test_rows": len(labels),
        "accuracy": accuracy(p_up, labels),
        "low": max(0.0, low),
        "high": min(1.0, high),
        "brier": brier(p_up, labels),
        "log_loss": float(losses.mean()),
        "share_up": share_up,
        "ties": ties,
        "baselines": {name: rival_accuracies[name] for name in baselines},
        "baselines_log_loss": {name: float(rival_losses[name].mean()) for name in baselines},
        "baselines_brier": {name: brier(p, labels) for name, p in baselines.items()},
        "constant": {
            "accuracy": rival_accuracies[CONSTANT],
            "log_loss": float(rival_losses[CONSTANT].mean()),
        },
        "best_baseline": best,
        "gain": {"mean": float(gain.mean()), "low": gain_low, "high": gain_high},
        "verdict": EDGE if is_edge else COIN_TOSS,
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
