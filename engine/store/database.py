"""Opening the database file: for the one writer, or read-only."""

from __future__ import annotations

import os
import shlex
import sqlite3
import time
from typing import TYPE_CHECKING

from engine.market.sources import source_words
from engine.store.errors import (
    CorruptDatabase,
    DatabaseHeld,
    NoDatabase,
    StoreError,
    WrongSource,
    WrongVersion,
)
from engine.store.holders import held_sentence, is_held
from engine.store.lock import make_directory, not_writable
from engine.store.schema import APPLICATION_ID, SCHEMA_VERSION, migrate, set_pragmas

if TYPE_CHECKING:
    from pathlib import Path

DATABASE_NAME = "klinetop.db"
CHECKED_AT_START_BYTES = 256_000_000
LARGE_TABLE = "candle"
_MAGIC = b"SQLite format 3\x00"
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def open_for_writing(directory: Path, source: str, source_note: str) -> sqlite3.Connection:
    """Open or make the database in `directory`, check it, migrate it and stamp it.

    The candles of a large one are not checked here; see `is_checked_at_start`.

    Raises:
        NotWritable, DatabaseHeld, CorruptDatabase, WrongVersion, WrongSource: with a sentence for
            users.
    """
    make_directory(directory)
    path = directory / DATABASE_NAME
    connection: sqlite3.Connection | None = None
    try:
        _check_header(path)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        _check_version(connection, path)
        _check_at_start(connection, path)
        set_pragmas(connection, writer=True)
        migrate(connection)
        _stamp(connection, path, source, source_note)
    except StoreError:
        _close(connection)
        raise
    except (OSError, sqlite3.Error) as error:
        _close(connection)
        raise _translated(error, path) from error
    return connection


def open_for_reading(directory: Path) -> sqlite3.Connection:
    """Open the database in `directory` read-only, without a check of its pages.

    Raises:
        NoDatabase, CorruptDatabase, WrongVersion: each with a sentence for users.
    """
    path = directory / DATABASE_NAME
    if not path.is_file():
        raise NoDatabase(
            f"There is no klinetop database in {directory}; start `klinetop` or `klinetop serve` "
            f"with this --data-dir first, or `klinetop import` a file into it."
        )
    connection: sqlite3.Connection | None = None
    try:
        _check_header(path)
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{_read_only(path)}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        set_pragmas(connection, writer=False)
        _check_version(connection, path, exact=True)
    except StoreError:
        _close(connection)
        raise
    except (OSError, sqlite3.Error) as error:
        _close(connection)
        raise _translated(error, path) from error
    return connection


def _read_only(path: Path) -> str:
    """Return the URI's query for a reader.

    Where nothing can be written, SQLite can not make the shared memory that a log needs, and
    refuses (wal.html, section 5); a file without a log is then read as one that stays as it is.
    """
    log = path.with_name(path.name + "-wal")
    if os.access(path.parent, os.W_OK) or log.exists():
        return "mode=ro"
    return "mode=ro&immutable=1"


