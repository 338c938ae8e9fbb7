"""A quality report as text that fits 80 columns."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

from engine.reports.words import (
    STATE_WORDS,
    count,
    gap_markets,
    is_flawless,
    percent,
    span,
    summary,
    title,
    unknown_gaps,
    worst_first,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.reports.values import DayReport, SeriesQuality

WIDTH = 79
MOST_MARKETS = 20
MOST_GAPS = 12
_NAME = 10
_TIED = "\N{NO-BREAK SPACE}"
_UNIT = re.compile(r"(?<=\d) (?=(?:%|s|ms|min|h)(?:\W|$))")  # a number and its unit stay together


def head(report: DayReport) -> str:
    """Return the summary alone, as a mail's text takes it."""
    return "\n".join(_head(report)) + "\n"


def text(report: DayReport, *, all_markets: bool = False) -> str:
    """Return the whole report; unless `all_markets`, the 20 worst of many markets."""
    lines = [*_head(report), "", *_gaps(report), "", *_series(report.series, all_markets)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _head(report: DayReport) -> list[str]:
    lines = [*_wrapped(title(report), ""), ""]
    for name, words in summary(report):
        lines += _wrapped(words, f"{name:<{_NAME}} ")
    return lines


def _wrapped(words: str, first: str) -> list[str]:
    lines = textwrap.wrap(
        _UNIT.sub(_TIED, words),
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_TIED, " ") for line in lines]


def _gaps(report: DayReport) -> list[str]:
    gaps = report.gaps
    lines = ["Gaps" if gaps else "No gaps."]
    if unknown := unknown_gaps(report):
        lines = ["Gaps", *_wrapped(unknown, "  ")]
    for gap in gaps[:MOST_GAPS]:
        where = f"{span(gap.from_ms, gap.to_ms)}"
        places = f" in {gap.ranges} ranges" if gap.ranges > 1 else ""
        words = (
            f"{gap_markets(gap)} {gap.interval}, {count(gap.candles, 'candle')}{places}, "
            f"{STATE_WORDS[gap.state]}: {gap.reason or 'no reason is known'}"
        )
        if gap.state != "filled" and gap.last_error:
            words += f" (asked {count(gap.tries, 'time')}: {gap.last_error.rstrip('.')})"
        lines += _wrapped(words, f"  {where:<17} ")
    if len(gaps) > MOST_GAPS:
        lines.append(f"  and {len(gaps) - MOST_GAPS} more: --format json has them all.")
    return lines


def _series(series: Sequence[SeriesQuality], all_markets: bool) -> list[str]:
    ordered = worst_first(series)
    flawed = [row for row in ordered if not is_flawless(row)]
    few = len(ordered) <= MOST_MARKETS
    shown = ordered if all_markets or few else flawed[:MOST_MARKETS]
    left = len(ordered) - len(shown)
    if not shown:
        what = "all that was traded" if any(row.untraded for row in series) else "every candle"
        return _wrapped(f"The stream brought {what} of all {left:,} series: --all lists them.", "")
    lines = _table(
        ("market", "", "expected", "stream", "final", "missing", "holes", "revised"),
        (
            (
                row.symbol,
                row.interval,
                f"{row.expected:,}",
                percent(row.stream_percent),
                percent(row.final_percent),
                f"{row.missing:,}",
                f"{row.exchange_holes:,}",
                f"{row.revisions:,}",
            )
            for row in shown
        ),
    )
    if left:
        which = "less bad" if len(flawed) > len(shown) else "whole by stream"
        lines.append(f"and {left:,} more, {which}: --all lists them.")
    return lines


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(map(columns_of, column)) for column in zip(*lines, strict=True)]
    made = []
    for line in lines:
        cells = [
            cell + _blank(cell, width) if at < 2 else _blank(cell, width) + cell
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        made.append("  ".join(cells).rstrip())
    return made


def _blank(cell: str, width: int) -> str:
    return " " * (width - columns_of(cell))


def columns_of(words: str) -> int:
    """Return how many columns of a terminal `words` takes; Chinese characters take two."""
    import unicodedata

    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        for sign in words
    )
