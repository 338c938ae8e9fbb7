"""The store: candles and the prediction ledger in SQLite, one writer thread, many readers."""

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
