"""The tables, as sqlite-utils migrations around raw DDL, and the pragmas of a connection.

Prices are REAL because 8-decimal texts below 9e7 survive the round trip exactly; STRICT because a
plain table takes NaN as NULL and words as numbers without a sound.
"""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

SCHEMA_VERSION = 4
APPLICATION_ID = 0x6B6C696E  # "klin", in the header of the file

_TABLES = """
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE symbol (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE CHECK (name <> ''),
    base TEXT,
    quote TEXT,
    status TEXT,
    tick_size TEXT,
    step_size TEXT,
    updated_wall_ms INTEGER
) STRICT;

CREATE TABLE candle (
    symbol_id INTEGER NOT NULL REFERENCES symbol (id),
    interval TEXT NOT NULL CHECK (interval <> ''),
    open_time_ms INTEGER NOT NULL CHECK (open_time_ms >= 0),
    open REAL NOT NULL,
    high REAL NOT NULL,
    low REAL NOT NULL,
    close REAL NOT NULL,
    volume REAL NOT NULL,
    quote_volume REAL NOT NULL,
    trades INTEGER CHECK (trades >= 0),
    taker_buy_volume REAL CHECK (taker_buy_volume >= 0),
    taker_buy_quote_volume REAL CHECK (taker_buy_quote_volume >= 0),
    source INTEGER NOT NULL CHECK (source BETWEEN 1 AND 4),
    written_wall_ms INTEGER NOT NULL,
    PRIMARY KEY (symbol_id, interval, open_time_ms),
    CHECK (low > 0 AND low <= open AND low <= close AND high >= open AND high >= close),
    CHECK (high < 9e999 AND volume >= 0 AND quote_volume >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE revision (
    id INTEGER PRIMARY KEY,
    symbol_id INTEGER NOT NULL REFERENCES symbol (id),
    interval TEXT NOT NULL,
    open_time_ms INTEGER NOT NULL,
    old_source INTEGER NOT NULL,
    new_source INTEGER NOT NULL,
    old_values TEXT NOT NULL,
    new_values TEXT NOT NULL,
    applied INTEGER NOT NULL CHECK (applied IN (0, 1)),
    wall_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE gap (
    id INTEGER PRIMARY KEY,
    symbol_id INTEGER NOT NULL REFERENCES symbol (id),
    interval TEXT NOT NULL,
    from_ms INTEGER NOT NULL,
    to_ms INTEGER NOT NULL CHECK (to_ms > from_ms),
    state TEXT NOT NULL CHECK (state IN ('open', 'filled', 'exchange_hole', 'unfillable')),
    tries INTEGER NOT NULL DEFAULT 0,
    last_error TEXT NOT NULL DEFAULT '',
    first_seen_wall_ms INTEGER NOT NULL,
    changed_wall_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX gap_by_series ON gap (symbol_id, interval, state, from_ms);

CREATE TABLE session (
    id INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    event TEXT NOT NULL CHECK (event IN ('connect', 'disconnect')),
    connection TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;

CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    origin TEXT NOT NULL,
    reason TEXT NOT NULL,
    raw TEXT NOT NULL
) STRICT;

CREATE TABLE prediction (
    id INTEGER PRIMARY KEY,
    symbol_id INTEGER NOT NULL REFERENCES symbol (id),
    interval TEXT NOT NULL,
    model TEXT NOT NULL,
    open_time_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL CHECK (due_ms > open_time_ms),
    price REAL NOT NULL CHECK (price > 0),
    p_up REAL NOT NULL CHECK (p_up BETWEEN 0 AND 1),
    features_sha TEXT NOT NULL,
    scored_exchange_ms INTEGER NOT NULL,
    scored_wall_ms INTEGER NOT NULL,
    UNIQUE (model, symbol_id, interval, open_time_ms),
    CHECK (scored_exchange_ms < due_ms)
) STRICT;
CREATE INDEX prediction_by_series ON prediction (symbol_id, interval, open_time_ms);

CREATE TABLE outcome (
    prediction_id INTEGER PRIMARY KEY REFERENCES prediction (id),
    state TEXT NOT NULL CHECK (state IN ('hit', 'miss', 'tie', 'void')),
    outcome INTEGER CHECK (outcome IN (0, 1)),
    outcome_price REAL,
    resolved_exchange_ms INTEGER NOT NULL,
    reversal INTEGER CHECK (reversal IN (0, 1)),
    majority INTEGER CHECK (majority IN (0, 1)),
    logistic INTEGER CHECK (logistic IN (0, 1))
) STRICT;

CREATE TRIGGER prediction_is_final BEFORE UPDATE ON prediction
BEGIN SELECT RAISE(ABORT, 'a prediction is never changed'); END;
CREATE TRIGGER prediction_stays BEFORE DELETE ON prediction
BEGIN SELECT RAISE(ABORT, 'a prediction is never deleted'); END;
CREATE TRIGGER outcome_is_final BEFORE UPDATE ON outcome
BEGIN SELECT RAISE(ABORT, 'an outcome is never changed'); END;
CREATE TRIGGER outcome_stays BEFORE DELETE ON outcome
BEGIN SELECT RAISE(ABORT, 'an outcome is never deleted'); END;
"""

