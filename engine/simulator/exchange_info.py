"""The exchangeInfo answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.market.symbol import SymbolInfo

ORDER_LIMITS: tuple[dict[str, Any], ...] = (
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
    {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200_000},
)
_ORDER_TYPES = (
    "LIMIT",
    "LIMIT_MAKER",
    "MARKET",
    "STOP_LOSS",
    "STOP_LOSS_LIMIT",
    "TAKE_PROFIT",
    "TAKE_PROFIT_LIMIT",
)


def exchange_info(
    infos: Iterable[SymbolInfo],
    now_ms: int,
    weight_per_minute: int,
    made_up: Iterable[str],
    *,
    show_sets: bool,
) -> dict[str, Any]:
    """Return the answer of `exchangeInfo`.

    Beside the documented keys a market has `klinetopMadeUp`, a list of what of it is not real
    (`trades`, `book`), when there is anything.

    Args:
        infos: Markets to show.
        now_ms: Exchange time.
        weight_per_minute: The limit on request weight.
        made_up: What the source declares as made up.
        show_sets: Whether `permissionSets` are filled.
    """
    extra = {"klinetopMadeUp": sorted(made_up)} if made_up else {}
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": weight_per_minute,
            },
            *ORDER_LIMITS,
            {
                "rateLimitType": "RAW_REQUESTS",
                "interval": "MINUTE",
                "intervalNum": 5,
                "limit": 300_000,
            },
        ],
        "exchangeFilters": [],
        "symbols": [_symbol(info, show_sets=show_sets) | extra for info in infos],
        "sors": [],
    }


def _symbol(info: SymbolInfo, *, show_sets: bool) -> dict[str, Any]:
    return {
        "symbol": info.name,
        "status": info.status,
        "baseAsset": info.base,
        "baseAssetPrecision": 8,
        "quoteAsset": info.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": list(_ORDER_TYPES),
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "opoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": symbol_filters(info),
        "permissions": [],
        "permissionSets": [["SPOT"]] if show_sets else [],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


def symbol_filters(info: SymbolInfo) -> list[dict[str, Any]]:
    """Return the filters that orders of a market have to pass, as exchangeInfo lists them."""
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": info.tick_size,
            "maxPrice": "1000000.00000000",
            "tickSize": info.tick_size,
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": info.step_size,
            "maxQty": "9000000.00000000",
            "stepSize": info.step_size,
        },
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": "0.00000000",
            "maxQty": "1000000.00000000",
            "stepSize": "0.00000000",
        },
        {
            "filterType": "TRAILING_DELTA",
            "minTrailingAboveDelta": 10,
            "maxTrailingAboveDelta": 2000,
            "minTrailingBelowDelta": 10,
            "maxTrailingBelowDelta": 2000,
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": "5",
            "bidMultiplierDown": "0.2",
            "askMultiplierUp": "5",
            "askMultiplierDown": "0.2",
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": "5.00000000",
            "applyMinToMarket": True,
            "maxNotional": "9000000.00000000",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        {"filterType": "MAX_NUM_ORDER_LISTS", "maxNumOrderLists": 20},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
        {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": 10},
    ]
