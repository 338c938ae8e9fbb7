"""What can go wrong with a store, each as a sentence for users."""

from __future__ import annotations


class StoreError(Exception):
    """Base of the store's errors; its text says what is wrong and what to do."""


class NoDatabase(StoreError):
    """There is no database to read."""


class WrongSource(StoreError):
    """The database holds the data of another source (live, a demo's seed, a replay's files)."""


class WrongVersion(StoreError):
    """The database was written by another version, or by another program."""


class CorruptDatabase(StoreError):
    """The file is damaged, or is no database at all."""


class NotWritable(StoreError):
    """The data directory or the database in it can not be written."""


class DatabaseHeld(StoreError):
    """Another program has locked the database."""


class BadFile(StoreError):
    """A file to import can not be read, holds no klines, or those of another interval.

    Attributes:
        usage: It is a mistake of the user.
    """

    usage = True


class WriteRefused(StoreError):
    """Rows were not taken because too many wait already, or the store closed before they could."""


class WriterDied(WriteRefused):
    """The thread that writes ended; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The store's writer failed ({reason}). What was committed is safe; the rest is "
            "fetched again at the next start."
        )
        self.reason = reason


class DirectoryBusy(StoreError):
    """Another engine holds the data directory.

    Attributes:
        pid: Process id of the holder, None when it did not say.
    """

    def __init__(self, text: str, pid: int | None = None) -> None:
        super().__init__(text)
        self.pid = pid


class QueueFull(WriteRefused):
    """Raised for rows that the writer does not take, and counts, because too many wait."""
