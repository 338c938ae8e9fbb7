"""An order book of one symbol: levels by price, best first."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Level = tuple[float, float]


class _Side:
    """Quantities by price, with the prices also in a sorted list."""

    __slots__ = ("prices", "quantities")

    def __init__(self, levels: Iterable[Level]) -> None:
        self.quantities = {price: quantity for price, quantity in levels if quantity}
        self.prices = sorted(self.quantities)

    def apply(self, levels: Iterable[Level]) -> None:
        quantities = self.quantities
        prices = self.prices
        for price, quantity in levels:
            if quantity == 0.0:
                if quantities.pop(price, None) is not None:
                    del prices[bisect_left(prices, price)]
            else:
                if price not in quantities:
                    insort(prices, price)
                quantities[price] = quantity


class OrderBook:
    """Bids and asks as absolute quantities (base asset) by price (quote asset).

    Prices come from the exchange's decimal text, which always parses to the same float, so exact
    lookup by float is safe. It keeps no sequence: whoever applies updates checks their ids.
    """

    __slots__ = ("_asks", "_bids", "last_update_id")

    def __init__(
        self, last_update_id: int = 0, bids: Iterable[Level] = (), asks: Iterable[Level] = ()
    ) -> None:
        self.last_update_id = last_update_id
        self._bids = _Side(bids)
        self._asks = _Side(asks)

    def apply(self, last_update_id: int, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Set levels to absolute quantities; a quantity of zero removes one."""
        self._bids.apply(bids)
        self._asks.apply(asks)
        self.last_update_id = last_update_id

    @property
    def best_bid(self) -> float | None:
        """Highest bid price, None on an empty side."""
        prices = self._bids.prices
        return prices[-1] if prices else None

    @property
    def best_ask(self) -> float | None:
        """Lowest ask price, None on an empty side."""
        prices = self._asks.prices
        return prices[0] if prices else None

    @property
    def is_crossed(self) -> bool:
        """Whether the best bid reaches the best ask, which no true book does."""
        bids, asks = self._bids.prices, self._asks.prices
        return bool(bids and asks and bids[-1] >= asks[0])

    def bids(self, count: int | None = None) -> list[Level]:
        """Return the best `count` bids (all without it), highest price first."""
        quantities = self._bids.quantities
        prices = self._bids.prices
        chosen = prices if count is None else prices[-count:] if count else []
        return [(price, quantities[price]) for price in reversed(chosen)]

    def asks(self, count: int | None = None) -> list[Level]:
        """Return the best `count` asks (all without it), lowest price first."""
        quantities = self._asks.quantities
        return [(price, quantities[price]) for price in self._asks.prices[:count]]

    def __len__(self) -> int:
        return len(self._bids.prices) + len(self._asks.prices)
