"""Log files that do not grow without bound: past a size they are begun anew, one old is kept."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

LOG_BYTES_MAX = 2 * 1024 * 1024
WATCH_EVERY_S = 30.0
_STDOUT, _STDERR = 1, 2


def rotate(file: Path) -> bool:
    """Rename `file` to `….1` when it is past `LOG_BYTES_MAX`, and tell whether it was.

    Raises:
        OSError: when it can not be renamed.
    """
    try:
        if file.stat().st_size <= LOG_BYTES_MAX:
            return False
        file.replace(file.with_name(file.name + ".1"))
    except FileNotFoundError:
        return False
    return True


def open_log(file: Path) -> int:
    """Rotate `file` and open it for appending, with mode 0600; returns the descriptor.

    Raises:
        OSError: when it can not be written.
    """
    rotate(file)
    return os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


async def keep_small(file: Path, every_s: float = WATCH_EVERY_S) -> None:
    """Rotate `file` while it is this process's standard error, until cancelled."""
    while True:
        await asyncio.sleep(every_s)
        try:
            _move_on(file)
        except OSError as error:
            log.warning("The log can not be begun anew: %s", error)


def _move_on(file: Path) -> None:
    if not file.exists() or not os.path.samestat(os.fstat(_STDERR), file.stat()):
        return
    if not rotate(file):
        return
    fresh = open_log(file)
    for descriptor in (_STDOUT, _STDERR):
        os.dup2(fresh, descriptor)
    os.close(fresh)
