"""What commands say when an engine will prune what they store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from engine.commands.output import say
from engine.market.interval import DAY_MS

if TYPE_CHECKING:
    from engine.settings import Settings


def pruned_before_ms(settings: Settings, interval: str) -> int | None:
    """Return the open time before which an engine prunes candles; None where it keeps all."""
    from engine.store.prune import KEPT_INTERVALS

    days = settings.retention.days
    if not days or settings.source != "live" or interval in KEPT_INTERVALS:
        return None
    return time.time_ns() // 1_000_000 - int(days * DAY_MS)


def warn_of_pruning(settings: Settings, what: str) -> None:
    """Say that an engine prunes, and how to keep `what`."""
    say(
        f"An engine prunes candles older than {settings.retention.days:g} days once a day; set "
        f"retention.days = 0 in the settings to keep {what}."
    )
