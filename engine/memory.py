"""Keeps the process from growing where nothing is kept."""

from __future__ import annotations

import ctypes
import logging
import platform

log = logging.getLogger(__name__)

M_ARENA_MAX = -8  # malloc.h of the GNU C library
ARENAS = 2


def limit_arenas() -> bool:
    """Let all threads share two arenas of the C library's allocator; False where that is not GNU's.

    Each thread would get one of its own, and those of a pool that runs queries for 1,400 series
    grow by tens of megabytes an hour through fragmentation alone. Call it before threads start
    (mallopt(3), GNU C library).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS))
    except (OSError, AttributeError) as error:
        log.info("the allocator could not be limited: %s", error)
        return False
