"""What the replays of recordings and of kline files share."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from engine.market.symbol import SymbolInfo
from engine.market.times import UnknownTime, time_ms

if TYPE_CHECKING:
    from engine.simulator.exchange import Exchange

_QUOTES = (
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDP", "USD1", "DAI", "BTC", "ETH", "BNB", "EUR",
    "TRY", "BRL", "GBP", "AUD", "JPY", "MXN", "PLN", "ARS", "UAH", "ZAR", "USD",
)  # fmt: skip
_DEFAULT_QUOTE_LENGTH = 4
_EVENTS_PER_TURN = 32


class ReplayError(ValueError):
    """Raised for files that can not be played; its text is a sentence for users."""


class Pacer:
    """Makes a source wait for the exchange's clock and for slow subscribers.

    Args:
        exchange: Whose clock rules.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._clock = exchange.clock
        self._unlimited = math.isinf(exchange.clock.speed)
        self._events = 0

    async def begin(self, *, waits: bool) -> None:
        """Return when the replay may begin.

        Args:
            waits: Keep the clock stopped until somebody listens; at full speed it always is.
        """
        if waits or self._unlimited:
            self._clock.stop()
            await self._exchange.subscribed()
            self._clock.resume()

    async def until(self, time_ms: float) -> None:
        """Return when exchange time has reached `time_ms`; other tasks get their turns."""
        self._events += 1
        if self._events >= _EVENTS_PER_TURN:
            self._events = 0
            await self._exchange.room()
            await asyncio.sleep(0)
        if self._unlimited or self._clock.now_ms() < time_ms:
            await self._clock.sleep_until(time_ms)


def parse_start(text: str, what: str, first_ms: int, end_ms: int) -> int:
    """Return the time (epoch ms) that a user wrote for the start of a replay; UTC.

    Args:
        text: Any form that `engine.market.times` reads.
        what: The files in words, such as `klines of BTCUSDT`; plural.
        first_ms: First time that can be played.
        end_ms: Times must lie before it.

    Raises:
        ReplayError: when `text` is no time or lies outside the files.
    """
    try:
        start_ms = time_ms(text)
    except UnknownTime as error:
        raise ReplayError(str(error)) from error
    if not first_ms <= start_ms < end_ms:
        raise ReplayError(
            f"The {what} run from {when(first_ms)} to {when(end_ms)} UTC; '{text}' lies outside."
        )
    return start_ms


def symbol_info(name: str, price_decimals: int, quantity_decimals: int) -> SymbolInfo:
    """Describe a market of which only name and decimals are known, as one that trades.

    Base and quote asset are told apart by the quote assets that Binance spot has.
    """
    quote = next((quote for quote in _QUOTES if name.endswith(quote) and name != quote), "")
    if not quote:
        quote = name[-_DEFAULT_QUOTE_LENGTH:]
    base = name.removesuffix(quote) or name
    return SymbolInfo(name, base, quote, "TRADING", _step(price_decimals), _step(quantity_decimals))


def decimals_in(text: str) -> int:
    """Return how many decimals the number `text` needs: 1 for `96495.50`."""
    return len(text.partition(".")[2].rstrip("0"))


def when(time_ms: int) -> str:
    """Return `time_ms` as a user reads it: `2024-11-30 23:00:00`, in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _step(decimals: int) -> str:
    return f"{10.0 ** -min(decimals, 8):.8f}"
