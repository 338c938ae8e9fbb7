import gzip
import io
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.market.candle import Candle
from engine.market.interval import INTERVALS
from engine.market.kline_csv import (
    COLUMNS,
    BadRow,
    UnreadableKlineFile,
    format_row,
    number,
    read_rows,
)
from engine.market.kline_files import read_klines

HEADER = ",".join(COLUMNS)
ROW = "1733007600000,10.5,12.0,9.25,11.0,5.5,1733007659999,57.75,3,2.5,26.25,0"
CANDLE = Candle(1733007600000, 10.5, 12.0, 9.25, 11.0, 5.5, 57.75, 3, 2.5, 26.25)

amounts = st.floats(min_value=0, max_value=1e15)


@st.composite
def candles(draw: st.DrawFn, open_times: st.SearchStrategy[int]) -> Candle:
    low, a, b, high = sorted(
        draw(st.lists(st.floats(min_value=1e-9, max_value=1e9), min_size=4, max_size=4))
    )
    first, last = draw(st.sampled_from([(a, b), (b, a)]))
    return Candle(
        draw(open_times),
        first,
        high,
        low,
        last,
        draw(amounts),
        draw(amounts),
        draw(st.none() | st.integers(0, 2**40)),
        draw(st.none() | amounts),
        draw(st.none() | amounts),
    )


def rows(text: str) -> list[Candle | BadRow]:
    return list(read_rows(text.splitlines(keepends=True)))


@pytest.mark.parametrize("text", [f"{HEADER}\n{ROW}\n", ROW, f"\ufeff{HEADER}\r\n\r\n{ROW}\r\n"])
def test_with_or_without_header_bom_crlf_and_blank_lines(text: str) -> None:
    assert rows(text) == [CANDLE]


def test_header_in_any_order_with_synonyms_and_strange_columns() -> None:
    text = (
        "Symbol,number_of_trades,Quote Asset Volume,close,LOW,high,open,Open Time,volume,"
        "taker_buy_base_asset_volume\n"
        "BTC_USDT,3,57.75,11.0,9.25,12.0,10.5,1733007600000,5.5,2.5\n"
    )
    assert rows(text) == [Candle(1733007600000, 10.5, 12.0, 9.25, 11.0, 5.5, 57.75, 3, 2.5, None)]


def test_microseconds_and_milliseconds_mixed() -> None:
    later = ROW.replace("1733007600000", "1735689600000000")
    assert [row.open_time_ms for row in rows(f"{ROW}\n{later}\n")] == [  # type: ignore[union-attr]
        1733007600000,
        1735689600000,
    ]


def test_empty_optional_columns_are_unknown_not_zero() -> None:
    for word in ("", "nan", "NULL", " "):
        tail = ",".join([word] * 4)
        [candle] = rows(f"1733007600000,10.5,12.0,9.25,11.0,5.5,,{tail},\n")
        assert candle == Candle(1733007600000, 10.5, 12.0, 9.25, 11.0, 5.5, None)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (ROW[:40], "columns where 12"),
        (ROW[:-2], "11 columns where 12"),
        (ROW.replace(",5.5,", ",,"), "volume is empty"),
        (ROW.replace("10.5", "abc"), "open is no number: 'abc'"),
        (ROW.replace("10.5", "1_0.5"), "open is no number"),
        (ROW.replace("10.5", "nan"), "finite"),
        (ROW.replace(",3,", ",3.5,"), "count is no whole number"),
        (ROW.replace(",3,", ",x,"), "count is no number"),
        (ROW.replace("9.25", "11.5"), "outside low and high"),
        (ROW.replace("1733007600000", "173300760"), "neither seconds, milliseconds"),
        (ROW.replace("1733007600000", "1733007600000001"), "no whole millisecond"),
        (ROW.replace("5.5", "-5.5"), "negative"),
        ("garbage\x00\ufffd", "columns"),
    ],
)
def test_a_bad_row_keeps_its_line_number_and_the_rest_is_read(line: str, words: str) -> None:
    good = ROW.replace("1733007600000", "1733007660000")
    first, bad, last = rows(f"{HEADER}\n{ROW}\n\n{line}\n{good}")
    assert isinstance(first, Candle)
    assert isinstance(last, Candle)
    assert isinstance(bad, BadRow)
    assert bad.line_number == 4
    assert words in bad.reason
    assert bad.raw == line


