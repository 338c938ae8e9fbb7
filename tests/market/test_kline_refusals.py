"""What is refused as a whole, with the words that say what to type."""

from __future__ import annotations

import gzip
import importlib
import io
import json
import zipfile
from typing import Any

import pytest

from engine.market.candle import Candle
from engine.market.kline_columns import parse_columns
from engine.market.kline_errors import BadRow, DamagedKlineFile, UnreadableKlineFile
from engine.market.kline_files import read_klines
from engine.market.kline_layout import KlineHints, kline_hints

FIRST_MS = 1_609_459_200_000
HEADER = "open_time,open,high,low,close,volume"
BTC = KlineHints(symbol="BTCUSDT")


def time_of(at: int) -> str:
    return str(FIRST_MS + at * 60_000)


def table(header: str, *rows: str) -> bytes:
    return "\n".join([header, *rows] if header else rows).encode()


def good(at: int) -> str:
    return f"{time_of(at)},{29000 + at},{29002 + at},{28999 + at},{29001 + at},1.5"


def read(content: bytes, hints: KlineHints = BTC, name: str = "k.csv") -> list[Candle | BadRow]:
    return list(read_klines(io.BytesIO(content), name, hints))


def times_of(rows: list[Candle | BadRow]) -> list[int]:
    return [row.open_time_ms for row in rows if isinstance(row, Candle)]


def until_damage(content: bytes, words: str) -> list[Candle | BadRow]:
    rows: list[Candle | BadRow] = []
    with pytest.raises(DamagedKlineFile, match=words):
        rows.extend(read_klines(io.BytesIO(content), "k.csv", BTC))
    return rows


ROWS = [good(at) for at in range(5)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (table("时间,开盘,最高,最低,收盘,成交量", *ROWS), "--columns open_time=NAME,open=NAME"),
        (table("time,open,high,low,close", *ROWS), "lacks the columns volume"),
        (table("close_time,open,high,low,close,volume", *ROWS), "lacks the columns open_time"),
        (table("", "1,2,3,4,5,6,7"), "no header and 7 columns.*--columns open_time=1,open=2"),
        (
            table("", *(f"{time_of(n)},28999,29002,29000,29001,3" for n in range(9))),
            "contradict the usual order",
        ),
        (
            table(HEADER.replace(",", ";"), f"{time_of(0)};1,25;2;0,5;1,5;9"),
            r"a comma \('1,25'\).*`tr , .`",
        ),
        (table("", *(r.replace(",", " ") for r in ROWS)), "separated by spaces"),
        (
            table("Date,Open,High,Low,Close,Adj Close,Volume", "2021-01-01,1,2,0.5,1,1,9"),
            "Yahoo Finance.*--columns volume=Volume",
        ),
        (table(HEADER, *(f"0{n}/02/2021" + ROWS[n][13:] for n in (1, 2))), "--date-format '%d/%m"),
        (
            table("timestamp,symbol,open,high,low,close,volume", f"{time_of(0)},BTCUSDT,1,2,1,1,1",
                  f"{time_of(0)},ETHUSDT,1,2,1,1,1"),
            r"several markets \(BTCUSDT, ETHUSDT\)",
        ),
        (
            table("ts,symbol,open,high,low,close,volume", f"{time_of(0)},ETH/USDT,1,2,1,1,1"),
            "of the market ETH/USDT, not of BTCUSDT; say --symbol ETHUSDT",
        ),
        (
            table("unix,symbol,open,high,low,close,Volume BTC,Volume USD",
                  f"{time_of(0)},BTC/USD,1,2,1,1,1,1"),
            "of the market BTC/USD, not of BTCUSDT",
        ),
        (b"<!DOCTYPE html><html></html>", "is a web page"),
        (b"\0" * 257 + b"ustar" + b"\0" * 300, "tar -xf"),
        (b"7z\xbc\xaf\x27\x1c" + b"\0" * 50, "7z archive"),
        (b"SQLite format 3\0", "SQLite database"),
        (b"\x80\x04\x95" + b"\0" * 50, "pickle, which is never loaded"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\xd0\xcf\x11\xe0", "Excel workbook"),
        (b"a\0b\0c", "binary file of a kind"),
        (json.dumps({"t": list(range(99)), "o": [1] * 99}).encode(), "JSON without rows"),
        (json.dumps({"message": "no such symbol"}).encode(), "no kline columns"),
        (b"[]", "JSON without rows"),
        (b"PAR1" + b"\0" * 20 + b"PAR1", "damaged or half-written"),
    ],
)  # fmt: skip
def test_the_whole_file_is_refused_in_words(content: bytes, words: str) -> None:
    with pytest.raises(UnreadableKlineFile, match=words):
        read(content)


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def test_archives_that_hold_no_klines() -> None:
    for members, words in (
        ({"xl/workbook.xml": b"x"}, "Excel workbook"),
        ({"a.zip": zipped({"x.csv": table("", *ROWS)})}, "archive inside an archive"),
        ({"a.txt": b"hello", "b.txt": b"there"}, "None of its files holds klines"),
        ({}, "nothing in it"),
    ):
        with pytest.raises(UnreadableKlineFile, match=words):
            read(zipped(members))


