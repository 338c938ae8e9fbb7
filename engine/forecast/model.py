"""A model as it was saved: networks, scaler, baselines and what is known about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.forecast.windows import window_view
from engine.market.forecast import ModelInfo

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from engine.forecast.baselines import Baselines
    from engine.forecast.scaling import Scaler
    from engine.forecast.scorer import Network
    from engine.forecast.values import JsonObject

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A verified model.

    Attributes:
        directory: Where it lies.
        network: The fitted networks.
        scaler: Fitted on its training rows.
        baselines: Fitted on the same rows.
        metadata: What it was made from and how.
        metrics: Its figures on rows it never saw.
    """

    directory: Path
    network: Network
    scaler: Scaler
    baselines: Baselines
    metadata: JsonObject
    metrics: JsonObject

    @property
    def name(self) -> str:
        """Name of its directory, such as `v000003-0a1b2c3d4e5f`, by which the ledger knows it."""
        return self.directory.name

    @property
    def version(self) -> str:
        """Such as `v000003`."""
        return self.name.partition("-")[0]

    @property
    def window(self) -> int:
        """Candles that it sees."""
        return int(self.metadata["window"])

    @property
    def lookahead(self) -> int:
        """Candles to the outcome."""
        return int(self.metadata["lookahead"])

    @property
    def muted(self) -> tuple[str, ...]:
        """Features held at zero, because its training data did not know their source."""
        return tuple(self.metadata["unknown_features"])

    @property
    def seen_until_ms(self) -> int:
        """Open time of the last candle that any of its fitting could know of."""
        return int(self.metadata["seen_until_ms"])

    def scaled_windows(self, features: Floats, ends: NDArray[np.intp]) -> Floats:
        """Return its inputs for windows that end with rows `ends` of unscaled `features`.

        Shape (samples, window, features).
        """
        first = int(ends.min()) - self.window + 1
        return window_view(self.scaler.apply(features[first:]), self.window, ends - first)

    def probability(self, windows: Floats) -> Floats:
        """Return the probability of a higher close for scaled windows, shape (samples,)."""
        return self.network.probability(windows)

    def info(self) -> ModelInfo:
        """Return what viewers are told of it."""
        metrics = self.metrics
        return ModelInfo(
            version=self.version,
            created_wall_ms=int(self.metadata["created_wall_ms"]),
            rows=int(self.metadata["train_rows"]),
            test_rows=int(metrics["test_rows"]),
            accuracy=float(metrics["accuracy"]),
            low=float(metrics["low"]),
            high=float(metrics["high"]),
            brier=float(metrics["brier"]),
            log_loss=float(metrics["log_loss"]),
            baselines={name: float(value) for name, value in metrics["baselines"].items()},
            verdict=str(metrics["verdict"]),
            ties=int(metrics.get("ties", 0)),
        )
