"""Cases 31, 34 and 36: a full disk and space again, a reader that stays, a read-only disk."""

from __future__ import annotations

import contextlib
import functools
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from engine.market.interval import INTERVALS, MINUTE_MS
from engine.store import Source, Store, open_reader

pytestmark = pytest.mark.faults

FAST = 200.0
SPEED = 120.0
PAIR = ("BTCUSDT", "LTCUSDT")
MOST_QUEUED = 5_000
UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]
# Runs a program on a small file system of its own over a directory, which is copied out at its end.
MOUNTED = """
import shutil, signal, subprocess, sys
options, place, outside, *command = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
program = subprocess.Popen(command)
signal.signal(signal.SIGTERM, lambda number, _: program.send_signal(number))
status = program.wait()
shutil.copytree(place, outside)
sys.exit(status)
"""
READ_ONLY = """
import os, subprocess, sys
source, place, *command = sys.argv[1:]
subprocess.run(["mount", "--bind", source, place], check=True)
subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
os.execv(command[0], command)
"""


@functools.cache
def mounts() -> bool:
    """Whether this machine lets a process mount something that only that process sees."""
    if shutil.which("unshare") is None:
        return False
    probe = [*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


needs_mount = pytest.mark.skipif(
    not mounts(), reason="this machine does not let a test mount a file system for itself"
)


def limit_pages(store: Store, pages: int | None) -> None:
    """Let the database grow to so many pages beside its present ones; None lifts the limit."""

    def work(connection: sqlite3.Connection) -> None:
        now = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {now + (pages or 0)}").fetchone()

    if pages is None:
        # The writer's own work waits for space, so this goes past it.
        store._connection.execute("PRAGMA max_page_count = 1000000").fetchone()
    else:
        store.writer.run(work).result(10)


async def started(exchange_at, engine_on, eventually, **options):
    running = await exchange_at(FAST)
    engine = await engine_on(running, FAST, **options)
    await eventually(lambda: engine.state == "running")
    await eventually(lambda: engine.collector.closed_seen >= 4)
    return running, engine


async def assert_whole(engine, running, eventually, until_ms: int) -> None:
    """Nothing is missing up to `until_ms`, and all that is stored equals the exchange's record."""
    reader = engine.store.reader
    await eventually(
        lambda: all((reader.last_open_time(symbol, "1m") or 0) >= until_ms for symbol in PAIR), 30
    )
    await eventually(
        lambda: all(
            reader.missing(symbol, "1m", reader.first_open_time(symbol, "1m"), until_ms) == []
            for symbol in PAIR
        ),
        30,
    )
    for symbol in PAIR:
        stored = reader.candles(symbol, "1m")
        first_ms, last_ms = stored[0].open_time_ms, stored[-1].open_time_ms
        assert stored == await truth(running, symbol, first_ms, last_ms)
    assert len(reader.query("SELECT 1 FROM gap WHERE state IN ('exchange_hole','unfillable')")) == 0


async def truth(running, symbol: str, first_ms: int, last_ms: int) -> list:
    record: list = []
    while first_ms <= last_ms:
        page = await running.exchange.candles(symbol, INTERVALS["1m"], first_ms, last_ms, 1_000)
        record += [candle for candle in page if candle.closed]
        first_ms = page[-1].open_time_ms + MINUTE_MS
    return record


def is_told(engine, words: str) -> bool:
    return any(words in notice.text for notice in engine.notices.after(0))


async def test_case_31_disk_full_and_back(exchange_at, engine_on, eventually) -> None:
    running, engine = await started(exchange_at, engine_on, eventually)
    writer = engine.store.writer
    limit_pages(engine.store, 0)
    writer.quarantine("test", "it needs pages at once", "x" * 20_000)
    await eventually(lambda: writer.counters.is_stalled)
    assert "the disk is full" in writer.counters.last_error
    full_ms = running.exchange.now_ms
    await eventually(lambda: running.exchange.now_ms > full_ms + 8 * MINUTE_MS)
    assert writer.counters.is_stalled
    assert writer.counters.queued < MOST_QUEUED
    assert engine.state == "running"
    assert engine.store.reader.candles("BTCUSDT", "1m", limit=5), "what is stored can be read"
    await eventually(lambda: is_told(engine, "disk is full"))
    limit_pages(engine.store, None)
    await eventually(lambda: not writer.counters.is_stalled, 30)
    await assert_whole(engine, running, eventually, full_ms + 9 * MINUTE_MS)
    assert engine.supervisor.stats.reconnects == 0
    assert writer.counters.refused == 0
    await eventually(lambda: is_told(engine, "writes again"))


async def test_case_31_an_engine_that_stops_on_a_full_disk_fetches_what_it_gave_up(
    exchange_at, engine_on, eventually
) -> None:
    running, engine = await started(exchange_at, engine_on, eventually)
    limit_pages(engine.store, 0)
    engine.store.writer.quarantine("test", "it needs pages at once", "x" * 20_000)
    await eventually(lambda: engine.store.writer.counters.is_stalled)
    full_ms = running.exchange.now_ms
    await eventually(lambda: running.exchange.now_ms > full_ms + 3 * MINUTE_MS)
    await engine.close()
    with pytest.raises(Exception, match="could not be written: the disk is full"):
        engine.store.close()
    again = await engine_on(running, FAST)
    await eventually(lambda: again.state == "running")
    await assert_whole(again, running, eventually, full_ms + 6 * MINUTE_MS)


@needs_mount
async def test_case_31_a_real_disk_full_and_back(
    exchange_at, engine_process, eventually, tmp_path
) -> None:
    running = await exchange_at(SPEED)
    directory, outside = tmp_path / "data", tmp_path / "outside"
    directory.mkdir()
    prefix = [*UNSHARE, sys.executable, "-c", MOUNTED, "size=12m", str(directory), str(outside)]
    engine = engine_process(running, directory, SPEED, prefix=prefix)
    inside = Path(f"/proc/{engine.process.pid}/root{directory}")
    engine.directory = inside
    await engine.until(lambda told: told["engine"]["state"] == "running")
    fill_up(inside / "ballast")
    full = await engine.until(lambda told: "disk is full" in told["store"]["last_error"])
    full_ms = running.exchange.now_ms
    await eventually(lambda: running.exchange.now_ms > full_ms + 5 * MINUTE_MS)
    told = await engine.status()
    assert told["stream"]["state"] == "live"
    assert told["stream"]["reconnects"] == 0
    (inside / "ballast").unlink()
    await engine.until(lambda told: told["store"]["candles"] >= full["store"]["candles"] + 14)
    until_ms = running.exchange.now_ms // MINUTE_MS * MINUTE_MS - MINUTE_MS
    engine.tell(signal.SIGTERM)
    assert await engine.ended() == 0, engine.stderr
    assert "Traceback" not in engine.stderr
    with contextlib.closing(open_reader(outside)) as reader:
        for symbol in PAIR:
            candles = reader.candles(symbol, "1m", end_ms=until_ms)
            first_ms = candles[0].open_time_ms
            assert candles == await truth(running, symbol, first_ms, until_ms - MINUTE_MS)


def fill_up(path: Path) -> None:
    """Write until the disk of `path` has no byte left."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass


async def test_case_34_a_reader_held_open_costs_no_candle_and_the_log_shrinks_again(
    exchange_at, engine_on, eventually, tmp_path
) -> None:
    running, engine = await started(exchange_at, engine_on, eventually)
    path = tmp_path / "engine" / "klinetop.db"
    log = path.with_name("klinetop.db-wal")
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as other:
        other.isolation_level = None
        other.execute("BEGIN")
        seen = other.execute("SELECT count(*) FROM candle").fetchone()[0]
        held_ms = running.exchange.now_ms
        await eventually(lambda: running.exchange.now_ms > held_ms + 10 * MINUTE_MS)
        engine.store.writer.put_candles(
            "OLDUSDT", "1m", many_candles(80_000), Source.IMPORT
        ).result(30)  # so much that the log would have been checkpointed several times
        assert other.execute("SELECT count(*) FROM candle").fetchone()[0] == seen
        grown = log.stat().st_size
        assert grown > 1000 * 4096, "the reader keeps the log from being reused"
    engine.store.writer.put_candles("NEWUSDT", "1m", many_candles(80_000), Source.IMPORT).result(30)
    await eventually(lambda: unread_pages(engine) < 1000)
    assert log.stat().st_size < grown + 6000 * 4096, "the log is used again from its beginning"
    await assert_whole(engine, running, eventually, held_ms + 11 * MINUTE_MS)
    assert not engine.store.writer.counters.is_stalled


def many_candles(count: int) -> list:
    from engine.market.candle import Candle

    return [Candle(at * MINUTE_MS, 2.0, 3.0, 1.0, 2.5, 1.0, 1.0) for at in range(count)]


def unread_pages(engine) -> int:
    """Pages of the log that are not in the database file yet."""
    work = engine.store.writer.run(lambda _: None)
    work.result(10)
    with contextlib.closing(sqlite3.connect(engine.store.directory / "klinetop.db")) as other:
        _, in_log, moved = other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return in_log - moved


@needs_mount
async def test_case_36_a_read_only_disk_is_a_sentence(
    exchange_at, engine_process, tmp_path
) -> None:
    running = await exchange_at(SPEED)
    directory = tmp_path / "data"
    for is_made in (False, True):
        if is_made:
            Store.open(directory, source="live", source_note="127.0.0.1").close()
        else:
            directory.mkdir()
        before = sorted(path.name for path in directory.iterdir())
        prefix = [*UNSHARE, sys.executable, "-c", READ_ONLY, str(directory), str(directory)]
        engine = engine_process(running, directory, SPEED, prefix=prefix)
        assert await engine.ended() == 2
        assert f"{directory} can not be written" in engine.stderr
        assert "--data-dir" in engine.stderr
        assert "Traceback" not in engine.stderr
        assert sorted(path.name for path in directory.iterdir()) == before


@needs_mount
def test_case_36_what_is_stored_on_a_read_only_disk_can_be_read(
    process_environment, tmp_path
) -> None:
    directory = tmp_path / "data"
    with Store.open(directory, source="live") as store:
        store.writer.put_candles("BTCUSDT", "1m", many_candles(3), Source.REST).result(10)
    prefix = [*UNSHARE, sys.executable, "-c", READ_ONLY, str(directory), str(directory)]
    read = [sys.executable, "-m", "tui.cli", "candles", "BTCUSDT", "1m"]
    found = subprocess.run(
        [*prefix, *read, "--data-dir", str(directory)],
        capture_output=True,
        text=True,
        env=process_environment,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert len(found.stdout.splitlines()) == 4


async def test_case_36_a_missing_directory_is_made(exchange_at, engine_process, tmp_path) -> None:
    running = await exchange_at(SPEED)
    directory = tmp_path / "deep" / "in" / "data"
    engine = engine_process(running, directory, SPEED)
    await engine.until(lambda told: told["store"]["candles"])
    engine.tell(signal.SIGTERM)
    assert await engine.ended() == 0, engine.stderr
    (tmp_path / "file").write_text("")
    beneath = tmp_path / "file" / "data"
    engine = engine_process(running, beneath, SPEED)
    assert await engine.ended() == 2
    assert f"{beneath} can not be written (Not a directory)" in engine.stderr
    assert "Traceback" not in engine.stderr
