"""Files of the public archive, and blocks that are parsed at once or row by row."""

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.market.candle import Candle
from engine.market.interval import INTERVALS, parse_interval
from engine.market.kline_csv import COLUMNS, format_row
from engine.market.kline_names import series_of
from engine.market.kline_packing import Stream
from engine.store import Store, kline_blocks
from engine.store.archive import kline_files
from engine.store.errors import BadFile
from engine.store.imports import import_kline_file
from engine.store.kline_blocks import BlockReader

Minute = Callable[..., Candle]
SERIES = ("BTCUSDT", "1m")
START_MS = 1_733_011_200_000
LATER_MS = 1 << 60
GOOD = "1733011200000,100,110,90,101,5.5,1733011259999,550.5,3,2.25,225,0"


def lines_of(candles: list[Candle], factor: int = 1) -> list[str]:
    grid = parse_interval("1m")
    lines = []
    for candle in candles:
        cells = list(format_row(candle, grid))
        cells[0] = str(candle.open_time_ms * factor)
        lines.append(",".join(cells))
    return lines


def read(
    text: str, interval: str = "1m", over_ms: int = LATER_MS
) -> tuple[list[object], list[object]]:
    rows: list[object] = []
    bad: list[object] = []
    stream = Stream(iter((text.encode(),)))
    reader = BlockReader(stream, parse_interval(interval), over_ms)
    for block in reader:
        rows += block.rows
        bad += block.bad
    return rows, bad


def test_zips_in_milliseconds_and_microseconds_with_and_without_header(
    store: Store, minute: Minute, tmp_path: Path
) -> None:
    old, mixed = [minute(i) for i in range(5)], [minute(i) for i in range(5, 12)]
    texts = {
        "BTCUSDT-1m-2024-12.zip": "\n".join(lines_of(old)) + "\n",
        "BTCUSDT-1m-2025-01.zip": "\r\n".join(
            [",".join(COLUMNS), *lines_of(mixed[:3]), *lines_of(mixed[3:], 1000)]
        ),
    }
    for name, text in texts.items():
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name.replace(".zip", ".csv"), text)
        digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        (tmp_path / f"{name}.CHECKSUM").write_text(f"{digest}  {name}\n")
    files = kline_files([tmp_path])
    assert [file.name for file in files] == list(texts)
    for file in files:
        told = series_of(file.name)
        assert told == SERIES
        import_kline_file(store, file, *told)
    assert store.reader.candles(*SERIES) == old + mixed
    (tmp_path / "BTCUSDT-1m-2024-12.zip.CHECKSUM").write_text(f"{'0' * 64}  x\n")
    with pytest.raises(BadFile, match="does not fit the sum"):
        import_kline_file(store, files[0], *SERIES)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("BTCUSDT-1m-2024-12.zip", ("BTCUSDT", "1m")),
        ("ethbtc-1mo-2024-12.csv", ("ETHBTC", "1M")),
        ("BTCUSDT-1mo-2024.csv", ("BTCUSDT", "1M")),
        ("币安人生USDT-1s-2025-11-03.csv.gz", ("币安人生USDT", "1s")),
        ("BTCUSDT-7m-2024-12.zip", None),
        ("BTCUSDT_1m.csv.gz", ("BTCUSDT", "1m")),
        ("BTCUSDT-1m-2021-02 (1).csv", ("BTCUSDT", "1m")),
        ("BTCUSDT-1m-2021-02(2).zip", ("BTCUSDT", "1m")),
        ("BTCUSDT-1m-2021-02 - Copy.csv", ("BTCUSDT", "1m")),
        ("ADABKRW-1d-2020-8.zip", ("ADABKRW", "1d")),
        ("ADABKRW-1M-2020.CSV", ("ADABKRW", "1M")),
        ("1INCHBTC_4H_2021.csv.xz", ("1INCHBTC", "4h")),
        ("BTC_USDT-5m.json.gz", ("BTCUSDT", "5m")),
        ("BTC-USDT_1h.parquet", ("BTCUSDT", "1h")),
        ("btcusdt 15min.feather", ("BTCUSDT", "15m")),
        ("BTC_USDT_USDT-1h-futures.feather", None),
        ("BTC_USDT-1h-mark.feather", None),
        ("Binance_BTCUSDT_1h.csv", ("BTCUSDT", "1h")),
        ("Binance_BTCUSDT_2021_minute.csv", ("BTCUSDT", "1m")),
        ("Binance_ETHBTC_d.csv", ("ETHBTC", "1d")),
        ("Bitstamp_BTCUSD_1h.csv", None),
        ("BINANCE_BTCUSDT, 240.csv", ("BTCUSDT", "4h")),
        ("BINANCE_BTCUSDT, 1D_0fe1c.csv", ("BTCUSDT", "1d")),
        ("days/BTCUSDT-1m-2024-12-01.csv", ("BTCUSDT", "1m")),
        ("BTCUSDT-1m", None),
        ("BTCUSDT-1m.pdf", None),
        ("btc.csv", None),
        ("BTCUSDT-trades-2024-12.zip", None),
    ],
)
def test_what_a_name_tells(name: str, told: tuple[str, str] | None) -> None:
    assert series_of(name) == told


