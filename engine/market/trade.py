"""One trade as a value."""

from __future__ import annotations

import msgspec


class Trade(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One execution between a maker and a taker.

    Attributes:
        trade_id: The exchange's id, increasing by one per trade of a symbol.
        time_ms: Exchange time of the trade (UTC epoch).
        price: In the quote asset.
        quantity: In the base asset.
        buyer_is_maker: True when the taker sold (drawn as a sell), False when the taker bought.
    """

    trade_id: int
    time_ms: int
    price: float
    quantity: float
    buyer_is_maker: bool