_CAPTURE = """
ALTER TABLE gap ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE gap ADD COLUMN first_seen_ms INTEGER;
ALTER TABLE gap ADD COLUMN first_empty_ms INTEGER;
CREATE INDEX gap_by_state ON gap (state, from_ms);

ALTER TABLE session ADD COLUMN exchange_ms INTEGER;
CREATE INDEX quarantine_by_origin ON quarantine (origin, reason);

CREATE TABLE captured (
    symbol_id INTEGER NOT NULL REFERENCES symbol (id),
    interval TEXT NOT NULL CHECK (interval <> ''),
    from_ms INTEGER NOT NULL,
    to_ms INTEGER CHECK (to_ms >= from_ms),
    PRIMARY KEY (symbol_id, interval, from_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE market_status (
    symbol_id INTEGER NOT NULL REFERENCES symbol (id),
    from_ms INTEGER NOT NULL,
    status TEXT NOT NULL,
    PRIMARY KEY (symbol_id, from_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE series_start (
    symbol_id INTEGER NOT NULL REFERENCES symbol (id),
    interval TEXT NOT NULL,
    first_ms INTEGER NOT NULL,
    PRIMARY KEY (symbol_id, interval)
) STRICT, WITHOUT ROWID;

CREATE TABLE coverage (
    symbol_id INTEGER NOT NULL REFERENCES symbol (id),
    interval TEXT NOT NULL,
    day_ms INTEGER NOT NULL,
    expected INTEGER NOT NULL,
    by_stream INTEGER NOT NULL,
    by_rest INTEGER NOT NULL,
    by_both INTEGER NOT NULL,
    by_import INTEGER NOT NULL,
    missing INTEGER NOT NULL,
    exchange_hole INTEGER NOT NULL,
    unfillable INTEGER NOT NULL,
    written_wall_ms INTEGER NOT NULL,
    PRIMARY KEY (symbol_id, interval, day_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE hour_figures (
    hour_ms INTEGER PRIMARY KEY,
    messages INTEGER NOT NULL DEFAULT 0,
    reconnects INTEGER NOT NULL DEFAULT 0,
    renewals INTEGER NOT NULL DEFAULT 0,
    bad INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0,
    offline_ms INTEGER NOT NULL DEFAULT 0,
    offset_low_ms REAL,
    offset_median_ms REAL,
    offset_high_ms REAL,
    latency_counts TEXT NOT NULL DEFAULT '{}'
) STRICT;

CREATE TABLE reread (
    day_ms INTEGER PRIMARY KEY,
    candles INTEGER NOT NULL,
    differing INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE backfill_job (
    id INTEGER PRIMARY KEY,
    markets TEXT NOT NULL,
    interval TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL CHECK (end_ms > start_ms),
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed', 'cancelled')),
    rows INTEGER NOT NULL DEFAULT 0,
    message TEXT NOT NULL DEFAULT '',
    created_wall_ms INTEGER NOT NULL,
    changed_wall_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE resample_difference (
    symbol_id INTEGER NOT NULL REFERENCES symbol (id),
    interval TEXT NOT NULL,
    open_time_ms INTEGER NOT NULL,
    exchange_values TEXT NOT NULL,
    resampled_values TEXT NOT NULL,
    wall_ms INTEGER NOT NULL,
    PRIMARY KEY (symbol_id, interval, open_time_ms)
) STRICT, WITHOUT ROWID;
"""

