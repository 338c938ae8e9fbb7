"""Ids of the generated market's trades: orders are numbered, each has a known number of fills.

An order is what the exchange shows as one aggregate trade. The pattern repeats, so the first
trade of any order can be told without those before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

MOST_FILLS = 4
_PATTERN = np.array(
    [
        1,
        1,
        2,
        1,
        1,
        1,
        3,
        1,
        1,
        2,
        1,
        1,
        1,
        1,
        1,
        2,
        1,
        1,
        1,
        1,
        2,
        1,
        1,
        4,
        1,
        1,
        2,
        1,
        1,
        1,
        2,
        1,
    ],
    dtype=np.int64,
)
_LENGTH = len(_PATTERN)
_BEFORE = np.concatenate(([0], np.cumsum(_PATTERN)[:-1]))
_TOTAL = int(_PATTERN.sum())
ORDERS_PER_TRADE = _LENGTH / _TOTAL


def fills_of(orders: Integers) -> Integers:
    """Return how many trades each order (numbers from 1) has."""
    return _PATTERN[(orders - 1) % _LENGTH]


def first_trades(orders: Integers) -> Integers:
    """Return the id of each order's first trade; the first order's is 1."""
    rounds, places = np.divmod(orders - 1, _LENGTH)
    return 1 + rounds * _TOTAL + _BEFORE[places]


def first_trade(order: int) -> int:
    """Return the id of the first trade of `order`."""
    rounds, place = divmod(order - 1, _LENGTH)
    return 1 + rounds * _TOTAL + int(_BEFORE[place])


def order_of(trade_id: int) -> int:
    """Return the number of the order that trade `trade_id` (from 1) is a fill of."""
    rounds, place = divmod(trade_id - 1, _TOTAL)
    return 1 + rounds * _LENGTH + int(np.searchsorted(_BEFORE, place, side="right")) - 1
