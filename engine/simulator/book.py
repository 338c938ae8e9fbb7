"""The exchange's own order book: levels in price order, with the update ids of the last change."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.market.book import Level


class PendingDiff:
    """Changes since the last push of one depth stream, by price, with their first and last id."""

    __slots__ = ("asks", "bids", "first_update_id", "last_update_id")

    def __init__(self) -> None:
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}
        self.first_update_id = 0
        self.last_update_id = 0

    def add(
        self, first_id: int, last_id: int, bids: Iterable[Level], asks: Iterable[Level]
    ) -> None:
        """Fold one change in; a later quantity of a price replaces an earlier one."""
        self.first_update_id = self.first_update_id or first_id
        self.last_update_id = last_id
        self.bids.update(bids)
        self.asks.update(asks)

    def take(self) -> tuple[int, int, list[Level], list[Level]] | None:
        """Return (U, u, bids best first, asks best first) and forget them; None without change."""
        if not self.first_update_id:
            return None
        taken = (
            self.first_update_id,
            self.last_update_id,
            sorted(self.bids.items(), reverse=True),
            sorted(self.asks.items()),
        )
        self.bids, self.asks, self.first_update_id = {}, {}, 0
        return taken


class ExchangeBook:
    """All levels of one market; absolute quantities by price.

    Attributes:
        last_update_id: Id of the last change.
        fast: Changes that `depth@100ms` has not sent yet.
        slow: Changes that `depth` (1000 ms) has not sent yet.
    """

    def __init__(self, last_update_id: int = 0) -> None:
        self.last_update_id = last_update_id
        self.fast = PendingDiff()
        self.slow = PendingDiff()
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}
        self._bid_prices: list[float] = []
        self._ask_prices: list[float] = []

    def load(self, last_update_id: int, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Replace everything by a snapshot."""
        self.last_update_id = last_update_id
        self._bids = {price: quantity for price, quantity in bids if quantity}
        self._asks = {price: quantity for price, quantity in asks if quantity}
        self._bid_prices = sorted(self._bids)
        self._ask_prices = sorted(self._asks)

    def apply(self, last_update_id: int, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Set levels; a quantity of zero removes one, and a level that is not there is no error."""
        _apply(self._bids, self._bid_prices, bids)
        _apply(self._asks, self._ask_prices, asks)
        self.last_update_id = last_update_id

    def top(self) -> tuple[float, float, float, float] | None:
        """Return best bid, its quantity, best ask, its quantity; None when a side is empty."""
        if not self._bid_prices or not self._ask_prices:
            return None
        bid, ask = self._bid_prices[-1], self._ask_prices[0]
        return bid, self._bids[bid], ask, self._asks[ask]

    def bids(self, limit: int) -> list[Level]:
        """Return the best `limit` bids, highest first."""
        return [(price, self._bids[price]) for price in reversed(self._bid_prices[-limit:])]

    def asks(self, limit: int) -> list[Level]:
        """Return the best `limit` asks, lowest first."""
        return [(price, self._asks[price]) for price in self._ask_prices[:limit]]


def _apply(
    quantities: dict[float, float], prices: list[float], levels: Iterable[tuple[float, float]]
) -> None:
    for price, quantity in levels:
        if quantity:
            if price not in quantities:
                insort(prices, price)
            quantities[price] = quantity
        elif price in quantities:
            del quantities[price]
            del prices[bisect_left(prices, price)]
