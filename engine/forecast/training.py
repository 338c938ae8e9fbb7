"""The honest recipe: from candle columns to a saved model and its figures."""

from __future__ import annotations

import platform
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.forecast.baselines import BOOSTING, boosting_probabilities, fit_baselines
from engine.forecast.enough import check_enough
from engine.forecast.evaluation import compare, evaluate
from engine.forecast.features import FEATURE_NAMES, WARM_UP, unknown_features
from engine.forecast.lstm import Fitted, Fitter
from engine.forecast.metrics import accuracy, block_ids
from engine.forecast.protocol import Progress
from engine.forecast.registry import RegistryError, load_model, save_model
from engine.forecast.scaling import Scaler, fit_scaler
from engine.forecast.scorer import Network
from engine.forecast.split import Split, split_in_time
from engine.forecast.values import ForecastError
from engine.forecast.windows import Samples, make_samples, window_view
from engine.market.interval import parse_interval

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.forecast.features import Columns
    from engine.forecast.protocol import JobConfig
    from engine.forecast.values import JsonObject

    Floats = NDArray[np.float64]

_TOLERANCE = 1e-6
_PACKAGES = ("numpy", "keras", "scikit-learn")


@dataclass(frozen=True, slots=True)
class Prepared:
    """Scaled windows of the three slices, and what they were cut from."""

    samples: Samples
    split: Split
    scaler: Scaler
    muted: tuple[str, ...]

    def windows(self, positions: NDArray[np.intp]) -> Floats:
        """Return scaled windows of samples, shape (samples, window, features)."""
        scaled = self.scaler.apply(self.samples.features)
        return window_view(scaled, self.samples.window, self.samples.ends[positions])

    def labels(self, positions: NDArray[np.intp]) -> NDArray[np.int8]:
        """Return the labels of samples."""
        return self.samples.labels[positions]


def prepare(columns: Columns, config: JobConfig) -> Prepared:
    """Make samples, split them in time, fit the scaler on the training slice.

    Raises:
        ForecastError: there is not enough to learn from, see `check_enough`.
    """
    check_enough(columns, config)
    muted = unknown_features(columns)
    samples = make_samples(
        columns, parse_interval(config.interval), config.window, config.lookahead, muted
    )
    split = split_in_time(samples.ends, samples.gap)
    if not (len(split.train) and len(split.stopping) and len(split.test)):
        raise ForecastError(
            f"{config.symbol} {config.interval} gives {len(samples.ends):,} samples, which are too "
            "few to keep some aside for early stopping and for the figures; fetch more candles."
        )
    used = np.zeros(len(samples.features), dtype=bool)
    for back in range(config.window):
        used[samples.ends[split.train] - back] = True
    return Prepared(samples, split, fit_scaler(samples.features[used]), muted)


def train(
    columns: Columns,
    config: JobConfig,
    out_dir: Path,
    data_sha: str,
    *,
    report: Callable[[Progress], None],
    is_cancelled: Callable[[], bool],
) -> JsonObject:
    """Fit baselines and networks, judge them on the newest rows, save all into `out_dir`.

    Args:
        columns: Closed candles of one symbol, ascending; see `make_features`.
        config: What to train.
        out_dir: An empty directory.
        data_sha: Hash of the data, for the metadata.
        report: Told of progress.
        is_cancelled: Asked after every batch.

    Returns:
        The metrics, as saved.

    Raises:
        ForecastError: too little data, or the saved weights do not score as Keras does.
        Cancelled: `is_cancelled` said so.
    """
    started = time.monotonic()
    prepared = prepare(columns, config)
    split, samples = prepared.split, prepared.samples
    fitter = Fitter(samples.window, len(FEATURE_NAMES))
    fitted = _fit_networks(fitter, prepared, config, report, is_cancelled)
    report(Progress("evaluating", message="Comparing with the baselines on unseen candles."))
    network = Network.stack([one.weights for one in fitted])
    unseen = prepared.windows(split.test)
    first = fitter.model(fitted[0])
    _check_scorer(first, network, unseen[:2000])
    labels, times = prepared.labels(split.test), samples.open_time_ms[samples.ends[split.test]]
    training = prepared.windows(split.train)
    baselines = fit_baselines(training, prepared.labels(split.train), samples.reversal[split.train])
    others = baselines.probabilities(unseen, samples.reversal[split.test])
    others[BOOSTING] = boosting_probabilities(training, prepared.labels(split.train), unseen)
    each = network.each(unseen)
    p_up = np.asarray(each.mean(axis=0))
    blocks = block_ids(times, config.lookahead)
    ties = int((samples.ties >= samples.ends[split.test[0]]).sum())
    metrics = evaluate(p_up, labels, blocks, others, ties)
    metrics["networks_accuracy"] = [accuracy(p, labels) for p in each]
    metrics["networks_loss"] = [{"loss": one.loss, "val_loss": one.val_loss} for one in fitted]
    metrics["champion"] = _against_champion(config, columns, prepared, p_up)
    metrics["rows"] = len(split.train)
    metrics["seconds"] = round(time.monotonic() - started, 2)
    first.save(out_dir / "model.keras")
    save_model(
        out_dir,
        network=network,
        scaler=prepared.scaler,
        baselines=baselines,
        metadata=_metadata(config, prepared, data_sha, fitted),
        metrics=metrics,
    )
    return metrics


