"""Backup while writing, checks that find what is wrong, and salvage of a damaged file."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.market.candle import Candle
from engine.store import CorruptDatabase, Source, Store, StoreError, open_reader
from engine.store import backup as backing_up
from engine.store.backup import back_up
from engine.store.database import open_for_writing
from engine.store.gaps import record_missing
from engine.store.maintenance import check_database, compact, gives_back_pages
from engine.store.salvage import salvage

Minute = Callable[..., Candle]
SERIES = ("BTCUSDT", "1m")


def fill(store: Store, minute: Minute, count: int, first: int = 0, symbol: str = "BTCUSDT") -> None:
    rows = [minute(index) for index in range(first, first + count)]
    store.writer.put_candles(symbol, "1m", rows, Source.STREAM).result(10)


def test_a_backup_is_of_one_moment_while_others_write(
    store: Store, minute: Minute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backing_up, "STEP_PAGES", 5)
    fill(store, minute, 5_000)
    told: list[tuple[int, int]] = []

    def write_between(done: int, total: int) -> None:
        told.append((done, total))
        if len(told) < 20:
            fill(store, minute, 1, first=5_000 + len(told))

    target = tmp_path / "copy.db"
    result = back_up(store.directory, target, write_between)
    assert told[-1][0] == told[-1][1]
    assert len(told) == -(-told[-1][1] // 5), "the engine's commits do not begin the copy anew"
    assert result.candles == 5_000
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.db", "data"]
    restored = tmp_path / "restored"
    restored.mkdir()
    shutil.copy(target, restored / "klinetop.db")
    with Store.open(restored, source="live") as again:
        assert again.reader.candles(*SERIES) == [minute(index) for index in range(5_000)]
    assert check_database(restored, full=True).problems == ()


def test_a_backup_never_overwrites_and_leaves_nothing_half(
    store: Store, minute: Minute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, minute, 10)
    target = tmp_path / "copy.db"
    target.write_text("mine")
    with pytest.raises(StoreError, match="is there already"):
        back_up(store.directory, target)
    assert target.read_text() == "mine"
    with pytest.raises(StoreError, match="No such file"):
        back_up(store.directory, tmp_path / "no" / "copy.db")

    def interrupted(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(store.directory, tmp_path / "other.db", interrupted)
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StoreError, match="0 MB are free"):
        back_up(store.directory, tmp_path / "other.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.db", "data"]


def test_a_check_finds_what_sqlite_does_not(store: Store, minute: Minute) -> None:
    fill(store, minute, 100)
    assert check_database(store.directory, full=False).candles == 100

    def spoil(connection: sqlite3.Connection) -> None:
        first = minute(0).open_time_ms
        connection.execute(
            "UPDATE candle SET open_time_ms = open_time_ms - 5 WHERE open_time_ms = ?", (first,)
        )
        connection.execute("UPDATE counter SET value = 99 WHERE name = 'stream'")
        record_missing(connection, *SERIES, first, first + 300_000, 0)
        connection.execute(
            "INSERT INTO captured VALUES (1, '1m', 60000, NULL), (1, '1m', 120000, NULL)"
        )

    store.writer.run(spoil).result(10)
    report = check_database(store.directory, full=False)
    assert [problem.split()[0:3] for problem in report.problems] == [
        ["1", "1m", "candles"],
        ["The", "open", "gap"],
        ["BTCUSDT", "1m", "is"],
        ["The", "counter", "stream"],
    ]
    assert "db salvage" in report.way_out


def spoiled(tmp_path: Path, minute: Minute) -> Path:
    """A database with 2,000 random bytes in a page of candles."""
    directory = tmp_path / "damaged"
    with Store.open(directory, source="live") as store:
        for symbol in ("AUSDT", "BTCUSDT", "CUSDT"):
            fill(store, minute, 3_000, symbol=symbol)
        store.writer.quarantine("stream", "bad", "{")
        store.writer.flush()
    path = directory / "klinetop.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    size = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.close()
    with path.open("r+b") as file:
        file.seek(4096 * (size // 2))
        file.write(bytes(range(250)) * 8)
    return directory


def test_a_damaged_page_is_found_and_the_rest_is_salvaged(tmp_path: Path, minute: Minute) -> None:
    directory = spoiled(tmp_path, minute)
    with pytest.raises(CorruptDatabase, match="db salvage"):
        Store.open(directory, source="live")
    with pytest.raises(CorruptDatabase, match=r"No backup was made.*`klinetop db check`"):
        back_up(directory, tmp_path / "copy.db")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["damaged"]
    report = check_database(directory, full=False)
    assert report.problems
    assert "backup" in report.way_out
    before = (directory / "klinetop.db").read_bytes()
    found = salvage(directory, tmp_path / "fresh")
    assert (directory / "klinetop.db").read_bytes() == before
    assert 8_800 < found.candles < 9_000
    assert sum(found.unreadable.values()) == 1
    assert len(found.series) + len(found.stretches) == 1
    with Store.open(tmp_path / "fresh", source="live") as store:
        assert store.reader.candle_count() == found.candles
        assert store.reader.quarantine_count() == 1
        for symbol in ("AUSDT", "BTCUSDT", "CUSDT"):
            for row in store.reader.candles(symbol, "1m"):
                assert row == minute((row.open_time_ms - minute(0).open_time_ms) // 60_000)
    assert check_database(tmp_path / "fresh", full=True).problems == ()
    with pytest.raises(StoreError, match="holds a database already"):
        salvage(directory, tmp_path / "fresh")


def test_compacting_converts_an_old_file(tmp_path: Path, minute: Minute) -> None:
    old = tmp_path / "old"
    old.mkdir()
    connection = sqlite3.connect(old / "klinetop.db")
    connection.execute("PRAGMA auto_vacuum = NONE")
    connection.execute("CREATE TABLE x (y)")  # the choice is kept from the first page on
    connection.execute("DROP TABLE x")
    connection.commit()
    connection.close()
    open_for_writing(old, "live", "").close()
    with Store.open(old, source="live") as store:
        fill(store, minute, 5_000)
        store.writer.run(lambda c: c.execute("DELETE FROM candle WHERE open_time_ms > 0")).result(
            10
        )
        store.writer.run(lambda c: c.execute("UPDATE counter SET value = 0")).result(10)
        fill(store, minute, 10)
    assert not gives_back_pages(old)
    before, after = compact(old)
    assert after < before / 2
    assert gives_back_pages(old)
    assert check_database(old, full=True).problems == ()
    reader = open_reader(old)
    assert reader.candles(*SERIES) == [minute(index) for index in range(10)]
    reader.close()
