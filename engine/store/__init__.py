"""The store: candles and the prediction ledger in SQLite, one writer thread, many readers.

What it offers is imported when it is first asked for: a command that only reads must not wait for
the writer and the importer.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.store.errors import (
        CorruptDatabase,
        DirectoryBusy,
        NoDatabase,
        NotWritable,
        StoreError,
        WriterDied,
        WriteRefused,
        WrongSource,
        WrongVersion,
    )
    from engine.store.imports import ImportResult, import_kline_file
    from engine.store.lock import DirectoryLock
    from engine.store.reader import Reader, open_reader
    from engine.store.schema import SCHEMA_VERSION
    from engine.store.store import Store
    from engine.store.values import PutResult, Source, WriterCounters
    from engine.store.writer import Writer

__all__ = [
    "SCHEMA_VERSION",
    "CorruptDatabase",
    "DirectoryBusy",
    "DirectoryLock",
    "ImportResult",
    "NoDatabase",
    "NotWritable",
    "PutResult",
    "Reader",
    "Source",
    "Store",
    "StoreError",
    "WriteRefused",
    "Writer",
    "WriterCounters",
    "WriterDied",
    "WrongSource",
    "WrongVersion",
    "import_kline_file",
    "open_reader",
]
_PLACES = {
    "errors": (
        "CorruptDatabase",
        "DirectoryBusy",
        "NoDatabase",
        "NotWritable",
        "StoreError",
        "WriteRefused",
        "WriterDied",
        "WrongSource",
        "WrongVersion",
    ),
    "imports": ("ImportResult", "import_kline_file"),
    "lock": ("DirectoryLock",),
    "reader": ("Reader", "open_reader"),
    "schema": ("SCHEMA_VERSION",),
    "store": ("Store",),
    "values": ("PutResult", "Source", "WriterCounters"),
    "writer": ("Writer",),
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}


if not TYPE_CHECKING:  # so that the names above are all that there is to a type checker

    def __getattr__(name: str) -> Any:
        """Import what is asked for."""
        if name not in _PLACE_OF:
            raise AttributeError(f"module 'engine.store' has no attribute '{name}'")
        return getattr(import_module(f"engine.store.{_PLACE_OF[name]}"), name)