def test_what_a_missing_library_would_read_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = importlib.import_module

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return load(name, *rest)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UnreadableKlineFile, match=r"zstd.*klinetop\[parquet\].*zstd -d"):
        read(b"\x28\xb5\x2f\xfd....")
    for magic in (b"PAR1", b"ARROW1"):
        with pytest.raises(UnreadableKlineFile, match=r"pip install 'klinetop\[parquet\]'"):
            read(magic + b"....")


def test_what_the_user_says_is_obeyed() -> None:
    words = "open_time=1, Open=2,high=3,low=4,close=5,volume=成交量"
    found = read(table("时间,开盘,最高,最低,收盘,成交量", *ROWS), kline_hints(parse_columns(words)))
    assert found == read(table("", *ROWS))
    coinbase = table("", *(f"{time_of(n)},28999,29002,29000,29001,3" for n in range(9)))
    row = read(coinbase, kline_hints(parse_columns("low=2,high=3,open=4")))[0]
    assert row == Candle(FIRST_MS, 29000.0, 29002.0, 28999.0, 29001.0, 3.0, None)
    yahoo = table("Date,Open,High,Low,Close,Adj Close,Volume", "2021-01-01,1,2,0.5,1,1,9")
    assert len(read(yahoo, kline_hints({"volume": "Volume"}))) == 1
    dates = table(HEADER, "02/01/2021 00:00,1,2,0.5,1.5,9")
    [candle] = read(dates, kline_hints({}, "+01:00", "%d/%m/%Y %H:%M"))
    assert isinstance(candle, Candle)
    assert candle.open_time_ms == FIRST_MS + 86_400_000 - 3_600_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("open_time", "is not like open_time=Date"),
        ("open_time=", "is not like"),
        ("price=1", "names 'price'; there are open_time, open"),
    ],
)
def test_columns_that_can_not_be_understood(text: str, words: str) -> None:
    with pytest.raises(UnreadableKlineFile, match=words):
        parse_columns(text)


def test_columns_that_the_file_does_not_have() -> None:
    with pytest.raises(UnreadableKlineFile, match="names the column 'Last'"):
        read(table(HEADER, *ROWS), kline_hints({"close": "Last"}))
    with pytest.raises(UnreadableKlineFile, match="from 1 to 6"):
        read(table("", *ROWS), kline_hints({"close": "7"}))


@pytest.mark.parametrize("cell", ["1.23E+05", "1.2e+4", "29E3", "1.23e05"])
def test_a_number_that_lost_its_digits_is_refused_in_words(cell: str) -> None:
    bad, fine = read(table(HEADER, f"{time_of(0)},1,2,0.5,1.5,{cell}", good(1)))
    assert isinstance(bad, BadRow)
    assert "volume" in bad.reason
    assert "has lost its last" in bad.reason
    assert isinstance(fine, Candle)


@pytest.mark.parametrize(
    "cell", ["1e-05", "1.5E-7", "1.2345678901234567e+17", "1.234567E+5", "0E+2"]
)
def test_a_number_whose_digits_are_all_there_is_read(cell: str) -> None:
    [candle] = read(table(HEADER, f"{time_of(0)},1,2,0.5,1.5,{cell}"))
    assert isinstance(candle, Candle)
    assert candle.volume == float(cell)


