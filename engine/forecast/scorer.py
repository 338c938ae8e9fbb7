"""Forward pass of the saved networks in numpy, for live scoring without TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ARRAY_NAMES = ("kernel", "recurrent", "bias", "dense", "dense_bias")
_CHUNK = 1024


def sigmoid(values: Floats) -> Floats:
    """Logistic function without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * values))


@dataclass(frozen=True, slots=True)
class Network:
    """Weights of networks with one LSTM layer and one logistic unit, stacked on the first axis.

    The LSTM is Keras' (tanh, sigmoid gates, gate order input, forget, cell, output).

    Attributes:
        kernel: Shape (networks, features, 4 units).
        recurrent: Shape (networks, units, 4 units).
        bias: Shape (networks, 1, 4 units).
        dense: Shape (networks, units, 1).
        dense_bias: Shape (networks, 1, 1).
    """

    kernel: Floats
    recurrent: Floats
    bias: Floats
    dense: Floats
    dense_bias: Floats

    @classmethod
    def stack(cls, networks: Sequence[Sequence[NDArray[np.generic]]]) -> Network:
        """Build from each network's Keras weights [kernel, recurrent, bias, dense, dense bias]."""
        arrays = [
            np.stack([np.asarray(weights[i], dtype=np.float64) for weights in networks])
            for i in range(len(ARRAY_NAMES))
        ]
        return cls.of(dict(zip(ARRAY_NAMES, arrays, strict=True)))

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Network:
        """Build from arrays by name, as saved.

        Raises:
            ValueError: the shapes do not belong together.
            KeyError: one is missing.
        """
        kernel, recurrent, bias, dense, dense_bias = (
            np.asarray(arrays[name], dtype=np.float64) for name in ARRAY_NAMES
        )
        networks, units = recurrent.shape[0], recurrent.shape[1]
        if kernel.shape[::2] != (networks, 4 * units) or recurrent.shape[2] != 4 * units:
            raise ValueError("the weights of the network do not fit together")
        return cls(
            kernel,
            recurrent,
            bias.reshape(networks, 1, 4 * units),
            dense.reshape(networks, units, 1),
            dense_bias.reshape(networks, 1, 1),
        )

    def arrays(self) -> dict[str, Floats]:
        """Return the weights by name, to be saved."""
        return {name: getattr(self, name) for name in ARRAY_NAMES}

    def each(self, windows: Floats) -> Floats:
        """Return each network's probability: shape (networks, samples).

        Args:
            windows: Shape (samples, window, features), scaled.
        """
        parts = [
            self._forward(windows[start : start + _CHUNK])
            for start in range(0, len(windows), _CHUNK)
        ]
        return np.concatenate(parts, axis=1) if parts else np.empty((len(self.kernel), 0))

    def probability(self, windows: Floats) -> Floats:
        """Return the networks' mean probability of a higher close: shape (samples,)."""
        return np.asarray(self.each(windows).mean(axis=0), dtype=np.float64)

    def _forward(self, windows: Floats) -> Floats:
        samples, steps, features = windows.shape
        networks, units = self.recurrent.shape[:2]
        flat = np.asarray(windows, dtype=np.float64).reshape(1, samples * steps, features)
        inputs = (flat @ self.kernel + self.bias).reshape(networks, samples, steps, 4 * units)
        hidden = np.zeros((networks, samples, units))
        cell = np.zeros_like(hidden)
        for step in range(steps):
            gates = inputs[:, :, step] + hidden @ self.recurrent
            candidate = np.tanh(gates[..., 2 * units : 3 * units])
            opened = sigmoid(gates)
            cell = opened[..., units : 2 * units] * cell + opened[..., :units] * candidate
            hidden = opened[..., 3 * units :] * np.tanh(cell)
        return sigmoid(hidden @ self.dense + self.dense_bias)[..., 0]
