"""What is said about forecasts: the model, its predictions, its track record, its training job."""

from __future__ import annotations

import msgspec

UNTOLD = "untold"
BETTER = "better"
RIVALLED = "rivalled"
WORSE = "worse"
"""How a live record stands: not told from a coin; better than a coin and than every rival on the
same rows; better than a coin, not than its best rival; worse than a coin."""


class ModelInfo(msgspec.Struct, frozen=True):
    """The model that forecasts, and what it did on rows it never saw.

    Attributes:
        version: Such as `v000003`.
        created_wall_ms: When it was trained (wall clock, epoch ms).
        rows: Training rows.
        test_rows: Unseen rows that the figures below are measured on.
        accuracy: Share of right calls on them, with its 95 % interval in `low` and `high`.
        verdict: `edge` when it beats the best baseline beyond chance, else `coin toss`.
        ties: Outcomes among the unseen rows that are not scored, as the close was the same.
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
    ties: int = 0


class PredictionRow(msgspec.Struct, frozen=True):
    """One line of the ledger.

    Attributes:
        open_time_ms: Open time of the last closed candle it was made from.
        due_ms: Exchange time when its outcome is known.
        price: Close it starts from.
        p_up: Probability that the close `lookahead` candles later is higher.
        outcome: 1 higher, 0 lower, None not known yet; a tie has outcome None and state `tie`.
        state: `waiting`, `hit`, `miss`, `tie` or `void` (a candle it needs is missing).
        outcome_price: The close it was resolved with.
    """

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
        resolved: Hits plus misses; ties and voids are neither.
        hit_rate: Hits over resolved, with its 95 % interval in `low` and `high`.
        baselines: Hit rate by baseline name on the same rows.
        brier: Mean squared error of the probabilities (a coin scores 0.25).
        needed: Outcomes still needed to tell this hit rate from a coin; None when told already.
        ties: Outcomes where the close was the same.
        rival: The baseline, or the constant call (`always higher`, `always lower`), that was right
            most often on these rows; empty without outcomes.
        rival_rate: Its hit rate.
        standing: `untold`, `better`, `rivalled` or `worse`.
    """

    resolved: int
    hit_rate: float | None
    low: float | None
    high: float | None
    baselines: dict[str, float]
    brier: float | None
    needed: int | None
    ties: int = 0
    rival: str = ""
    rival_rate: float | None = None
    standing: str = UNTOLD


class JobInfo(msgspec.Struct, frozen=True):
    """A training job, running, waiting or the last one that ended.

    Attributes:
        state: `queued`, `fetching`, `starting`, `training`, `evaluating`, `done`, `cancelled`,
            `failed`.
        seed_index: Which of `seeds` networks is being fitted, from 1.
        epoch: Epochs done of `epochs` at most, in this network.
        loss: Training loss per epoch of this network; `val_loss` beside it.
        eta_s: Wall seconds left, None unknown.
        message: What happens or happened, in a sentence.
    """

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
