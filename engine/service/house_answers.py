"""Answers to `KeepHouse`: pruning and giving back pages while the engine runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.service import contract

if TYPE_CHECKING:
    from engine.runtime import Engine


async def keep_house(engine: Engine, request: contract.KeepHouse) -> contract.Done:
    """Prune or vacuum; the data hold `candles`, `notes` and `freed_bytes`.

    Raises:
        StoreError: when the disk refuses.
    """
    if request.what == "vacuum":
        return contract.Done(data={"freed_bytes": await engine.housekeeper.vacuum()})
    pruned = await engine.housekeeper.prune(request.days)
    return contract.Done(data=pruned._asdict())
