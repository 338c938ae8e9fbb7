"""Any valid series written as some tool writes it reads back equal, on both ways of reading."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
from hypothesis import given
from hypothesis import strategies as st

from engine.market.candle import Candle
from engine.market.interval import INTERVALS
from engine.market.kline_csv import COLUMNS, format_row, number
from engine.market.kline_errors import UnreadableKlineFile
from engine.market.kline_files import ordered, read_klines
from engine.market.kline_layout import KlineHints
from engine.market.kline_packing import unpacked
from engine.store.kline_blocks import BlockReader

MINUTE = INTERVALS["1m"]
FIRST_MS = 1_514_764_800_000  # 2018-01-01
LATER_MS = 1 << 60
FIELDS = dict(zip(COLUMNS[:11], range(11), strict=True))
OHLCV = COLUMNS[:6]


class Dialect(NamedTuple):
    """How a tool writes klines.

    Attributes:
        names: Our columns in its order; others stand for columns of its own.
        header: What it calls them; None without a header.
        preamble: Lines before the header.
    """

    names: tuple[str, ...]
    header: tuple[str, ...] | None
    preamble: str = ""

    def knows(self, name: str) -> bool:
        return name in self.names


ARCHIVE = Dialect(COLUMNS, COLUMNS)
HEADED = (
    ARCHIVE,
    Dialect(
        COLUMNS,
        (
            *("Open time", "Open", "High", "Low", "Close", "Volume", "Close time"),
            *("Quote asset volume", "Number of trades", "Taker buy base asset volume"),
            *("Taker buy quote asset volume", "Ignore"),
        ),
    ),
    Dialect(
        (*COLUMNS, "symbol"),
        (
            *("open_time", "open", "high", "low", "close", "volume", "close_time", "qav"),
            *("num_trades", "taker_base_vol", "taker_quote_vol", "ignore", "symbol"),
        ),
    ),
    Dialect(
        COLUMNS[:11],
        (
            *("Open Time", "Open", "High", "Low", "Close", "Volume", "Close Time", "QAV"),
            *("No. Trades", "Taker BBAV", "Taker BQAV"),
        ),
    ),
    Dialect(
        ("open_time", "date", "symbol", *COLUMNS[1:6], "quote_volume", "count"),
        (
            *("Unix", "Date", "Symbol", "Open", "High", "Low", "Close"),
            *("Volume BTC", "Volume USDT", "tradecount"),
        ),
        "https://www.CryptoDataDownload.com\n",
    ),
    Dialect(OHLCV, ("date", "open", "high", "low", "close", "volume")),
    Dialect((*OHLCV, "ma"), ("time", "open", "high", "low", "close", "Volume", "Volume MA")),
    Dialect(
        (*OHLCV, "quote_volume", "ma"),
        (
            *("Timestamp", "Open", "High", "Low", "Close", "Volume_(BTC)"),
            *("Volume_(Currency)", "Weighted_Price"),
        ),
    ),
)
BARE = (
    Dialect(COLUMNS, None),
    Dialect(COLUMNS[:11], None),
    Dialect(OHLCV, None),
)


def text_time(pattern: str) -> Callable[[int], str]:
    return lambda time_ms: datetime.fromtimestamp(time_ms / 1000, UTC).strftime(pattern)


TIMES: tuple[Callable[[int], str], ...] = (
    str,
    lambda time_ms: str(time_ms // 1000),
    lambda time_ms: f"{time_ms}000",
    lambda time_ms: f"{time_ms}000000",
    lambda time_ms: f"{time_ms}.0",
    lambda time_ms: f"{time_ms // 1000}.0",
    *map(
        text_time,
        (
            *("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S.%f"),
            *("%Y-%m-%d %H:%M:%S+00:00", "%Y-%m-%d %H:%M:%S UTC", "%Y/%m/%d %H:%M"),
            *("%Y.%m.%d %H:%M", "%d-%b-%Y %H:%M:%S", "%d %B %Y %H:%M", "%Y%m%d %H:%M"),
            *("%Y-%m-%d %I:%M:%S %p", "%Y%m%d%H%M%S", "%a %b %d %Y %H:%M:%S GMT+0000 (UTC)"),
        ),
    ),
)

amounts = st.floats(min_value=0, max_value=1e12)


@st.composite
def candles(draw: st.DrawFn) -> list[Candle]:
    """Draw minutes that ascend, with holes."""
    steps = draw(st.lists(st.integers(1, 3), min_size=4, max_size=12))
    made = []
    time_ms = FIRST_MS + draw(st.integers(0, 4_000_000)) * 60_000
    for step in steps:
        time_ms += step * 60_000
        low, a, b, high = sorted(
            draw(st.lists(st.floats(min_value=1e-8, max_value=1e7), min_size=4, max_size=4))
        )
        opened, close = draw(st.sampled_from([(a, b), (b, a)]))
        known = draw(st.booleans())
        made.append(
            Candle(
                time_ms,
                opened,
                high,
                low,
                close,
                draw(amounts),
                draw(amounts) if known else None,
                draw(st.integers(0, 2**40)) if known else None,
                draw(amounts) if known else None,
                draw(amounts) if known else None,
            )
        )
    return made


def told_by(dialect: Dialect, candle: Candle) -> Candle:
    """Return what a dialect tells of a candle."""
    fields = {
        "quote_volume": "quote_volume",
        "count": "trades",
        "taker_buy_volume": "taker_buy_volume",
        "taker_buy_quote_volume": "taker_buy_quote_volume",
    }
    lost = {field: None for name, field in fields.items() if not dialect.knows(name)}
    return msgspec.structs.replace(candle, **lost)


def cells_of(candle: Candle, dialect: Dialect, time: Callable[[int], str]) -> list[str]:
    texts = dict(zip(COLUMNS, format_row(candle, MINUTE), strict=True))
    texts["open_time"] = time(candle.open_time_ms)
    texts |= {
        "symbol": "BTC/USDT",
        "date": text_time("%Y-%m-%d %H:%M:%S")(candle.open_time_ms),
        "ma": "",
    }
    return [texts[name] for name in dialect.names]


class Form(NamedTuple):
    separator: str
    end: str
    trailing: bool
    quoted: bool
    bom: bool
    newest_first: bool


forms = st.builds(
    Form,
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


def written(
    series: Sequence[Candle], dialect: Dialect, time: Callable[[int], str], form: Form
) -> bytes:
    rows = [cells_of(candle, dialect, time) for candle in series]
    if form.newest_first:
        rows.reverse()
    if dialect.header is not None:
        rows.insert(0, list(dialect.header))
    if form.quoted:
        rows = [[f'"{cell}"' for cell in row] for row in rows]
    tail = form.separator if form.trailing else ""
    text = "".join(form.separator.join(row) + tail + form.end for row in rows)
    preamble = dialect.preamble.replace("\n", form.end)
    return (preamble + text).encode("utf-8-sig" if form.bom else "utf-8")


def both_ways(content: bytes, name: str = "x", *, may_break: bool = False) -> list[list[Any]]:
    """Return what the two ways of reading give, each in its own order."""
    hints = KlineHints(symbol="BTCUSDT")
    file = io.BytesIO(content)
    one = list(read_klines(file, name, hints))
    other: list[Any] = []
    file.seek(0)
    with unpacked(file, name) as package:
        for member in ordered(package, hints).members:
            reader = BlockReader(member.open(), MINUTE, LATER_MS, hints)
            for block in reader:
                other += [Candle(*row) for row in block.rows]  # type: ignore[misc]
                other += block.bad
            assert may_break or reader.damage == ""
    return [one, other]


def expect(content: bytes, series: Sequence[Candle], dialect: Dialect) -> None:
    wanted = [told_by(dialect, candle) for candle in series]
    for found in both_ways(content):
        assert sorted(found, key=lambda row: row[0] if not isinstance(row, Candle) else 0) == found
        assert all(isinstance(row, Candle) for row in found), found
        assert sorted(found, key=lambda row: row.open_time_ms) == wanted


@st.composite
def headed(draw: st.DrawFn) -> Dialect:
    """Draw a dialect with a header, its columns in any order."""
    dialect = draw(st.sampled_from(HEADED))
    assert dialect.header is not None
    order = draw(st.permutations(range(len(dialect.names))))
    if not draw(st.booleans()):
        return dialect
    return dialect._replace(
        names=tuple(dialect.names[at] for at in order),
        header=tuple(dialect.header[at] for at in order),
    )


@given(candles(), headed() | st.sampled_from(BARE), st.sampled_from(TIMES), forms)
def test_any_dialect_of_csv_reads_back_equal(
    series: list[Candle], dialect: Dialect, time: Callable[[int], str], form: Form
) -> None:
    expect(written(series, dialect, time, form), series, dialect)


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
    "utf-16": lambda content: content.decode("utf-8-sig").encode("utf-16"),
}


@given(candles(), headed(), st.sampled_from(sorted(PACKINGS)), forms)
def test_any_packing_reads_back_equal(
    series: list[Candle], dialect: Dialect, packing: str, form: Form
) -> None:
    content = written(series, dialect, str, form)
    expect(PACKINGS[packing](content), series, dialect)


@given(candles(), st.sampled_from(HEADED), forms, st.integers(1, 4), st.permutations(range(4)))
def test_the_members_of_a_zip_read_back_in_order_of_time(
    series: list[Candle], dialect: Dialect, form: Form, count: int, order: list[int]
) -> None:
    size = -(-len(series) // count)
    parts = [series[at : at + size] for at in range(0, len(series), size)]
    members = [(f"{order[at]}.csv", part) for at, part in enumerate(parts)]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in sorted(members):
            archive.writestr(name, written(part, dialect, str, form._replace(newest_first=False)))
        archive.writestr("README.md", "# Klines\n\nNothing, to, see, here, really.\n")
    wanted = [told_by(dialect, candle) for candle in series]
    assert both_ways(out.getvalue()) == [wanted, wanted]


def json_value(text: str, *, as_text: bool) -> Any:
    if text == "":
        return None
    return text if as_text else json.loads(text) if text[-1:].isdigit() else text


@given(
    candles(),
    st.sampled_from([ARCHIVE, HEADED[5]]),
    st.sampled_from(["arrays", "objects", "lines", "envelope"]),
    st.booleans(),
    st.sampled_from([None, 2]),
)
def test_json_reads_back_equal(
    series: list[Candle], dialect: Dialect, form: str, as_text: bool, indent: int | None
) -> None:
    rows = [
        [json_value(cell, as_text=as_text) for cell in cells_of(candle, dialect, str)]
        for candle in series
    ]
    assert dialect.header is not None
    named = [dict(zip(dialect.header, row, strict=True)) for row in rows]
    text = {
        "arrays": json.dumps(rows, indent=indent),
        "objects": json.dumps(named, indent=indent),
        "lines": "".join(json.dumps(row) + "\n" for row in named),
        "envelope": json.dumps({"code": 0, "data": named, "msg": "ok"}, indent=indent),
    }[form]
    expect(text.encode(), series, dialect)


@given(
    candles(),
    st.booleans(),
    st.sampled_from(["ms", "us", "ns"]),
    st.sampled_from([None, "UTC", "Europe/Berlin"]),
)
def test_parquet_and_feather_read_back_equal(
    series: list[Candle], as_feather: bool, unit: str, zone: str | None
) -> None:
    names = ("open", "high", "low", "close", "volume", "quote_volume", "trades")
    times = pa.array([one.open_time_ms for one in series], type=pa.int64())
    times = times.cast(pa.timestamp("ms")).cast(pa.timestamp(unit))
    columns = {"date": times if zone is None else times.cast(pa.timestamp(unit, tz=zone))}
    columns |= {name: pa.array([getattr(one, name) for one in series]) for name in names}
    table = pa.table(columns)
    out = io.BytesIO()
    if as_feather:
        pa.feather.write_feather(table, out)
    else:
        pa.parquet.write_table(table, out)
    dialect = Dialect((*OHLCV, "quote_volume", "count"), None)
    expect(out.getvalue(), series, dialect)


def test_numbers_of_single_width_mean_what_they_say() -> None:
    texts = ["29000.12", "0.00012345", "3"]
    table = pa.table(
        {
            "open_time": pa.array([FIRST_MS + at * 60_000 for at in range(3)]),
            **{
                name: pa.array(map(float, texts), type=pa.float32())
                for name in ("open", "high", "low", "close", "volume")
            },
        }
    )
    out = io.BytesIO()
    pa.parquet.write_table(table, out)
    for found in both_ways(out.getvalue()):
        assert [number(row.open).removesuffix(".0") for row in found] == texts


SEEDS = [
    b"open_time,open,high,low,close,volume\n1514764800000,1,2,0.5,1.5,10\n",
    b"2018-01-01 00:00:00;1;2;0.5;1.5;10;\r\n",
    b'"Date","Open","High","Low","Close","Volume BTC"\n"Jan 1, 2018","1","2","0.5","1.5","1e-5"\n',
    b'[[1514764800000,"1","2","0.5","1.5","10"]]',
    b'{"data":[{"t":1514764800,"o":1,"h":2,"l":0.5,"c":1.5,"v":10}]}',
    gzip.compress(b"1514764800000,1,2,0.5,1.5,10\n" * 9),
    bz2.compress(b"1514764800000,1,2,0.5,1.5,10\n" * 9),
    lzma.compress(b"1514764800000,1,2,0.5,1.5,10\n" * 9),
    pa.compress(b"1514764800000,1,2,0.5,1.5,10\n" * 9, codec="zstd", asbytes=True),
    "time\topen\thigh\tlow\tclose\tvolume\n2018.01.01 00:00\t1\t2\t1\t1\t1\n".encode("utf-16"),
]


def seeds() -> list[bytes]:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for at, seed in enumerate(SEEDS[:5]):
            archive.writestr(f"{at}.csv", seed)
    table = io.BytesIO()
    pa.parquet.write_table(pa.table({name: [1.0, 2.0] for name in OHLCV}), table)
    feather = io.BytesIO()
    pa.feather.write_feather(pa.table({name: [1.0, 2.0] for name in OHLCV}), feather)
    return [*SEEDS, out.getvalue(), table.getvalue(), feather.getvalue()]


@given(
    st.sampled_from(seeds()),
    st.lists(
        st.tuples(st.integers(0, 2_000), st.binary(max_size=6), st.integers(0, 9)), max_size=4
    ),
    st.integers(0, 2_000),
)
def test_whatever_is_damaged_is_read_or_refused_in_words(
    seed: bytes, changes: list[tuple[int, bytes, int]], end: int
) -> None:
    content = bytearray(seed)
    for at, piece, gone in changes:
        content[at : at + gone] = piece
    with contextlib.suppress(UnreadableKlineFile):
        both_ways(bytes(content[: max(end, 1)]), may_break=True)
