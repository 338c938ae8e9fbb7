"""Parts of the engine that are there, or are as they are, because the settings say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.capture.housekeeping import Housekeeper, Limits
from engine.capture.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from engine.binance.clock import ExchangeClock
    from engine.settings import Settings
    from engine.store import Store

DEFAULT_HISTORY_DAYS = {"live": 3.0, "demo": 7.0, "replay": 60.0}


def make_recorder(
    settings: Settings,
    store: Store,
    books: Callable[[], Iterable[str]],
    on_notice: Callable[[str, str], None],
) -> Recorder | None:
    """Return what records the live market; None where nothing is to be recorded."""
    directory = settings.record.directory
    if directory is None:
        return None
    if settings.source != "live":
        on_notice("info", f"A {settings.source} is not recorded, only a live market is.")
        return None
    return Recorder(
        directory,
        keep_hours=settings.record.keep_hours,
        books=books,
        may_write=lambda: not store.writer.only_candles,
    )


def make_housekeeper(
    settings: Settings,
    store: Store,
    clock: ExchangeClock,
    on_notice: Callable[[str, str], None],
) -> Housekeeper:
    """Return what keeps the store within the settings' limits."""
    limits = Limits(
        settings.retention.days,
        settings.retention.max_gb,
        settings.disk.warn_mb,
        settings.disk.floor_mb,
    )
    return Housekeeper(store, limits, clock.now_ms, on_notice)


def history_days(settings: Settings) -> float:
    """Return how many days of 1m candles a market of the watchlist is to have."""
    days = settings.history_days or DEFAULT_HISTORY_DAYS[settings.source]
    return min(days, settings.retention.days or days)  # else it would be pruned again
