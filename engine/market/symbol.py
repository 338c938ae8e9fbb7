"""What the exchange says about one market."""

from __future__ import annotations

import msgspec


class SymbolInfo(msgspec.Struct, frozen=True):
    """Static facts about one market.

    Attributes:
        name: Such as `BTCUSDT`; may hold non-ASCII letters.
        base: Base asset, such as `BTC`.
        quote: Quote asset, such as `USDT`.
        status: `TRADING`, or any other word of the exchange, all of which mean "not trading".
        tick_size: Smallest price step, as the exchange writes it (`0.01000000`).
        step_size: Smallest quantity step, as the exchange writes it.
        made_up: What the source derived from candles instead of having seen it: `trades`, `book`.
    """

    name: str
    base: str
    quote: str
    status: str
    tick_size: str = "0.01000000"
    step_size: str = "0.00001000"
    made_up: tuple[str, ...] = ()

    @property
    def is_trading(self) -> bool:
        """Whether orders are matched right now."""
        return self.status == "TRADING"

    @property
    def price_decimals(self) -> int:
        """Decimals that a price needs."""
        return decimals_of(self.tick_size)

    @property
    def quantity_decimals(self) -> int:
        """Decimals that a quantity needs."""
        return decimals_of(self.step_size)


def decimals_of(step: str) -> int:
    """Return how many decimals the step `step` (`0.01000000`) leaves: 2."""
    return len(step.partition(".")[2].rstrip("0"))


def has_letters(name: str, letters: str) -> bool:
    """Tell whether `name` holds `letters` in their order, with or without others between them."""
    rest = iter(name)
    return all(letter in rest for letter in letters)
