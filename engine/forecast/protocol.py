"""What engine and trainer say to each other: one JSON object a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from engine.forecast.values import HONEST

if TYPE_CHECKING:
    from collections.abc import Mapping


class JobConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What to train; the fields that `ForecastConfig` has too mean the same.

    Attributes:
        champion: Directory of the model to compare with, None for none.
    """

    symbol: str
    interval: str
    recipe: str = HONEST
    lookahead: int = 5
    window: int = 10
    networks: int = 3
    epochs: int = 12
    threads: int = 1
    minimum_rows: int = 1_500
    seed: int = 1
    champion: str | None = None


class TrainJob(msgspec.Struct, frozen=True, tag_field="type", tag="job"):
    """To the trainer, first: columns at `data_path` (npz), artefacts go to `out_dir`."""

    id: str
    config: JobConfig
    data_path: str
    data_sha: str
    out_dir: str


class CancelJob(msgspec.Struct, frozen=True, tag_field="type", tag="cancel"):
    """To the trainer: stop at the end of the batch."""


class Hello(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    """From the trainer, first."""

    pid: int
    version: str


class Heartbeat(msgspec.Struct, frozen=True, tag_field="type", tag="heartbeat"):
    """From the trainer each second, with its resident memory."""

    rss_bytes: int


class Progress(msgspec.Struct, frozen=True, tag_field="type", tag="progress"):
    """From the trainer: `state` is `starting`, `training` or `evaluating`."""

    state: str
    network: int = 0
    networks: int = 0
    epoch: int = 0
    epochs: int = 0
    loss: tuple[float, ...] = ()
    val_loss: tuple[float, ...] = ()
    eta_s: float | None = None
    message: str = ""


class Result(msgspec.Struct, frozen=True, tag_field="type", tag="result"):
    """From the trainer, last: the figures; the artefacts are in `out_dir`."""

    metrics: dict[str, Any]


class Failure(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """From the trainer, last: what went wrong, as a sentence."""

    error: str
    message: str
    cancelled: bool = False


ToTrainer = TrainJob | CancelJob
FromTrainer = Hello | Heartbeat | Progress | Result | Failure

_encoder = msgspec.json.Encoder()
_to_trainer: msgspec.json.Decoder[ToTrainer] = msgspec.json.Decoder(ToTrainer)
_from_trainer: msgspec.json.Decoder[FromTrainer] = msgspec.json.Decoder(FromTrainer)


def line(message: ToTrainer | FromTrainer) -> bytes:
    """Return `message` as one line."""
    return _encoder.encode(message) + b"\n"


def to_trainer(text: bytes) -> ToTrainer:
    """Decode a line for the trainer; raises `msgspec.DecodeError` (also for wrong types)."""
    return _to_trainer.decode(text)


def from_trainer(text: bytes) -> FromTrainer:
    """Decode a line of the trainer; raises `msgspec.DecodeError` (also for wrong types)."""
    return _from_trainer.decode(text)


def pinned_environment(environment: Mapping[str, str], threads: int) -> dict[str, str]:
    """Return `environment` with what must be pinned before TensorFlow is imported.

    Thread counts hold for every numerical library; oneDNN is pinned because its rounding decides
    whether equal seeds give equal weights.
    """
    count = str(max(1, threads))
    return {
        **environment,
        "OMP_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "TF_NUM_INTRAOP_THREADS": count,
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_ENABLE_ONEDNN_OPTS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
        "PYTHONUNBUFFERED": "1",
    }
