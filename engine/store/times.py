"""Times as users write them."""

from __future__ import annotations

from datetime import UTC, datetime

_SETTINGS: dict[str, object] = {
    "TIMEZONE": "UTC",
    "TO_TIMEZONE": "UTC",
    "RETURN_AS_TIMEZONE_AWARE": True,
    "PREFER_DAY_OF_MONTH": "first",
    "PREFER_MONTH_OF_YEAR": "first",
}
_OLDEST_MS = 10**11


class UnknownTime(ValueError):
    """Raised for what can not be read as a time; its text is a sentence for users."""


def time_ms(value: datetime | str | int) -> int:
    """Return a time as UTC epoch milliseconds.

    Args:
        value: A datetime (a naive one is UTC), epoch milliseconds as int or text, ISO text
            (`2024-12-01T10:00`, UTC unless it names an offset), or English words such as
            `22 May, 2021`, `1 Dec 2024 14:30` or `2 days ago`.

    Raises:
        UnknownTime: when it is none of these.
    """
    if isinstance(value, datetime):
        return _of_datetime(value)
    if isinstance(value, int):
        if value < _OLDEST_MS:
            raise UnknownTime(
                f"{value} is no time in epoch milliseconds, which have 13 digits these days."
            )
        return value
    return _of_text(value.strip())


def _of_text(text: str) -> int:
    if text.isdecimal() and len(text) > len("20241201"):
        return time_ms(int(text))
    try:
        return _of_datetime(datetime.fromisoformat(text))
    except ValueError:
        pass  # not ISO text: words are tried next
    import dateparser

    moment = dateparser.parse(text, languages=["en"], settings=_SETTINGS) if text else None
    if moment is None:
        raise UnknownTime(
            f"'{text}' is no time; write it as 2024-12-01, 2024-12-01T10:00, epoch milliseconds, "
            f"or in words such as '22 May, 2021' or '2 days ago'."
        )
    return _of_datetime(moment)


def _of_datetime(moment: datetime) -> int:
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return round(aware.timestamp() * 1000)
