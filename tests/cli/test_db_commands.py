"""db, import of many files, and export, as a user calls them."""

import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from engine.market.candle import Candle
from engine.service import contract
from engine.store import Source, Store
from engine.store.export import candle_pages
from engine.store.reader import open_reader

START_MS = 1_734_652_800_000
GOOD = [f"{START_MS + at * 60_000},1,2,0.5,1.5,10,0,15,3,5,7,0" for at in range(9)]


def fill(directory: Path, symbol: str, count: int, source: str = "live", note: str = "") -> None:
    with Store.open(directory, source=source, source_note=note) as store:
        rows = [Candle(START_MS + at * 60_000, 1.0, 2.0, 0.5, 1.5, 1.0, 1.0) for at in range(count)]
        store.writer.put_candles(symbol, "1m", rows, Source.STREAM).result(10)


def test_check_and_stats_of_a_sound_database(klinetop: Any, stored: Path) -> None:
    found = klinetop("db", "check", "--full")
    assert (found.status, found.err) == (0, "")
    assert found.out.startswith("The database is sound: 120 candles")
    report = json.loads(klinetop("db", "check", "--json").out)
    assert report["sound"]
    assert klinetop("db", "stats").out.splitlines()[1].split() == [
        *("1m", "120", "0.0", "2024-12-20", "00:00", "2024-12-20", "01:59"),
    ]
    assert "BTCUSDT 1m" in klinetop("db", "stats", "--all").out
    report = json.loads(klinetop("db", "stats", "--json").out)
    assert report["series"][0]["candles"] == 120
    assert report["retention_days"] is None
    assert report["days_until_disk_full"] is None


