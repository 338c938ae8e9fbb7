"""A quality report as one HTML file that mail readers show: inline styles, nothing from outside."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from engine.reports.words import (
    STATE_WORDS,
    count,
    gap_markets,
    percent,
    span,
    summary,
    title,
    unknown_gaps,
    worst_first,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.reports.values import DayReport, GapSpan, SeriesQuality

MOST_MARKETS = 100
MOST_GAPS = 100
_TABLE = 'cellspacing="0" style="border-collapse:collapse"'
_MONO = "font-family:Menlo,Consolas,monospace"
# Colours that are read on white and on black alike; the digit in a cell says the same.
_WHOLE, _NEARLY, _PARTLY, _LITTLE = "#2e8b57", "#857413", "#b35c12", "#c23b3b"
_PAGE = (
    "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;font-size:14px;"
    "line-height:1.45;max-width:1000px;margin:16px auto;padding:0 12px"
)
_CELL = "padding:2px 8px;border-bottom:1px solid #8884;white-space:nowrap"
_RIGHT = _CELL + ";text-align:right;font-variant-numeric:tabular-nums"
_DARK = (
    "<style>:root{color-scheme:light dark}"
    "@media(prefers-color-scheme:dark){body{background:#15181c;color:#e4e6e8}}</style>"
)


def html(report: DayReport, *, all_markets: bool = False) -> str:
    """Return the page; unless `all_markets`, with the 100 worst of many markets."""
    ordered = worst_first(report.series)
    shown = ordered if all_markets else ordered[:MOST_MARKETS]
    left = len(ordered) - len(shown)
    head = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title(report))}</title>{_DARK}</head>"
    )
    parts = [
        head,
        f'<body style="{_PAGE}"><h1 style="font-size:20px">{escape(title(report))}</h1>',
        _summary(report),
        _heading("The day, hour by hour (UTC)"),
        f"<table {_TABLE}>{_hours()}{_strip_row('all', report.totals.cells)}</table>",
        _legend(),
        _heading("Gaps"),
        f"<p>{escape(unknown_gaps(report))}</p>" if unknown_gaps(report) else "",
        _gaps(report.gaps),
        _heading("Markets, worst first"),
        _markets(shown),
        f"<p>and {left:,} more, less bad.</p>" if left else "",
        f'<p style="opacity:.7">klinetop {escape(report.version)}</p></body></html>',
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _heading(words: str) -> str:
    return f'<h2 style="font-size:16px;margin:20px 0 6px">{escape(words)}</h2>'


def _summary(report: DayReport) -> str:
    rows = "".join(
        f'<tr><th style="{_CELL};text-align:left;vertical-align:top">{escape(name)}</th>'
        f'<td style="{_CELL};white-space:normal">{escape(words)}</td></tr>'
        for name, words in summary(report)
    )
    return f"<table {_TABLE}>{rows}</table>"


def _gaps(gaps: Sequence[GapSpan]) -> str:
    if not gaps:
        return "<p>None.</p>"
    rows = []
    for gap in gaps[:MOST_GAPS]:
        why = gap.reason or "no reason is known"
        if gap.state != "filled" and gap.last_error:
            why += f" (asked {count(gap.tries, 'time')}: {gap.last_error})"
        cells = (
            span(gap.from_ms, gap.to_ms),
            gap_markets(gap) + f" {gap.interval}",
            f"{gap.candles:,}",
            STATE_WORDS[gap.state],
            why,
        )
        styles = (_CELL, _CELL, _RIGHT, _CELL, _CELL + ";white-space:normal")
        rows.append(_row(cells, styles))
    if len(gaps) > MOST_GAPS:
        rows.append(_row((f"and {len(gaps) - MOST_GAPS:,} more",), (_CELL,)))
    heads = _header(("when (UTC)", "markets", "candles", "state", "reason"))
    return f"<table {_TABLE}>{heads}{''.join(rows)}</table>"


def _markets(series: Sequence[SeriesQuality]) -> str:
    heads = _header(
        ("market", "", "expected", "stream", "final", "missing", "holes", "revised", "hours")
    )
    rows = []
    for row in series:
        cells = (
            row.symbol,
            row.interval,
            f"{row.expected:,}",
            percent(row.stream_percent),
            percent(row.final_percent),
            f"{row.missing:,}",
            f"{row.exchange_holes:,}",
            f"{row.revisions:,}",
        )
        made = _cells(cells, (_CELL, _CELL, *([_RIGHT] * 6)))
        rows.append(f'<tr>{made}<td style="{_CELL}">{_strip(row.cells)}</td></tr>')
    return f"<table {_TABLE}>{heads}{''.join(rows)}</table>"


def _header(names: Sequence[str]) -> str:
    cells = "".join(f'<th style="{_CELL};text-align:left">{escape(name)}</th>' for name in names)
    return f"<tr>{cells}</tr>"


def _row(cells: Sequence[str], styles: Sequence[str]) -> str:
    return f"<tr>{_cells(cells, styles)}</tr>"


def _cells(cells: Sequence[str], styles: Sequence[str]) -> str:
    return "".join(
        f'<td style="{style}">{escape(cell)}</td>'
        for cell, style in zip(cells, styles, strict=True)
    )


def _hours() -> str:
    marks = "".join(f"{hour:<6}" for hour in range(0, 24, 6))
    return f'<tr><td></td><td style="white-space:pre;{_MONO}">{marks}</td></tr>'


def _strip_row(name: str, cells: Sequence[float | None]) -> str:
    return f'<tr><td style="{_CELL}">{name}</td><td>{_strip(cells)}</td></tr>'


def _strip(cells: Sequence[float | None]) -> str:
    """Return the heat strip: runs of equal hours share a span, to keep mail small."""
    if not cells:
        return '<span style="opacity:.7">pruned</span>'
    made, at = [], 0
    looks = [_look(share) for share in cells]
    while at < len(looks):
        end = at
        while end < len(looks) and looks[end] == looks[at]:
            end += 1
        sign, style = looks[at]
        made.append(f'<span style="{style}">{sign * (end - at)}</span>')
        at = end
    return f'<span style="{_MONO};white-space:pre">{"".join(made)}</span>'


def _look(share: float | None) -> tuple[str, str]:
    """Return the sign and the style of an hour."""
    if share is None:
        return "·", "opacity:.6"
    if share >= 1.0:
        return "█", f"color:{_WHOLE}"
    digit = str(int(share * 10))
    colour = _NEARLY if share >= 0.9 else _PARTLY if share >= 0.5 else _LITTLE
    return digit, f"background:{colour};color:#fff"


def _legend() -> str:
    return (
        '<p style="opacity:.8">█ whole, a digit is tenths that were captured '
        "(9 is 90 to 99 %), · nothing expected.</p>"
    )
