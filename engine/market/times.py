"""Times as people write them: the one reader of command lines, settings and Python calls."""

from __future__ import annotations

import re
import warnings
from datetime import UTC, date, datetime, time, timedelta
from operator import index
from typing import Any

HELP = (
    "write it as 2024-12-20, '2024-12-20 14:30', epoch s, ms, µs or ns, '20 Dec, 2024' or "
    "'2 days ago' (UTC)."
)
_EPOCH_DIGITS = {10: 1_000_000_000, 13: 1_000_000, 16: 1_000, 19: 1}  # nanoseconds of one unit
_NS_PER_MS = 1_000_000
_FIRST_YEAR, _LAST_YEAR = 1970, 2199
_YEARS = f"years run from {_FIRST_YEAR} to {_LAST_YEAR}"
_EPOCH = datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC)
_END_MS = (datetime(_LAST_YEAR + 1, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)
_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})(?:\2(\d{1,2}))?(?![\d/.-])(.*)", re.DOTALL)
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})(?!\d)(.*)", re.DOTALL)
_BASIC = re.compile(r"\d{8}(T.+)?|\d{4}-?W\d{2}(-?\d)?(T.+)?")
_CLOCK = re.compile(r"(\d{1,2})(:.+|(?=$|[Z+-]))", re.DOTALL)
_UTC_WORD = re.compile(r"\s*(Z|UTC|GMT)$", re.IGNORECASE)
_MONTH_NAME = re.compile(
    r"\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b", re.IGNORECASE
)
_SETTINGS: dict[str, object] = {
    "TIMEZONE": "UTC",
    "TO_TIMEZONE": "UTC",
    "RETURN_AS_TIMEZONE_AWARE": True,
}
# `Dec 2020` means its first day, while `a year ago` keeps day and month.
_FIRSTS = {"PREFER_DAY_OF_MONTH": "first", "PREFER_MONTH_OF_YEAR": "first"}


class UnknownTime(ValueError):
    """Raised for what can not be read as a time; its text is a sentence for users."""


def time_ms(value: datetime | date | str | int, *, now: datetime | None = None) -> int:
    """Return a time as UTC epoch milliseconds.

    Args:
        value: A datetime (a naive one is UTC) or date; an epoch time as int or text, of 10 digits
            (s), 13 (ms), 16 (µs) or 19 (ns); text such as `2024-12-01T10:00` (UTC unless it names
            an offset), `2024` (its first of January) or `2024-12` (its first day); English words
            such as `22 May, 2021`, `1 Dec 2024 14:30` or `2 days ago`.
        now: What relative words count from; None is this moment.

    Raises:
        UnknownTime: when it is none of these, a day that does not exist, or one such as
            `01/02/2021` that may be two days.
    """
    if isinstance(value, datetime):
        return _of_datetime(value)
    if isinstance(value, date):
        return _of_datetime(datetime.combine(value, time()))
    if not isinstance(value, str):
        return _of_number(str(index(value)))
    text = value.strip()
    if text.isdecimal() and text.isascii():
        return _of_digits(text)
    return _of_datetime(_moment(text, now or datetime.now(UTC)))


def time_text(epoch_ms: int) -> str:
    """Return `2024-12-20 14:30` (UTC) for epoch milliseconds, with seconds where there are any."""
    moment = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    return moment.strftime("%Y-%m-%d %H:%M" if epoch_ms % 60_000 == 0 else "%Y-%m-%d %H:%M:%S")


def _of_digits(text: str) -> int:
    if len(text) == len("2024"):
        if not _FIRST_YEAR <= int(text) <= _LAST_YEAR:
            raise UnknownTime(f"'{text}' is no time: {_YEARS}; {HELP}")
        return _of_datetime(datetime(int(text), 1, 1, tzinfo=UTC))
    if len(text) == len("20241201"):
        return _of_datetime(_moment(text, datetime.now(UTC)))
    return _of_number(text)


