"""Execution rules and reference prices (official REST documentation, 2026-07-17)."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import msgspec

from engine.simulator.errors import ApiError
from engine.simulator.protocol.endpoint import Answer, Endpoint, Endpoints

if TYPE_CHECKING:
    from engine.simulator.exchange import Exchange
    from engine.simulator.market_state import MarketState
    from engine.simulator.query import Query

_BUCKETS = 80
_BUCKET_MS = 3750
_UP, _DOWN = "1.1500", "0.8500"
_MOST_WEIGHT = 40


class RuleAnswers:
    """`executionRules`, `referencePrice` and how it is calculated.

    Args:
        exchange: What is shown.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def endpoints(self) -> Endpoints:
        """Return the endpoints by path."""
        one = frozenset({"symbol"})
        status = frozenset({"symbolStatus"})
        return {
            "api/v3/executionRules": Endpoint(one | {"symbols"} | status, self._rules),
            "api/v3/referencePrice": Endpoint(one, self._price),
            "api/v3/referencePrice/calculation": Endpoint(one | status, self._calculation),
        }

    async def _rules(self, query: Query) -> Answer:
        names, status = query.symbols(), query.status()
        if names is not None and status is not None:
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        infos = self._exchange.infos
        chosen = [
            name
            for name in (infos if names is None else names)
            if status in (None, infos[name].status)
        ]
        weight = _MOST_WEIGHT if names is None else min(2 * len(names), _MOST_WEIGHT)
        rows = [{"symbol": name, "rules": [_price_range()]} for name in chosen]
        return weight, msgspec.json.encode({"symbolRules": rows})

    async def _price(self, query: Query) -> Answer:
        symbol = query.symbol()
        now_ms = self._exchange.now_ms
        price = reference_price(self._exchange.states[symbol], now_ms)
        answer = {
            "symbol": symbol,
            "referencePrice": None if price is None else f"{price:.8f}",
            "timestamp": now_ms,
        }
        return 2, msgspec.json.encode(answer)

    async def _calculation(self, query: Query) -> Answer:
        symbol, status = query.symbol(), query.status()
        query.match_status(self._exchange.infos[symbol].status, status)
        answer = {
            "symbol": symbol,
            "calculationType": "ARITHMETIC_MEAN",
            "bucketCount": _BUCKETS,
            "bucketWidthMs": _BUCKET_MS,
        }
        return 2, msgspec.json.encode(answer)


def reference_price(state: MarketState, now_ms: int) -> float | None:
    """Return the mean of the last prices of the 80 buckets of 3,750 ms before now.

    A bucket without a trade has the price before it; None before the first price is known.
    """
    trades = list(state.recent)
    if not trades:
        return None
    times_ms = [trade.time_ms for trade in trades]
    ends_ms = [now_ms - number * _BUCKET_MS for number in range(_BUCKETS)]
    places = [max(bisect_right(times_ms, end_ms) - 1, 0) for end_ms in ends_ms]
    return sum(trades[place].price for place in places) / _BUCKETS


def _price_range() -> dict[str, Any]:
    return {
        "ruleType": "PRICE_RANGE",
        "bidLimitMultUp": _UP,
        "bidLimitMultDown": _DOWN,
        "askLimitMultUp": _UP,
        "askLimitMultDown": _DOWN,
    }