def test_stats_tell_growth_and_when_the_disk_is_full(
    klinetop: Any, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.store import stats
    from engine.store.promises import promise

    with Store.open(stored, source="live") as store:
        store.writer.run(lambda c: promise(c, [("BTCUSDT", "1m")], START_MS)).result(10)
    report = json.loads(klinetop("db", "stats", "--json").out)
    assert report["bytes_per_day"] == 1440 * 96
    room = report["disk_free_bytes"] + report["free_bytes_inside"]
    assert report["days_until_disk_full"] == pytest.approx(room / (1440 * 96), rel=0.01)
    assert "1 series captured now" in klinetop("db", "stats").out
    monkeypatch.setattr(stats, "COUNT_UP_TO", 10)
    found = klinetop("db", "stats")
    assert "estimated" in found.err
    assert " 120 " in found.out


def test_a_damaged_database_is_told_with_the_way_out(
    klinetop: Any, stored: Path, tmp_path: Path
) -> None:
    fill(stored, "A1", 6_000)
    path = stored / "klinetop.db"
    middle = path.stat().st_size // 8192 * 4096
    with path.open("r+b") as file:
        file.seek(middle)
        file.write(bytes(range(250)) * 8)
    found = klinetop("db", "check")
    assert found.status == 1
    assert "db salvage" in found.err
    assert not json.loads(klinetop("db", "check", "--json").out)["sound"]
    fresh = tmp_path / "fresh"
    found = klinetop("db", "salvage", str(fresh))
    assert f"--data-dir {fresh}" in found.err
    assert f"untouched in {stored}" in found.err
    assert "100% of" in found.err
    assert "1 damaged pages skipped" in found.err
    assert "Damaged: 1 of" in found.out
    assert "Lost: A1 1m, " in found.out
    again = klinetop("db", "salvage", str(tmp_path / "again"), "--json")
    told = json.loads(again.out)
    assert (again.status, told["unreadable"]) == (1, {"candle": 1})
    assert told["candles"] + told["series"][0]["candles"] == 6_120
    assert klinetop("db", "check", data_dir=fresh).status == 0
    assert klinetop("db", "salvage", str(fresh)).status == 2


def test_backup_of_a_directory(klinetop: Any, stored: Path, tmp_path: Path) -> None:
    file = tmp_path / "copy.db"
    found = klinetop("db", "backup", str(file))
    assert (found.status, found.out) == (0, "")
    assert "holds 120 candles" in found.err
    found = klinetop("db", "backup", str(file))
    assert (found.status, found.out) == (2, "")
    assert "is there already" in found.err


def test_prune_and_vacuum_alone(
    klinetop: Any, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(directory, "A1", 4_000, "demo", "7")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    found = klinetop("db", "prune", "--days", "1")
    assert (found.status, "--yes" in found.err) == (2, True)
    report = json.loads(klinetop("db", "prune", "--days", "1", "--yes", "--json").out)
    assert report["candles"] == 4_000 - 1_441, "the newest one and a day before it stay"
    assert "MB were given back" in klinetop("db", "vacuum").err
    assert klinetop("db", "check").status == 0
    found = klinetop("db", "prune", "--yes")
    assert (found.status, "say how many days with --days N" in found.err) == (2, True)
    found = klinetop("db", "prune", "--days", "1", "--yes", data_dir=directory / "none")
    assert found.status == 1
    assert not (directory / "none").exists()


def test_prune_and_vacuum_through_the_engine(klinetop: Any, stored: Path, scripted: Any) -> None:
    data = {"candles": 7, "notes": 0, "freed_bytes": 4_000_000}
    scripted.answers[contract.KeepHouse] = contract.Done(data=data)
    found = klinetop("db", "prune", "--days", "30", "--yes")
    assert "7 candles and 0 old notes were deleted; 4.0 MB" in found.err
    assert scripted.requests[-1] == contract.KeepHouse("prune", 30)
    assert json.loads(klinetop("db", "vacuum", "--json").out) == {"freed_bytes": 4_000_000}


def test_a_directory_of_archive_files_is_imported_at_once(
    klinetop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "archive"
    (archive / "ETHUSDT").mkdir(parents=True)
    for name, lines in (
        ("BTCUSDT-1m-2024-12.zip", GOOD[:4]),
        ("BTCUSDT-1m-2024-12-20.zip", GOOD[2:]),
        ("ETHUSDT/ETHUSDT-1m-2024-12.zip", GOOD),
    ):
        with zipfile.ZipFile(archive / name, "w") as packed:
            packed.writestr("klines.csv", "\n".join(lines))
    found = klinetop("import", str(archive), "--json")
    told = json.loads(found.out)
    assert [(one["symbol"], one["inserted"], one["unchanged"]) for one in told] == [
        ("BTCUSDT", 7, 0),
        ("BTCUSDT", 2, 2),
        ("ETHUSDT", 9, 0),
    ]
    assert "3 files: 20 rows read, 18 candles stored" in found.err
    assert "retention.days" not in found.err, "an engine keeps all"
    monkeypatch.setenv("KLINETOP_RETENTION_DAYS", "400")
    found = klinetop("import", str(archive))
    assert "retention.days = 0" in found.err, "they are older than what an engine keeps"
    (archive / "notes.csv").write_text("x")
    found = klinetop("import", str(archive))
    assert found.status == 1
    assert "notes.csv does not tell market and interval" in found.err
    (tmp_path / "empty").mkdir()
    assert "holds no kline file" in klinetop("import", str(tmp_path / "empty")).err


def test_export_to_files(klinetop: Any, stored: Path, tmp_path: Path) -> None:
    printed = klinetop("candles", "BTCUSDT", "1m").out
    for name in ("k.csv", "k.json", "k.parquet"):
        found = klinetop("candles", "BTCUSDT", "1m", "--output", str(tmp_path / name))
        assert (found.status, found.out) == (0, "")
        assert "120 candles" in found.err
    assert (tmp_path / "k.csv").read_text() == printed
    assert len(json.loads((tmp_path / "k.json").read_text())) == 120
    table = pyarrow.parquet.read_table(tmp_path / "k.parquet")
    assert table.num_rows == 120
    assert str(table.schema.field("open_time").type) == "timestamp[ms, tz=UTC]"
    assert table.column("close").to_pylist()[0] == 1.5
    assert table.column("taker_buy_volume").null_count == 120
    assert sorted(path.name for path in tmp_path.iterdir()) == ["k.csv", "k.json", "k.parquet"]
    found = klinetop("candles", "BTCUSDT", "1m", "--format", "parquet")
    assert found.status == 2
    assert "say --output FILE" in found.err


def test_parquet_without_its_library(
    klinetop: Any, stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    found = klinetop("candles", "BTCUSDT", "1m", "--output", str(tmp_path / "k.parquet"))
    assert found.status == 2
    assert "pip install 'klinetop[parquet]'" in found.err
    assert list(tmp_path.iterdir()) == []


def test_pages_are_what_one_answer_would_be(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.store import export
    from engine.store.series import candle_series

    monkeypatch.setattr(export, "PAGE_ROWS", 7)
    monkeypatch.setattr(export, "_LEAST_ROWS", 2)
    reader = open_reader(stored)
    for interval in ("1m", "15m"):
        for start, end, limit in (
            (None, None, None),
            (START_MS + 60_000, START_MS + 6_000_000, None),
            (START_MS + 60_000, None, 5),
            (None, None, 3),
        ):
            asked = {"start_ms": start, "end_ms": end, "limit": limit}
            pages = list(candle_pages(reader, "BTCUSDT", interval, **asked))
            whole = candle_series(reader, "BTCUSDT", interval, **asked)
            assert [candle for page in pages for candle in page] == whole
            assert whole
    reader.close()
