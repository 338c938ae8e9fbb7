"""The quality report of a day, from what the database holds; nothing is written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from engine import __version__
from engine.capture.coverage import (
    DAY_MS,
    HOUR_MS,
    NOTHING,
    Count,
    captured_intervals,
    count_span,
    total,
)
from engine.capture.day_gaps import day_gaps
from engine.capture.exchange_time import judged_until_ms, stored_exchange_time
from engine.capture.hour_figures import stream_figures
from engine.capture.sessions import STREAMS
from engine.reports.values import DayReport, Loss, SeriesQuality, StatusChange, Streams, Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.capture.exchange_time import ExchangeTime
    from engine.store import Reader

T = TypeVar("T", SeriesQuality, Totals)
_LEAST_MS = HOUR_MS
_COVERAGE = (
    "SELECT symbol.name AS symbol, expected, by_stream, by_rest, by_both, by_import,"
    " exchange_hole AS holes, unfillable FROM coverage"
    " JOIN symbol ON symbol.id = coverage.symbol_id WHERE day_ms = ? AND interval = ?"
)
_STATUSES = (
    "SELECT symbol.name AS symbol, was.from_ms AS from_ms, was.status AS status"
    " FROM market_status AS was JOIN symbol ON symbol.id = was.symbol_id"
    " WHERE was.from_ms < ? ORDER BY was.from_ms, symbol.name"
)
_REVISIONS = (
    "SELECT symbol.name AS symbol, interval, count(DISTINCT open_time_ms) AS n FROM revision"
    " JOIN symbol ON symbol.id = revision.symbol_id WHERE open_time_ms >= ? AND open_time_ms < ?"
    " GROUP BY 1, 2"
)
_MARKETS = (
    "SELECT DISTINCT symbol.name AS symbol FROM {table} AS what"
    " JOIN symbol ON symbol.id = what.symbol_id WHERE {column} >= ? AND {column} < ? ORDER BY 1"
)


class NoReport(Exception):
    """There is nothing to report; the text is a sentence for users."""

    usage = True


def day_of(time_ms: int) -> int:
    """Return the begin of the UTC day that holds `time_ms`."""
    return time_ms - time_ms % DAY_MS


def running_day(reader: Reader, wall_now_ms: int) -> int:
    """Return the begin of the UTC day that the exchange is in.

    Raises:
        NoReport: when nothing was ever captured.
        StoreError: when the database can not be read.
    """
    return day_of(_until(reader, wall_now_ms))


def newest_day(reader: Reader, wall_now_ms: int) -> int:
    """Return the day that a report is about when nobody names one.

    That is the running day of exchange time, or the one before while the running one is younger
    than an hour and something was captured before.

    Raises:
        NoReport: when nothing was ever captured.
        StoreError: when the database can not be read.
    """
    until_ms = _until(reader, wall_now_ms)
    day_ms = day_of(until_ms)
    if until_ms - day_ms < _LEAST_MS and captured_intervals(reader, day_ms - DAY_MS, day_ms):
        return day_ms - DAY_MS
    return day_ms


def make_report(
    reader: Reader,
    day_ms: int,
    wall_now_ms: int,
    *,
    choose: Callable[[list[str]], Sequence[str]] | None = None,
) -> DayReport:
    """Return the report of the UTC day that begins at `day_ms`.

    Args:
        reader: A database; one day of 1,400 minute series takes about a second.
        day_ms: Begin of the day.
        wall_now_ms: Local wall clock.
        choose: Gets the names of all captured markets, returns those that are wanted; None takes
            all.

    Raises:
        NoReport: when nothing was captured on that day.
        StoreError: when the database can not be read.
    """
    now_ms = _until(reader, wall_now_ms)
    until_ms = min(now_ms, day_ms + DAY_MS)
    counts = _counts(reader, day_ms, until_ms)
    if not counts:
        raise NoReport(_nothing_on(reader, day_ms, now_ms))
    names = sorted({symbol for symbol, _ in counts})
    wanted = set(names if choose is None else choose(names))
    chosen = {key: hours for key, hours in counts.items() if key[0] in wanted}
    if not chosen:
        raise NoReport("None of the markets that were asked for was captured on that day.")
    statuses = [row for row in reader.query(_STATUSES, (until_ms,)) if row["symbol"] in wanted]
    status = {row["symbol"]: row["status"] for row in statuses}
    revisions = {
        (row["symbol"], row["interval"]): row["n"]
        for row in reader.query(_REVISIONS, (day_ms, day_ms + DAY_MS))
    }
    series = tuple(
        _quality(
            SeriesQuality,
            hours,
            symbol=symbol,
            interval=interval,
            status=status.get(symbol, ""),
            revisions=revisions.get((symbol, interval), 0),
        )
        for (symbol, interval), hours in sorted(chosen.items())
    )
    symbols = None if choose is None else frozenset(wanted)
    return DayReport(
        day=_date(day_ms),
        day_ms=day_ms,
        until_ms=until_ms,
        is_running=until_ms < day_ms + DAY_MS,
        source=reader.meta("source") or "",
        source_note=reader.meta("source_note") or "",
        version=__version__,
        made_wall_ms=wall_now_ms,
        totals=_quality(
            Totals,
            _sum_hours(list(chosen.values())),
            markets=len({symbol for symbol, _ in chosen}),
            series=len(chosen),
            revisions=sum(row.revisions for row in series),
        ),
        streams=_streams(reader, day_ms),
        series=series,
        gaps=day_gaps(reader, day_ms, until_ms, symbols),
        quarantined=_quarantined(reader, day_ms),
        reread=_reread(reader, day_ms),
        status_changes=tuple(StatusChange(**row) for row in statuses if row["from_ms"] >= day_ms),
        joined=_markets(reader, "captured", "from_ms", day_ms, wanted),
        left=_markets(reader, "captured", "to_ms", day_ms, wanted),
        listed=_markets(reader, "series_start", "first_ms", day_ms, wanted),
        markets_left_out=len(set(names) - wanted),
    )


def _until(reader: Reader, wall_now_ms: int) -> int:
    until_ms = judged_until_ms(reader, wall_now_ms)
    captured = reader.query("SELECT EXISTS (SELECT 1 FROM captured) AS any")[0]["any"]
    if until_ms is None or not captured:
        raise NoReport(
            "Nothing was captured into this data directory yet; start `klinetop` or "
            "`klinetop serve` on it, and ask again some minutes later."
        )
    return until_ms


# --- counts ---------------------------------------------------------------------------------------

_Hours = list[Count]  # of one series: 24 hours, or the whole day in one when its candles are pruned


def _counts(reader: Reader, day_ms: int, until_ms: int) -> dict[tuple[str, str], _Hours]:
    end_ms = day_ms + DAY_MS
    found: dict[tuple[str, str], _Hours] = {}
    for interval in captured_intervals(reader, day_ms, min(end_ms, until_ms)):
        for at in range(24):
            hour_ms = day_ms + at * HOUR_MS
            cells = count_span(reader, interval, hour_ms, hour_ms + HOUR_MS, until_ms)
            for symbol, count in cells.items():
                found.setdefault((symbol, interval), [NOTHING] * 24)[at] = count
    intervals = reader.query("SELECT DISTINCT interval FROM coverage WHERE day_ms = ?", (day_ms,))
    for row in intervals:
        for values in reader.query(_COVERAGE, (day_ms, row["interval"])):
            key = (values.pop("symbol"), row["interval"])
            kept = Count(**values)
            if kept.stored > total(found.get(key, ())).stored:
                found[key] = [kept]
    return found


def _sum_hours(series: list[_Hours]) -> _Hours:
    whole = [hours for hours in series if len(hours) == 24]
    if len(whole) < len(series):
        return [total(map(total, series))]
    return [total(cells) for cells in zip(*whole, strict=True)]


def _quality(kind: type[T], hours: _Hours, **others: Any) -> T:
    count = total(hours)
    return kind(
        expected=count.due,
        stored=count.stored,
        by_stream=count.by_stream,
        by_rest=count.by_rest,
        by_both=count.by_both,
        by_import=count.by_import,
        missing=count.missing,
        unfillable=count.unfillable,
        exchange_holes=count.holes,
        untraded=count.untraded,
        stream_percent=_percent(count.stream_share),
        final_percent=_percent(count.share),
        cells=tuple(hour.share for hour in hours) if len(hours) == 24 else (),
        **others,
    )


def _percent(share: float | None) -> float | None:
    """Return per cent with four places, cut so that 100 means all."""
    return None if share is None else int(share * 1e6) / 1e4


# --- the rest -------------------------------------------------------------------------------------


def _streams(reader: Reader, day_ms: int) -> Streams:
    figures = stream_figures(reader, day_ms, day_ms + DAY_MS)
    note = ""
    if figures.clock_offset_ms is None:
        note = _clock_note(stored_exchange_time(reader), reader.meta("source"))
    return Streams(
        messages=figures.messages,
        reconnects=figures.reconnects,
        renewals=figures.renewals,
        bad=figures.bad,
        dropped=figures.dropped,
        offline_s=figures.offline_s,
        hours=figures.hours,
        clock_offset_ms=figures.clock_offset_ms,
        latency_ms=figures.latency_ms,
        clock_note=note,
        losses=_losses(reader, day_ms),
    )


def _clock_note(known: ExchangeTime | None, source: str | None) -> str:
    if known is None or known.speed == 1.0:
        is_live = source in (None, "live")
        return "nothing was received" if is_live else f"a {source} has a time of its own"
    if known.speed == 0.0:
        return "the replay ran as fast as it could"
    return f"the exchange's clock ran at {known.speed:g}x"


def _losses(reader: Reader, day_ms: int) -> tuple[Loss, ...]:
    rows = reader.query(
        "SELECT reason, count(*) AS count, count(DISTINCT connection) AS connections,"
        " min(exchange_ms) AS first_ms, max(exchange_ms) AS last_ms FROM session"
        " WHERE event = 'disconnect' AND connection <> ? AND exchange_ms >= ? AND exchange_ms < ?"
        " GROUP BY reason ORDER BY count DESC, first_ms",
        (STREAMS, day_ms, day_ms + DAY_MS),
    )
    return tuple(Loss(**row) for row in rows)


def _quarantined(reader: Reader, day_ms: int) -> int | None:
    known = stored_exchange_time(reader)
    if reader.meta("source") != "live" or (known is not None and known.speed != 1.0):
        return None
    ahead_ms = 0 if known is None else known.wall_ms - known.exchange_ms
    rows = reader.query(
        "SELECT count(*) AS n FROM quarantine WHERE wall_ms >= ? AND wall_ms < ?",
        (day_ms + ahead_ms, day_ms + DAY_MS + ahead_ms),
    )
    return int(rows[0]["n"])


def _reread(reader: Reader, day_ms: int) -> tuple[int, int] | None:
    rows = reader.query("SELECT candles, differing FROM reread WHERE day_ms = ?", (day_ms,))
    return (rows[0]["candles"], rows[0]["differing"]) if rows else None


def _markets(
    reader: Reader, table: str, column: str, day_ms: int, wanted: set[str]
) -> tuple[str, ...]:
    sql = _MARKETS.format(table=table, column=column)
    rows = reader.query(sql, (day_ms, day_ms + DAY_MS))
    return tuple(row["symbol"] for row in rows if row["symbol"] in wanted)


def _date(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d")


def _nothing_on(reader: Reader, day_ms: int, now_ms: int) -> str:
    first_ms = reader.query("SELECT min(from_ms) AS ms FROM captured")[0]["ms"]
    kept_ms = reader.query("SELECT min(day_ms) AS ms FROM coverage")[0]["ms"]
    first_ms = first_ms if kept_ms is None else min(first_ms, kept_ms)
    if day_of(first_ms) <= day_ms <= now_ms:
        return (
            f"No captured candle had closed on {_date(day_ms)} (UTC, exchange time) as far as is "
            "known; ask again in a minute."
        )
    return (
        f"Nothing was captured on {_date(day_ms)} (UTC, exchange time); capture here began on "
        f"{_date(first_ms)} and is known until {_date(now_ms)}."
    )
