"""A made-up order book around the last trade of a kline file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from engine.market.book import Level

_LEVELS = 100  # a side
_GAP = 1e-5  # between levels, as a share of the price: 0.1 basis points
_RESTLESS = 4  # levels that change without the price
_SPREAD_OF_SIZES = 0.8  # sigma of the log-normal quantities


class MadeUpBook:
    """Bids and asks on a grid of prices, one tick apart at the top.

    A kline file tells nothing about the book; this one is only never crossed, never empty, and
    always has the last trade's price at its top.

    Args:
        price_decimals: Decimals of the price tick.
        quantity_decimals: Decimals of the quantity step.
        seed: Of the quantities.
    """

    def __init__(self, price_decimals: int, quantity_decimals: int, seed: int) -> None:
        self._price_unit = 10**price_decimals
        self._quantity_decimals = quantity_decimals
        self._smallest = 10.0**-quantity_decimals
        self._rng = np.random.default_rng(seed)
        self._bids: dict[int, float] = {}
        self._asks: dict[int, float] = {}

    def move(self, price: float, size: float, *, sold: bool) -> tuple[list[Level], list[Level]]:
        """Put `price` at the top and return the changed bids and asks; 0 removes a level.

        Args:
            price: Of the last trade, which met the best bid if `sold`, else the best ask.
            size: Usual quantity of a level, in the base asset.
            sold: Whether the taker sold.
        """
        ticks = round(price * self._price_unit)
        bid = max(ticks if sold else ticks - 1, 1)
        gap = max(1, round(ticks * _GAP))
        first = bid // gap
        bids = {bid, *(n * gap for n in range(max(first - _LEVELS, 1), first) if n * gap < bid)}
        first = (bid + 1) // gap + 1
        asks = {bid + 1, *(n * gap for n in range(first, first + _LEVELS))}
        changed_bids = self._change(self._bids, bids, bid, size)
        changed_asks = self._change(self._asks, asks, bid + 1, size)
        return changed_bids, changed_asks

    def _change(
        self, side: dict[int, float], wanted: set[int], top: int, size: float
    ) -> list[Level]:
        gone = side.keys() - wanted
        fresh = wanted - side.keys()
        restless = {top}
        if len(side) > _RESTLESS:
            kept = sorted(side.keys() & wanted)
            picks = self._rng.integers(0, len(kept), _RESTLESS).tolist() if kept else []
            restless |= {kept[pick] for pick in picks}
        for price in gone:
            del side[price]
        chosen = sorted(fresh | restless)
        factors = self._rng.lognormal(0.0, _SPREAD_OF_SIZES, len(chosen)).tolist()
        for price, factor in zip(chosen, factors, strict=True):
            quantity = round(size * factor, self._quantity_decimals)
            side[price] = max(quantity, self._smallest)
        unit = self._price_unit
        return [(price / unit, 0.0) for price in sorted(gone)] + [
            (price / unit, side[price]) for price in chosen
        ]
