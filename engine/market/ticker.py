"""The rolling 24-hour statistics of one symbol as a value."""

from __future__ import annotations

import msgspec


class Ticker(msgspec.Struct, frozen=True, gc=False):
    """Rolling 24-hour window of one symbol.

    Attributes:
        symbol: Binance's name, such as `BTCUSDT`.
        event_time_ms: Exchange time of the update (UTC epoch).
        last: Last price; `open`, `high` and `low` are those of the window.
        volume: Base amount of the window.
        quote_volume: Quote amount of the window.
    """

    symbol: str
    event_time_ms: int
    last: float
    open: float
    high: float
    low: float
    volume: float
    quote_volume: float

    @property
    def change_percent(self) -> float:
        """Change of `last` against `open`, in percent; 0 for an unknown open."""
        return (self.last / self.open - 1.0) * 100.0 if self.open else 0.0
