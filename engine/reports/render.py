"""One report in the form that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.reports.values import DayReport

FORMS = ("text", "csv", "json", "html")
_SUFFIXES = {"text": "txt"}
_TYPES = {"csv": "csv", "json": "json", "html": "html", "text": "plain"}


def render(report: DayReport, form: str, *, all_markets: bool = False) -> str:
    """Return `report` as one of `FORMS`; CSV and JSON always hold all markets."""
    if form == "csv":
        from engine.reports.table import as_csv

        return as_csv(report)
    if form == "json":
        from engine.reports.table import as_json

        return as_json(report)
    if form == "html":
        from engine.reports.html import html

        return html(report, all_markets=all_markets)
    from engine.reports.text import text

    return text(report, all_markets=all_markets)


def file_name(report: DayReport, form: str) -> str:
    """Return a name such as `klinetop-2026-11-21.html`."""
    return f"klinetop-{report.day}.{_SUFFIXES.get(form, form)}"


def media_subtype(form: str) -> tuple[str, str]:
    """Return the main and sub type of a form, such as text and csv."""
    return ("application" if form == "json" else "text"), _TYPES[form]
