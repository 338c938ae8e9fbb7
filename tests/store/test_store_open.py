import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from engine.market.candle import Candle
from engine.store import (
    SCHEMA_VERSION,
    CorruptDatabase,
    DirectoryBusy,
    DirectoryLock,
    NoDatabase,
    NotWritable,
    Source,
    Store,
    StoreError,
    WrongSource,
    WrongVersion,
    open_reader,
    schema,
)

Minute = Callable[..., Candle]


def filled(directory: Path, minute: Minute, count: int = 3) -> None:
    with Store.open(directory, source="live") as store:
        store.writer.put_candles(
            "BTCUSDT", "1m", [minute(index) for index in range(count)], Source.REST
        )


def test_a_store_opens_again_with_what_it_held(tmp_path: Path, minute: Minute) -> None:
    filled(tmp_path / "deep" / "data", minute)
    with Store.open(tmp_path / "deep" / "data", source="live") as store:
        assert store.reader.candle_count() == 3
        assert store.reader.meta("schema_version") == str(SCHEMA_VERSION)
        assert store.reader.meta("source") == "live"
        assert store.reader.meta("created_wall_ms")
        [pragmas] = store.writer.run(
            lambda c: [
                [
                    c.execute(f"PRAGMA {name}").fetchone()[0]
                    for name in ("journal_mode", "synchronous")
                ]
            ]
        ).result(5)
        assert pragmas == ["wal", 2]
        assert store.reader.database_bytes() > 4096


def test_the_engine_gets_no_pandas_with_its_store(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from engine.store import Store;"
        "Store.open(pathlib.Path(sys.argv[1]), source='live').close();"
        "from engine.store import open_reader;"
        "open_reader(pathlib.Path(sys.argv[1])).query('SELECT 1');"
        "assert 'sqlite_utils' in sys.modules;"
        "heavy = {'pandas', 'binance', 'tensorflow'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("source", "note", "words"),
    [
        (
            "demo",
            "seed 8",
            r"holds a demo \(seed 7\), not a demo \(seed 8\); use another --data-dir",
        ),
        ("live", "", r"holds a demo \(seed 7\), not live data of Binance; use another --data-dir"),
    ],
)
def test_another_source_is_refused(
    tmp_path: Path, source: str, note: str, words: str, minute: Minute
) -> None:
    with Store.open(tmp_path, source="demo", source_note="seed 7") as store:
        store.writer.put_candles("BTCUSDT", "1m", [minute(0)], Source.STREAM).result(10)
    with pytest.raises(WrongSource, match=words):
        Store.open(tmp_path, source=source, source_note=note)
    Store.open(tmp_path, source="demo", source_note="seed 7").close()


def test_a_database_that_holds_nothing_takes_any_source(tmp_path: Path) -> None:
    Store.open(tmp_path, source="replay", source_note="wrong.txt").close()
    with Store.open(tmp_path, source="live") as store:
        assert (store.reader.meta("source"), store.reader.meta("source_note")) == ("live", "")


def test_a_later_schema_is_refused_and_left_alone(tmp_path: Path, minute: Minute) -> None:
    filled(tmp_path, minute)
    connection = sqlite3.connect(tmp_path / "klinetop.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = (tmp_path / "klinetop.db").read_bytes()
    with pytest.raises(WrongVersion, match="schema version 99, and this klinetop knows"):
        Store.open(tmp_path, source="live")
    with pytest.raises(WrongVersion, match="schema version 99"):
        open_reader(tmp_path)
    assert (tmp_path / "klinetop.db").read_bytes() == before


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "klinetop.db")
    connection.execute("CREATE TABLE notes (text TEXT)")
    connection.close()
    with pytest.raises(WrongVersion, match="database of another program"):
        Store.open(tmp_path, source="live")
    with pytest.raises(WrongVersion, match="database of another program"):
        open_reader(tmp_path)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "klinetop.db"
    path.write_text("hello, I am a text file\n" * 300)
    for attempt in (lambda: Store.open(tmp_path, source="live"), lambda: open_reader(tmp_path)):
        with pytest.raises(CorruptDatabase, match=r"damaged or no database.*mkdir .* && mv "):
            attempt()
    assert path.read_text().startswith("hello")


def test_one_corrupt_page_is_found_at_start_and_nothing_is_deleted(
    tmp_path: Path, minute: Minute
) -> None:
    filled(tmp_path, minute, 5_000)
    path = tmp_path / "klinetop.db"
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 2000] = os.urandom(2000)
    path.write_bytes(data)
    with pytest.raises(CorruptDatabase, match="quick_check"):
        Store.open(tmp_path, source="live")
    assert path.read_bytes() == data
    reader = open_reader(tmp_path)
    with pytest.raises(CorruptDatabase, match="damaged"):
        reader.candles("BTCUSDT", "1m")
    reader.close()


def test_the_way_out_that_the_sentence_names_works(tmp_path: Path, minute: Minute) -> None:
    directory = tmp_path / "my data"
    filled(directory, minute)
    (directory / "klinetop.db").write_bytes(b"x" * 9000)
    with pytest.raises(CorruptDatabase) as caught:
        Store.open(directory, source="live")
    command = str(caught.value).split("`")[1]
    subprocess.run(command, shell=True, check=True)
    Store.open(directory, source="live").close()
    assert (directory / "damaged" / "klinetop.db").read_bytes() == b"x" * 9000


