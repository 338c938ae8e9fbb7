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
