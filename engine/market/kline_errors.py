"""Why a kline file, or one row of it, is not read."""

from __future__ import annotations

from typing import NamedTuple


class UnreadableKlineFile(ValueError):
    """Raised when a whole file can not be read; its text is a sentence for users."""


class DamagedKlineFile(UnreadableKlineFile):
    """Raised where a file breaks off or its packing is damaged; what came before is good."""


class BadRow(NamedTuple):
    """A line that holds no candle.

    Attributes:
        line_number: Counted from 1, blank lines and header included.
        reason: What is wrong, in words.
        raw: The line without its end, cut after 500 characters.
    """

    line_number: int
    reason: str
    raw: str
