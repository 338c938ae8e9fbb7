"""The engine: streams, stores and forecasts without a screen.

The public call for other programs is `engine.candles(symbol, interval, start, end)`, which returns
stored candles as a pandas DataFrame (see `engine.store.frames.candles`).
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "candles"]


def __getattr__(name: str) -> Any:
    """Load the public call when it is first asked for: the terminal must not carry the store."""
    if name == "candles":
        return import_module("engine.store.frames").candles
    raise AttributeError(f"module 'engine' has no attribute '{name}'")
