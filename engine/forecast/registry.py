"""Models on disk: written to a temporary name, sealed with a manifest, renamed, verified on load.

    models/<symbol>/<interval>/L<lookahead>/v000001-<sha12>/
        weights.npz scaler.npz baselines.npz model.keras metadata.json metrics.json MANIFEST.sha256
    models/<symbol>/<interval>/L<lookahead>/ALIASES.json    {"champion": "v000001-<sha12>"}

Nothing is ever unpickled: arrays are read with `allow_pickle=False`, the rest is JSON.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import zipfile
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from engine.forecast.baselines import Baselines
from engine.forecast.features import features_sha
from engine.forecast.model import LoadedModel
from engine.forecast.scaling import Scaler
from engine.forecast.scorer import Network
from engine.forecast.values import ForecastError
from engine.market.interval import INTERVALS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.forecast.values import JsonObject

SCHEMA = 1
MANIFEST = "MANIFEST.sha256"
ALIASES = "ALIASES.json"
REQUIRED = ("weights.npz", "scaler.npz", "baselines.npz", "metadata.json", "metrics.json")
_SCRATCH = ".tmp-"
_VERSION = re.compile(r"v(\d{6,})-[0-9a-f]{12}")
_SYMBOL = re.compile(r"[^\W_][\w-]*")
# Some file systems do not tell 1m from 1M.
_FOLDERS = {name: "1month" if name == "1M" else name for name in INTERVALS}
_INTERVAL_OF = {folder: name for name, folder in _FOLDERS.items()}


class RegistryError(ForecastError):
    """A model can not be used; the text is a sentence that says why."""


class Registry:
    """The models of one data directory.

    Args:
        directory: Where models lie; made when the first one is written.
        lookahead: Candles to the outcome of the models that this registry deals with.
    """

    def __init__(self, directory: Path, lookahead: int) -> None:
        self.directory = directory
        self.lookahead = lookahead

    def series(self, symbol: str, interval: str) -> Path:
        """Return the directory of one market's versions.

        Raises:
            RegistryError: the names can not be those of a market.
        """
        if not _SYMBOL.fullmatch(symbol) or interval not in _FOLDERS:
            raise RegistryError(f"'{symbol} {interval}' does not name a market and an interval.")
        return self.directory / symbol / _FOLDERS[interval] / f"L{self.lookahead}"

    def markets(self) -> Iterator[tuple[str, str]]:
        """Yield symbol and interval of every series there is."""
        for path in sorted(self.directory.glob(f"*/*/L{self.lookahead}")):
            interval = _INTERVAL_OF.get(path.parent.name)
            if interval is not None and path.is_dir():
                yield path.parent.parent.name, interval

    def scratch(self, symbol: str, interval: str, job_id: str) -> Path:
        """Make and return an empty directory that a job writes to."""
        path = self.series(symbol, interval) / f"{_SCRATCH}{job_id}"
        path.mkdir(parents=True)
        return path

    def sweep(self) -> None:
        """Remove what unfinished jobs left behind."""
        for path in self.directory.glob(f"*/*/L*/{_SCRATCH}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def versions(self, symbol: str, interval: str) -> list[Path]:
        """Return the directories of all versions, oldest first."""
        series = self.series(symbol, interval)
        found = [path for path in series.glob("v*") if _VERSION.fullmatch(path.name)]
        return sorted(found, key=lambda path: _number(path.name))

    def adopt(self, symbol: str, interval: str, scratch: Path) -> LoadedModel:
        """Verify what a job wrote to `scratch`, and make it the next version.

        Raises:
            RegistryError: it does not verify; nothing is changed then.
        """
        load_model(scratch)
        versions = self.versions(symbol, interval)
        number = _number(versions[-1].name) + 1 if versions else 1
        digest = hashlib.sha256((scratch / MANIFEST).read_bytes()).hexdigest()
        target = scratch.parent / f"v{number:06d}-{digest[:12]}"
        scratch.rename(target)
        _sync_directory(target.parent)
        return load_model(target)

    def set_champion(self, model: LoadedModel) -> None:
        """Point the alias `champion` of the model's series at it."""
        path = model.directory.parent / ALIASES
        scratch = path.with_name(f"{_SCRATCH}{ALIASES}")
        _write(scratch, msgspec.json.encode({"champion": model.name}))
        scratch.replace(path)
        _sync_directory(path.parent)

    def champion(self, symbol: str, interval: str) -> tuple[LoadedModel | None, list[str]]:
        """Load the champion; the newest version that verifies where there is none or it does not.

        Returns:
            The model, None where there is none, and a sentence for each version refused.
        """
        series = self.series(symbol, interval)
        chosen, problems = _champion_name(series)
        versions = self.versions(symbol, interval)
        versions.sort(key=lambda path: (path.name == chosen, _number(path.name)), reverse=True)
        for path in versions:
            try:
                return load_model(path), problems
            except RegistryError as error:
                problems.append(str(error))
        return None, problems


