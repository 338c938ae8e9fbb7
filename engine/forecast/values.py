"""Plain values that leave the forecast room, with the field names of the engine's contract."""

from __future__ import annotations

from typing import Any

import msgspec

HONEST = "honest"
TUTORIAL = "tutorial"
RECIPES = (HONEST, TUTORIAL)


class ForecastError(Exception):
    """A request that can not be carried out; its text is a sentence for users."""


class ForecastConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How models are made.

    Attributes:
        lookahead: Candles to the outcome that is forecast.
        window: Candles that a network sees.
        train_rows: Newest closed candles that training reads at most.
        networks: Networks that are fitted from different seeds and averaged.
        epochs: Passes over the training samples at most.
        threads: Threads of a training job.
        minimum_rows: Samples below which training is refused.
        seed: Seed of the first network; the others count up from it.
    """

    lookahead: int = 5
    window: int = 10
    train_rows: int = 20_000
    networks: int = 3
    epochs: int = 12
    threads: int = 2
    minimum_rows: int = 1_500
    seed: int = 1


class ModelInfo(msgspec.Struct, frozen=True):
    """The model that forecasts, and what it did on rows it never saw.

    Attributes:
        version: Such as `v000003`.
        created_wall_ms: When it was trained (wall clock, epoch ms).
        rows: Training rows.
        test_rows: Unseen rows that the figures below are measured on.
        accuracy: Share of right calls on them, with its 95 % interval in `low` and `high`.
        verdict: `edge` when it beats the best baseline beyond chance, else `coin toss`.
    """

    version: str
    created_wall_ms: int
    rows: int
    test_rows: int
    accuracy: float
    low: float
    high: float
    brier: float
    log_loss: float
    baselines: dict[str, float]
    verdict: str


class PredictionRow(msgspec.Struct, frozen=True):
    """One line of the ledger; the contract's struct of this name says what each field means."""

    open_time_ms: int
    due_ms: int
    price: float
    p_up: float
    outcome: int | None
    state: str
    outcome_price: float | None = None
    model: str = ""


class TrackRecord(msgspec.Struct, frozen=True):
    """Live outcomes of one symbol and interval, and of the baselines on the same rows.

    Attributes:
        resolved: Hits plus misses.
        hit_rate: Hits over resolved, with its 95 % interval in `low` and `high`.
        baselines: Hit rate by baseline name on the same rows.
        brier: Mean squared error of the probabilities (a coin scores 0.25).
        needed: Outcomes still needed to tell this hit rate from a coin; None when told already.
    """

    resolved: int
    hit_rate: float | None
    low: float | None
    high: float | None
    baselines: dict[str, float]
    brier: float | None
    needed: int | None


class JobInfo(msgspec.Struct, frozen=True):
    """A training job; the contract's struct of this name says what each field means."""

    symbol: str
    interval: str
    recipe: str
    state: str
    seed_index: int = 0
    seeds: int = 0
    epoch: int = 0
    epochs: int = 0
    loss: tuple[float, ...] = ()
    val_loss: tuple[float, ...] = ()
    eta_s: float | None = None
    message: str = ""


JsonObject = dict[str, Any]
"""A JSON object, such as a model's metadata or metrics."""
