"""The engine: streams, stores and forecasts without a screen."""

__version__ = "0.1.0"
