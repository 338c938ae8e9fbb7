"""The panes: their names, in the order of their number keys, and their titles."""

from __future__ import annotations

from typing import Final

PANE_NAMES: Final = ("tickers", "book", "chart", "storage", "forecast", "trades")
PANE_TITLES: Final = {
    "tickers": "tickers",
    "book": "order book",
    "chart": "chart",
    "storage": "storage",
    "forecast": "forecast",
    "trades": "trades",
}
