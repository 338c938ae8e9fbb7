"""Answers for programs: the status report, a book, and the forecast section of a frame."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from engine import __version__, memory
from engine.capture.collector import wall_ms
from engine.service import contract
from engine.service.figures import status_section, storage_counters
from engine.service.sections import book_standing
from engine.task_supervisor import TaskState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.binance.book_feed import BookFeed
    from engine.binance.stream_types import StreamState
    from engine.forecast.jobs import Job
    from engine.market.capture_figures import DayQuality
    from engine.runtime import Engine
    from engine.task_supervisor import TaskFigures

RECENT_PREDICTIONS = 60


def status_report(engine: Engine) -> dict[str, Any]:
    """Return the objects engine, stream, store, books and forecast, as plain values."""
    status = status_section(engine)
    storage = storage_counters(engine)
    stream = engine.supervisor.state
    return {
        "engine": {
            "running": True,
            "pid": status.pid,
            "version": __version__,
            "state": status.engine,
            "uptime_s": round(status.uptime_s, 1),
            "source": status.source,
            "source_note": status.source_note,
            "speed": status.speed if math.isfinite(status.speed) else "max",
            "exchange_time_ms": status.exchange_time_ms,
            "data_dir": str(engine.settings.directory),
        },
        "tasks": _tasks_report(engine.tasks.figures),
        "stream": {
            "state": status.connection,
            "note": status.connection_note,
            "since_wall_ms": status.since_wall_ms,
            "streams": engine.supervisor.stats.streams,
            "streams_wanted": engine.supervisor.stats.wanted,
            "connections": engine.supervisor.stats.connections,
            "messages": storage.messages,
            "messages_per_s": storage.messages_per_s,
            "latency_ms": status.latency_ms,
            "data_age_ms": status.data_age_ms,
            "reconnects": storage.reconnects,
            "dropped": storage.dropped,
            "bad": engine.supervisor.stats.bad,
            "loop_lag_ms": round(engine.supervisor.stats.lag_ms, 1),
        },
        "capture": {
            "markets": len(engine.roster.symbols),
            "series": len(engine.roster.series()),
            "wanted": list(engine.settings.markets),
            "intervals": list(engine.settings.intervals),
            "by_status": engine.roster.by_status(),
            "not_trading": engine.roster.not_trading(),
            "last_24_h": _day_figures(storage.quality),
            "failures": engine.roster.failures,
            "last_error": engine.roster.last_error,
            "left_out": {
                what: [f"{name} ({reason})" for name, reason in entries.items()]
                for what, entries in engine.rest.odd.named.items()
            },
        },
        "store": {
            "candles": storage.candles,
            "rows_per_minute": storage.rows_per_minute,
            "by_source": storage.by_source,
            "database_bytes": storage.database_bytes,
            "last_commit_ms": storage.last_commit_ms,
            "gaps": storage.gaps,
            "quarantined": storage.quarantined,
            "backfill": storage.backfill,
            "progress": msgspec.to_builtins(storage.progress),
            "disk": msgspec.to_builtins(storage.disk),
            "recording": storage.recording,
            "weight_used": list(storage.weight_used),
            "symbols": list(engine.board.watchlist),
            "failures": engine.store.writer.counters.failures + engine.health.failures,
            "last_error": engine.store.writer.counters.last_error or engine.health.last_error,
        },
        "memory": _memory_report(engine),
        "books": {
            symbol: {
                **_standing(feed, stream),
                "resyncs": feed.sync.resyncs,
                "missed": feed.sync.missed,
                "last_update_id": feed.sync.book.last_update_id,
                "age_ms": feed.sync.age_ms(wall_ms()),
                "best_bid": feed.sync.book.best_bid,
                "best_ask": feed.sync.book.best_ask,
            }
            for symbol, feed in engine.collector.books.items()
        },
        "forecast": {
            "models": [_model_report(engine, *key) for key in sorted(engine.forecast.champions())],
            "job": msgspec.to_builtins(engine.forecast.job()),
        },
    }


def _memory_report(engine: Engine) -> dict[str, int | None]:
    """Return what the engine's process holds in bytes, and the lengths of what could grow."""
    series = engine.board.series.values()
    table = engine.quality.table
    return {
        **memory.usage()._asdict(),
        "candles_in_memory": sum(len(one.candles) for one in series),
        "trades_in_memory": sum(len(one.trades) for one in engine.board.symbols.values()),
        "book_levels": sum(len(feed.sync.book) for feed in engine.collector.books.values()),
        "coverage_rows": 0 if table is None else table.kept_rows,
        "writes_waiting": engine.store.writer.counters.queued,
    }


