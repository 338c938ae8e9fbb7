"""One data directory's database, open for writing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from engine.store.database import open_for_reading, open_for_writing
from engine.store.reader import Reader
from engine.store.writer import Writer

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path
    from types import TracebackType


class Store:
    """The writer and a reader of one database; hold the directory's `DirectoryLock` meanwhile.

    Attributes:
        directory: The data directory; the file in it is `klinetop.db`.
        reader: Safe to use from several threads.
        writer: The thread that writes.
    """

    def __init__(self, directory: Path, connection: sqlite3.Connection, reader: Reader) -> None:
        self.directory = directory
        self.reader = reader
        self._connection = connection
        self.writer = Writer(connection)

    @classmethod
    def open(cls, directory: Path, *, source: str, source_note: str = "") -> Store:
        """Open the database of `directory`; directory and database are made when not there.

        The source (`live`, `demo` or `replay`) and its note (a demo's seed, a replay's files) are
        stamped into a fresh database, and compared with the stamp of one that is there.

        Raises:
            NotWritable: the directory can not be made or written.
            CorruptDatabase: the file is no database, or `PRAGMA quick_check` complains; the
                candles of a large one are left to `PageCheck`.
            WrongVersion: a later klinetop, or another program, made it.
            WrongSource: it holds the data of another source.
        """
        connection = open_for_writing(directory, source, source_note)
        try:
            reader = Reader(open_for_reading(directory), directory)
        except BaseException:
            connection.close()
            raise
        return cls(directory, connection, reader)

    @property
    def damage(self) -> str:
        """What SQLite said when it met a damaged page; empty while it did not."""
        return self.writer.damage or self.reader.damage

    def close(self) -> None:
        """Commit what waits, then close; a second call does nothing.

        Raises:
            WriteRefused: when rows could not be written to the end.
        """
        try:
            self.writer.close()
        finally:
            self.reader.close()
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