def _of_number(text: str) -> int:
    unit_ns = _EPOCH_DIGITS.get(len(text)) if text.isdecimal() else None
    if unit_ns is None:
        raise UnknownTime(
            f"'{text}' is no time: epoch times have 10 digits (s), 13 (ms), 16 (µs) or 19 (ns); "
            f"{HELP}"
        )
    return int(text) * unit_ns // _NS_PER_MS


def _of_datetime(moment: datetime) -> int:
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    epoch_ms = round((aware - _EPOCH) / timedelta(milliseconds=1))
    if not 0 <= epoch_ms < _END_MS:
        raise UnknownTime(f"'{moment}' is no time of a market: {_YEARS}; {HELP}")
    return epoch_ms


def _moment(text: str, now: datetime) -> datetime:
    if found := _YEAR_FIRST.fullmatch(text):
        year, _, month, day, rest = found.groups()
        if day is None and rest.strip():
            raise _unknown(text)
        return _at(_day(text, int(year), int(month), int(day or 1)), rest, text)
    if found := _YEAR_LAST.fullmatch(text):
        first, _, second, year, rest = found.groups()
        return _at(_either_day(text, int(first), int(second), int(year)), rest, text)
    if _BASIC.fullmatch(text):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            raise _unknown(text, "there is no such day or time") from None
    if (clock := _clock(text)) is not None and ":" in text:
        return datetime.combine(now.astimezone(UTC).date(), clock)
    if text.lower() == "now":
        return now
    moment = _of_words(text, now) if _has_letters(text) else None
    if moment is None:
        raise _unknown(text)
    return moment


def _day(text: str, year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        raise _unknown(text, "there is no such day") from None


def _either_day(text: str, first: int, second: int, year: int) -> date:
    """Return the day that `first`/`second`/`year` is where day and month can not be mistaken."""
    days = []
    for month, day in {(second, first), (first, second)}:
        try:
            days.append(date(year, month, day))
        except ValueError:
            continue
    if not days:
        raise _unknown(text, "there is no such day")
    if len(days) > 1:
        both = " or ".join(str(day) for day in sorted(days))
        raise UnknownTime(f"'{text}' may be two days; write {both}.")
    return days[0]


def _at(day: date, rest: str, text: str) -> datetime:
    """Return the time of `day` that `rest` of `text` tells."""
    rest = rest.removeprefix("T").strip(" ,")
    if not rest or _UTC_WORD.fullmatch(rest):
        return datetime.combine(day, time())
    clock = _clock(rest)
    if clock is not None:
        return datetime.combine(day, clock)
    moment = _of_words(f"{day} {rest}", datetime.now(UTC)) if _has_letters(rest) else None
    if moment is None or abs((moment.date() - day).days) > 1:
        raise _unknown(text, "there is no such time of day")
    return moment


def _clock(text: str) -> time | None:
    """Return a time of day such as `9:30`, `14:30:00.5Z` or `14:30 +02:00`; None for others."""
    found = _CLOCK.fullmatch(_UTC_WORD.sub("+00:00", text).replace(" ", ""))
    if found is None:
        return None
    try:
        return time.fromisoformat(found[1].zfill(2) + found[2])
    except ValueError:
        return None


def _of_words(text: str, now: datetime) -> datetime | None:
    import dateparser  # its import takes 0.2 s

    settings: dict[str, Any] = {**_SETTINGS, "RELATIVE_BASE": now.astimezone(UTC)}
    if _MONTH_NAME.search(text):
        settings |= _FIRSTS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dateparser.parse(text, languages=["en"], settings=settings)


def _has_letters(text: str) -> bool:
    return any(map(str.isalpha, text))


def _unknown(text: str, why: str = "") -> UnknownTime:
    return UnknownTime(f"'{text}' is no time{': ' * bool(why)}{why}; {HELP}")