# A constraint that goes changes nothing on the disk, and copying years of candles would take hours:
# https://www.sqlite.org/lang_altertable.html, section 8, "disk content is not affected".
_UNKNOWN_QUOTE_VOLUME = (
    "UPDATE sqlite_schema"
    " SET sql = replace(sql, ' quote_volume REAL NOT NULL', ' quote_volume REAL')"
    " WHERE type = 'table' AND name = 'candle'"
)

_IMPORTED = """
CREATE TABLE imported (
    symbol_id INTEGER NOT NULL REFERENCES symbol (id),
    interval TEXT NOT NULL CHECK (interval <> ''),
    from_ms INTEGER NOT NULL,
    to_ms INTEGER NOT NULL CHECK (to_ms > from_ms),
    refused INTEGER NOT NULL CHECK (refused >= 0),
    PRIMARY KEY (symbol_id, interval, from_ms, to_ms)
) STRICT, WITHOUT ROWID;
"""

_PRAGMAS = (
    "busy_timeout = 5000",
    "foreign_keys = ON",
    "recursive_triggers = ON",  # else INSERT OR REPLACE would slip past the ledger's triggers
    "cache_size = -1000",  # the system caches the file once for all connections
)
_WRITER_PRAGMAS = (
    "cache_size = -8000",  # each minute of all markets touches 6 MB of pages
    "auto_vacuum = INCREMENTAL",  # of use in an empty file only; `db vacuum` converts others
    "journal_mode = WAL",
    "synchronous = FULL",
    "wal_autocheckpoint = 1000",
    "journal_size_limit = 67108864",
)


def added_columns() -> frozenset[tuple[str, str]]:
    """Return table and name of the columns that rows of older versions lack."""
    return frozenset(re.findall(r"ALTER TABLE (\w+) ADD COLUMN (\w+)", _CAPTURE))


def set_pragmas(connection: sqlite3.Connection, *, writer: bool) -> None:
    """Set what every connection needs; a writer's add WAL with a sync at every commit."""
    for pragma in (*_PRAGMAS, *(_WRITER_PRAGMAS if writer else ("query_only = ON",))):
        connection.execute(f"PRAGMA {pragma}").close()


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database to `SCHEMA_VERSION`, each migration in a transaction of its own.

    Args:
        connection: In autocommit mode (`isolation_level=None`).
    """
    if connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION:
        return
    sqlite_utils = import_sqlite_utils()
    migrations = sqlite_utils.Migrations("klinetop")

    @migrations()  # type: ignore[untyped-decorator]
    def tables(database: Any) -> None:
        for statement in _statements(_TABLES):
            database.execute(statement)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute("PRAGMA user_version = 1")

    @migrations()  # type: ignore[untyped-decorator]
    def capture(database: Any) -> None:
        for statement in _statements(_CAPTURE):
            database.execute(statement)
        database.execute("PRAGMA user_version = 2")

    @migrations()  # type: ignore[untyped-decorator]
    def unknown_quote_volume(database: Any) -> None:
        version = database.execute("PRAGMA schema_version").fetchone()[0]
        database.execute("PRAGMA writable_schema = ON")
        database.execute(_UNKNOWN_QUOTE_VOLUME)
        database.execute(f"PRAGMA schema_version = {version + 1}")
        database.execute("PRAGMA writable_schema = OFF")
        database.execute("PRAGMA user_version = 3")

    @migrations()  # type: ignore[untyped-decorator]
    def imported(database: Any) -> None:
        for statement in _statements(_IMPORTED):
            database.execute(statement)
        database.execute("PRAGMA user_version = 4")

    migrations.apply(sqlite_utils.Database(connection, execute_plugins=False))


def _statements(script: str) -> Iterator[str]:
    """Split a script at the ends of its statements; triggers hold semicolons inside."""
    import sqlite3

    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def import_sqlite_utils() -> Any:
    """Import sqlite-utils without pandas, which it would pull in only to know its types.

    Pandas adds 46 MB to the process and 0.3 s to its start.
    """
    with _hidden("pandas"):
        import sqlite_utils
    return sqlite_utils


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
