"""Times as people write them on a command line."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime

from engine.commands.guard import USAGE, CommandError

_EPOCH_MS_DIGITS = 12


def time_ms(text: str | None, option: str) -> int | None:
    """Return epoch milliseconds (UTC) for an ISO time, epoch ms, or words such as '2 days ago'.

    Args:
        text: What the user wrote; None stays None. A time without a zone is UTC.
        option: The option it was given to, for the sentence.

    Raises:
        CommandError: when `text` is no time.
    """
    if text is None:
        return None
    if text.isdecimal() and len(text) >= _EPOCH_MS_DIGITS:
        return int(text)
    try:
        moment: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        moment = _from_words(text)
    if moment is None:
        raise CommandError(
            f"{option} {text!r} is no time; write 2024-12-20, '2024-12-20 14:30', "
            "'20 Dec, 2024' or '2 days ago' (UTC).",
            status=USAGE,
        )
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def iso(epoch_ms: int | None) -> str:
    """Return `2024-12-20 14:30` for epoch ms (UTC); `-` for None."""
    if epoch_ms is None:
        return "-"
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _from_words(text: str) -> datetime | None:
    import dateparser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dateparser.parse(
            text, languages=["en"], settings={"TIMEZONE": "UTC", "RETURN_AS_TIMEZONE_AWARE": True}
        )
