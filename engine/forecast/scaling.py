"""Robust scaling, fitted on training rows only and saved with the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CLIP = 4.0
_FLAT = 1e-9


@dataclass(frozen=True, slots=True)
class Scaler:
    """Median and interquartile range of each feature, both of shape (features,)."""

    center: Floats
    scale: Floats

    def apply(self, features: Floats) -> Floats:
        """Return `(features - center) / scale` clipped to ±4, same shape (..., features)."""
        return np.clip((features - self.center) / self.scale, -CLIP, CLIP)


def fit_scaler(features: Floats) -> Scaler:
    """Fit on rows of shape (rows, features); a feature without spread keeps its size."""
    low, center, high = np.quantile(features, (0.25, 0.5, 0.75), axis=0)
    spread = high - low
    return Scaler(center, np.where(spread > _FLAT, spread, 1.0))
