"""The book of a generated market: plausible levels around a best bid and ask that are given."""

from __future__ import annotations

import math
from bisect import insort
from typing import TYPE_CHECKING

from engine.simulator.market_model import generator

if TYPE_CHECKING:
    import numpy as np

    from engine.market.book import Level
    from engine.simulator.listings import Listing

_FEWEST = 400
_USUAL = 600
_MOST = 900
_MOST_FILLED = 40
_GAP = 8e-7  # typical distance of neighbours, relative to the price (BTCUSDT: 7 cents)
_LOTS = 2.5  # median size of a level in median trades
_CHURN = 6.0


class _Side:
    """Levels by key; a key is the price in ticks for bids and its negative for asks."""

    __slots__ = ("_gap", "_rng", "_size", "changes", "keys", "quantities")

    def __init__(self, rng: np.random.Generator, gap: float, size: float) -> None:
        self._rng = rng
        self._gap = gap
        self._size = size
        self.keys: list[int] = []
        self.quantities: dict[int, int] = {}
        self.changes: dict[int, int] = {}

    def fill(self, best: int) -> None:
        """Make a fresh side with its best level at `best`."""
        self.keys, self.quantities = [best], {}
        self._set(best, self._quantity(0))
        self._extend()

    def withdraw(self, best: int) -> None:
        """Remove every level better than `best`."""
        keys = self.keys
        while keys and keys[-1] > best:
            key = keys.pop()
            del self.quantities[key]
            self.changes[key] = 0

    def advance(self, best: int) -> None:
        """Make `best` the best level; levels appear between it and the one before."""
        keys = self.keys
        if not keys:
            self.fill(best)
            return
        if keys[-1] != best:
            wide = max(self._gap, (best - keys[-1]) / _MOST_FILLED)
            key = keys[-1] + self._step(wide)
            while key < best:
                keys.append(key)
                self._set(key, self._quantity(best - key))
                key += self._step(wide)
            keys.append(best)
            self._set(best, self._quantity(0))
        if len(keys) > _MOST:
            for key in keys[: _MOST - _USUAL]:
                del self.quantities[key]
                self.changes[key] = 0
            del keys[: _MOST - _USUAL]
        elif len(keys) < _FEWEST:
            self._extend()

    def take(self, key: int, quantity: int) -> None:
        """Reduce the level at `key` by a trade; makers refill what it empties."""
        left = self.quantities.get(key)
        if left is not None:
            self._set(key, left - quantity if left > quantity else self._quantity(0))

    def churn(self) -> None:
        """Add, cancel and change a few levels, mostly near the best."""
        keys, rng = self.keys, self._rng
        for _ in range(int(rng.poisson(_CHURN))):
            rank = 1 + int(rng.exponential(10.0))
            if rank >= len(keys):
                continue
            key = keys[-rank]
            action = rng.random()
            if action < 0.2 and rank > 1:
                keys.pop(-rank)
                del self.quantities[key]
                self.changes[key] = 0
            elif action < 0.4:
                key -= self._step(self._gap)
                if key not in self.quantities:
                    insort(keys, key)
                    self._set(key, self._quantity(keys[-1] - key))
            else:
                self._set(key, self._quantity(keys[-1] - key))

    def _extend(self) -> None:
        keys = self.keys
        best, key = keys[-1], keys[0]
        farther: list[int] = []
        while len(keys) + len(farther) < _USUAL:
            key -= self._step(self._gap * (1 + (best - key) / (250 * max(self._gap, 1.0))))
            farther.append(key)
        for key in farther:
            self._set(key, self._quantity(best - key))
        keys[:0] = reversed(farther)

    def _step(self, gap: float) -> int:
        return 1 + int(self._rng.exponential(gap)) if gap > 0.05 else 1

    def _quantity(self, distance: int) -> int:
        depth = 1 + min(6.0, distance / (60 * max(self._gap, 1.0)))
        return max(1, round(self._size * depth * math.exp(self._rng.normal(0.0, 1.0))))

    def _set(self, key: int, quantity: int) -> None:
        self.quantities[key] = quantity
        self.changes[key] = quantity


class GeneratedBook:
    """Both sides of one generated market; prices in ticks, quantities in steps.

    Its randomness is a sequence of its own: trades and quotes are pure functions of time, the
    depth behind the best levels is not.
    """

    def __init__(self, listing: Listing, seed: int) -> None:
        rng = generator(seed, listing.info.name, "book")
        self._price_scale = 10**listing.price_decimals
        self._quantity_scale = 10**listing.quantity_decimals
        gap = listing.price * self._price_scale * _GAP
        size = _LOTS * listing.trade_notional / listing.price * self._quantity_scale
        self._bids = _Side(rng, gap, size)
        self._asks = _Side(rng, gap, size)

    def fill(self, bid: int, ask: int) -> None:
        """Make a fresh book around a best bid and ask."""
        self._bids.fill(bid)
        self._asks.fill(-ask)

    def follow(self, bid: int, ask: int) -> None:
        """Move the best levels to `bid` and `ask`."""
        self._bids.withdraw(bid)
        self._asks.withdraw(-ask)
        self._bids.advance(bid)
        self._asks.advance(-ask)

    def take(self, price: int, quantity: int, *, is_buy: bool) -> None:
        """Reduce the best level that a taker's order traded with."""
        if is_buy:
            self._asks.take(-price, quantity)
        else:
            self._bids.take(price, quantity)

    def churn(self) -> None:
        """Change a few levels on both sides."""
        self._bids.churn()
        self._asks.churn()

    def changes(self) -> tuple[list[Level], list[Level]]:
        """Return what changed since the last call: bids and asks as absolute quantities."""
        taken = self._levels(self._bids.changes), self._levels(self._asks.changes)
        self._bids.changes, self._asks.changes = {}, {}
        return taken

    def _levels(self, changes: dict[int, int]) -> list[Level]:
        return [
            (abs(key) / self._price_scale, quantity / self._quantity_scale)
            for key, quantity in changes.items()
        ]
