"""Numbers and times as texts of stable width. An unknown value (None or not finite) is `-`.

Thin or no-break spaces are not used: a plain space stands between a number and its unit.
"""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite

UNKNOWN = "-"
_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def price(value: float | None, decimals: int) -> str:
    """Return `84,212.50`: thousands separators and exactly `decimals` places."""
    if value is None or not isfinite(value):
        return UNKNOWN
    return f"{value:,.{max(0, decimals)}f}"


def plain(value: float, decimals: int) -> str:
    """Return at most `decimals` places without trailing zeros: `0.1`, `10`, `1,000`."""
    text = price(value, decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text


def quantity(value: float | None, decimals: int) -> str:
    """Return a quantity with exactly `decimals` places and thousands separators."""
    return price(value, decimals)


def count(value: float | None) -> str:
    """Return a whole number with thousands separators, such as `1,204,331`."""
    return price(value, 0)


def compact(value: float | None) -> str:
    """Return three significant digits with a unit: `950`, `1.20 k`, `12.3 M`, `123 B`."""
    if value is None or not isfinite(value):
        return UNKNOWN
    size = abs(value)
    for unit, name in _UNITS:
        if size >= unit * 0.9995:
            return f"{_three_digits(value / unit)} {name}"
    if value == int(value):
        return f"{value:.0f}"
    return _three_digits(value)


def _three_digits(value: float) -> str:
    size = abs(value)
    places = 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{value:.{places}f}"


def byte_size(value: float | None) -> str:
    """Return decimal units: `115 MB`, `1.2 GB`, `512 B`."""
    if value is None or not isfinite(value):
        return UNKNOWN
    for unit, name in _BYTES:
        if value >= unit * 0.9995:
            scaled = value / unit
            return f"{scaled:.{1 if scaled < 9.95 else 0}f} {name}"
    return f"{value:.0f} B"


def percent(value: float | None, decimals: int = 2) -> str:
    """Return a change in percent with its sign, such as `+1.02 %`."""
    if value is None or not isfinite(value):
        return UNKNOWN
    text = f"{value:+,.{decimals}f}"
    return f"{'0' + text[2:] if float(text.replace(',', '')) == 0 else text} %"


def share(fraction: float | None, decimals: int = 0) -> str:
    """Return a share of one in percent without sign, such as `61 %`."""
    if fraction is None or not isfinite(fraction):
        return UNKNOWN
    return f"{fraction * 100:.{decimals}f} %"


def share_floor(part: int, whole: int) -> str:
    """Return a share in percent rounded down, so that only a whole one reads `100 %`."""
    if whole <= 0:
        return UNKNOWN
    hundredths = min(10_000, part * 10_000 // whole)
    return "100 %" if hundredths == 10_000 else f"{hundredths / 100:.2f} %"


def signed(value: float | None, decimals: int = 2) -> str:
    """Return a number with its sign, such as `+12.40`."""
    if value is None or not isfinite(value):
        return UNKNOWN
    return f"{value:+,.{decimals}f}"


def age(ms: float | None) -> str:
    """Return how long `ms` milliseconds are, coarsely: `41 ms`, `0.2 s`, `12 s`, `5 min`, `2 h`."""
    if ms is None or not isfinite(ms):
        return UNKNOWN
    ms = max(0.0, ms)
    if ms < 99.5:
        return f"{ms:.0f} ms"
    seconds = ms / 1000
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    for limit, unit, name in ((59.5, 1, "s"), (3570, 60, "min"), (84_600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} d"


def duration(seconds: float | None) -> str:
    """Return `0:41`, `12:05`, `4:12:00` or `3 d 04:12`."""
    if seconds is None or not isfinite(seconds):
        return UNKNOWN
    whole = max(0, int(seconds))
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    if days:
        return f"{days} d {hours:02}:{minutes:02}"
    if hours:
        return f"{hours}:{minutes:02}:{left:02}"
    return f"{minutes}:{left:02}"


def _utc(time_ms: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def clock(time_ms: float | None) -> str:
    """Return the UTC time of day, `21:48:06`, of an epoch time in milliseconds."""
    moment = None if time_ms is None else _utc(time_ms)
    return UNKNOWN if moment is None else f"{moment:%H:%M:%S}"


def clock_ms(time_ms: float | None) -> str:
    """Return the UTC time of day with milliseconds, `21:48:06.912`."""
    moment = None if time_ms is None else _utc(time_ms)
    if moment is None:
        return UNKNOWN
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03}"


def minute(time_ms: float | None) -> str:
    """Return hour and minute in UTC, `21:48`."""
    return clock(time_ms)[:5]


def date(time_ms: float | None) -> str:
    """Return the date in UTC, `2026-11-22`."""
    return stamp(time_ms).partition(" ")[0]


def day(time_ms: float | None) -> str:
    """Return day and month in UTC, `22 Nov`, whatever the locale."""
    moment = None if time_ms is None else _utc(time_ms)
    return UNKNOWN if moment is None else f"{moment.day} {_MONTHS[moment.month - 1]}"


def month_index(time_ms: float) -> int | None:
    """Return the number of months since January of year 0 in UTC, None outside the calendar."""
    moment = _utc(time_ms)
    return None if moment is None else moment.year * 12 + moment.month - 1


def month_name(index: int) -> str:
    """Return the month with this `month_index`, `Nov`, and the year itself for January, `2026`."""
    year, month = divmod(index, 12)
    return _MONTHS[month] if month else f"{year}"


def stamp(time_ms: float | None) -> str:
    """Return date and minute in UTC, `2026-11-22 21:48`."""
    moment = None if time_ms is None else _utc(time_ms)
    return UNKNOWN if moment is None else f"{moment:%Y-%m-%d %H:%M}"
