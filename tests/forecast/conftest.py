from __future__ import annotations

import fcntl
import gzip
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from engine.forecast.dataset import save_columns
from engine.forecast.protocol import (
    Failure,
    JobConfig,
    Progress,
    Result,
    TrainJob,
    from_trainer,
    line,
)
from engine.forecast.registry import MANIFEST
from engine.forecast.supervisor import FOREGROUND_TRAINER

MINUTE_MS = 60_000
START_MS = 1_700_000_000_000 // 86_400_000 * 86_400_000


def make_market(rows: int, seed: int = 1, signal: float = 0.0) -> dict[str, np.ndarray]:
    """A random walk of one-minute candles; with `signal` a candle leans with the last five."""
    rng = np.random.default_rng(seed)
    volatility = 1e-3 * np.exp(0.3 * np.sin(np.arange(rows) / 300.0))
    shocks = rng.standard_normal(rows)
    returns = np.zeros(rows)
    for at in range(rows):
        lean = np.sign(returns[max(0, at - 5) : at].sum()) if at else 0.0
        returns[at] = volatility[at] * (shocks[at] + signal * lean)
    close = 100.0 * np.exp(np.cumsum(returns))
    opened = np.concatenate([[100.0], close[:-1]])
    wick = np.abs(rng.standard_normal((2, rows))) * volatility * close * 0.5
    volume = rng.gamma(2.0, 5.0, rows)
    return {
        "open_time_ms": START_MS + np.arange(rows, dtype=np.int64) * MINUTE_MS,
        "open": opened,
        "high": np.maximum(opened, close) + wick[0],
        "low": np.minimum(opened, close) - wick[1],
        "close": close,
        "volume": volume,
        "quote_volume": volume * (opened + close) / 2.0,
        "trades": rng.poisson(200, rows).astype(float),
        "taker_buy_volume": volume * rng.beta(5, 5, rows),
        "taker_buy_quote_volume": np.full(rows, np.nan),
    }


@pytest.fixture(scope="session")
def market():
    return make_market


class Trainer:
    """A real trainer process, spoken to over its pipes."""

    def __init__(self, command=FOREGROUND_TRAINER, **environment: str) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )

    def send(self, message) -> None:
        self.process.stdin.write(line(message))
        self.process.stdin.flush()

    def read(self):
        return from_trainer(self.process.stdout.readline())

    def until(self, *kinds):
        while True:
            message = self.read()
            if isinstance(message, kinds):
                return message

    def result(self):
        return self.until(Result, Failure)

    def training(self) -> Progress:
        while (message := self.until(Progress)).epoch == 0:
            pass
        return message

    def close(self) -> None:
        if not self.process.stdin.closed:
            self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


@pytest.fixture
def trainer():
    started: list[Trainer] = []

    def start(command=FOREGROUND_TRAINER, **environment: str) -> Trainer:
        started.append(Trainer(command, **environment))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.close()


def job_for(directory: Path, columns: dict[str, np.ndarray], **config) -> TrainJob:
    data, out = directory / "data.npz", directory / "out"
    out.mkdir(exist_ok=True)
    sha = save_columns(data, columns)
    settings = {"symbol": "BTCUSDT", "interval": "1m", "threads": 1, **config}
    return TrainJob("1", JobConfig(**settings), str(data), sha, str(out))


@pytest.fixture(scope="session")
def make_job():
    return job_for


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A model trained once by the real trainer on a market with a strong planted signal.

    Processes that share the tests of one run share the model: the first to need it trains it.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / "trained.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        directory = shared / "trained"
        if not (directory / "out" / MANIFEST).exists():
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            job = job_for(directory, make_market(9_000, 3, 0.2), networks=2, epochs=6)
            one = Trainer()
            one.send(job)
            result = one.result()
            one.close()
            assert isinstance(result, Result), result
    return directory / "out"


@pytest.fixture
def scratch_model(trained, tmp_path):
    """A copy of the trained model, free to be adopted or spoiled."""
    target = tmp_path / "copy"
    shutil.copytree(trained, target)
    return target


@pytest.fixture(scope="session")
def recorded_minutes() -> dict[str, np.ndarray]:
    folder = os.environ.get("KLINETOP_RECORDINGS")
    if not folder:
        pytest.skip("KLINETOP_RECORDINGS is not set")
    with gzip.open(Path(folder) / "klines" / "BTCUSDT_1m.csv.gz", "rt") as file:
        header = next(file).strip().split(",")
        table = np.genfromtxt(file, delimiter=",", dtype=float)
    columns = dict(zip(header, table.T, strict=True))
    columns["open_time_ms"] = columns.pop("open_time").astype(np.int64)
    columns["trades"] = columns.pop("count")
    return columns
