"""What commands say when an engine will prune what they store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from engine.commands.output import say
from engine.market.interval import DAY_MS

if TYPE_CHECKING:
    from engine.settings import Settings

YEAR_MS = 365 * DAY_MS
MB = 1_000_000


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


def retention_words(settings: Settings) -> str:
    """Say how long candles are kept, and what a year of them costs on disk."""
    from engine.market.interval import parse_interval
    from engine.store.stats import BYTES_PER_CANDLE

    retention = settings.retention
    if retention.days or retention.max_gb:
        rules = [f"retention.days = {retention.days:g}"] if retention.days else []
        rules += [f"retention.max_gb = {retention.max_gb:g}"] if retention.max_gb else []
        return f"Old candles are pruned once a day, for good: {', '.join(rules)}."
    lengths_ms = [parse_interval(name).length_ms for name in {"1m", *settings.intervals}]
    market_bytes = sum(YEAR_MS / length_ms for length_ms in lengths_ms) * BYTES_PER_CANDLE
    year = f"{market_bytes / MB:,.0f} MB a year for each market"
    if not settings.markets:
        whole = market_bytes * len(settings.symbols)
        year += f", {whole / MB:,.0f} MB for the {len(settings.symbols)} of the watchlist"
    return (
        f"All candles are kept: about {year}. retention.days or retention.max_gb in the settings "
        "has older ones pruned; `klinetop db stats` projects the size."
    )
