"""import of a directory in which not every file is good."""

from __future__ import annotations

import hashlib
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from engine.service import contract

if TYPE_CHECKING:
    from pathlib import Path

DAYS = ("2024-12-01", "2024-12-02", "2024-12-03")
DAY_MS = 86_400_000
FIRST_MS = 1_733_011_200_000


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Three zips of one candle each, one of them in a folder; the second one's sum is wrong."""
    inside = tmp_path / "archive" / "later"
    inside.mkdir(parents=True)
    for at, day in enumerate(DAYS):
        folder = inside if at == 2 else inside.parent
        file = folder / f"BTCUSDT-1m-{day}.zip"
        open_ms = FIRST_MS + at * DAY_MS
        row = f"{open_ms},1,2,0.5,1.5,10,{open_ms + 59_999},15,3,5,7,0\n"
        with zipfile.ZipFile(file, "w") as zipped:
            zipped.writestr(f"BTCUSDT-1m-{day}.csv", row)
        digest = hashlib.sha256(b"" if at == 1 else file.read_bytes()).hexdigest()
        file.with_name(file.name + ".CHECKSUM").write_text(f"{digest}  {file.name}\n")
    return inside.parent


def test_a_bad_file_among_good_ones_is_told_and_left_out(klinetop: Any, archive: Path) -> None:
    found = klinetop("import", str(archive))
    assert found.status == 1
    assert "BTCUSDT-1m-2024-12-02.zip does not fit the sum" in found.err
    assert "2 files: 2 rows read, 2 candles stored" in found.err
    assert "1 could not be imported: BTCUSDT-1m-2024-12-02.zip." in found.err
    rows = klinetop("candles", "BTCUSDT", "1m").out.splitlines()
    assert [int(row.split(",")[0]) for row in rows[1:]] == [FIRST_MS, FIRST_MS + 2 * DAY_MS]
    told = json.loads(klinetop("import", str(archive), "--json").out)
    assert [one.get("unchanged", "refused") for one in told] == [1, "refused", 1]
    assert "does not fit" in told[1]["error"]


def test_a_bad_file_alone_is_a_mistake_of_the_user(klinetop: Any, archive: Path) -> None:
    found = klinetop("import", str(archive / "BTCUSDT-1m-2024-12-02.zip"))
    assert found.status == 2
    assert found.err.count("\n") == 1


def test_an_engine_that_refuses_a_file_is_asked_for_the_others(
    klinetop: Any, scripted: Any, archive: Path
) -> None:
    scripted.answers[contract.Import] = contract.Problem("It is no kline file.", usage=True)
    found = klinetop("import", str(archive))
    assert found.status == 1
    assert "3 could not be imported" in found.err
    assert [type(one) for one in scripted.requests].count(contract.Import) == 3
    scripted.answers[contract.Import] = contract.Problem("The disk is full.")
    found = klinetop("import", str(archive))
    assert (found.status, found.err) == (1, "The disk is full.\n")


def rows_of(first: int, count: int) -> str:
    return "".join(
        f"{FIRST_MS + at * 60_000},1,2,0.5,1.5,10\n" for at in range(first, first + count)
    )