def test_a_half_written_last_line() -> None:
    assert [type(row) for row in rows(f"{ROW}\n{ROW[:55]}")] == [Candle, BadRow]


def test_a_header_that_lacks_a_needed_column_is_refused_as_a_whole() -> None:
    with pytest.raises(UnreadableKlineFile, match="lacks the columns volume; it names open_time"):
        rows("open_time,open,high,low,close\n1733007600000,1,1,1,1\n")
    with pytest.raises(UnreadableKlineFile, match="no kline columns"):
        rows("name,colour\nx,y\n")


def test_nothing_in_nothing_out() -> None:
    assert rows("") == []
    assert rows(f"{HEADER}\n") == []


def packed(kind: str, text: str) -> bytes:
    if kind == "gz":
        return gzip.compress(text.encode())
    if kind == "zip":
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.mkdir("a")
            archive.writestr("a/BTCUSDT-1m.csv", text)
            archive.writestr("z.csv", "other")
        return out.getvalue()
    return text.encode()


@pytest.mark.parametrize("kind", ["plain", "gz", "zip"])
def test_packing_is_told_by_content(kind: str) -> None:
    file = io.BytesIO(packed(kind, f"{HEADER}\n{ROW}\n"))
    assert list(read_klines(file, "any.name")) == [CANDLE]
    assert not file.closed


def test_a_pipe_can_be_read_too() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as out:
        out.write(packed("gz", ROW))
    with os.fdopen(reading, "rb") as file:
        assert list(read_klines(file, "stdin")) == [CANDLE]


def test_a_gzip_that_breaks_off_yields_what_came_before() -> None:
    numbers = range(1733007600000, 1733007600000 + 2_000 * 60_000, 60_000)
    whole = packed("gz", "".join(ROW.replace("1733007600000", str(n)) + "\n" for n in numbers))
    read: list[Candle | BadRow] = []
    with pytest.raises(UnreadableKlineFile, match=r"half\.gz is damaged or half-written"):
        read.extend(read_klines(io.BytesIO(whole[:-100]), "half.gz"))
    assert len(read) > 100


@pytest.mark.parametrize("cut", [b"PK\x03\x04nonsense", b"\x1f\x8bnonsense"])
def test_a_damaged_archive_is_named(cut: bytes) -> None:
    with pytest.raises(UnreadableKlineFile, match=r"x\.zip is damaged"):
        list(read_klines(io.BytesIO(cut), "x.zip"))


@given(candles(st.integers(10**12, 4 * 10**12)), st.sampled_from(["1m", "1h", "1w", "1M"]))
def test_what_is_written_reads_back_equal(candle: Candle, interval: str) -> None:
    line = ",".join(format_row(candle, INTERVALS[interval]))
    assert "e" not in line
    assert list(read_rows([line])) == [candle]


@given(st.floats(min_value=0, max_value=1e300))
def test_numbers_have_no_exponent_and_lose_nothing(value: float) -> None:
    assert float(number(value)) == value
    assert set(number(value)) <= set("0123456789.")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200))
def test_no_text_can_break_the_reader(text: str) -> None:
    try:
        found = rows(f"{HEADER}\n{text}")
    except UnreadableKlineFile:
        pytest.fail("a good header makes a readable file")
    assert all(isinstance(row, Candle | BadRow) for row in found)


@pytest.mark.recorded
@pytest.mark.parametrize("interval", ["1m", "15m"])
def test_a_real_file_is_written_as_it_was_read(interval: str) -> None:
    folder = os.environ.get("KLINETOP_RECORDINGS")
    if not folder:
        pytest.skip("KLINETOP_RECORDINGS is not set")
    path = Path(folder) / "klines" / f"BTCUSDT_{interval}.csv.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    with path.open("rb") as file:
        read = list(read_klines(file, path.name))
    assert len(read) == len(lines) - 1
    for line, row in zip(lines[1:], read, strict=True):
        assert isinstance(row, Candle)
        assert ",".join(format_row(row, INTERVALS[interval])) == line


@pytest.mark.parametrize("kind", ["plain", "gz", "zip"])
def test_rows_may_be_left_before_their_end(kind: str) -> None:
    file = io.BytesIO(packed(kind, f"{ROW}\n" * 5_000))
    found = read_klines(file, "any.name")
    assert next(found) == CANDLE
    found.close()  # type: ignore[attr-defined]
    assert not file.closed
    file.seek(0)
    assert len(list(read_klines(file, "any.name"))) == 5_000