def is_corruption(error: sqlite3.Error) -> bool:
    """Tell whether SQLite says that the file is damaged."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _CORRUPT


def corrupt(path: Path, found: str) -> CorruptDatabase:
    """Return the sentence for a damaged database, with the way out."""
    return CorruptDatabase(
        f"The database {path} is damaged or no database ({found}). Nothing was changed or deleted: "
        f"{way_out(path)}"
    )


def way_out(path: Path) -> str:
    """Say what to do about the damaged database `path`."""
    files = f"{shlex.quote(str(path))}*"
    aside = shlex.quote(str(path.parent / "damaged"))
    return (
        f"move it aside with `mkdir {aside} && mv {files} {aside}` and put a backup in its place, "
        f"or start again with an empty one; `klinetop db salvage DIRECTORY` (before you move it) "
        f"reads what can be read into a fresh one."
    )


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        connection.close()


def _translated(error: OSError | sqlite3.Error, path: Path) -> StoreError:
    if isinstance(error, sqlite3.Error) and is_corruption(error):
        return corrupt(path, str(error))
    if isinstance(error, sqlite3.Error) and is_held(error):
        return DatabaseHeld(held_sentence(path))
    return not_writable(path.parent, error)


def _check_header(path: Path) -> None:
    if path.exists() and path.stat().st_size:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise corrupt(path, "its first bytes are not those of an SQLite file")


def _check_version(connection: sqlite3.Connection, path: Path, *, exact: bool = False) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    program = connection.execute("PRAGMA application_id").fetchone()[0]
    is_empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if is_empty and version == 0 and not exact:
        return
    if is_empty and exact:
        raise NoDatabase(
            f"The database {path} is empty; start `klinetop` on this --data-dir first."
        )
    if program != APPLICATION_ID and not _is_half_made(connection):
        raise WrongVersion(
            f"{path} is the database of another program; use another --data-dir for klinetop."
        )
    if version > SCHEMA_VERSION:
        raise WrongVersion(
            f"The database {path} has schema version {version}, and this klinetop knows versions "
            f"up to {SCHEMA_VERSION}; use the klinetop that wrote it, or another --data-dir."
        )
    if exact and version != SCHEMA_VERSION:
        raise WrongVersion(
            f"The database {path} has schema version {version}, and this klinetop reads version "
            f"{SCHEMA_VERSION}; start `klinetop` on it once, which brings it up to date."
        )


def _is_half_made(connection: sqlite3.Connection) -> bool:
    """Tell whether only the migrations' own table is there: making it was interrupted."""
    names = {
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    }
    return names == {"_sqlite_migrations"}


def is_checked_at_start(path: Path) -> bool:
    """Tell whether all pages are read whenever the database is opened for writing.

    SQLite checks some 100 to 200 MB a second, so a year of all markets takes many minutes.
    """
    return not path.exists() or path.stat().st_size <= CHECKED_AT_START_BYTES


def _check_at_start(connection: sqlite3.Connection, path: Path) -> None:
    if is_checked_at_start(path):
        check_pages(connection, path)
        return
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (name,) in tables:
        if name != LARGE_TABLE:
            check_pages(connection, path, name)


def check_pages(connection: sqlite3.Connection, path: Path, table: str = "") -> None:
    """Read all pages of the database, or of one table.

    Raises:
        CorruptDatabase: with the way out, when one is damaged.
        sqlite3.Error: when they can not be read for another reason.
    """
    try:
        # One finding names its page; asked for more, SQLite goes on to the rows and only raises.
        which = f'"{table}"' if table else "1"
        found = [row[0] for row in connection.execute(f"PRAGMA quick_check({which})")][:1]
    except sqlite3.DatabaseError as error:
        if not is_corruption(error):
            raise
        found = [str(error)]
    if found != ["ok"]:
        raise corrupt(path, "quick_check: " + "; ".join(" ".join(str(f).split()) for f in found))


def _stamp(connection: sqlite3.Connection, path: Path, source: str, note: str) -> None:
    stored = dict(connection.execute("SELECT key, value FROM meta"))
    is_other = (stored.get("source"), stored.get("source_note", "")) != (source, note)
    if "source" not in stored or (is_other and _holds_nothing(connection)):
        stamps = {
            "source": source,
            "source_note": note,
            "schema_version": str(SCHEMA_VERSION),
            "created_wall_ms": str(time.time_ns() // 1_000_000),
        }
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM meta")
        connection.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", stamps.items())
        connection.execute("COMMIT")
    elif is_other:
        raise WrongSource(
            f"{path} holds {source_words(stored['source'], stored.get('source_note', ''))}, not "
            f"{source_words(source, note)}; use another --data-dir, or move this one away."
        )


def _holds_nothing(connection: sqlite3.Connection) -> bool:
    """Tell whether there is nothing that another source could mix with."""
    tables = ("candle", "prediction", "quarantine", "gap")
    return not any(
        connection.execute(f"SELECT EXISTS (SELECT 1 FROM {table})").fetchone()[0]  # noqa: S608
        for table in tables
    )
