"""Opens files as sources of the simulated exchange, whichever of the two kinds they are."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from engine.simulator.kline_file import is_kline_file, load_kline_files, start_of
from engine.simulator.recording import is_recording
from engine.simulator.replay_klines import KlineFileSource
from engine.simulator.replay_parts import ReplayError, parse_start, when
from engine.simulator.replay_recording import RecordingSource
from engine.simulator.replay_scan import scan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from engine.simulator.source import Source

__all__ = ["ReplayError", "is_kline_replay", "open_replay"]

_logger = logging.getLogger(__name__)


def open_replay(paths: Sequence[Path], *, start: str | None, start_ms: int | None) -> Source:
    """Open recordings or kline files, told apart by content, as one source.

    Args:
        paths: Files of one kind, plain or gzip (kline files zip too). Recordings continue each
            other in time; kline files bear their symbol in front of their name.
        start: The time (UTC) at which the live part begins, as ISO text or in words such as
            "24 December 2024"; what lies before is history. None: a recording plays from its
            beginning, and kline files after 60 % of their rows.
        start_ms: Exchange time at which an earlier replay stopped; counts for kline files when
            `start` is None.

    Raises:
        ReplayError: in a sentence for users, when the files can not be played like that.
    """
    if not paths:
        raise ReplayError("Name at least one recording or kline file to replay.")
    try:
        if is_kline_replay(paths):
            return _klines(paths, start, start_ms)
        return _recording(paths, start)
    except OSError as error:
        name = error.filename or ", ".join(path.name for path in paths)
        raise ReplayError(f"{name} can not be read: {error.strerror or error}.") from error


def is_kline_replay(paths: Sequence[Path]) -> bool:
    """Tell whether `paths` are kline files (True) or recordings (False).

    Raises:
        ReplayError: when a file is missing, empty or neither, or when both kinds are mixed.
    """
    kinds = {_is_klines(path) for path in paths}
    if len(kinds) > 1:
        raise ReplayError("Recordings and kline files can not be played together; name one kind.")
    return kinds.pop()


def _is_klines(path: Path) -> bool:
    if not path.exists():
        raise ReplayError(f"There is no file {path}.")
    if path.is_dir():
        raise ReplayError(f"{path} is a directory; name the files in it.")
    try:
        if is_recording(path):
            return False
        if is_kline_file(path):
            return True
        empty = path.stat().st_size == 0
    except OSError as error:
        raise ReplayError(f"{path} can not be read: {error.strerror or error}.") from error
    if empty:
        raise ReplayError(f"{path} is empty.")
    raise ReplayError(
        f"{path} is neither a recording (lines of receipt time and JSON) nor a file of "
        "klines; `klinetop import FILE --dry-run` tells what is wrong with those."
    )


def _klines(paths: Sequence[Path], start: str | None, start_ms: int | None) -> Source:
    histories = load_kline_files(paths)
    begin_ms = start_of(histories[0], start, start_ms)
    for history in histories:
        _logger.info(
            "%s: %d candles of %s to %s UTC, %d bad rows; live from %s",
            history.info.name,
            len(history.candles),
            when(history.first_ms),
            when(history.end_ms),
            history.bad_rows,
            when(begin_ms),
        )
    return KlineFileSource(histories, begin_ms)


def _recording(paths: Sequence[Path], start: str | None) -> Source:
    facts = scan(paths)
    _logger.info(
        "%s: %d messages from %s to %s UTC, %d lines unread",
        ", ".join(facts.markets),
        facts.messages,
        when(facts.start_ms),
        when(facts.end_ms),
        facts.unread,
    )
    if start is None:
        return RecordingSource(facts)
    return RecordingSource(facts, parse_start(start, "recordings", facts.start_ms, facts.end_ms))
