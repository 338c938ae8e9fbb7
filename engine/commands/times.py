"""Times of the command line: read for an option, and told as they were understood."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from engine.commands.guard import USAGE, CommandError
from engine.commands.output import say
from engine.market.times import UnknownTime, time_text
from engine.market.times import time_ms as read_time

if TYPE_CHECKING:
    from engine.settings import Settings


def time_ms(text: str | None, option: str) -> int | None:
    """Return epoch milliseconds (UTC) of what a user wrote; None stays None.

    Args:
        text: Any form that `engine.market.times` reads.
        option: The option it was given to, for the sentence.

    Raises:
        CommandError: when `text` is no time.
    """
    if text is None:
        return None
    try:
        return read_time(text)
    except UnknownTime as error:
        raise CommandError(f"{option} {error}", status=USAGE) from error


def check_order(start_ms: int | None, end_ms: int | None) -> None:
    """Refuse a range that holds nothing.

    Raises:
        CommandError: when it does not end after its start.
    """
    if start_ms is not None and end_ms is not None and end_ms <= start_ms:
        raise CommandError("--end must lie after --start.", status=USAGE)


def say_range(start_ms: int | None, end_ms: int | None = None) -> None:
    """Print on stderr what was understood, such as `from 2021-01-01 00:00 UTC`."""
    ends = (("from", start_ms), ("to", end_ms))
    parts = [f"{word} {time_text(at_ms)} UTC" for word, at_ms in ends if at_ms is not None]
    if parts:
        say(" ".join(parts))


def say_replay_start(settings: Settings) -> None:
    """Print where a replay starts, as `--from` was understood.

    Raises:
        CommandError: when it is no time.
    """
    if settings.replay and settings.replay_from is not None:
        say_range(time_ms(settings.replay_from, "--from"))


def iso(epoch_ms: int | None) -> str:
    """Return `2024-12-20 14:30` for epoch ms (UTC); `-` for None."""
    if epoch_ms is None:
        return "-"
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
