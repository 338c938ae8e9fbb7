"""What a forecast is asked for, and how it refuses."""

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
        threads: Threads of a training job; None, as many as suit the machine.
        minimum_rows: Samples below which training is refused.
        seed: Seed of the first network; the others count up from it.
    """

    lookahead: int = 5
    window: int = 10
    train_rows: int = 20_000
    networks: int = 3
    epochs: int = 12
    threads: int | None = None
    minimum_rows: int = 1_500
    seed: int = 1


JsonObject = dict[str, Any]
"""A JSON object, such as a model's metadata or metrics."""