def test_an_odd_name_in_a_directory_is_told_and_left_out(klinetop: Any, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    (folder / "BTCUSDT_1m.csv").write_text(rows_of(0, 5))
    (folder / "BTCUSDT-1m-2024-12 (1).csv").write_text(rows_of(5, 5))
    (folder / "notes.csv").write_text("a,b\n")
    found = klinetop("import", str(folder))
    assert found.status == 1
    assert "The name notes.csv does not tell market and interval" in found.err
    assert "2 files: 10 rows read, 10 candles stored" in found.err
    assert "1 could not be imported: notes.csv." in found.err
    (folder / "notes.csv").unlink()
    assert klinetop("import", str(folder)).status == 0
    alone = klinetop("import", str(tmp_path / "many" / ".." / "none.csv"))
    assert alone.status == 2


def test_a_zip_without_a_telling_name_may_hold_telling_names(klinetop: Any, tmp_path: Path) -> None:
    file = tmp_path / "archive.zip"
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("BTCUSDT-1m-2024-12-01.csv", rows_of(0, 5))
        zipped.writestr("BTCUSDT-1m-2024-12-02.csv", rows_of(5, 5))
        zipped.writestr("LICENSE", "MIT")
    found = klinetop("import", str(file))
    assert (found.status, "10 candles stored" in found.err) == (0, True)
    assert "other files, left out: LICENSE" in found.err
    with zipfile.ZipFile(file, "a") as zipped:
        zipped.writestr("ETHUSDT-1m-2024-12-02.csv", rows_of(5, 5))
    assert klinetop("import", str(file)).status == 2
    found = klinetop("import", str(file), "--symbol", "btcusdt", "--interval", "1m")
    assert found.status == 1
    assert "left out: ETHUSDT-1m-2024-12-02.csv: it is of ETHUSDT 1m" in found.err


def test_a_dry_run_shows_how_a_file_is_read_and_stores_nothing(
    klinetop: Any, directory: Path, tmp_path: Path
) -> None:
    file = tmp_path / "BTCUSDT_1m.csv"
    file.write_text(
        "https://www.CryptoDataDownload.com\n"
        "Date;Symbol;Open;High;Low;Close;Volume BTC;Volume USDT\n"
        "2024-12-01 00:01:00;BTC/USDT;1;2;0.5;1.5;10;15\n"
        "2024-12-01 00:00:00;BTC/USDT;1;2;0.5;1.5;10;15\n"
        "2024-12-01 00:02:30;BTC/USDT;1;2;0.5;1.5;10;15\n"
    )
    found = klinetop("import", str(file), "--dry-run", "--timezone", "+01:00")
    assert found.status == 0
    assert not directory.exists()
    for words in (
        "separator semicolon, header in line 2",
        "open_time=Date, open=Open, high=High, low=Low, close=Close, volume=Volume BTC",
        "close=Close, volume=Volume BTC, quote_volume=Volume USDT, symbol=Symbol",
        "unknown    count, taker_buy_volume, taker_buy_quote_volume",
        "text, UTC+01:00: 2024-12-01 00:01:00",
        "2, open times from 2024-11-30 23:00 to 2024-11-30 23:01 UTC",
        "refused    1 of 3 rows",
        "line 5: the open time is 30000 ms off the 1m grid",
    ):
        assert words in found.out
    told = json.loads(klinetop("import", str(file), "--dry-run", "--json").out)
    assert (told["candles"], told["refused"], told["first_ms"]) == (2, 1, FIRST_MS)
    assert told["readings"][0]["unit"] == "text"
    file.write_text("time,open,high,low,close,volume\nonce,1,2,0.5,1.5,10\n")
    found = klinetop("import", str(file), "--dry-run")
    assert (found.status, "open_time=time" in found.out) == (2, True)
    assert "refused    all of 1 rows" in found.out
    assert "line 2: open_time is no time: 'once'. Nothing was stored." in found.err
    file.write_text("a,b\n")
    assert klinetop("import", str(file), "--dry-run").status == 2
    assert not directory.exists()


def test_what_breaks_off_is_kept_with_status_1(klinetop: Any, tmp_path: Path) -> None:
    file = tmp_path / "BTCUSDT_1m.csv"
    file.write_text(rows_of(0, 5)[:-12])
    found = klinetop("import", str(file))
    assert found.status == 1
    assert "4 candles stored" in found.err
    assert "The last line breaks off; fetch the file again. What came before is kept." in found.err


def test_what_the_user_says_goes_to_the_engine(
    klinetop: Any, stored: Path, scripted: Any, tmp_path: Path
) -> None:
    assert stored.is_dir()
    (tmp_path / "k.csv").write_text(rows_of(0, 5))
    counts = {"rows": 1, "inserted": 1, "changed": 0, "unchanged": 0, "quarantined": 0}
    scripted.answers[contract.Import] = contract.Done(data={**counts, "faults": [], "seconds": 1.0})
    arguments = ("import", str(tmp_path / "k.csv"), "--symbol", "A1", "--interval", "1m")
    options = (
        "--columns",
        "close=Last,open=2",
        "--timezone",
        "Asia/Tokyo",
        "--date-format",
        "%d%m%Y",
    )
    assert klinetop(*arguments, *options).status == 0
    [sent] = [one for one in scripted.requests if isinstance(one, contract.Import)]
    assert (sent.columns, sent.timezone, sent.date_format) == (
        {"close": "Last", "open": "2"},
        "Asia/Tokyo",
        "%d%m%Y",
    )
    for wrong, words in (
        (("--columns", "close"), "is not like open_time=Date"),
        (("--timezone", "Nowhere"), "no time zone 'Nowhere'"),
        (("--date-format", "%H"), "no day can be told"),
    ):
        found = klinetop(*arguments, *wrong)
        assert (found.status, words in found.err) == (2, True)