def _fit_networks(
    fitter: Fitter,
    prepared: Prepared,
    config: JobConfig,
    report: Callable[[Progress], None],
    is_cancelled: Callable[[], bool],
) -> list[Fitted]:
    split = prepared.split
    train_set = prepared.windows(split.train), prepared.labels(split.train)
    stopping = prepared.windows(split.stopping), prepared.labels(split.stopping)
    fitted: list[Fitted] = []
    started = time.monotonic()
    for index in range(config.networks):

        def on_epoch(loss: list[float], val_loss: list[float], index: int = index) -> None:
            done = index * config.epochs + len(loss)
            share = (time.monotonic() - started) / done
            left_s = share * (config.networks * config.epochs - done)
            report(
                Progress(
                    "training",
                    network=index + 1,
                    networks=config.networks,
                    epoch=len(loss),
                    epochs=config.epochs,
                    loss=tuple(loss),
                    val_loss=tuple(val_loss),
                    eta_s=None if done == 1 else left_s,
                )
            )

        fitted.append(
            fitter.fit(
                train_set,
                stopping,
                seed=config.seed + index,
                epochs=config.epochs,
                on_epoch=on_epoch,
                is_cancelled=is_cancelled,
            )
        )
    return fitted


def _check_scorer(first: Any, network: Network, windows: Floats) -> None:
    keras_p = np.asarray(first(windows.astype(np.float32), training=False))[:, 0]
    worst = float(np.abs(network.each(windows)[0] - keras_p).max())
    if worst > _TOLERANCE:
        raise ForecastError(
            f"The saved weights score up to {worst:.1e} away from Keras, so the model is not kept."
        )


def _against_champion(
    config: JobConfig, columns: Columns, prepared: Prepared, p_up: Floats
) -> JsonObject | None:
    """Compare with the champion on test rows that neither model was fitted on."""
    if config.champion is None:
        return None
    from pathlib import Path

    champion = load_model(Path(config.champion))
    if champion.lookahead != config.lookahead:
        raise RegistryError(f"Model {champion.name} looks another number of candles ahead.")
    own = prepared.samples
    interval = parse_interval(config.interval)
    samples = make_samples(columns, interval, champion.window, config.lookahead, champion.muted)
    ends = own.ends[prepared.split.test]
    unseen = np.isin(ends, samples.ends) & (own.open_time_ms[ends] > champion.seen_until_ms)
    rows = ends[unseen]
    labels = own.labels[prepared.split.test][unseen]
    if not len(rows):
        return {"version": champion.version, **compare(p_up[:0], p_up[:0], labels, rows)}
    theirs = champion.probability(champion.scaled_windows(samples.features, rows))
    blocks = block_ids(own.open_time_ms[rows], config.lookahead)
    return {"version": champion.version, **compare(p_up[unseen], theirs, labels, blocks)}


def _metadata(
    config: JobConfig, prepared: Prepared, data_sha: str, fitted: list[Fitted]
) -> JsonObject:
    samples, split = prepared.samples, prepared.split
    last_known = int(samples.ends[split.stopping[-1]]) + samples.gap
    return {
        "created_wall_ms": time.time_ns() // 1_000_000,
        "symbol": config.symbol,
        "interval": config.interval,
        "recipe": config.recipe,
        "window": config.window,
        "lookahead": config.lookahead,
        "gap": samples.gap,
        "warm_up": WARM_UP,
        "features": list(FEATURE_NAMES),
        "unknown_features": list(prepared.muted),
        "candles": len(samples.open_time_ms),
        "first_open_time_ms": int(samples.open_time_ms[0]),
        "last_open_time_ms": int(samples.open_time_ms[-1]),
        "seen_until_ms": int(samples.open_time_ms[last_known]),
        "data_sha256": data_sha,
        "train_rows": len(split.train),
        "stopping_rows": len(split.stopping),
        "test_rows": len(split.test),
        "seeds": [config.seed + index for index in range(config.networks)],
        "epochs": config.epochs,
        "epochs_run": [len(one.loss) for one in fitted],
        "threads": config.threads,
        "onednn": "1",
        "python": sys.version.split()[0],
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": {**{name: version(name) for name in _PACKAGES}, "tensorflow": _tensorflow()},
    }


def _tensorflow() -> str:
    import tensorflow as tf

    return str(tf.__version__)
