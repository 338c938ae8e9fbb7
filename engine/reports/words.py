"""The same figures in the same words, whatever the form of a report."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from engine.market.interval import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.reports.values import DayReport, GapSpan, Loss, SeriesQuality, Totals

MOST_LOSSES = 3
NOT_SAMPLED = "the day passed in less than a second of the engine's, too fast to be told apart"
STATE_WORDS = {
    "open": "still missing",
    "unfillable": "can not be had",
    "exchange_hole": "exchange hole",
    "filled": "repaired",
}


def title(report: DayReport) -> str:
    """Return which day this is, and how much of it."""
    until = f", until {clock(report.until_ms)}" if report.is_running else ""
    note = f" ({report.source_note})" if report.source_note else ""
    return f"Capture on {report.day} UTC{until}, {report.source}{note}"


def summary(report: DayReport) -> list[tuple[str, str]]:
    """Return the figures of the whole day as (name, words)."""
    totals, streams = report.totals, report.streams
    captured = (
        f"{percent(totals.final_percent)} of {totals.expected:,} candles; "
        f"{totals.missing:,} missing, "
        f"{count(totals.exchange_holes, 'hole')} of the exchange left out"
    )
    lines = [
        ("Captured", captured),
        (
            "By stream",
            f"{percent(totals.stream_percent)}; {totals.by_rest:,} by REST alone"
            + _untraded(totals)
            + (f", {totals.by_import:,} from files" if totals.by_import else ""),
        ),
        ("Markets", _markets(report)),
        ("Streams", _streams(report)),
    ]
    lines += _losses(streams.losses)
    lines += _clock_and_latency(report)
    checks = [count(totals.revisions, "candle") + " told anew"]
    if report.quarantined is not None:
        checks.append(f"{count(report.quarantined, 'row')} quarantined")
    if report.reread is not None:
        checks.append(f"{report.reread[0]:,} compared again, {report.reread[1]:,} differed")
    lines.append(("Checks", ", ".join(checks)))
    for name, symbols in (
        ("Began", report.joined),
        ("Ended", report.left),
        ("Listed", report.listed if len(report.listed) < totals.markets else ()),
    ):
        if symbols:
            whole = len(symbols) == totals.markets and len(symbols) > 1
            lines.append((name, f"all {len(symbols):,} markets" if whole else named(symbols)))
    if report.status_changes:
        words = [
            f"{change.symbol} {change.status} {clock(change.from_ms)}"
            for change in report.status_changes
        ]
        lines.append(("Statuses", named(words)))
    return lines


def unknown_gaps(report: DayReport) -> str:
    """Return a sentence about missing candles that the ledger of gaps does not hold; or nothing."""
    noted = sum(gap.candles for gap in report.gaps if gap.state in ("open", "unfillable"))
    unknown = report.totals.missing - noted
    if unknown <= 0:
        return ""
    return (
        f"{count(unknown, 'missing candle')} not in the ledger yet: an engine notes and fetches "
        "them when it runs."
    )


def worst_first(series: Sequence[SeriesQuality]) -> list[SeriesQuality]:
    """Return series by missing candles, then by those that the stream should have brought."""
    return sorted(
        series,
        key=lambda row: (
            -row.missing,
            -(row.expected - row.by_stream - row.by_both - row.untraded),
            row.symbol,
            row.interval,
        ),
    )


def is_flawless(row: SeriesQuality) -> bool:
    """Tell whether the stream brought all that was traded, and nothing needs a word."""
    streamed = row.by_stream + row.by_both + row.untraded
    return streamed == row.expected and not row.exchange_holes and not row.revisions


def percent(value: float | None) -> str:
    """Return per cent with two places, cut so that 100.00 means all."""
    return "-" if value is None else f"{int(value * 100 + 1e-6) / 100:.2f} %"


def count(number: int, noun: str) -> str:
    """Return `1 market` or `2 markets`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def named(words: Sequence[str], most: int = 5) -> str:
    """Return the first words and how many more there are."""
    left = len(words) - most
    return ", ".join(words[:most]) + (f" and {left:,} more" if left > 0 else "")


