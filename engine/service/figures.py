"""The sections of a frame that speak of the engine itself: status and storage."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from engine import __version__
from engine.capture.collector import wall_ms
from engine.service import contract

if TYPE_CHECKING:
    from engine.market.capture_figures import MarketCoverage
    from engine.runtime import Engine

DEMO_HINT = "`klinetop --demo` needs no network."


def status_section(engine: Engine) -> contract.StatusSection:
    """Return what the status bar shows."""
    stats, stream = engine.supervisor.stats, engine.supervisor.state
    last_ms = stats.last_message_wall_ms
    age = max(0, wall_ms() - last_ms) if last_ms else None
    return contract.StatusSection(
        source=engine.settings.source,
        source_note=engine.settings.source_note,
        speed=engine.settings.effective_speed,
        connection=stream.connection,
        connection_note=_connection_note(engine),
        since_wall_ms=stream.since_wall_ms,
        exchange_time_ms=engine.clock.now_ms(),
        latency_ms=engine.clock.latency_ms,
        data_age_ms=age,
        messages_per_s=round(stats.messages_per_s),
        engine=engine.state,
        uptime_s=round(time.monotonic() - engine.started_s),
        markets=len(engine.roster.symbols),
        candles=engine.health.figures.candles,
        version=__version__,
        pid=engine.pid,
    )


def _connection_note(engine: Engine) -> str:
    """Why market data do not come; who never had any is told what needs no network."""
    note = engine.supervisor.state.note or engine.reach.note
    never_came = engine.supervisor.stats.messages == 0
    if note and never_came and engine.settings.is_binance:
        return f"{note} {DEMO_HINT}"
    return note


def storage_section(engine: Engine) -> contract.StorageSection:
    """Return the counters of capture and store, with the worst markets for who looks."""
    return storage_counters(engine, engine.quality.worst_markets())


def storage_counters(
    engine: Engine, worst: tuple[MarketCoverage, ...] = ()
) -> contract.StorageSection:
    """Return the counters of capture and store."""
    figures, counters, stats = (
        engine.health.figures,
        engine.store.writer.counters,
        engine.supervisor.stats,
    )
    commit_age = wall_ms() - counters.last_commit_wall_ms if counters.last_commit_wall_ms else None
    return contract.StorageSection(
        candles=figures.candles,
        rows_per_minute=counters.rows_per_minute,
        by_source=figures.by_source,
        database_bytes=figures.database_bytes,
        last_commit_ms=counters.last_commit_ms,
        last_commit_age_ms=commit_age,
        gaps=figures.gaps,
        messages_per_s=round(stats.messages_per_s),
        messages=stats.messages,
        reconnects=stats.reconnects,
        dropped=engine.quality.dropped,
        quarantined=figures.quarantined,
        coverage=engine.quality.hourly,
        quality=engine.quality.day,
        worst=worst,
        backfill=engine.history.current,
        weight_used=engine.rest.budget.used,
        progress=engine.history.progress(),
        disk=engine.housekeeper.disk,
        recording=engine.recorder.summary if engine.recorder is not None else "",
        failures=engine.tasks.failures,
    )
