"""Keeps the process from growing where nothing is kept, and tells what its memory consists of."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import platform
import sys
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # malloc.h of the GNU C library
ARENAS = 2
MMAP_FROM_BYTES = 256 * 1024
TRIM_EVERY_S = 300.0
_STATUS = Path("/proc/self/status")


def limit_arenas() -> bool:
    """Let all threads share two arenas of the C library's allocator; False where that is not GNU's.

    Each thread would get one of its own, and those of a pool that runs queries for 1,400 series
    grow by tens of megabytes an hour through fragmentation alone. Blocks from 256 KiB on are
    mapped singly and given back when they are freed: the library's own limit rises to 32 MiB with
    the first that is freed, and the holes of such blocks stay. Call it before threads start
    (mallopt(3), GNU C library).
    """
    library = _gnu_library()
    if library is None:
        return False
    is_mapped = library.mallopt(M_MMAP_THRESHOLD, MMAP_FROM_BYTES)
    return bool(library.mallopt(M_ARENA_MAX, ARENAS) and is_mapped)


def give_back() -> bool:
    """Give the allocator's free pages back to the system; False where there is none to give.

    What threads leave behind between blocks that live long is kept else: 10 MB after an hour of
    all markets. It takes some milliseconds for 100 MB (malloc_trim(3), GNU C library).
    """
    library = _gnu_library()
    return library is not None and bool(library.malloc_trim(0))


async def keep_trimmed(every_s: float = TRIM_EVERY_S) -> None:
    """Give free pages back every so often, in a thread, until cancelled."""
    while True:
        await asyncio.sleep(every_s)
        await asyncio.to_thread(give_back)


class MemoryUsage(NamedTuple):
    """What this process holds, in bytes; None where the system does not tell.

    Attributes:
        resident_bytes: All that is in memory, code and mapped files included.
        anonymous_bytes: What of it belongs to no file: the allocator's, Python's arenas, stacks.
        allocator_used_bytes: Handed out by the C library's allocator, SQLite's part included.
        allocator_free_bytes: Kept by it for the next request.
        sqlite_bytes: Used by SQLite: the page caches of all connections, mostly.
        python_blocks: Objects' blocks that Python's own allocator handed out.
    """

    resident_bytes: int | None
    anonymous_bytes: int | None
    allocator_used_bytes: int | None
    allocator_free_bytes: int | None
    sqlite_bytes: int | None
    python_blocks: int


def usage() -> MemoryUsage:
    """Return what this process holds now; it takes less than a millisecond."""
    resident, anonymous = _resident()
    used, free = _allocator()
    return MemoryUsage(resident, anonymous, used, free, _sqlite(), sys.getallocatedblocks())


class _Mallinfo2(ctypes.Structure):
    # mallinfo(3), GNU C library 2.33 and later
    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def _gnu_library() -> ctypes.CDLL | None:
    if platform.libc_ver()[0] != "glibc":
        return None
    try:
        library = ctypes.CDLL(None)
        library.mallopt  # noqa: B018
    except (OSError, AttributeError) as error:
        log.info("the allocator could not be limited: %s", error)
        return None
    return library


def _resident() -> tuple[int | None, int | None]:
    """Return resident and anonymous bytes (proc_pid_status(5))."""
    try:
        lines = dict(line.split(":", 1) for line in _STATUS.read_text("utf-8").splitlines())
        return tuple(int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "RssAnon"))  # type: ignore[return-value]
    except (OSError, KeyError, ValueError):
        return None, None


def _allocator() -> tuple[int | None, int | None]:
    library = _gnu_library()
    if library is None or not hasattr(library, "mallinfo2"):
        return None, None
    library.mallinfo2.restype = _Mallinfo2
    info = library.mallinfo2()
    return info.uordblks + info.hblkhd, info.fordblks


def _sqlite() -> int | None:
    """Ask the library that Python's module is linked with, or holds itself."""
    import _sqlite3

    try:
        used = ctypes.CDLL(_sqlite3.__file__).sqlite3_memory_used
    except (OSError, AttributeError):
        return None
    used.restype = ctypes.c_int64
    return int(used())
