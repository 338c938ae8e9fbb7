"""A database that another program holds: who, in the words of every way into the store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.market.candle import Candle
from engine.store import Source, Store, WriteRefused, database
from engine.store.database import open_for_reading
from engine.store.errors import DatabaseHeld
from engine.store.holders import held_by, holders

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    connection.execute(statement)
print("held", flush=True)
sys.stdin.read()
"""
Minute = Callable[..., Candle]
on_linux = pytest.mark.skipif(not Path("/proc/locks").exists(), reason="/proc tells of locks")


@contextmanager
def other_program(path: Path, *statements: str) -> Iterator[int]:
    """Run a program that holds the database; gives its process id."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), *statements],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process.pid
        finally:
            process.stdin.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that wait for nobody."""
    set_pragmas = database.set_pragmas

    def at_once(connection: Any, *, writer: bool) -> None:
        set_pragmas(connection, writer=writer)
        connection.execute("PRAGMA busy_timeout = 0").close()

    monkeypatch.setattr(database, "set_pragmas", at_once)
    connect = database.sqlite3.connect
    monkeypatch.setattr(
        database.sqlite3, "connect", lambda *args, **options: connect(*args, timeout=0, **options)
    )


@on_linux
@pytest.mark.usefixtures("impatient")
def test_opening_a_locked_database_names_who_locks_it(tmp_path: Path) -> None:
    Store.open(tmp_path, source="live").close()
    path = tmp_path / "klinetop.db"
    exclusive = ("PRAGMA locking_mode = EXCLUSIVE", "BEGIN IMMEDIATE", "UPDATE meta SET value = 1")
    with other_program(path, *exclusive) as pid:
        for attempt in (
            lambda: Store.open(tmp_path, source="live"),
            lambda: open_for_reading(tmp_path),
        ):
            with pytest.raises(DatabaseHeld) as caught:
                attempt()
            said = str(caught.value)
            assert said.startswith(f"The database {path} is held by another program (python")
            assert f", pid {pid})" in said
    Store.open(tmp_path, source="live").close()


@on_linux
@pytest.mark.usefixtures("impatient")
def test_what_waits_to_be_written_says_who_is_in_the_way(tmp_path: Path, minute: Minute) -> None:
    store = Store.open(tmp_path, source="live")
    with other_program(store.directory / "klinetop.db", "BEGIN IMMEDIATE") as pid:
        future = store.writer.put_candles("BTCUSDT", "1m", [minute(0)], Source.STREAM)
        with pytest.raises(WriteRefused, match=rf"is held by another program \(.*, pid {pid}\)"):
            store.close()
        assert future.exception() is not None


@on_linux
def test_who_only_reads_is_named_where_nobody_locks(tmp_path: Path) -> None:
    Store.open(tmp_path, source="live").close()
    path = tmp_path / "klinetop.db"
    assert holders(path) == []
    with other_program(path, "SELECT * FROM meta") as pid:
        assert [holder.pid for holder in holders(path)] == [pid]
        with other_program(path, "BEGIN IMMEDIATE") as writer:
            assert [holder.pid for holder in holders(path)] == [writer]


def test_where_the_system_does_not_tell_the_way_to_find_out_is_told(tmp_path: Path) -> None:
    path = tmp_path / "its data" / "klinetop.db"
    assert holders(path, tmp_path / "no proc") == []
    assert held_by(path, tmp_path) == f"another program (`lsof '{path}'` names it)"
