"""A quality report as CSV, one row a series, and as JSON with everything."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import msgspec

from engine.reports.words import worst_first

if TYPE_CHECKING:
    from engine.reports.values import DayReport

COLUMNS = (
    "symbol",
    "interval",
    "status",
    "expected",
    "stored",
    "by_stream",
    "by_rest",
    "by_both",
    "by_import",
    "missing",
    "unfillable",
    "exchange_holes",
    "stream_percent",
    "final_percent",
    "revisions",
    "untraded",
)


def as_csv(report: DayReport) -> str:
    """Return one row a series, worst first, after the column `day`.

    The columns are the fields of `SeriesQuality`; percentages are empty where nothing was expected.
    """
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    writer.writerow(("day", *COLUMNS))
    for row in worst_first(report.series):
        writer.writerow((report.day, *(getattr(row, name) for name in COLUMNS)))
    return made.getvalue()


def as_json(report: DayReport) -> str:
    """Return all that the report holds, by the names of `DayReport`."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"
