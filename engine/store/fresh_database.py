"""A database that is made at one go: it is there when it is whole, or not at all."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from engine.store.database import DATABASE_NAME, open_for_writing
from engine.store.errors import WriteRefused
from engine.store.tasks import is_outside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARTIAL_NAME = "salvage.partial"


@contextmanager
def whole_or_none(target: Path, kind: str, note: str) -> Iterator[sqlite3.Connection]:
    """Make a database that appears in `target` when it is whole, whatever ends the work before.

    Raises:
        WriteRefused: when the disk does not take it.
    """
    partial = target / PARTIAL_NAME
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with closing(open_for_writing(partial, kind, note)) as fresh:
            yield fresh
            fresh.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        (partial / DATABASE_NAME).replace(target / DATABASE_NAME)
    except sqlite3.Error as error:
        if not is_outside(error):
            raise
        raise WriteRefused(
            f"The fresh database can not be written to {target} ({error}), and what was written "
            "of it is removed: make room there, or name a directory on another disk."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what is done within, or none of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # SQLite rolls back by itself when the disk is full
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
