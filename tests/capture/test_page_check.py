"""Damaged pages of a database that is too large to be checked before the start."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from engine.capture.page_check import PageCheck
from engine.market.candle import Candle
from engine.store import CorruptDatabase, Source, Store

MINUTE_MS = 60_000
START_MS = 1_733_011_200_000


def filled(directory: Path, rows: int) -> Path:
    with Store.open(directory, source="live") as store:
        candles = [
            Candle(START_MS + at * MINUTE_MS, 1.0, 2.0, 0.5, 1.5, 1.0, 1.0) for at in range(rows)
        ]
        store.writer.put_candles("AUSDT", "1m", candles, Source.REST).result(20)
    return directory / "klinetop.db"


def damage(path: Path, table: str) -> None:
    """Overwrite the first page of a table."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        page = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)
        ).fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.store.database.CHECKED_AT_START_BYTES", 1_000)


@pytest.mark.usefixtures("large")
async def test_a_large_database_opens_at_once_and_damage_is_told_with_the_way_out(
    tmp_path: Path,
) -> None:
    path = filled(tmp_path, 3_000)
    notices: list[tuple[str, str]] = []
    check = PageCheck(tmp_path, lambda *told: notices.append(told), after_s=0.0)
    await check.run()
    assert notices == []
    damage(path, "candle")
    with Store.open(tmp_path, source="live"):
        await check.run()
    ((level, sentence),) = notices
    assert level == "error"
    assert "is damaged" in sentence
    assert "klinetop db salvage" in sentence


@pytest.mark.usefixtures("large")
def test_the_small_tables_of_a_large_database_are_checked_at_the_start(tmp_path: Path) -> None:
    path = filled(tmp_path, 100)
    damage(path, "captured")
    with pytest.raises(CorruptDatabase):
        Store.open(tmp_path, source="live")


async def test_a_small_database_is_not_read_twice(tmp_path: Path) -> None:
    damage(filled(tmp_path, 100), "candle")
    await PageCheck(tmp_path, pytest.fail, after_s=3600.0).run()


@pytest.mark.usefixtures("large")
async def test_a_check_under_way_ends_with_the_engine(tmp_path: Path) -> None:
    filled(tmp_path, 200_000)
    check = asyncio.create_task(PageCheck(tmp_path, pytest.fail, after_s=0.0).run())
    await asyncio.sleep(0.01)
    check.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(check, 60)
