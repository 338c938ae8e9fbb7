"""What an import stores, keeps as quarantine, leaves out and refuses."""

from __future__ import annotations

import gzip
import io
import random
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.market.candle import Candle
from engine.market.kline_layout import KlineHints, kline_hints
from engine.store import Store
from engine.store.dry_run import DryRun, try_kline_file
from engine.store.errors import BadFile
from engine.store.imports import KEPT_ROWS, ImportResult, import_kline_file

Minute = Callable[..., Candle]
SERIES = ("BTCUSDT", "1m")
HEADER = "open_time,open,high,low,close,volume"
START_MS = 1_733_011_200_000


def line(at: int, tail: str = "5.5") -> str:
    return f"{START_MS + at * 60_000},100,110,90,101,{tail}"


def lines(first: int, last: int) -> str:
    return "".join(line(at) + "\n" for at in range(first, last))


def times(store: Store) -> list[int]:
    return [(one.open_time_ms - START_MS) // 60_000 for one in store.reader.candles(*SERIES)]


def tried_or_refused(path: Path, hints: KlineHints | None) -> DryRun | str:
    try:
        tried = try_kline_file(path, *SERIES, hints)
    except BadFile as error:
        return str(error)
    return tried.refusal or tried


@pytest.fixture
def take(store: Store, tmp_path: Path) -> Callable[..., ImportResult]:
    """Return a function that imports content after a dry run, which must tell the same."""

    def run(
        content: str | bytes, name: str = "k.csv", hints: KlineHints | None = None
    ) -> ImportResult:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        before = store.reader.candle_count() + store.reader.quarantine_count()
        tried = tried_or_refused(path, hints)
        if isinstance(tried, str):
            with pytest.raises(BadFile, match=re.escape(tried)):
                import_kline_file(store, path, *SERIES, hints)
            assert store.reader.candle_count() + store.reader.quarantine_count() == before
            raise BadFile(tried)
        result = import_kline_file(store, path, *SERIES, hints)
        stored = result.inserted + result.changed + result.unchanged
        assert (tried.candles, tried.left_out) == (stored, result.left_out)
        assert (tried.faults, tried.broke_off) == (result.faults, result.broke_off)
        return result

    return run


def test_a_file_whose_first_rows_are_all_bad_is_refused_and_stores_nothing(
    take: Callable[..., ImportResult],
) -> None:
    bad = "".join(f"once,{at},1,1,1,1\n" for at in range(1_000))
    with pytest.raises(BadFile, match="first 1,000 rows: line 2: open_time is no time: 'once'"):
        take(f"{HEADER}\n{bad}{lines(0, 50)}")
    with pytest.raises(BadFile, match="line 3: open_time is no time"):
        take(f"{HEADER}\n\nonce,1,1,1,1,1\n")
    result = take(f"{HEADER}\n{bad.split(chr(10), 1)[1]}{lines(0, 50)}")
    assert (result.rows, result.inserted) == (1_049, 50)


@pytest.mark.parametrize("kept", [1, 7])
def test_rows_in_any_order_and_with_gaps_are_of_their_interval(
    store: Store, take: Callable[..., ImportResult], kept: int
) -> None:
    rows = lines(0, 1_400).splitlines(keepends=True)
    random.Random(1).shuffle(rows)
    assert take(f"{HEADER}\n{''.join(rows[::kept])}").inserted == len(rows[::kept])


def test_rows_with_gaps_of_a_longer_interval_are_refused_in_any_order(
    take: Callable[..., ImportResult],
) -> None:
    rows = [line(at * 5) + "\n" for at in range(400) if at % 7 not in (2, 3, 5)]
    for order in (rows, rows[::-1], random.Random(1).sample(rows, len(rows))):
        with pytest.raises(BadFile, match="lie 5m apart; say --interval 5m"):
            take(f"{HEADER}\n{''.join(order)}")


def test_good_rows_between_bad_ones_are_of_their_interval(
    take: Callable[..., ImportResult],
) -> None:
    rows = "".join(line(at, "-1" if at % 2 else "1") + "\n" for at in range(400))
    result = take(f"{HEADER}\n{rows}")
    assert (result.inserted, result.quarantined) == (200, KEPT_ROWS + 4)


@pytest.mark.parametrize("content", ["\n\n", HEADER + "\n", "\ufeff", "packed"])
def test_a_file_without_rows_is_refused(
    take: Callable[..., ImportResult], content: str | bytes
) -> None:
    with pytest.raises(BadFile, match="holds no rows"):
        take(gzip.compress(b"") if content == "packed" else content)


def test_a_damaged_member_is_called_so(take: Callable[..., ImportResult]) -> None:
    content = bytearray(zipped({"k.csv": lines(0, 10), "l.csv": lines(10, 20)}))
    content[content.index(b"PK\x01\x02") + 16] ^= 1  # its CRC-32
    result = take(bytes(content), "k.zip")
    assert result.inserted == 10
    assert dict(result.left_out)["k.csv"].startswith("is damaged or half-written (Bad CRC-32")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("01-Jan-21,1,1,1,1,1", "with --date-format"),
        ("2021-01-01 00:00 EST,1,1,1,1,1", "with --date-format"),
        (f'{START_MS},"1,100.5",1,1,1,1', "a point and without thousands"),
        (f'{START_MS},"1100,5",1,1,1,1', "a point and without thousands"),
    ],
)
def test_a_refusal_says_what_to_write(
    take: Callable[..., ImportResult], row: str, words: str
) -> None:
    with pytest.raises(BadFile, match=words):
        take(f"{HEADER}\n{row}\n")


