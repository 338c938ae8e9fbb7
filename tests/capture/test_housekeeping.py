"""The disk's levels, and the housekeeper of a running engine."""

import asyncio
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest

from engine.binance.clock import ExchangeClock
from engine.capture import housekeeping
from engine.capture.disk import DiskWatch
from engine.capture.housekeeping import Housekeeper, Limits
from engine.market.candle import Candle
from engine.market.interval import DAY_MS, MINUTE_MS
from engine.parts import make_housekeeper
from engine.settings import Settings
from engine.store import CorruptDatabase, Source, Store, WriteRefused
from engine.store.prune import Pruner, used_bytes
from engine.store.stats import freed_by_keeping

START_MS = 1_733_011_200_000
MB = 1_000_000
Told = list[tuple[str, str]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "data", source="live") as opened:
        opened.writer._gather_s = 0.005
        yield opened


def fill(store: Store, days: int) -> None:
    rows = [
        Candle(START_MS + i * MINUTE_MS, 1.0, 2.0, 0.5, 1.5, 1.0, 1.0) for i in range(days * 1_440)
    ]
    store.writer.put_candles("AUSDT", "1m", rows, Source.STREAM).result(10)


def test_the_disk_warns_once_and_again_when_it_is_worse(store: Store) -> None:
    told: Told = []
    watch = DiskWatch(store.directory, store.writer, 1000, 200, lambda *note: told.append(note))

    def levels(*free_mb: int) -> list[str]:
        told.clear()
        return [watch.judge(free * MB).level for free in free_mb]

    assert levels(5000, 1001) == ["fine", "fine"]
    assert told == []
    assert levels(999, 1050, 980) == ["low"] * 3
    assert [level for level, _ in told] == ["warning"], "one notice, and none about the margin"
    assert levels(600, 490, 300) == ["low"] * 3
    assert [level for level, _ in told] == ["warning"], "again when half of it is gone"
    assert not store.writer.only_candles
    assert levels(199, 210) == ["floor", "floor"]
    assert [level for level, _ in told] == ["error"]
    assert "only candles are written" in told[0][1]
    assert store.writer.only_candles
    assert levels(230) == ["low"]
    assert [level for level, _ in told] == ["info"]
    assert not store.writer.only_candles
    assert levels(1_200) == ["fine"]
    assert watch.state is not None
    assert watch.state.note == ""


async def _housekeeping(store: Store, told: Told, condition: Any, eventually: Any) -> Housekeeper:
    limits = Limits(1, None, 0, 0, look_every_s=0.01)
    keeper = Housekeeper(store, limits, lambda: START_MS, lambda *note: told.append(note))
    task = asyncio.create_task(keeper.run())
    try:
        await eventually(lambda: keeper.disk is not None)
        await asyncio.to_thread(condition)
        await eventually(lambda: keeper.disk is not None and keeper.disk.level != "fine")
        for _ in range(3):
            await asyncio.sleep(0.02)
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return keeper


@pytest.mark.parametrize("fate", ["deleted", "replaced", "directory"])
async def test_a_database_that_loses_its_name_is_told_once(
    store: Store, tmp_path: Path, eventually: Any, fate: str
) -> None:
    told: Told = []
    path = store.directory / "klinetop.db"

    def lose() -> None:
        if fate == "directory":
            shutil.rmtree(store.directory)
            return
        if fate == "deleted":
            path.rename(tmp_path / "elsewhere.db")
            return
        other = tmp_path / "other.db"
        other.write_bytes(b"another")
        other.replace(path)

    keeper = await _housekeeping(store, told, lose, eventually)
    assert keeper.disk is not None
    assert keeper.disk.level == "gone"
    ((level, sentence),) = told
    assert level == "error"
    word = "replaced" if fate == "replaced" else "deleted"
    assert sentence.startswith(f"The database file {path} was {word} while the engine ran; restart")


