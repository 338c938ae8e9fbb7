"""What of the wallet's interface (`/sapi`) clients read when they start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from engine.simulator.protocol.account import balances
from engine.simulator.protocol.endpoint import Answer, Endpoint, Endpoints, Security
from engine.simulator.protocol.signing import SIGNED_PARAMETERS

if TYPE_CHECKING:
    from engine.simulator.exchange import Exchange
    from engine.simulator.query import Query

_NOTHING = "0"


class WalletAnswers:
    """The endpoints under `/sapi` that are served.

    Args:
        exchange: Whose assets the wallet holds.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def endpoints(self) -> Endpoints:
        """Return the endpoints by path."""
        signed, security = SIGNED_PARAMETERS, Security.SIGNED
        return {
            "sapi/v1/system/status": Endpoint(frozenset(), self._system),
            "sapi/v1/account/status": Endpoint(signed, self._status, security),
            "sapi/v1/account/apiRestrictions": Endpoint(signed, self._restrictions, security),
            "sapi/v1/capital/config/getall": Endpoint(signed, self._coins, security),
            "sapi/v1/margin/allPairs": Endpoint(signed | {"symbol"}, self._nothing),
            "sapi/v1/margin/isolated/allPairs": Endpoint(signed | {"symbol"}, self._nothing),
            "sapi/v1/asset/tradeFee": Endpoint(signed | {"symbol"}, self._fees, security),
        }

    async def _system(self, _: Query) -> Answer:
        return 1, b'{"status":0,"msg":"normal"}'

    async def _nothing(self, _: Query) -> Answer:
        return 1, b"[]"

    async def _status(self, _: Query) -> Answer:
        return 1, b'{"data":"Normal"}'

    async def _restrictions(self, _: Query) -> Answer:
        forbidden = (
            "enableWithdrawals",
            "enableInternalTransfer",
            "enableMargin",
            "enableFutures",
            "permitsUniversalTransfer",
            "enableVanillaOptions",
            "enableFixApiTrade",
            "enableFixReadOnly",
            "enableSpotAndMarginTrading",
            "enablePortfolioMarginTrading",
        )
        answer: dict[str, Any] = {
            "ipRestrict": False,
            "createTime": self._exchange.source.start_ms,
            "enableReading": True,
        }
        return 1, msgspec.json.encode(answer | dict.fromkeys(forbidden, False))

    async def _coins(self, _: Query) -> Answer:
        coins = [_coin(asset, free) for asset, free in balances(self._exchange).items()]
        return 10, msgspec.json.encode(coins)

    async def _fees(self, query: Query) -> Answer:
        name = query.optional_symbol()
        names = list(self._exchange.infos) if name is None else [name]
        rows = [
            {"symbol": symbol, "makerCommission": "0.001", "takerCommission": "0.001"}
            for symbol in names
        ]
        return 1, msgspec.json.encode(rows)


def _coin(asset: str, free: str) -> dict[str, Any]:
    return {
        "coin": asset,
        "depositAllEnable": False,
        "free": free,
        "freeze": _NOTHING,
        "ipoable": _NOTHING,
        "ipoing": _NOTHING,
        "isLegalMoney": False,
        "locked": _NOTHING,
        "name": asset,
        "networkList": [_network(asset)],
        "storage": _NOTHING,
        "trading": True,
        "withdrawAllEnable": False,
        "withdrawing": _NOTHING,
    }


def _network(asset: str) -> dict[str, Any]:
    return {
        "addressRegex": "^[0-9A-Za-z]{1,64}$",
        "coin": asset,
        "depositDesc": "",
        "depositEnable": False,
        "isDefault": True,
        "memoRegex": "",
        "minConfirm": 1,
        "name": asset,
        "network": asset,
        "resetAddressStatus": False,
        "specialTips": "",
        "unLockConfirm": 0,
        "withdrawDesc": "The simulated exchange moves nothing.",
        "withdrawEnable": False,
        "withdrawFee": _NOTHING,
        "withdrawIntegerMultiple": "0.00000001",
        "withdrawMax": _NOTHING,
        "withdrawMin": _NOTHING,
        "sameAddress": False,
        "estimatedArrivalTime": 1,
        "busy": False,
    }
