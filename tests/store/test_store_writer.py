"""The writer when things go wrong: full disks, wrong work, kills, other processes."""

import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.market.candle import Candle
from engine.store import PutResult, Source, Store, WriterDied, WriteRefused, open_reader
from engine.store import writer as writer_module
from engine.store.database import open_for_writing
from engine.store.writer import Writer

Minute = Callable[..., Candle]
SERIES = ("BTCUSDT", "1m")

WRITE_FOREVER = """
import pathlib, sys
from engine.market.candle import Candle
from engine.store import Source, Store
store = Store.open(pathlib.Path(sys.argv[1]), source="live")
at = store.reader.candle_count()
while True:
    rows = [Candle((at + i) * 60000, 1.0, 2.0, 0.5, 1.5, 1.0, 1.5, 1) for i in range(600)]
    store.writer.put_candles("BTCUSDT", "1m", rows, Source.STREAM).result()
    at += len(rows)
    print(at, flush=True)
"""


def wait_until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.005)


def test_kill_at_any_moment_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(7)
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", WRITE_FOREVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(chance.randint(1, 12))]
            threading.Event().wait(chance.random() * 0.03)
            process.kill()
            lines += process.stdout.readlines()
            process.wait(60)
        acknowledged = [int(line) for line in lines if line.endswith("\n")][-1]
        with Store.open(tmp_path, source="live") as store:
            times = [candle.open_time_ms for candle in store.reader.candles(*SERIES)]
            assert times[:acknowledged] == [index * 60_000 for index in range(acknowledged)]
            assert len(times) % 600 == 0
            assert store.reader.candle_count() == len(times)


