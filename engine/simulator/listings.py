"""The markets of the generated exchange: names, price levels, steps and how busy they are."""

from __future__ import annotations

import difflib
import math
import re
import zlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from engine.market.symbol import SymbolInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

_QUOTES = ("USDT", "USDC", "FDUSD", "BTC", "ETH", "BNB", "EUR", "TRY")
_NAME = re.compile(rf"([^\Wa-z_]{{1,20}}?)({'|'.join(_QUOTES)})")

_BASES = (
    "SUI", "XLM", "BCH", "HBAR", "SHIB", "TON", "UNI", "NEAR", "APT", "PEPE", "ICP", "ETC",
    "AAVE", "ARB", "OP", "FIL", "ATOM", "INJ", "SEI", "TIA", "RENDER", "WIF", "BONK", "FET",
    "ALGO", "VET", "GRT", "STX", "LDO", "MKR", "RUNE", "SAND", "MANA", "AXS", "GALA", "FLOW",
    "EOS", "XTZ", "THETA", "CHZ", "CRV", "SNX", "COMP", "ENJ", "ZEC", "DASH", "KSM", "WAVES",
    "QTUM", "NEO", "IOTA", "ZIL", "BAT", "ANKR", "ROSE", "CELO", "ONE", "HOT", "KAVA", "OCEAN",
    "DYDX", "GMX", "PYTH", "JUP", "STRK", "ENA", "ONDO", "TAO", "WLD", "JTO", "ORDI", "BLUR",
    "MASK", "IMX", "APE", "YFI", "SUSHI", "1INCH", "LRC", "SKL", "STORJ", "RVN", "ICX", "ONT",
    "GLM", "AUDIO", "CTSI", "BAND", "COTI", "RLC", "NMR", "PENDLE", "ETHFI",
)  # fmt: skip


class Listing(NamedTuple):
    """One market and its character.

    Attributes:
        info: Static facts as the exchange tells them.
        price: The level that the price stays around, in the quote asset.
        price_decimals: The tick is 10 to the minus this.
        quantity_decimals: The quantity step is 10 to the minus this.
        daily_volatility: Standard deviation of a day's log return on an average day.
        trades_per_s: Trades a second on an average day.
        trade_notional: Median size of a trade, in the quote asset.
        market_weight: Correlation of its returns with the market's common factor.
    """

    info: SymbolInfo
    price: float
    price_decimals: int
    quantity_decimals: int
    daily_volatility: float
    trades_per_s: float
    trade_notional: float
    market_weight: float


class UnknownMarket(ValueError):
    """Raised for a name that can not be a market; its text is a sentence for users."""


_KNOWN = {
    # base: price, price decimals, quantity decimals, volatility, trades/s, notional, weight
    "BTC": (84_210.0, 2, 5, 0.022, 2.4, 320.0, 0.86),
    "ETH": (3_148.0, 2, 4, 0.029, 1.6, 260.0, 0.84),
    "BNB": (912.0, 2, 3, 0.024, 0.7, 200.0, 0.74),
    "SOL": (142.3, 2, 3, 0.036, 1.0, 190.0, 0.78),
    "XRP": (2.214, 4, 1, 0.034, 0.9, 170.0, 0.70),
    "DOGE": (0.1583, 5, 0, 0.042, 0.7, 120.0, 0.74),
    "ADA": (0.4521, 4, 1, 0.038, 0.4, 110.0, 0.75),
    "TRX": (0.2812, 4, 1, 0.016, 0.3, 140.0, 0.42),
    "AVAX": (14.21, 2, 2, 0.040, 0.35, 110.0, 0.76),
    "LINK": (13.87, 2, 2, 0.038, 0.4, 120.0, 0.76),
    "DOT": (2.448, 3, 2, 0.037, 0.25, 90.0, 0.75),
    "LTC": (92.4, 2, 3, 0.030, 0.3, 120.0, 0.70),
}
DEFAULT_NAMES = tuple(f"{base}USDT" for base in _KNOWN)


def list_markets(wanted: Sequence[str] | int) -> list[Listing]:
    """Return the markets called `wanted`, or that many of the usual ones.

    Raises:
        UnknownMarket: for a name that is not base and quote asset, or a count below 1.
    """
    if isinstance(wanted, int):
        if wanted < 1:
            raise UnknownMarket(f"An exchange needs at least 1 market, not {wanted}.")
        invented = [f"SIM{number:03d}USDT" for number in range(wanted)]
        return list_markets(
            [*DEFAULT_NAMES, *(f"{base}USDT" for base in _BASES), *invented][:wanted]
        )
    return [_listing(name) for name in dict.fromkeys(wanted)]


def _listing(name: str) -> Listing:
    found = _NAME.fullmatch(name)
    if found is None:
        raise UnknownMarket(
            f"'{name}' is no market name of the generated exchange; {_hint(name)} "
            f"(Its quote assets are {', '.join(_QUOTES)}.)"
        )
    base, quote = found.groups()
    if quote == "USDT" and base in _KNOWN:
        price, price_decimals, quantity_decimals, volatility, rate, notional, weight = _KNOWN[base]
    else:
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        price = float(10 ** rng.uniform(-2.5, 1.8))
        price_decimals = min(8, max(2, 3 - math.floor(math.log10(price))))
        quantity_decimals = max(0, min(5, 1 + math.floor(math.log10(price))))
        volatility = float(rng.uniform(0.03, 0.06))
        rate = float(rng.uniform(0.08, 0.3))
        notional = float(rng.uniform(50, 110))
        weight = float(rng.uniform(0.5, 0.75))
    info = SymbolInfo(name, base, quote, "TRADING", _step(price_decimals), _step(quantity_decimals))
    return Listing(
        info, price, price_decimals, quantity_decimals, volatility, rate, notional, weight
    )


def _hint(name: str) -> str:
    known = [*DEFAULT_NAMES, *(f"{base}USDT" for base in _BASES)]
    near = difflib.get_close_matches("".join(filter(str.isalnum, name.upper())), known, 1, 0.8)
    if near:
        return f"did you mean {near[0]}?"
    return "write base and quote asset together, such as BTCUSDT."


def _step(decimals: int) -> str:
    return f"{10.0**-decimals:.8f}"
