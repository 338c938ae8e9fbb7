"""Open times of klines as other tools write them, as epoch milliseconds.

Numbers tell their unit by their size. Text has the year first or the month as a word; whether the
day or the month comes first is never guessed, and a clock time is UTC unless a zone is named.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.market.kline_errors import UnreadableKlineFile

OLDEST_S = 10**9
OLDEST_MS = 10**11
OLDEST_US = 10**14
OLDEST_NS = 10**17
_NEWEST_NS = 10**19
_UNITS = ((OLDEST_NS, 1_000_000), (OLDEST_US, 1_000), (OLDEST_MS, 1))
_NEWEST_S = 10**10
_MINUTE_MS = 60_000

_NUMBER = re.compile(r"[0-9]+")
_WHOLE = re.compile(r"([0-9]+)\.0*")
_FRACTION = re.compile(r"([0-9]{10})\.([0-9]{1,9})")
_POWER = re.compile(r"([0-9])(?:\.([0-9]+))?[eE]\+?([0-9]{1,2})")
_COMPACT = re.compile(r"(?:19|20)[0-9]{6}(?:[0-9]{4}|[0-9]{6})?")
_DATED = re.compile(r"[0-9].*[-/. :].*[0-9]")
_DAY_NUMBER = re.compile(r"[0-9]{5}(?:\.[0-9]*)?")
_CLOCK = (
    r"(?:(?:\s*[T_,]\s*|\s+|:)(?P<H>[0-9]{1,2})(?::?(?P<M>[0-9]{2})(?::?(?P<S>[0-9]{2})"
    r"(?:[.,](?P<f>[0-9]{1,9}))?)?)?(?:[\s-]*(?P<half>[AP])\.?M\.?)?)?"
)
_ZONE = r"\s*(?P<zone>Z|UTC|GMT|(?:UTC|GMT)?[+-][0-9]{2}(?::?[0-9]{2})?(?: UTC)?)?(?:\s*\([^)]*\))?"
_DATES = (
    r"(?P<y>[0-9]{4})(?P<mark>[-/.])(?P<m>[0-9]{1,2})(?P=mark)(?P<d>[0-9]{1,2})",
    r"(?P<y>[0-9]{4})(?P<m>[0-9]{2})(?P<d>[0-9]{2})",
    r"(?P<y>[0-9]{4})年(?P<m>[0-9]{1,2})月(?P<d>[0-9]{1,2})日",
    r"(?:[A-Z]{3,9},?\s+)?(?P<d>[0-9]{1,2})[-\s./]*(?P<m>[A-Z]{3,9})[-\s./,]*(?P<y>[0-9]{4})",
    r"(?:[A-Z]{3,9},?\s+)?(?P<m>[A-Z]{3,9})\.?\s+(?P<d>[0-9]{1,2}),?\s+(?P<y>[0-9]{4})",
)
_YEAR_LAST = (
    r"(?:[A-Z]{3,9},?\s+)?(?P<m>[A-Z]{3,9})\s+(?P<d>[0-9]{1,2})"
    + _CLOCK
    + r"\s+(?:(?:UTC|GMT)\s+)?(?P<y>[0-9]{4})"
)
_TEXTS = tuple(
    re.compile(text + _ZONE, re.IGNORECASE)
    for text in (*(date + _CLOCK for date in _DATES), _YEAR_LAST)
)
_EITHER_ORDER = re.compile(r"[0-9]{1,2}([-/.])[0-9]{1,2}\1(?:[0-9]{4}|[0-9]{2})(?![0-9])(.*)")
_MONTHS = (
    ("JAN", "JANUARY"),
    ("FEB", "FEBRUARY"),
    ("MAR", "MARCH"),
    ("APR", "APRIL"),
    ("MAY", "MAY"),
    ("JUN", "JUNE"),
    ("JUL", "JULY"),
    ("AUG", "AUGUST"),
    ("SEP", "SEPTEMBER"),
    ("OCT", "OCTOBER"),
    ("NOV", "NOVEMBER"),
    ("DEC", "DECEMBER"),
)
_MONTH = {word: at for at, words in enumerate(_MONTHS, 1) for word in (*words, words[1][:4])}


class TimeForm(NamedTuple):
    """How the open times of a file are to be understood.

    Attributes:
        zone: Zone of clock times that name none.
        pattern: Of `datetime.strptime`; empty, where the text is to be understood by itself.
    """

    zone: tzinfo = UTC
    pattern: str = ""


class TimeKind(NamedTuple):
    """How an open time is written.

    Attributes:
        unit: `seconds`, `milliseconds`, `microseconds`, `nanoseconds` or `text`.
        zone: Name of the zone that it is in; empty where the text names its offset.
    """

    unit: str
    zone: str


class EitherOrder(ValueError):
    """Raised for a date that may be day-first or month-first; its text is a sentence."""


def parse_zone(text: str) -> tzinfo:
    """Return the zone called `text`: `UTC`, `Europe/Berlin`, `+08:00`.

    Raises:
        UnreadableKlineFile: when there is no such zone.
    """
    if text.upper() in ("UTC", "Z", "GMT"):
        return UTC
    if match := re.fullmatch(r"(?:UTC|GMT)?([+-])([0-9]{1,2})(?::?([0-9]{2}))?", text.upper()):
        sign = -1 if match[1] == "-" else 1
        minutes = int(match[2]) * 60 + int(match[3] or 0)
        if minutes < 24 * 60:
            return timezone(sign * timedelta(minutes=minutes))
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UnreadableKlineFile(
            f"There is no time zone {text!r}; write UTC, +08:00 or a name such as Europe/Berlin."
        ) from None


def check_pattern(pattern: str) -> None:
    """Refuse a `pattern` of which no time can be made.

    Raises:
        UnreadableKlineFile: with a sentence for users.
    """
    moment = datetime(2021, 1, 31, 13, 45, tzinfo=UTC)
    again: datetime | None = None
    if "%Y" in pattern or "%y" in pattern:
        with suppress(ValueError):
            again = datetime.strptime(moment.strftime(pattern), pattern)  # noqa: DTZ007
    if again is None or (again.year, again.month, again.day) != (2021, 1, 31):
        raise UnreadableKlineFile(
            f"With --date-format {pattern!r} no day can be told; "
            "write it like '%d/%m/%Y %H:%M' (day, month, year, hour, minute)."
        )


def open_time_ms(text: str, form: TimeForm) -> int:
    """Return the time that `text` says, in epoch milliseconds.

    Raises:
        EitherOrder: for a date that may be day-first or month-first.
        ValueError: when it is no time; the text says why, in words.
    """
    text = text.strip()
    if form.pattern:
        return _by_pattern(text, form)
    if _NUMBER.fullmatch(text):
        return _of_digits(text, form)
    if match := _WHOLE.fullmatch(text):
        return _of_digits(match[1], form)
    if match := _FRACTION.fullmatch(text):
        return _ms_of(int(match[1]) * 1_000_000_000 + int(match[2].ljust(9, "0")), text)
    if match := _POWER.fullmatch(text):
        return _of_power(text, match)
    return _of_text(text, form)


def kind_of(text: str, form: TimeForm) -> TimeKind:
    """Return how the open time `text` is written, which `open_time_ms` understands."""
    text = text.strip()
    match = _WHOLE.fullmatch(text) or _FRACTION.fullmatch(text)
    digits = match[1] if match else text
    is_number = _NUMBER.fullmatch(digits) and not _COMPACT.fullmatch(digits)
    if form.pattern or not is_number:
        parts = (
            None if form.pattern else next(filter(None, (p.fullmatch(text) for p in _TEXTS)), None)
        )
        has_offset = parts is not None and parts["zone"] is not None
        return TimeKind("text", "" if has_offset else str(form.zone))
    units = ((OLDEST_NS, "nanoseconds"), (OLDEST_US, "microseconds"), (OLDEST_MS, "milliseconds"))
    return TimeKind(
        next((name for oldest, name in units if int(digits) >= oldest), "seconds"), "UTC"
    )


def number_ms(number: int) -> int | None:
    """Return seconds, milliseconds, microseconds or nanoseconds as milliseconds.

    None when it is neither of them, or lies between two milliseconds.
    """
    if OLDEST_S <= number < _NEWEST_S:
        return number * 1_000
    for oldest, factor in _UNITS:
        if number >= oldest:
            whole, rest = divmod(number, factor)
            return None if rest or number >= _NEWEST_NS else whole
    return None


def _of_digits(text: str, form: TimeForm) -> int:
    if _COMPACT.fullmatch(text) and len(text) != 12:
        return _of_text(f"{text[:8]} {text[8:]}".strip(), form)
    if len(text) == 12 and text.startswith("20"):  # as milliseconds it would be 1976
        try:
            return _of_text(f"{text[:8]} {text[8:]}", form)
        except ValueError:
            pass
    time_ms = number_ms(int(text)) if len(text) < 25 else None
    if time_ms is not None:
        return time_ms
    if _DAY_NUMBER.fullmatch(text):
        raise ValueError(_day_number(text))
    raise ValueError(
        "open_time is neither seconds, milliseconds, microseconds nor nanoseconds, "
        f"or no whole millisecond: '{text[:40]}'"
    )


def _day_number(text: str) -> str:
    return (
        f"open_time '{text}' is a spreadsheet's day number; "
        "format the column as text like 2021-01-31 13:45 and save again"
    )


def _ms_of(time_ns: int, text: str) -> int:
    whole, rest = divmod(time_ns, 1_000_000)
    if rest:
        raise ValueError(f"open_time is no whole millisecond: '{text}'")
    return whole


def _of_power(text: str, match: re.Match[str]) -> int:
    digits = match[1] + (match[2] or "")
    missing = int(match[3]) + 1 - len(digits)
    if missing > 0:
        raise ValueError(
            f"open_time '{text}' has lost its last {missing} digits to scientific notation; "
            "format the column as a number without an exponent and save again"
        )
    whole, rest = digits[: int(match[3]) + 1], digits[int(match[3]) + 1 :]
    time_ms = None if rest.strip("0") else number_ms(int(whole))
    if time_ms is None:
        raise ValueError(f"open_time is no time: '{text}'")
    return time_ms


def _of_text(text: str, form: TimeForm) -> int:
    for pattern in _TEXTS:
        if match := pattern.fullmatch(text):
            return _of_match(text, match, form)
    if match := _EITHER_ORDER.match(text):
        raise EitherOrder(_either_order(text, match))
    if _DAY_NUMBER.fullmatch(text):
        raise ValueError(_day_number(text))
    if not text:
        raise ValueError("open_time is empty")
    hint = "; if it is one, say how it is written with --date-format" if _DATED.search(text) else ""
    raise ValueError(f"open_time is no time: '{text[:40]}'{hint}")


def _either_order(text: str, match: re.Match[str]) -> str:
    mark, rest = match[1], match[2]
    year = "%Y" if re.match(r"[^.]*?[-/.][^.]*?[-/.][0-9]{4}", text) else "%y"
    clock = ""
    if found := re.match(r"([T\s,]+)[0-9]{1,2}(:[0-9]{2})?(:[0-9]{2})?(\.[0-9]+)?(.*)", rest):
        half = found[5].strip().upper() in ("AM", "PM")
        clock = found[1] + ("%I" if half else "%H") + (":%M" if found[2] else "")
        clock += (":%S" if found[3] else "") + (".%f" if found[4] else "")
        clock += " %p" if half else ""
    first, second = f"%d{mark}%m{mark}{year}{clock}", f"%m{mark}%d{mark}{year}{clock}"
    return (
        f"Times such as '{text}' may be day-first or month-first; "
        f"say --date-format '{first}' or --date-format '{second}'."
    )


def _of_match(text: str, match: re.Match[str], form: TimeForm) -> int:
    part = match.groupdict()
    month = _MONTH.get(part["m"].upper(), 0) if part["m"].isalpha() else int(part["m"])
    hour = int(part["H"] or 0)
    if part["half"]:
        if not 1 <= hour <= 12:
            raise ValueError(f"open_time is no time: '{text}'")
        hour = hour % 12 + (12 if part["half"].upper() == "P" else 0)
    fraction = (part["f"] or "").ljust(9, "0")
    if fraction[3:].strip("0"):
        raise ValueError(f"open_time is no whole millisecond: '{text}'")
    try:
        clock = datetime(  # noqa: DTZ001  the zone follows
            int(part["y"]), month, int(part["d"]), hour, int(part["M"] or 0), int(part["S"] or 0)
        )
    except ValueError:
        raise ValueError(f"open_time is no time that there is: '{text}'") from None
    zone = _zone_of(part["zone"], form)
    return _epoch_ms(clock, zone, text) + int(fraction[:3])


def _zone_of(text: str | None, form: TimeForm) -> tzinfo:
    if not text:
        return form.zone
    return UTC if text.upper() in ("Z", "UTC", "GMT") else parse_zone(text.removesuffix(" UTC"))


def _by_pattern(text: str, form: TimeForm) -> int:
    try:
        moment = datetime.strptime(text, form.pattern)  # noqa: DTZ007  the zone follows
    except ValueError:
        raise ValueError(
            f"open_time does not fit --date-format {form.pattern}: '{text[:40]}'"
        ) from None
    rest_us = moment.microsecond
    if rest_us % 1000:
        raise ValueError(f"open_time is no whole millisecond: '{text}'")
    clock = moment.replace(microsecond=0)
    if moment.tzinfo is not None:
        return round(clock.timestamp()) * 1000 + rest_us // 1000
    return _epoch_ms(clock, form.zone, text) + rest_us // 1000


def _epoch_ms(clock: datetime, zone: tzinfo, text: str) -> int:
    """Return the epoch time of a clock time; its microseconds are 0."""
    moment = clock.replace(tzinfo=zone)
    if zone is not UTC and not isinstance(zone, timezone):
        first, second = moment.utcoffset(), moment.replace(fold=1).utcoffset()
        if first != second:
            is_missing = moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != clock
            why = "does not exist" if is_missing else "exists twice"
            raise ValueError(f"open_time '{text}' {why} in {zone}, where the clocks are changed")
    return round(moment.timestamp()) * 1000
