"""The network, fitted with Keras (imported inside: only the trainer process pays for it)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int8]

UNITS = 32
DROPOUT = 0.2
LEARNING_RATE = 1e-3
BATCH = 256
PATIENCE = 2


class Cancelled(Exception):
    """The job was cancelled between two batches."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """One fitted network: its Keras weights in Keras' order, and its losses per epoch."""

    weights: tuple[NDArray[np.float32], ...]
    loss: tuple[float, ...]
    val_loss: tuple[float, ...]


def build(window: int, features: int) -> Any:
    """Return the compiled Keras model: LSTM (tanh), dropout, one logistic unit."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((window, features)),
            keras.layers.LSTM(UNITS),
            keras.layers.Dropout(DROPOUT),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(LEARNING_RATE),
        loss="binary_crossentropy",
        jit_compile=False,
    )
    return model


def watch(
    on_epoch: Callable[[list[float], list[float]], None], is_cancelled: Callable[[], bool]
) -> Any:
    """Return a Keras callback: it tells of each epoch, and ends a cancelled fit after a batch."""
    import keras

    class Watch(keras.callbacks.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.loss: list[float] = []
            self.val_loss: list[float] = []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            if is_cancelled():
                raise Cancelled

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            logs = logs or {}
            self.loss.append(float(logs.get("loss", np.nan)))
            self.val_loss.append(float(logs.get("val_loss", np.nan)))
            on_epoch(self.loss, self.val_loss)

    return Watch()


class Fitter:
    """Fits networks of one shape one after another, with one Keras model.

    Keras traces a model's training step anew for every model, which takes longer than fitting
    it; so one model is fitted again and again, each time from the state that a seed gives.

    Args:
        window: Rows of a window.
        features: Columns of a window.
    """

    def __init__(self, window: int, features: int) -> None:
        self._shape = window, features
        self._model = build(window, features)

    def fit(
        self,
        train: tuple[Floats, Labels],
        stopping: tuple[Floats, Labels],
        *,
        seed: int,
        epochs: int,
        on_epoch: Callable[[list[float], list[float]], None],
        is_cancelled: Callable[[], bool],
    ) -> Fitted:
        """Fit one network and return the weights of its best epoch.

        Args:
            train: Windows (samples, window, features) and labels to learn from.
            stopping: Windows and labels whose loss ends the fit, two epochs after its best.
            seed: Of weights, dropout and order of batches; equal seeds give equal weights here.
            epochs: At most.
            on_epoch: Called after each epoch with the losses so far.
            is_cancelled: Asked after each batch.

        Raises:
            Cancelled: as soon as `is_cancelled` says so.
        """
        import keras

        self._reset(seed)
        follower = watch(on_epoch, is_cancelled)
        self._model.fit(
            train[0].astype(np.float32),
            train[1].astype(np.float32),
            validation_data=(stopping[0].astype(np.float32), stopping[1].astype(np.float32)),
            validation_batch_size=2048,
            batch_size=BATCH,
            epochs=epochs,
            verbose=0,
            callbacks=[
                follower,
                keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True),
            ],
        )
        weights = tuple(self._model.get_weights())
        return Fitted(weights, tuple(follower.loss), tuple(follower.val_loss))

    def model(self, fitted: Fitted) -> Any:
        """Return the Keras model with the weights of `fitted`; the next `fit` changes it."""
        self._model.set_weights(list(fitted.weights))
        return self._model

    def _reset(self, seed: int) -> None:
        import keras

        keras.utils.set_random_seed(seed)
        fresh = build(*self._shape)
        for ours, start in zip(self._model.variables, fresh.variables, strict=True):
            ours.assign(start)
        optimizer = self._model.optimizer
        for variable in optimizer.variables:
            variable.assign(keras.ops.zeros_like(variable))
        optimizer.learning_rate = LEARNING_RATE