def _spoil(store: Store) -> None:
    """Write nonsense over pages of candles that no connection has in memory."""
    store.writer.run(lambda c: c.execute("PRAGMA shrink_memory").close()).result(10)
    path = store.directory / "klinetop.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        pages = other.execute("PRAGMA page_count").fetchone()[0]
    with path.open("r+b") as file:
        for page in range(pages // 2, pages * 3 // 4):
            file.seek(4096 * page)
            file.write(bytes(range(250)) * 8)


@pytest.mark.parametrize("who", ["reader", "writer"])
async def test_a_page_found_damaged_while_the_engine_runs_is_told_once_with_the_way_out(
    tmp_path: Path, eventually: Any, who: str
) -> None:
    told: Told = []
    store = Store.open(tmp_path, source="live")
    fill(store, 3)

    def meet() -> None:
        _spoil(store)
        if who == "reader":
            with pytest.raises(CorruptDatabase):
                store.reader.candles("AUSDT", "1m")
        else:
            times = [START_MS + i * MINUTE_MS for i in range(4_000)]
            rows = [Candle(time_ms, 1.0, 3.0, 0.5, 2.0, 2.0, 2.0) for time_ms in times]
            store.writer.put_candles("AUSDT", "1m", rows, Source.REST)

    try:
        keeper = await _housekeeping(store, told, meet, eventually)
        assert keeper.disk is not None
        assert keeper.disk.level == "damaged"
        ((level, sentence),) = told
        assert level == "error"
        assert "stop klinetop, then move it aside with `mkdir" in sentence
        assert "klinetop db salvage" in sentence
    finally:
        with pytest.raises(WriteRefused) if who == "writer" else nullcontext():
            store.close()


async def test_the_housekeeper_looks_and_prunes_by_itself(
    store: Store, monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    fill(store, 3)
    usage = shutil.disk_usage(store.directory)
    free = [50 * MB]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free[0]))
    told: Told = []
    limits = Limits(1, None, 1000, 200, look_every_s=0.01, first_prune_s=0.05, prune_every_s=3_600)
    keeper = Housekeeper(
        store, limits, lambda: float(START_MS + 3 * DAY_MS), lambda *note: told.append(note)
    )
    task = asyncio.create_task(keeper.run())
    try:
        await eventually(lambda: keeper.pruned is not None)
        await eventually(
            lambda: ("info", "2,880 old candles were pruned (retention.days = 1).") in told
        )
        assert keeper.disk is not None
        assert keeper.disk.level == "floor"
        free[0] = 5_000 * MB
        await eventually(lambda: keeper.disk is not None and keeper.disk.level == "fine")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: (_ for _ in ()).throw(OSError("gone")))
        await eventually(lambda: ("error", "The disk can not be looked at: gone.") in told)
    finally:
        task.cancel()
    assert store.reader.first_open_time("AUSDT", "1m") == START_MS + 2 * DAY_MS
    assert sum(note[0] == "error" and "looked at" in note[1] for note in told) == 1


async def test_a_pruning_can_be_asked_for_and_keeps_the_settings_out(store: Store) -> None:
    fill(store, 3)
    keeper = Housekeeper(
        store,
        Limits(0, 0.000_1, 0, 0),
        lambda: float(START_MS + 3 * DAY_MS),
        lambda *_: None,
    )
    pruned = await keeper.prune(days=2)
    assert pruned.candles == 1_440
    assert await keeper.vacuum() > 0
    pruned = await keeper.prune()
    assert not pruned.fits
    assert store.reader.candle_count() == 2 * 1_440, "the newest week stays whatever the limit"


async def test_an_engine_tells_of_its_disk_and_prunes_when_asked(
    engine_on: Any, exchange_at: Any, eventually: Any
) -> None:
    from engine.service import contract
    from engine.service.desk import Desk
    from engine.service.figures import storage_section

    engine = await engine_on(await exchange_at(1.0), 1.0)
    await eventually(lambda: engine.housekeeper.disk is not None)
    section = storage_section(engine)
    assert section.disk is not None
    assert section.disk.free_bytes > 0
    await eventually(lambda: engine.store.reader.candle_count() > 400)
    desk = Desk(engine, owned=False, on_stop=lambda: None)
    viewer: Any = None
    answer = await desk.command(viewer, contract.KeepHouse("prune", 0.1))
    assert isinstance(answer, contract.Done)
    assert answer.data["candles"] > 100
    answer = await desk.command(viewer, contract.KeepHouse("vacuum"))
    assert isinstance(answer, contract.Done)


async def test_an_engine_without_a_retention_deletes_no_candle(store: Store) -> None:
    fill(store, 3)
    told: Told = []
    clock = ExchangeClock(1.0)
    clock.observe(START_MS + 3_000 * DAY_MS)
    keeper = make_housekeeper(Settings(), store, clock, lambda *note: told.append(note))
    assert (await keeper.prune()).candles == 0
    assert store.reader.candle_count() == 3 * 1_440


def test_what_a_retention_would_free_is_worked_out_from_the_database(store: Store) -> None:
    fill(store, 60)
    store.writer.put_candles(
        "AUSDT", "1d", [Candle(START_MS, 1.0, 2.0, 0.5, 1.5, 1.0, 1.0)], Source.STREAM
    ).result(10)
    now_ms = START_MS + 60 * DAY_MS
    pruner = Pruner(store.writer, lambda: None)
    freed = freed_by_keeping(store.reader, now_ms, (90, 30, 15))
    before = store.writer.run(used_bytes).result(10)
    after = {}
    for days in (30, 15):
        pruner.by_age(now_ms - days * DAY_MS)
        after[days] = before - store.writer.run(used_bytes).result(10)
    assert freed[90] == 0
    assert all(freed[days] == pytest.approx(after[days], rel=0.1) for days in (30, 15))


async def test_a_disk_that_runs_full_tells_what_a_retention_would_free(
    store: Store, monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    monkeypatch.setattr(housekeeping, "HINT_BYTES", 1)
    fill(store, 100)
    usage = shutil.disk_usage(store.directory)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=500 * MB))
    told: Told = []
    limits = Limits(None, None, 1000, 200, look_every_s=0.01)
    keeper = Housekeeper(
        store, limits, lambda: float(START_MS + 100 * DAY_MS), lambda *note: told.append(note)
    )
    task = asyncio.create_task(keeper.run())
    try:
        await eventually(lambda: told)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert told[0][0] == "warning"
    assert re.search(
        r"Free some space\. retention\.days = 90 would free about 0\.00 GB, "
        r"30 would free about 0\.01 GB; what is pruned is gone for good\.$",
        told[0][1],
    )
