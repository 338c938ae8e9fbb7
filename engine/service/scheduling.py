"""The schedule of reports as the settings want it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from engine.capture.mail_settings import MailConfig
from engine.capture.report_schedule import ReportSchedule

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.binance.clock import ExchangeClock
    from engine.settings import Settings
    from engine.store import Store

_MINUTE_MS = 60_000


def scheduled_reports(
    settings: Settings, store: Store, clock: ExchangeClock, on_notice: Callable[[str, str], None]
) -> ReportSchedule:
    """Return the schedule; it does nothing where `report.at` is not set."""
    report = settings.report
    return ReportSchedule(
        store,
        lambda: clock.now_ms() if clock.is_set else None,
        at_ms=None if report.at is None else _after_midnight_ms(report.at),
        form=report.format,
        directory=report.directory or Path(settings.directory) / "reports",
        mail=msgspec.convert(settings.mail, MailConfig, from_attributes=True),
        on_notice=on_notice,
    )


def _after_midnight_ms(time_of_day: str) -> int:
    hours, minutes = time_of_day.split(":")
    return (int(hours) * 60 + int(minutes)) * _MINUTE_MS
