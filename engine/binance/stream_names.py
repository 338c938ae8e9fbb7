"""Names of streams (web-socket-streams documentation: symbols are lowercase in them)."""

from __future__ import annotations

ALL_MINI_TICKERS = "!miniTicker@arr"


def kline(symbol: str, interval: str) -> str:
    """Return the stream of candles of `symbol`; pushed every 2 s (1 s for `1s`)."""
    return f"{symbol.lower()}@kline_{interval}"


def trade(symbol: str) -> str:
    """Return the stream of single trades of `symbol`."""
    return f"{symbol.lower()}@trade"


def ticker(symbol: str) -> str:
    """Return the stream of 24-hour statistics of `symbol`, pushed every second."""
    return f"{symbol.lower()}@ticker"


def mini_ticker(symbol: str) -> str:
    """Return the stream of short 24-hour statistics of `symbol`, pushed every second."""
    return f"{symbol.lower()}@miniTicker"


def book_ticker(symbol: str) -> str:
    """Return the stream of best bid and ask of `symbol`."""
    return f"{symbol.lower()}@bookTicker"


def depth(symbol: str) -> str:
    """Return the stream of book changes of `symbol`, ten a second."""
    return f"{symbol.lower()}@depth@100ms"
