"""Causal filters over the last axis of an array: shape (..., rows) in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_BLOCK = 64


def ewma(values: Floats, alpha: float) -> Floats:
    """Exponential average `y[t] = (1 - alpha) y[t-1] + alpha x[t]`, started at the first value.

    Same as pandas' `ewm(alpha=alpha, adjust=False).mean()`. It works in blocks of rows, one
    matrix product for all and one carry a block, so no Python loop runs over rows.

    Args:
        values: Shape (..., rows), finite.
        alpha: Weight of the newest value, in (0, 1].
    """
    rows = values.shape[-1]
    if rows == 0:
        return values.copy()
    blocks = -(-rows // _BLOCK)
    padded = np.zeros((*values.shape[:-1], blocks * _BLOCK))
    padded[..., :rows] = values
    steps = np.arange(_BLOCK)
    lag = steps[:, None] - steps[None, :]
    kernel = np.where(lag >= 0, alpha * (1.0 - alpha) ** np.maximum(lag, 0), 0.0)
    decay = (1.0 - alpha) ** (steps + 1)
    out = padded.reshape(*values.shape[:-1], blocks, _BLOCK) @ kernel.T
    carry = values[..., 0]
    for block in range(blocks):
        out[..., block, :] += carry[..., None] * decay
        carry = out[..., block, -1]
    return out.reshape(padded.shape)[..., :rows].copy()


def span(bars: int) -> float:
    """Return the alpha of an exponential average of span `bars`: 2 / (bars + 1)."""
    return 2.0 / (bars + 1.0)


def windows_of(values: Floats, bars: int) -> Floats:
    """Return the last `bars` values of each row: shape (..., rows, bars), a read-only view.

    Rows before the first count as equal to the first.
    """
    lead = np.repeat(values[..., :1], bars - 1, axis=-1)
    return sliding_window_view(np.concatenate([lead, values], axis=-1), bars, axis=-1)


def delay(values: Floats, bars: int) -> Floats:
    """Return the value `bars` rows ago; rows before the first count as equal to the first."""
    lead = np.repeat(values[..., :1], min(bars, values.shape[-1]), axis=-1)
    return np.concatenate([lead, values[..., :-bars]], axis=-1)


def ratio(numerator: Floats, denominator: Floats, otherwise: float = 0.0) -> Floats:
    """Divide where the denominator is positive, else give `otherwise`."""
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    out = np.full(shape, otherwise)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out
