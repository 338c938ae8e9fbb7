"""A copy of the database of one moment, made while an engine goes on writing."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from engine.store.database import DATABASE_NAME, is_corruption, open_for_reading
from engine.store.errors import CorruptDatabase, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STEP_PAGES = 2_000
PARTIAL_SUFFIX = ".partial"


class BackupResult(NamedTuple):
    """What a backup holds: its size, and the candles in it."""

    bytes: int
    candles: int


def back_up(
    directory: Path, target: Path, progress: Callable[[int, int], None] | None = None
) -> BackupResult:
    """Copy the database in `directory` to the file `target` (mode 0600), and check the copy.

    The copy is written beside `target` and renamed at the end, so `target` is whole or not there.
    One read transaction is held meanwhile: the copy is of one moment, and the engine's
    write-ahead log grows until it is done.

    Args:
        directory: The data directory; an engine may run on it.
        target: A file that does not exist yet.
        progress: Called with pages done and pages in all.

    Raises:
        CorruptDatabase: when the database is damaged, which shows in the copy.
        StoreError: when there is nothing to copy, or no room for it.
    """
    if target.exists():
        raise StoreError(f"{target} is there already; name another file, or move it away first.")
    scratch = target.with_name(target.name + PARTIAL_SUFFIX)
    with closing(open_for_reading(directory)) as source:
        _check_room(directory / DATABASE_NAME, target)
        try:
            os.close(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
            scratch.chmod(0o600)
            candles, found = _copy(source, scratch, progress)
            if found != ["ok"]:
                raise _damaged(directory / DATABASE_NAME, "; ".join(found))
            _sync(scratch)
            scratch.replace(target)
            _sync(target.parent)
        except sqlite3.Error as error:
            if is_corruption(error):
                raise _damaged(directory / DATABASE_NAME, str(error)) from error
            raise StoreError(f"The backup to {target} failed: {error}. There is none.") from error
        except OSError as error:
            raise StoreError(
                f"The backup can not be written to {target}: {error.strerror or error}."
            ) from error
        finally:
            for suffix in ("", "-journal", "-wal", "-shm"):
                scratch.with_name(scratch.name + suffix).unlink(missing_ok=True)
    return BackupResult(target.stat().st_size, candles)


def _copy(
    source: sqlite3.Connection, scratch: Path, progress: Callable[[int, int], None] | None
) -> tuple[int, list[str]]:
    """Copy all pages; returns how many candles the copy has, and what its check found."""

    def told(_: int, left: int, total: int) -> None:
        if progress is not None:
            progress(total - left, total)

    with closing(sqlite3.connect(scratch, isolation_level=None)) as copy:
        # Without a transaction, every commit of the engine would begin the copy anew.
        source.execute("BEGIN")
        candles = source.execute(
            "SELECT ifnull(sum(value), 0) FROM counter WHERE name <> 'quarantine'"
        ).fetchone()[0]
        source.backup(copy, pages=STEP_PAGES, progress=told, sleep=0)
        source.execute("ROLLBACK")
        copy.execute("PRAGMA journal_mode = DELETE").fetchone()
        found = [" ".join(str(row[0]).split()) for row in copy.execute("PRAGMA quick_check(1)")]
    return int(candles), found


def _damaged(path: Path, found: str) -> CorruptDatabase:
    return CorruptDatabase(
        f"No backup was made, since the database {path} is damaged ({found}): `klinetop db check` "
        f"tells more, and `klinetop db salvage DIRECTORY` reads what can be read into a fresh one."
    )


def _check_room(database: Path, target: Path) -> None:
    needed = database.stat().st_size
    try:
        free = shutil.disk_usage(target.parent).free
    except OSError as error:
        raise StoreError(
            f"The backup can not be written to {target}: {error.strerror or error}."
        ) from error
    if free < needed:
        raise StoreError(
            f"The backup needs {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free in "
            f"{target.parent}; free some space or name another place."
        )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