def _tasks_report(tasks: Mapping[str, TaskFigures]) -> dict[str, Any]:
    """Return how many tasks there are in each state, and of those that failed how and how often."""
    states = Counter(task.state.value for task in tasks.values())
    return {
        **{state.value: states[state.value] for state in TaskState},
        "failed": {
            name: {
                "state": task.state.value,
                "failures": task.failures,
                "last_error": task.last_error,
                "last_failure_wall_ms": task.last_failure_wall_ms,
            }
            for name, task in tasks.items()
            if task.failures
        },
    }


def _day_figures(day: DayQuality | None) -> dict[str, Any]:
    """Return what was expected and stored; per cent are cut, so that 100 means all."""
    if day is None:
        return {}
    shares = {"stored_percent": day.stored, "stream_percent": day.by_stream}
    return {
        "expected": day.expected,
        "stored": day.stored,
        "by_stream": day.by_stream,
        "exchange_holes": day.holes,
        **{
            name: int(count / day.expected * 1e4) / 1e2 if day.expected else None
            for name, count in shares.items()
        },
        "clock_offset_ms": day.clock_offset_ms,
        "latency_ms": day.latency_ms and list(day.latency_ms),
    }


def _model_report(engine: Engine, symbol: str, interval: str) -> dict[str, Any]:
    record = engine.forecast.record(symbol, interval)
    return {
        "symbol": symbol,
        "interval": interval,
        "model": msgspec.to_builtins(engine.forecast.model(symbol, interval)),
        "record": msgspec.to_builtins(record),
    }


def job_report(job: Job) -> dict[str, Any]:
    """Return how a training job ended, with the figures of what it made."""
    head = {
        "symbol": job.symbol,
        "interval": job.interval,
        "recipe": job.recipe,
        "state": job.state,
        "message": job.message,
        "model": job.model,
    }
    return head | (job.metrics or {})


def book_report(
    symbol: str, feed: BookFeed | None, stream: StreamState, levels: int
) -> dict[str, Any]:
    """Return symbol, state, last_update_id, bids and asks; levels only of a synchronised book."""
    head = {"symbol": symbol, **_standing(feed, stream)}
    if feed is None or head["state"] != "synchronised":
        return head | {"last_update_id": 0, "bids": [], "asks": []}
    book = feed.sync.book
    return head | {
        "age_ms": feed.sync.age_ms(wall_ms()),
        "last_update_id": book.last_update_id,
        "bids": [list(level) for level in book.bids(levels)],
        "asks": [list(level) for level in book.asks(levels)],
    }


def _standing(feed: BookFeed | None, stream: StreamState) -> dict[str, str]:
    state, reason = book_standing(feed, stream)
    return {"state": state, "reason": reason}


def forecast_section(engine: Engine, symbol: str, interval: str) -> contract.ForecastSection:
    """Return the forecast of one symbol and interval as viewers see it."""
    forecast = engine.forecast
    model = forecast.model(symbol, interval)
    recent = forecast.predictions(symbol, interval, RECENT_PREDICTIONS)
    job = forecast.job()
    record = forecast.record(symbol, interval)
    rows = tuple(recent)
    return contract.ForecastSection(
        symbol=symbol,
        interval=interval,
        lookahead=engine.settings.forecast.lookahead,
        model=model,
        latest=rows[-1] if rows and model is not None else None,
        recent=rows,
        record=record,
        job=job,
        note=forecast.note(symbol, interval),
    )
