"""The plain forecasts that every model is measured against, on the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.forecast.features import FEATURE_NAMES
from engine.forecast.scorer import sigmoid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int8]

MAJORITY, REVERSAL, LOGISTIC, BOOSTING = "majority", "reversal", "logistic", "boosting"
LIVE_BASELINES = (REVERSAL, MAJORITY, LOGISTIC)
_RETURN = FEATURE_NAMES.index("return_1")
_SURE_LOGIT = 40.0
_BARELY = 0.5001


def flat_inputs(windows: Floats) -> Floats:
    """Turn windows into rows for linear and tree models.

    Args:
        windows: Shape (samples, window, features), scaled.

    Returns:
        Shape (samples, features + window - 1): the newest row, then the returns of the others.
    """
    return np.concatenate([windows[:, -1, :], windows[:, :-1, _RETURN]], axis=1)


@dataclass(frozen=True, slots=True)
class Baselines:
    """What live scoring needs of the baselines; gradient boosting stands in reports only.

    Attributes:
        base_rate: Share of higher closes among the training labels.
        reversal_rate: Share of them that a bet against the last candles got right; just above a
            half where it got fewer, as it stays a bet on reversal.
        coefficients: Of the logistic regression, shape (inputs,).
        intercept: Of the logistic regression.
    """

    base_rate: float
    reversal_rate: float
    coefficients: Floats
    intercept: float

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Baselines:
        """Build from arrays by name, as saved; raises KeyError when one is missing."""
        return cls(
            float(np.asarray(arrays["base_rate"], dtype=np.float64)),
            float(np.asarray(arrays["reversal_rate"], dtype=np.float64)),
            np.asarray(arrays["coefficients"], dtype=np.float64),
            float(np.asarray(arrays["intercept"], dtype=np.float64)),
        )

    def arrays(self) -> dict[str, Floats]:
        """Return the numbers by name, to be saved."""
        return {
            "base_rate": np.asarray(self.base_rate),
            "reversal_rate": np.asarray(self.reversal_rate),
            "coefficients": self.coefficients,
            "intercept": np.asarray(self.intercept),
        }

    def probabilities(self, windows: Floats, reversal: Labels) -> dict[str, Floats]:
        """Return each live baseline's probability of a higher close, shape (samples,).

        Args:
            windows: Shape (samples, window, features), scaled.
            reversal: Shape (samples,), the bets against the last candles.
        """
        rate = self.reversal_rate
        return {
            REVERSAL: np.where(reversal == 1, rate, 1.0 - rate),
            MAJORITY: np.full(len(windows), self.base_rate),
            LOGISTIC: sigmoid(flat_inputs(windows) @ self.coefficients + self.intercept),
        }

    def calls(self, windows: Floats, reversal: Labels) -> dict[str, Labels]:
        """Return each live baseline's call, 1 for higher and 0 for lower, shape (samples,)."""
        made = {
            name: (p >= 0.5).astype(np.int8)
            for name, p in self.probabilities(windows, reversal).items()
        }
        return {**made, REVERSAL: reversal}


def fit_baselines(windows: Floats, labels: Labels, reversal: Labels) -> Baselines:
    """Fit the live baselines on training samples (scikit-learn is imported here).

    Where all labels are alike, majority and logistic regression are as sure as a network may be.
    """
    from sklearn.linear_model import LogisticRegression

    inputs = flat_inputs(windows)
    base_rate = float(labels.mean())
    coefficients = np.zeros(inputs.shape[1])
    intercept = _SURE_LOGIT if base_rate == 1.0 else -_SURE_LOGIT
    if 0.0 < base_rate < 1.0:
        fitted = LogisticRegression(C=0.01, max_iter=300).fit(inputs, labels)
        coefficients = np.asarray(fitted.coef_[0], dtype=np.float64)
        intercept = float(fitted.intercept_[0])
    reversal_rate = max(float((reversal == labels).mean()), _BARELY)
    return Baselines(base_rate, reversal_rate, coefficients, intercept)


def boosting_probabilities(windows: Floats, labels: Labels, unseen: Floats) -> Floats:
    """Fit gradient boosting on training samples and return its probabilities for `unseen`."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    if not 0 < labels.mean() < 1:
        return np.full(len(unseen), float(labels.mean()))
    model = HistGradientBoostingClassifier(
        max_iter=60, learning_rate=0.05, max_leaf_nodes=15, l2_regularization=1.0, random_state=7
    )
    model.fit(flat_inputs(windows), labels)
    return np.asarray(model.predict_proba(flat_inputs(unseen))[:, 1], dtype=np.float64)
