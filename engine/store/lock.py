"""One engine for each data directory."""

from __future__ import annotations

import fcntl
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from engine.store.errors import DirectoryBusy, NotWritable

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

LOCK_NAME = "engine.lock"
MOMENT_S = 0.5
STEP_S = 0.005


class DirectoryLock:
    """An exclusive lock on a data directory, gone with the process that holds it.

    It is a `flock` on `engine.lock` in the directory. The file holds the holder's process id and,
    in a second line, the wall clock at which it took the lock (epoch ms).
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, directory: Path) -> DirectoryLock:
        """Lock `directory`, which is made when it does not exist.

        Raises:
            DirectoryBusy: when another process holds it (or another lock in this one).
            NotWritable: when directory or lock file can not be made.
        """
        make_directory(directory)
        try:
            descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise not_writable(directory, error) from error
        try:
            _lock(descriptor)
        except OSError as error:
            pid, since_ms = _read(descriptor)
            os.close(descriptor)
            if not isinstance(error, BlockingIOError):
                raise not_writable(directory, error) from error
            who = f" ({_described(pid, since_ms)})" if pid else ""
            raise DirectoryBusy(
                f"Another klinetop engine{who} already holds {directory}; attach to it with "
                f"`klinetop`, end it with `klinetop stop`, or use another --data-dir.",
                pid,
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n{time.time_ns() // 1_000_000}\n".encode(), 0)
        return cls(descriptor)

    @staticmethod
    def holder(directory: Path) -> int | None:
        """Return the process id of who holds `directory`; None when nobody does."""
        try:
            descriptor = os.open(directory / LOCK_NAME, os.O_RDONLY)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _holder_soon(descriptor)
        finally:
            os.close(descriptor)
        return None

    def release(self) -> None:
        """Give the directory free; a second call does nothing."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def make_directory(directory: Path) -> None:
    """Make `directory` with its parents.

    Raises:
        NotWritable: when that is not possible.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable(directory, error) from error


def not_writable(directory: Path, error: Exception) -> NotWritable:
    """Return the sentence for a directory that refused a write."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return NotWritable(
        f"The data directory {directory} can not be written ({why}); make it writable or choose "
        f"another one with --data-dir."
    )


def _lock(descriptor: int) -> None:
    """Take the lock; who only looks who holds it, has it for a moment, and is waited for.

    Raises:
        OSError: a `BlockingIOError` when another one holds it.
    """
    until_s = time.monotonic() + MOMENT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if _is_alive(_read(descriptor)[0]) or time.monotonic() >= until_s:
                raise
            time.sleep(STEP_S)
        else:
            return


def _holder_soon(descriptor: int) -> int | None:
    """Return the process id of a holder, which writes it a moment after it took the lock."""
    until_s = time.monotonic() + MOMENT_S
    while (pid := _read(descriptor)[0]) is None and time.monotonic() < until_s:
        time.sleep(STEP_S)
    return pid


def _is_alive(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _read(descriptor: int) -> tuple[int | None, int | None]:
    """Return the holder's process id and since when it holds (epoch ms), None where not told."""
    words = os.pread(descriptor, 64, 0).decode("ascii", "replace").split()
    numbers = [int(word) if word.isdecimal() and len(word) < 15 else None for word in words[:2]]
    pid, since_ms = (*numbers, None, None)[:2]
    return pid, since_ms


def _described(pid: int, since_ms: int | None) -> str:
    if since_ms is None:
        return f"pid {pid}"
    return f"pid {pid}, since {datetime.fromtimestamp(since_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