def test_a_member_behind_a_password_is_told(take: Callable[..., ImportResult]) -> None:
    content = bytearray(zipped({"k.csv": lines(0, 10), "l.csv": lines(10, 20)}))
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + at] |= 1
    result = take(bytes(content), "k.zip")
    assert result.inserted == 10
    assert dict(result.left_out)["k.csv"].startswith("is locked by a password; unpack")


def test_quarantine_takes_a_small_share_of_a_file(
    store: Store, take: Callable[..., ImportResult]
) -> None:
    bad = "".join(f"{at},x\n" for at in range(40_000))
    result = take(f"{HEADER}\n{line(0)}\n{bad}{lines(1, 100)}")
    assert (result.rows, result.inserted) == (40_100, 100)
    assert result.quarantined == store.reader.quarantine_count()
    assert result.quarantined <= KEPT_ROWS + result.rows // 100
    assert result.quarantined + result.unkept == 40_000
    assert result.faults[0] == "line 3: it has 2 columns where 6 are expected"


def zipped(members: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return out.getvalue()


def test_all_members_of_a_zip_are_imported_and_others_left_out(
    store: Store, take: Callable[..., ImportResult]
) -> None:
    members = {
        "c.csv": f"{HEADER}\n{lines(0, 10)}",
        "a/BTCUSDT-1m-2024-12-03.csv": lines(20, 30),
        "b.csv": f"{HEADER.replace(',', ';')}\n{lines(10, 20).replace(',', ';')}",
        "ETHUSDT-1m-2024-12-03.csv": lines(30, 40),
        "hours.csv": "".join(line(at * 60) + "\n" for at in range(10)),
        "words.csv": "".join(f"once,{at},1,1,1,1\n" for at in range(9)),
        "README.txt": "Twelve columns.\n",
        "__MACOSX/._c.csv": "rubbish",
    }
    result = take(zipped(members), "klines.zip")
    assert times(store) == list(range(30))
    assert (result.inserted, result.quarantined) == (30, 0)
    told = dict(result.left_out)
    assert "of ETHUSDT 1m, not BTCUSDT 1m" in told.pop("ETHUSDT-1m-2024-12-03.csv")
    assert "1h apart" in told.pop("hours.csv")
    assert told.pop("words.csv")
    assert "no kline columns" in told.pop("README.txt")
    assert told == {}
    with pytest.raises(BadFile, match="holds nothing to import: ETHUSDT"):
        take(zipped({"ETHUSDT-1m-1.csv": lines(0, 9), "ETHBTC-1m-1.csv": lines(9, 20)}), "k.zip")


@pytest.mark.parametrize("packing", ["gz", "zip", "plain"])
def test_what_breaks_off_is_kept_up_to_there_and_told(
    store: Store, take: Callable[..., ImportResult], packing: str
) -> None:
    text = f"{HEADER}\n{''.join(line(at, str(at * 7919 % 1009)) + chr(10) for at in range(3_000))}"
    content, name = text[:-20].encode(), "torn.csv"
    if packing == "gz":
        content, name = gzip.compress(text.encode())[:-900], "torn.csv.gz"
    elif packing == "zip":
        content, name = zipped({"torn.csv": text})[:-900], "torn.zip"
    result = take(content, name)
    assert 100 < result.inserted < 3_000
    assert times(store) == list(range(result.inserted))
    assert ("breaks off" if packing == "plain" else "damaged or half-written") in result.broke_off


def test_a_whole_file_without_a_last_line_end_is_not_broken(
    take: Callable[..., ImportResult],
) -> None:
    assert take(f"{HEADER}\n{lines(0, 9)}".rstrip("\n")).broke_off == ""


def test_rows_with_the_same_time_are_refused(take: Callable[..., ImportResult]) -> None:
    days = "".join(f"2024-12-0{1 + at // 50},100,110,90,101,5\n" for at in range(100))
    with pytest.raises(BadFile, match="same open time as the row before"):
        take(f"date{HEADER[9:]}\n{days}")


def test_unknown_quote_volumes_are_null(store: Store, take: Callable[..., ImportResult]) -> None:
    take(f"{HEADER}\n{lines(0, 3)}")
    rows = store.reader.query("SELECT quote_volume, trades, taker_buy_volume FROM candle")
    assert [tuple(row.values()) for row in rows] == [(None, None, None)] * 3


def test_what_the_user_says_of_a_file_is_obeyed(
    store: Store, take: Callable[..., ImportResult]
) -> None:
    text = "When;O;H;L;Last;V\n" + "".join(
        f"01/12/2024 01:0{at};100;110;90;101;5.5\n" for at in range(5)
    )
    columns = {"open_time": "When", "open": "2", "high": "3", "low": "4", "close": "Last"}
    hints = kline_hints({**columns, "volume": "V"}, "+01:00", "%d/%m/%Y %H:%M")
    assert take(text, hints=hints).inserted == 5
    assert times(store) == [0, 1, 2, 3, 4]
    with pytest.raises(BadFile, match="day-first or month-first"):
        take(text, hints=kline_hints({**columns, "volume": "V"}))


def test_newest_first_is_stored_all_the_same(
    store: Store, take: Callable[..., ImportResult]
) -> None:
    text = "".join(f"{line(at)}\n" for at in reversed(range(3_000)))
    assert take(f"{HEADER}\n{text}").inserted == 3_000
    assert times(store) == list(range(3_000))
