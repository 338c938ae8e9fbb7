"""What the records of each table look like in the file, so that a stray page can be recognised."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.store.schema import added_columns, migrate

if TYPE_CHECKING:
    from engine.store.btree_page import Cell

_KINDS = {"INTEGER": "i", "REAL": "if", "TEXT": "t"}
_FRESHNESS = ("written_wall_ms", "changed_wall_ms", "updated_wall_ms")
_NOT_COPIED = {"counter", "_sqlite_migrations"}  # counted anew, and made with the schema


class Column(NamedTuple):
    """One column: its name, and the kinds of value (`btree_page.Cell.kinds`) that it may hold."""

    name: str
    kinds: str
    may_lack: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """The records of one table.

    Attributes:
        table: Its name.
        columns: In the order of the record.
        has_rowid: Whether its rows lie in a table b-tree; else in an index b-tree.
        alias: Which column stands for the rowid; None without one.
        key: How many columns make the primary key, of tables without rowid.
        is_checked: Whether SQLite checks more than the kinds of its values.
        is_copied: Whether its rows are worth copying.
    """

    table: str
    columns: tuple[Column, ...]
    has_rowid: bool
    alias: int | None
    key: tuple[str, ...]
    is_checked: bool
    is_copied: bool
    _known: dict[str, bool] = field(default_factory=dict)

    def fits(self, kinds: str) -> bool:
        """Whether a record with values of these kinds can be a row; trailing ones may lack."""
        known = self._known.get(kinds)
        if known is None:
            known = self._known[kinds] = self._fits(kinds)
        return known

    def _fits(self, kinds: str) -> bool:
        if len(kinds) > len(self.columns):
            return False
        lacking = self.columns[len(kinds) :]
        return all(column.may_lack for column in lacking) and all(
            kind in column.kinds for kind, column in zip(kinds, self.columns, strict=False)
        )

    def row(self, cell: Cell) -> tuple[Any, ...]:
        """Return the row's values, with its rowid where a column stands for that."""
        if self.alias is None:
            return cell.values
        return (*cell.values[: self.alias], cell.rowid, *cell.values[self.alias + 1 :])

    def is_written_by(self, row: tuple[Any, ...], wall_ms: int) -> bool:
        """Whether a row was written after 1970 and before `wall_ms`, where it tells."""
        return all(
            0 < value <= wall_ms
            for column, value in zip(self.columns, row, strict=False)
            if column.name in _FRESHNESS and value is not None
        )

    def insert(self, count: int) -> str:
        """Return the statement that adds rows of `count` values, if they are not there yet.

        Where rows tell when they were written, the later version of one stays.
        """
        names = [column.name for column in self.columns[:count]]
        marks = ", ".join("?" * count)
        text = f"INSERT OR IGNORE INTO {self.table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608
        fresh = next((name for name in _FRESHNESS if name in names), None)
        if fresh is None:
            return text
        others = ", ".join(f"{name} = excluded.{name}" for name in names if name not in self.key)
        return (
            f"{text} ON CONFLICT ({', '.join(self.key)}) DO UPDATE SET {others}"
            f" WHERE excluded.{fresh} > {self.table}.{fresh}"
        )


def layouts() -> dict[str, Layout]:
    """Return the layouts of all tables, candles first."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        found = [
            _layout(connection, name, text)
            for name, text in connection.execute(
                "SELECT name, sql FROM sqlite_schema"
                " WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            ).fetchall()
        ]
    found.sort(key=lambda layout: layout.table != "candle")
    return {layout.table: layout for layout in found}


def _layout(connection: sqlite3.Connection, table: str, text: str) -> Layout:
    rows = connection.execute(f"PRAGMA table_info({table})").fetchall()
    has_rowid = "WITHOUT ROWID" not in text.upper()
    keys = sorted((row for row in rows if row[5]), key=lambda row: row[5])
    alias = None
    if has_rowid and len(keys) == 1 and keys[0][2] == "INTEGER":
        alias = int(keys[0][0])
    ordered = rows if has_rowid else [*keys, *(row for row in rows if not row[5])]
    return Layout(
        table,
        tuple(
            _column(row, is_alias=row[0] == alias, is_added=(table, row[1]) in added_columns())
            for row in ordered
        ),
        has_rowid,
        alias,
        tuple(str(row[1]) for row in keys),
        " CHECK " in text.upper(),
        table not in _NOT_COPIED,
    )


def _column(row: tuple[Any, ...], *, is_alias: bool, is_added: bool) -> Column:
    _, name, kind, is_required, _, key = row
    if is_alias:
        return Column(name, "n", may_lack=False)
    is_nullable = not is_required and not key
    kinds = _KINDS[kind] + ("n" if is_nullable else "")
    return Column(name, kinds, may_lack=is_added)