def test_a_directory_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritable, match=r"can not be written \(Not a directory\).*--data-dir"):
        Store.open(tmp_path / "file" / "data", source="live")
    with pytest.raises(NotWritable, match="File exists"):
        Store.open(tmp_path / "file", source="live")
    with pytest.raises(NotWritable, match="--data-dir"):
        DirectoryLock.acquire(tmp_path / "file" / "data")


@pytest.mark.skipif(
    not Path("/proc/self").is_dir(), reason="needs a directory that root can not write"
)
def test_a_directory_that_is_there_but_can_not_be_written() -> None:
    with pytest.raises(NotWritable, match="/proc/self can not be written"):
        Store.open(Path("/proc/self"), source="live")
    with pytest.raises(NotWritable, match="/proc/self can not be written"):
        DirectoryLock.acquire(Path("/proc/self"))


def test_a_directory_where_the_database_should_be(tmp_path: Path) -> None:
    (tmp_path / "klinetop.db").mkdir()
    with pytest.raises(NotWritable, match="Is a directory"):
        Store.open(tmp_path, source="live")


def test_reading_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(NoDatabase, match="There is no klinetop database in"):
        open_reader(tmp_path)
    (tmp_path / "klinetop.db").touch()
    with pytest.raises(NoDatabase, match="is empty"):
        open_reader(tmp_path)
    Store.open(tmp_path, source="live").close()


def test_a_copy_without_its_log_opens(tmp_path: Path, minute: Minute) -> None:
    filled(tmp_path / "a", minute)
    (tmp_path / "b").mkdir()
    shutil.copy(tmp_path / "a" / "klinetop.db", tmp_path / "b")
    with Store.open(tmp_path / "b", source="live") as store:
        assert store.reader.candle_count() == 3


def test_a_reader_can_not_write(tmp_path: Path, minute: Minute) -> None:
    filled(tmp_path, minute)
    reader = open_reader(tmp_path)
    with pytest.raises(StoreError, match="readonly"):
        reader.query("DELETE FROM candle RETURNING open_time_ms")
    reader.close()


def test_one_engine_for_each_directory(tmp_path: Path) -> None:
    with DirectoryLock.acquire(tmp_path / "data"):
        assert DirectoryLock.holder(tmp_path / "data") == os.getpid()
        held = rf"\(pid {os.getpid()}, since 20\d\d-[-\d]+ [:\d]+ UTC\) already holds"
        with pytest.raises(DirectoryBusy, match=held) as caught:
            DirectoryLock.acquire(tmp_path / "data")
        assert caught.value.pid == os.getpid()
    assert DirectoryLock.holder(tmp_path / "data") is None
    DirectoryLock.acquire(tmp_path / "data").release()
    assert DirectoryLock.holder(tmp_path / "nowhere") is None


def test_who_looks_for_a_holder_keeps_no_engine_from_its_start(tmp_path: Path) -> None:
    DirectoryLock.acquire(tmp_path).release()
    looking = os.open(tmp_path / "engine.lock", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    ends = threading.Timer(0.05, os.close, (looking,))
    ends.start()
    DirectoryLock.acquire(tmp_path).release()
    ends.join()


def test_a_holder_that_has_not_said_its_name_yet_is_waited_for(tmp_path: Path) -> None:
    file = os.open(tmp_path / "engine.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(file, fcntl.LOCK_EX)
    says = threading.Timer(0.05, os.pwrite, (file, b"4711\n", 0))
    says.start()
    assert DirectoryLock.holder(tmp_path) == 4711
    says.join()
    os.close(file)


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from engine.store import DirectoryLock;"
        "lock = DirectoryLock.acquire(pathlib.Path(sys.argv[1])); print('held', flush=True);"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DirectoryBusy) as caught:
            DirectoryLock.acquire(tmp_path)
        assert caught.value.pid == holder.pid
        holder.kill()
        holder.wait(60)
    DirectoryLock.acquire(tmp_path).release()


def test_a_database_of_the_second_version_learns_that_a_quote_volume_may_be_unknown(
    tmp_path: Path, minute: Minute, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "klinetop.db"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "_UNKNOWN_QUOTE_VOLUME", "SELECT 1")
        filled(tmp_path, minute)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with pytest.raises(sqlite3.IntegrityError, match="NOT NULL"):
            connection.execute("UPDATE candle SET quote_volume = NULL")
        connection.execute("DROP TABLE imported")
        connection.execute(
            "DELETE FROM _sqlite_migrations WHERE name IN ('unknown_quote_volume', 'imported')"
        )
        connection.execute("PRAGMA user_version = 2")
    unknown = msgspec.structs.replace(minute(3), quote_volume=None)
    with Store.open(tmp_path, source="live") as store:
        store.writer.put_candles("BTCUSDT", "1m", [unknown], Source.IMPORT).result(10)
        assert store.reader.candles("BTCUSDT", "1m") == [*map(minute, range(3)), unknown]
        negative = msgspec.structs.replace(minute(4), quote_volume=-1.0)
        store.writer.put_candles("BTCUSDT", "1m", [negative], Source.IMPORT).result(10)
        assert store.reader.candle_count() == 4
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            connection.execute("UPDATE candle SET quote_volume = -1.0")