def clock(time_ms: int) -> str:
    """Return the UTC time of day, with seconds where there are any."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.strftime("%H:%M:%S" if time_ms % 60_000 else "%H:%M")


def span(from_ms: int, to_ms: int) -> str:
    """Return a span within a day; its end may be the day's."""
    end = "24:00" if to_ms % DAY_MS == 0 and to_ms > from_ms else clock(to_ms)
    begin = clock(from_ms)
    return begin if begin == end else f"{begin}-{end}"


def gap_markets(gap: GapSpan) -> str:
    """Return which markets a gap is of: names while they are few."""
    if gap.markets <= 2:
        return ", ".join(gap.symbols)
    return count(gap.markets, "market")


def _untraded(totals: Totals) -> str:
    if not totals.untraded:
        return ""
    which = "all" if totals.untraded == totals.by_rest else f"{totals.untraded:,}"
    return f", {which} of them without a trade, which the exchange need not push"


def _markets(report: DayReport) -> str:
    totals = report.totals
    missing = len({row.symbol for row in report.series if row.missing})
    whole = [row for row in report.series if not row.missing]
    repaired = len({row.symbol for row in whole if row.by_rest > row.untraded})
    words = [count(totals.markets, "market") + " captured"]
    if totals.series != totals.markets:
        words[0] += f" in {totals.series:,} series"
    words.append(f"{missing:,} with missing candles")
    words.append(f"{repaired:,} whole after repair")
    if report.markets_left_out:
        words.append(f"{report.markets_left_out:,} not shown")
    return ", ".join(words)


def _streams(report: DayReport) -> str:
    streams = report.streams
    if not streams.hours:
        return "no figures: " + (NOT_SAMPLED if report.totals.by_stream else "no engine ran")
    words = [
        f"{streams.messages:,} messages",
        count(streams.reconnects, "reconnect"),
        count(streams.renewals, "renewal"),
        f"{streams.bad:,} bad",
        f"{streams.dropped:,} dropped",
    ]
    if streams.offline_s >= 1:
        words.append(f"offline {duration(streams.offline_s)}")
    return ", ".join(words)


def _losses(losses: Sequence[Loss]) -> list[tuple[str, str]]:
    """Return how many connections were lost, then the most frequent reasons with their times."""
    if not losses:
        return []
    lost = sum(loss.count for loss in losses)
    lines = [("Lost", f"a connection {count(lost, 'time')}:")]
    for loss in losses[:MOST_LOSSES]:
        times = f"{loss.count:,} times, " if loss.count > 1 else ""
        where = f"on {loss.connections} connections, " if loss.connections > 1 else ""
        lines.append(("", f"{times}{where}{span(loss.first_ms, loss.last_ms)} {loss.reason}"))
    if others := sum(loss.count for loss in losses[MOST_LOSSES:]):
        lines.append(("", f"and {others:,} for other reasons: --format json has them all"))
    return lines


def duration(seconds: float) -> str:
    """Return seconds as `12 s`, `3 min` or `1 h 20 min`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _clock_and_latency(report: DayReport) -> list[tuple[str, str]]:
    streams = report.streams
    if streams.clock_offset_ms is None and streams.latency_ms is None:
        return [("Clock", f"offset and latency are unknown: {streams.clock_note}")]
    return [("Clock", _clock(report)), ("Latency", _latency(report))]


def _clock(report: DayReport) -> str:
    offset = report.streams.clock_offset_ms
    if offset is None:
        return f"offset unknown: {report.streams.clock_note}"
    low, median, high = offset
    side = "ahead of" if median > 0 else "behind"
    return (
        f"this machine's is {abs(median):,.0f} ms {side} the exchange's "
        f"({low:+,.0f} to {high:+,.0f})"
    )


def _latency(report: DayReport) -> str:
    latency = report.streams.latency_ms
    if latency is None:
        return "unknown: no event was timed"
    p50, p95, p99, most = latency
    return f"half within {p50:,.1f} ms, p95 {p95:,.1f}, p99 {p99:,.1f}, most {most:,.0f}"
