"""Pieces of work for the writer, and the difference between their own errors and the disk's."""

from __future__ import annotations

import sqlite3
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from engine.store.holders import held_by, is_held

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_OUTSIDE = {  # failures of disk or file, not of the work: the batch is kept and tried again
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
}


class Task(Generic[T]):
    """One piece of work and the future of its result."""

    __slots__ = ("failure", "future", "result", "rows", "work")

    def __init__(self, work: Callable[[sqlite3.Connection], T], rows: int) -> None:
        self.work = work
        self.rows = rows
        self.future: Future[T] = Future()
        self.future.set_running_or_notify_cancel()  # what was handed over is written in any case
        self.failure: Exception | None = None
        self.result: T | None = None

    def attempt(self, connection: sqlite3.Connection) -> None:
        """Do the work in a savepoint; an error of the work itself undoes only this work.

        Raises:
            sqlite3.Error: when the failure came from outside and the whole batch must wait.
            TransactionEnded: when the work ended the transaction that it ran in.
        """
        self.failure = None
        connection.execute("SAVEPOINT task")
        try:
            self.result = self.work(connection)
            connection.execute("RELEASE task")
        except Exception as error:
            if is_outside(error):
                raise
            self.failure = error
            if not connection.in_transaction:
                raise TransactionEnded from error
            connection.execute("ROLLBACK TO task")
            connection.execute("RELEASE task")

    def settle(self) -> None:
        """Tell whoever waits what became of it."""
        if self.failure is not None:
            self.future.set_exception(self.failure)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]


class TransactionEnded(Exception):
    """A work committed or rolled back by itself; the others of its batch are done again."""


def is_outside(error: BaseException) -> bool:
    """Tell whether disk or file failed, and not the work."""
    return (
        isinstance(error, sqlite3.Error)
        and (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _OUTSIDE
    )


def explain(error: sqlite3.Error, connection: sqlite3.Connection) -> str:
    """Return in words for users what failed in writing through `connection`."""
    if is_held(error):
        path = Path(connection.execute("PRAGMA database_list").fetchone()[2])
        return f"{path} is held by {held_by(path)}; writing goes on by itself once it is free"
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_FULL"):
        return "the disk is full; free some space, and writing goes on by itself"
    return f"{error} ({name})" if name else str(error)
