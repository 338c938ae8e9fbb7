"""Candle columns in a file, for the trainer, with a hash that says which candles they are."""

from __future__ import annotations

import hashlib
import zipfile
from typing import TYPE_CHECKING

import numpy as np

from engine.forecast.values import ForecastError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.forecast.features import Columns

NAMES = (
    "open_time_ms",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trades",
    "taker_buy_volume",
)


def data_sha(columns: Columns) -> str:
    """Return the SHA-256 of the columns as little-endian numbers, in a fixed order."""
    digest = hashlib.sha256()
    for name in NAMES:
        kind = "<i8" if name == "open_time_ms" else "<f8"
        digest.update(np.ascontiguousarray(columns[name], dtype=kind).tobytes())
    return digest.hexdigest()


def save_columns(path: Path, columns: Columns) -> str:
    """Write the columns that training needs to `path` (npz) and return their hash."""
    np.savez(path, allow_pickle=False, **{name: np.asarray(columns[name]) for name in NAMES})
    return data_sha(columns)


def load_columns(path: Path, sha: str) -> dict[str, NDArray[np.generic]]:
    """Read what `save_columns` wrote.

    Raises:
        ForecastError: it can not be read or is not what `sha` says.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            columns = {name: archive[name] for name in NAMES}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ForecastError(f"The training data at {path} can not be read ({error}).") from error
    if data_sha(columns) != sha:
        raise ForecastError(f"The training data at {path} is not what the engine wrote.")
    return columns