def save_model(
    directory: Path,
    *,
    network: Network,
    scaler: Scaler,
    baselines: Baselines,
    metadata: JsonObject,
    metrics: JsonObject,
) -> None:
    """Write a model's files into `directory`, those already there included in the manifest."""
    np.savez(directory / "weights.npz", **_plain(network.arrays()))
    np.savez(directory / "scaler.npz", center=scaler.center, scale=scaler.scale)
    np.savez(directory / "baselines.npz", **_plain(baselines.arrays()))
    stamped = {"schema": SCHEMA, "features_sha": features_sha(), **metadata}
    for name, content in (("metadata.json", stamped), ("metrics.json", metrics)):
        (directory / name).write_bytes(msgspec.json.format(msgspec.json.encode(content)))
    seal(directory)


def seal(directory: Path) -> None:
    """Write the manifest over all files in `directory` and bring everything to disk."""
    lines = []
    for path in sorted(directory.iterdir()):
        if path.name == MANIFEST:
            continue
        lines.append(f"{_digest(path)}  {path.name}\n")
        with path.open("rb") as file:
            os.fsync(file.fileno())
    _write(directory / MANIFEST, "".join(lines).encode())
    _sync_directory(directory)


def load_model(directory: Path) -> LoadedModel:
    """Verify and load one version.

    Raises:
        RegistryError: a file is missing or altered, or it was made for other features.
    """
    name = directory.name
    try:
        _verify(directory)
        metadata = msgspec.json.decode((directory / "metadata.json").read_bytes(), type=_Object)
        if metadata.get("schema") != SCHEMA or metadata.get("features_sha") != features_sha():
            raise RegistryError(
                f"Model {name} was made for other features than this version computes; "
                "train the market again."
            )
        scaler = _arrays(directory / "scaler.npz")
        return LoadedModel(
            directory=directory,
            network=Network.of(_arrays(directory / "weights.npz")),
            scaler=Scaler(scaler["center"], scaler["scale"]),
            baselines=Baselines.of(_arrays(directory / "baselines.npz")),
            metadata=metadata,
            metrics=msgspec.json.decode((directory / "metrics.json").read_bytes(), type=_Object),
        )
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, msgspec.MsgspecError) as error:
        raise RegistryError(
            f"Model {name} can not be read ({error}); it is left aside, train the market again."
        ) from error


_Object = dict[str, Any]


def _verify(directory: Path) -> None:
    listed: dict[str, str] = {}
    for text in (directory / MANIFEST).read_text().splitlines():
        digest, _, name = text.partition("  ")
        listed[name] = digest
    for name in REQUIRED:
        if name not in listed:
            raise RegistryError(f"Model {directory.name} lacks {name}; train the market again.")
    for name, digest in listed.items():
        if "/" in name or _digest(directory / name) != digest:
            raise RegistryError(
                f"Model {directory.name} is refused: {name} is not as it was written; "
                "train the market again."
            )


def _champion_name(series: Path) -> tuple[str | None, list[str]]:
    try:
        content = msgspec.json.decode((series / ALIASES).read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return None, []
    except (OSError, msgspec.MsgspecError) as error:
        return None, [f"{series / ALIASES} can not be read ({error}); the newest model is used."]
    return content.get("champion"), []


def _number(name: str) -> int:
    return int(name.partition("-")[0].removeprefix("v"))


def _arrays(path: Path) -> dict[str, NDArray[np.float64]]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _plain(arrays: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    return dict(arrays)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
