"""Who else has a database open, as far as the system tells: Linux does, in /proc."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

_BUSY_CODES = {5, 6}  # SQLITE_BUSY, SQLITE_LOCKED
_SUFFIXES = ("", "-wal", "-shm", "-journal")
_PROC = Path("/proc")


class Holder(NamedTuple):
    """A process that has a file open; `name` is its program's."""

    pid: int
    name: str


def is_held(error: sqlite3.Error) -> bool:
    """Tell whether SQLite gave up because somebody else holds the database."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _BUSY_CODES


def held_by(path: Path, proc: Path = _PROC) -> str:
    """Return who holds the database `path`: `another program (sqlite3, pid 4711)`.

    Args:
        path: Of the database; its log and index beside it count as well.
        proc: Where the system shows its processes.
    """
    found = holders(path, proc)
    if not found:
        return f"another program (`lsof {shlex.quote(str(path))}` names it)"
    return f"another program ({', '.join(f'{one.name}, pid {one.pid}' for one in found[:3])})"


def held_sentence(path: Path) -> str:
    """Say who holds the database `path`, and what to do."""
    return (
        f"The database {path} is held by {held_by(path)}; let it finish or end it, and try again."
    )


def holders(path: Path, proc: Path = _PROC) -> list[Holder]:
    """Return the other processes that lock the database for writing, else all that have it open.

    Empty where the system does not tell, or not to this user.
    """
    files = set()
    for suffix in _SUFFIXES:
        with suppress(OSError):
            told = path.with_name(path.name + suffix).stat()
            files.add((told.st_dev, told.st_ino))
    pids = set(_locking(files, proc)) or set(_opening(files, proc))
    return [Holder(pid, _name(proc, pid)) for pid in sorted(pids - {os.getpid()})]


def _locking(files: set[tuple[int, int]], proc: Path) -> Iterator[int]:
    """Yield who holds write locks: `6: POSIX ADVISORY WRITE 18342 fe:00:2146508 120 120`."""
    try:
        lines = (proc / "locks").read_text("ascii", "replace").splitlines()
    except OSError:
        return
    for line in lines:
        words = line.split()
        if len(words) < 6 or words[1] != "POSIX" or words[3] != "WRITE":
            continue
        with suppress(ValueError):
            major, minor, inode = words[5].split(":")
            where = (os.makedev(int(major, 16), int(minor, 16)), int(inode))
            if where in files and int(words[4]) not in (0, -1, os.getpid()):
                yield int(words[4])


def _opening(files: set[tuple[int, int]], proc: Path) -> Iterator[int]:
    with suppress(OSError):
        for process in proc.iterdir():
            if process.name.isdecimal() and int(process.name) != os.getpid():
                yield from _has_open(process, files)


def _has_open(process: Path, files: set[tuple[int, int]]) -> Iterator[int]:
    with suppress(OSError):  # it ended, or belongs to another user
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):
                told = descriptor.stat()
                if (told.st_dev, told.st_ino) in files:
                    yield int(process.name)
                    return


def _name(proc: Path, pid: int) -> str:
    try:
        return (proc / str(pid) / "comm").read_text("utf-8", "replace").strip()
    except OSError:
        return "a program"