def test_importing_a_bad_file_again_quarantines_nothing_twice(
    store: Store, minute: Minute, tmp_path: Path
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("\n".join([GOOD, "x,y", "1,2", "x,y", *lines_of([minute(1)])]))
    for inserted in (2, 0):
        result = import_kline_file(store, path, *SERIES)
        assert (result.rows, result.inserted, result.quarantined) == (5, inserted, 3)
    assert store.reader.quarantine_count() == 3
    assert len(store.reader.query("SELECT * FROM quarantine")) == 3


PIECES = st.sampled_from(
    [
        GOOD,
        "1733011260000,100.5,110,90,101,5.5,0,550.5,3,,,0",
        "1733011320000000,100.5,110,90,101,5.5,0,550.5,,2.5,1,",
        "1733011320000001,100.5,110,90,101,5.5,0,550.5,,2.5,1,",
        "1733011260000,100.5,110,90,101,5.5,,550.5,,,,",
        "1733011260000,1e2,1.1E2,90,101,5.5,0,550.5,3.0,2.25,225,0",
        "1733011260000,1e2,110,90,101,5.5,0,550.5,3,2.25,225,0",
        "1733011260000,100,110,90,101,5.5e-3,0,550.5,3,2.25,225,0",
        "1733011260014,100,110,90,101,5.5,0,550.5,3,2.25,225,0",
        "1733011260000,100,99,90,101,5.5,0,550.5,3,2.25,225,0",
        "1733011260000,100,110,90,101,-5.5,0,550.5,3,2.25,225,0",
        "1733011260000,100,110,90,101,5.5,0,550.5,3.5,2.25,225,0",
        "1733011260000,100,110,90,101,1e999,0,550.5,3,2.25,225,0",
        "1733011260000,100,110,90,101,nan,0,550.5,3,2.25,225,0",
        "1733011260000,100,110,90,,5.5,0,550.5,3,2.25,225,0",
        "9999999960000,100,110,90,101,5.5,0,550.5,3,2.25,225,0",
        '"1733011260000","100","110","90","101","5.5","0","550.5","3","2.25","225","0"',
        " 1733011260000, 100,110,90,101,5.5,0,550.5,3,2.25,225,0",
        "1733011260000,0100,110,90,101,5.5,0,550.5,3,2.25,225,0",
        "1733011260000,100,110,90,101,5.5,0,550.5,-3,2.25,225,0",
        "1733011260000,100,110,90,101,5.5,0,550.5,99999999999999999999,2.25,225,0",
        "0],[1,2,3",
        "173",
        "",
        "\ufeff",
    ]
)


@given(st.lists(PIECES, max_size=12), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_blocks_at_once_tell_the_same_as_row_by_row(lines: list[str], end: str, ends: bool) -> None:
    text = end.join([GOOD, *lines]) + (end if ends else "")
    over_ms = START_MS + 3_600_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kline_blocks, "table_parser", lambda *_: None)
        slow = read(text, over_ms=over_ms)
    assert read(text, over_ms=over_ms) == slow
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kline_blocks, "BLOCK_BYTES", 40)
        patch.setattr(kline_blocks, "SAMPLE_LINES", 1)
        assert read(text, over_ms=over_ms) == slow


def test_plain_rows_are_parsed_at_once(minute: Minute, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("read row by row")

    monkeypatch.setattr(BlockReader, "_read_slowly", never)
    candles = [minute(i, trades=None if i % 2 else i) for i in range(3_000)]
    for head in ([], [",".join(COLUMNS)]):
        rows, bad = read("\n".join([*head, *lines_of(candles[:50]), *lines_of(candles[50:], 1000)]))
        assert not bad
        assert [Candle(*row) for row in rows] == candles  # type: ignore[misc]


@pytest.mark.parametrize("name", INTERVALS)
def test_the_grid_of_every_interval_is_known(name: str) -> None:
    grid = parse_interval(name)
    open_ms = grid.floor(START_MS)
    good = GOOD.replace("1733011200000", str(open_ms))
    off = GOOD.replace("1733011200000", str(open_ms + 500))
    rows, bad = read(f"{good}\n{off}\n", name)
    assert [row[0] for row in rows] == [open_ms]  # type: ignore[index]
    assert bad == [(2, f"the open time is 500 ms off the {name} grid", off)]


def test_line_numbers_count_blank_lines_and_headers() -> None:
    _, bad = read(f"\n\n{','.join(COLUMNS)}\n\n{GOOD}\nx,y\n")
    assert bad == [(6, "it has 2 columns where 12 are expected", "x,y")]


def test_an_import_below_the_disks_floor_is_refused_and_live_candles_are_not(
    store: Store, minute: Minute, tmp_path: Path
) -> None:
    from engine.store import Source, WriteRefused

    path = tmp_path / "k.csv"
    path.write_text("\n".join(lines_of([minute(0), minute(1)])))
    store.writer.only_candles = True
    with pytest.raises(WriteRefused, match="nearly full"):
        import_kline_file(store, path, *SERIES)
    store.writer.quarantine("stream", "bad", "{")
    bad = Candle(START_MS + 14, 1.0, 2.0, 0.5, 1.5, 1.0, 1.0)
    store.writer.put_candles(*SERIES, [minute(0), bad], Source.STREAM).result(10)
    assert store.reader.candles(*SERIES) == [minute(0)]
    assert store.reader.quarantine_count() == 0
    assert store.writer.counters.refused == 4
    store.writer.only_candles = False
    assert import_kline_file(store, path, *SERIES).inserted == 1
