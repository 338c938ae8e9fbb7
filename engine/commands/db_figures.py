"""What `db stats` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from engine.commands.output import emit_table, say
from engine.commands.times import iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.settings_tables import RetentionSettings
    from engine.store.stats import DatabaseStats, SeriesStats

MB, GB = 1e6, 1e9


def stats_report(found: DatabaseStats, retention: RetentionSettings) -> dict[str, Any]:
    """Return all figures by name; `series` holds every series with an estimate of its bytes."""
    report = found._asdict()
    report["series"] = [
        {**one._asdict(), "bytes": round(one.candles * found.bytes_per_candle)}
        for one in found.series
    ]
    report["retention_days"] = retention.days
    report["retention_max_gb"] = retention.max_gb
    report["days_until_disk_full"] = found.days_until_full()
    return report


def show_stats(found: DatabaseStats, retention: RetentionSettings, *, each: bool) -> None:
    """Print the figures for people."""
    from engine.store.stats import by_interval

    rows: Sequence[SeriesStats] = found.series if each else by_interval(found.series)
    if rows:
        emit_table(
            ("series" if each else "interval", "candles", "MB", "first open", "last open"),
            [
                (
                    f"{row.symbol} {row.interval}".strip(),
                    f"{row.candles:,}",
                    f"{row.candles * found.bytes_per_candle / MB:,.1f}",
                    iso(row.first_ms),
                    iso(row.last_ms),
                )
                for row in rows
            ],
        )
        click.echo()
    if not found.is_exact:
        say("Candles of a series are estimated from its first and last; the total is exact.")
    for name, text in _facts(found, retention):
        click.echo(f"{name:<10}{text}")


def _facts(found: DatabaseStats, retention: RetentionSettings) -> list[tuple[str, str]]:
    markets = len({one.symbol for one in found.series})
    size = (
        f"{found.database_bytes / MB:,.1f} MB, {found.candles:,} candles of {markets:,} markets, "
        f"about {found.bytes_per_candle:.0f} bytes each; "
        f"{found.free_bytes_inside / MB:,.1f} MB free inside"
    )
    return [
        ("database", size),
        ("growth", _growth(found)),
        ("retention", _retention(found, retention)),
        ("disk", f"{found.disk_free_bytes / GB:,.1f} GB free{_until_full(found)}"),
    ]


def _growth(found: DatabaseStats) -> str:
    if not found.captured:
        return "none, as no series is captured now"
    return f"{found.bytes_per_day / MB:,.1f} MB a day for {found.captured:,} series captured now"


def _retention(found: DatabaseStats, retention: RetentionSettings) -> str:
    words = f"{retention.days:g} days" if retention.days else "all days"
    if retention.days and found.bytes_per_day:
        words += (
            f", {retention.days * found.bytes_per_day / GB:,.1f} GB at most for what is captured"
        )
    if retention.max_gb:
        words += f"; at most {retention.max_gb:g} GB in all"
    return words


def _until_full(found: DatabaseStats) -> str:
    days = found.days_until_full()
    return "" if days is None else f", full in {days:,.0f} days without pruning"