def test_another_process_reads_while_the_engine_writes(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITE_FOREVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            reader = open_reader(tmp_path) if process.stdout.readline() else None
            assert reader is not None
            seen = []
            for _ in range(15):
                acknowledged = int(process.stdout.readline())
                count = reader.candle_count()
                assert count >= acknowledged
                assert len(reader.candles(*SERIES, limit=50)) == 50
                seen.append(count)
            assert seen == sorted(seen)
            assert seen[-1] > seen[0]
            reader.close()
        finally:
            process.kill()
            process.stdout.read()


def test_a_full_disk_keeps_the_batch_and_goes_on_by_itself(
    store: Store, minute: Minute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "RETRY_CAP_S", 0.05)
    store.writer.put_candles(*SERIES, [minute(0)], Source.STREAM).result(10)
    pages = store.writer.run(lambda c: c.execute("PRAGMA page_count").fetchone()[0]).result(10)
    store.writer.run(lambda c: c.execute(f"PRAGMA max_page_count = {pages}").fetchone()).result(10)
    rows = [minute(index) for index in range(1, 3_000)]
    future = store.writer.put_candles(*SERIES, rows, Source.STREAM)
    later = store.writer.put_candles("ETHUSDT", "1m", rows[:1], Source.REST)
    wait_until(lambda: store.writer.counters.failures >= 2)
    counters = store.writer.counters
    assert "disk is full" in counters.last_error
    assert counters.is_stalled
    assert counters.queued == 3_000
    assert not future.done()
    assert store.reader.candles(*SERIES) == [minute(0)]
    store._connection.execute("PRAGMA max_page_count = 1000000").fetchone()
    assert future.result(10) == PutResult(inserted=2_999)
    assert later.result(10) == PutResult(inserted=1)
    assert store.reader.candles(*SERIES)[1:] == rows
    counters = store.writer.counters
    assert (counters.is_stalled, counters.queued) == (False, 0)
    assert counters.rows_committed == 3_001


def test_what_waits_is_bounded_and_refused_aloud_beyond(tmp_path: Path, minute: Minute) -> None:
    connection = open_for_writing(tmp_path, "live", "")
    connection.execute("PRAGMA max_page_count = 1").fetchone()
    writer = Writer(connection, max_queued_rows=6_000)
    rows = [minute(index) for index in range(5_000)]
    kept = writer.put_candles(*SERIES, rows, Source.STREAM)
    wait_until(lambda: writer.counters.failures >= 1)
    refused = writer.put_candles(*SERIES, rows[:2_000], Source.STREAM)
    with pytest.raises(
        WriteRefused, match="5000 rows wait to be written already: the disk is full"
    ):
        refused.result(1)
    assert writer.counters.refused == 2_000
    with pytest.raises(WriteRefused, match="5000 rows could not be written: the disk is full"):
        writer.close()
    with pytest.raises(WriteRefused):
        kept.result(0)
    connection.close()


def test_a_locked_database_is_waited_for(
    store: Store, minute: Minute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "RETRY_CAP_S", 0.05)
    store.writer.run(lambda c: c.execute("PRAGMA busy_timeout = 1").fetchone()).result(5)
    other = sqlite3.connect(store.directory / "klinetop.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    future = store.writer.put_candles(*SERIES, [minute(0)], Source.STREAM)
    wait_until(lambda: store.writer.counters.failures >= 1)
    assert "locked" in store.writer.counters.last_error
    other.execute("ROLLBACK")
    other.close()
    assert future.result(10) == PutResult(inserted=1)


def test_an_error_of_the_work_itself_undoes_only_that_work(store: Store, minute: Minute) -> None:
    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO meta VALUES ('half', 'done')")
        raise LookupError("my own mistake")

    before = store.writer.put_candles(*SERIES, [minute(0)], Source.STREAM)
    failing = store.writer.run(broken)
    after = store.writer.put_candles(*SERIES, [minute(1)], Source.STREAM)
    with pytest.raises(LookupError, match="my own mistake"):
        failing.result(10)
    assert before.result(10) == after.result(10) == PutResult(inserted=1)
    assert store.reader.meta("half") is None
    assert store.writer.counters.failures == 1
    assert store.writer.counters.last_error == "my own mistake"


def test_work_that_ends_the_transaction_harms_only_itself(store: Store, minute: Minute) -> None:
    before = store.writer.put_candles(*SERIES, [minute(0)], Source.STREAM)
    failing = store.writer.run(lambda c: c.execute("ROLLBACK"))
    after = store.writer.put_candles(*SERIES, [minute(1)], Source.STREAM)
    with pytest.raises(sqlite3.OperationalError, match="no such savepoint"):
        failing.result(10)
    assert before.result(10) == after.result(10) == PutResult(inserted=1)
    assert store.reader.candle_count() == 2
    assert store.writer.counters.queued == 0


def test_small_works_share_a_transaction(store: Store, minute: Minute) -> None:
    store.writer._gather_s = 5.0
    store.writer.flush()
    commits = store.writer.counters.commits
    futures = [
        store.writer.put_candles(f"S{n}USDT", "1m", [minute(0)], Source.STREAM) for n in range(40)
    ]
    store.writer.flush()
    assert [future.result(10).inserted for future in futures] == [1] * 40
    assert store.writer.counters.commits - commits == 1


def test_close_writes_what_waits_and_refuses_what_comes_later(
    tmp_path: Path, minute: Minute
) -> None:
    store = Store.open(tmp_path, source="live")
    futures = [
        store.writer.put_candles(*SERIES, [minute(index)], Source.STREAM) for index in range(20)
    ]
    store.writer.quarantine("stream", "no JSON", "{")
    store.close()
    assert all(future.result(0).inserted == 1 for future in futures)
    with pytest.raises(WriteRefused, match="closed"):
        store.writer.put_candles(*SERIES, [minute(99)], Source.STREAM).result(0)
    store.close()
    reader = open_reader(tmp_path)
    assert (reader.candle_count(), reader.quarantine_count()) == (20, 1)
    reader.close()


def test_a_future_can_not_be_cancelled_away(store: Store, minute: Minute) -> None:
    future = store.writer.put_candles(*SERIES, [minute(0)], Source.STREAM)
    assert not future.cancel()
    assert future.result(10).inserted == 1


def test_many_threads_may_write_and_read(store: Store, minute: Minute) -> None:
    def work(number: int) -> None:
        for index in range(20):
            store.writer.put_candles(f"S{number}", "1m", [minute(index)], Source.STREAM)
            store.reader.candles(f"S{number}", "1m")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.writer.flush()
    assert store.reader.candle_count() == 120
    assert [len(store.reader.candles(f"S{number}", "1m")) for number in range(6)] == [20] * 6


def test_a_thread_that_ends_is_told_and_refuses_all_that_waits(
    tmp_path: Path, minute: Minute
) -> None:
    def end_the_thread(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO meta VALUES ('half', 'done')")
        raise SystemExit("enough")

    deaths: list[str] = []
    store = Store.open(tmp_path, source="live")
    store.writer.on_death = deaths.append
    store.writer.put_candles(*SERIES, [minute(0)], Source.STREAM).result(10)
    held = threading.Event()
    store.writer.run(lambda _: held.wait(10))
    with_it = store.writer.run(end_the_thread)
    behind = store.writer.put_candles(*SERIES, [minute(1)], Source.STREAM)
    held.set()
    for future in (with_it, behind):
        with pytest.raises(WriterDied, match=r"writer failed \(SystemExit: enough\)"):
            future.result(10)
    wait_until(lambda: bool(deaths))
    assert deaths == [store.writer.death] == ["SystemExit: enough"]
    assert store.writer.counters.is_stalled
    with pytest.raises(WriterDied):
        store.writer.put_candles(*SERIES, [minute(2)], Source.STREAM).result(10)
    with pytest.raises(WriterDied, match="is fetched again at the next start"):
        store.close()
    with Store.open(tmp_path, source="live") as again:
        assert [row.open_time_ms for row in again.reader.candles(*SERIES)] == [
            minute(0).open_time_ms
        ]
        assert again.reader.meta("half") is None