def test_date_and_time_of_day_in_two_columns() -> None:
    rows = [f"2021.01.01\t00:0{n}:00\t1\t2\t0.5\t1.5\t7\t9" for n in range(4)]
    found = read(table("<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>", *rows))
    assert times_of(found) == [FIRST_MS + n * 60_000 for n in range(4)]
    assert found[0] == Candle(FIRST_MS, 1.0, 2.0, 0.5, 1.5, 9.0, None)


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("Volume BTC,Volume USDT", "1.5,43500"),
        ("Volume USDT,Volume BTC", "43500,1.5"),
        ("volume,Volume USDT", "1.5,43500"),
        ("Volume USDT,volume", "43500,1.5"),
        ("volumefrom,volumeto", "1.5,43500"),
    ],
)
@pytest.mark.parametrize("symbol", ["BTCUSDT", ""])
def test_base_and_quote_volume_are_told_apart(header: str, values: str, symbol: str) -> None:
    content = table(f"unix,open,high,low,close,{header}", f"{time_of(0)},1,2,0.5,1.5,{values}")
    [candle] = read(content, KlineHints(symbol=symbol))
    assert isinstance(candle, Candle)
    assert (candle.volume, candle.quote_volume) == (1.5, 43500.0)


def test_the_quote_asset_of_a_crypto_pair_is_known_by_the_market() -> None:
    content = table(
        "unix,open,high,low,close,Volume BTC,Volume ETH", f"{time_of(0)},1,2,0.5,1.5,3,40"
    )
    [candle] = read(content, KlineHints(symbol="ETHBTC"))
    assert isinstance(candle, Candle)
    assert (candle.volume, candle.quote_volume) == (40.0, 3.0)


def test_a_header_that_comes_again_is_no_row() -> None:
    assert len(read(table(HEADER, *ROWS, HEADER, good(7)))) == 6


def test_json_that_breaks_off_gives_what_came_before() -> None:
    whole = json.dumps([[FIRST_MS + n * 60_000, 1, 2, 0.5, 1.5, 9] for n in range(5)]).encode()
    for cut in (1, 2, 20):
        rows = until_damage(whole[:-cut], "breaks off")
        assert len(rows) == (5 if cut == 1 else 4)


@pytest.mark.parametrize("stored", [True, False])
def test_a_zip_that_breaks_off_gives_what_came_before(stored: bool) -> None:
    out = io.BytesIO()
    kind = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(out, "w", kind) as archive:
        for day in range(3):
            rows = [good(at) for at in range(day * 500, day * 500 + 500)]
            archive.writestr(f"{day}.csv", "\n".join([HEADER, *rows, ""]))
    whole = out.getvalue()
    for cut, least, most in (
        (30, 1_500, 1_500),
        (1_500, 1_001, 1_499),
        (len(whole) // 2, 501, 999),
    ):
        rows = until_damage(whole[:-cut], "damaged or half-written")
        assert all(isinstance(row, Candle) for row in rows)
        assert times_of(rows) == [FIRST_MS + n * 60_000 for n in range(len(rows))]
        assert least <= len(rows) <= most


def test_a_member_that_streams_its_size_behind_is_found_in_a_torn_zip() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(_NoSeek(out), "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]
        for day in range(2):
            archive.writestr(
                f"{day}.csv", "\n".join([HEADER, good(day * 2), good(day * 2 + 1), ""])
            )
    rows = until_damage(out.getvalue()[:-40], "damaged or half-written")
    assert len(rows) == 4


class _NoSeek:
    def __init__(self, file: io.BytesIO) -> None:
        self.write, self.flush = file.write, file.flush


def test_what_follows_a_gzip_is_told() -> None:
    with pytest.raises(DamagedKlineFile, match="Not a gzipped file"):
        read(gzip.compress(table(HEADER, *ROWS, "")) + b"garbage")


@pytest.mark.parametrize("index", ["", ","])
def test_a_header_that_counts_the_columns_stands_for_the_usual_ones(index: str) -> None:
    full = f"{time_of(0)},1,2,0.5,1.5,9,{time_of(1)},14,3,5,7,0"
    expected = Candle(FIRST_MS, 1.0, 2.0, 0.5, 1.5, 9.0, 14.0, 3, 5.0, 7.0)
    row = "0" if index else ""
    numbers = ",".join(map(str, range(12)))
    assert read(table(index + numbers, f"{row}{index}{full}")) == [expected]
    assert len(read(table(f"{index}0,1,2,3,4,5", f"{row}{index}{good(0)}"))) == 1
