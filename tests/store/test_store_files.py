"""Import, export and frames."""

import gzip
import io
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import engine
from engine.market.candle import Candle
from engine.market.interval import UnknownInterval
from engine.market.kline_csv import COLUMNS
from engine.store import NoDatabase, Source, Store, StoreError, WriteRefused, import_kline_file
from engine.store import imports as imports_module
from engine.store.errors import BadFile
from engine.store.export import write_csv, write_json
from engine.store.frames import candle_frame
from engine.store.series import candle_series

Minute = Callable[..., Candle]
SERIES = ("BTCUSDT", "1m")
START_MS = 1_733_011_200_000
MINUTE_MS = 60_000


def exported(candles: list[Candle], interval: str = "1m") -> str:
    out = io.StringIO()
    write_csv(candles, interval, out)
    return out.getvalue()


def test_what_is_exported_imports_equal(store: Store, tmp_path: Path, minute: Minute) -> None:
    rows = [minute(0), minute(1, close=100.1 + 0.2, trades=None), minute(2)]
    path = tmp_path / "out.csv"
    path.write_text(exported(rows))
    result = import_kline_file(store, path, *SERIES)
    assert result[:5] == (3, 3, 0, 0, 0)
    assert store.reader.candles(*SERIES) == rows
    assert import_kline_file(store, path, *SERIES)[:5] == (3, 0, 0, 3, 0)
    assert store.reader.count_by_source()["import"] == 3


def test_bad_rows_are_quarantined_with_their_line_and_the_rest_is_stored(
    store: Store, tmp_path: Path, minute: Minute
) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    ahead = int(tomorrow.timestamp()) // 60 * MINUTE_MS
    lines = exported([minute(index) for index in range(5)]).splitlines()
    lines[2] = lines[2].replace("100.0", "x")
    lines[3] = lines[3].replace(str(START_MS + 2 * MINUTE_MS), str(START_MS + 2 * MINUTE_MS + 14))
    lines[4] = lines[4].replace(str(START_MS + 3 * MINUTE_MS), str(ahead))
    lines.append(lines[1][:33])
    path = tmp_path / "bad.csv"
    path.write_text("\n".join(lines))
    assert import_kline_file(store, path, *SERIES)[:5] == (6, 2, 0, 0, 4)
    assert store.reader.candles(*SERIES) == [minute(0), minute(4)]
    rows = store.reader.query("SELECT origin, reason FROM quarantine ORDER BY id")
    assert {row["origin"] for row in rows} == {"import bad.csv"}
    assert [row["reason"] for row in rows] == [
        "line 3: open is no number: 'x'",
        "line 4: the open time is 14 ms off the 1m grid",
        "line 5: the candle is not over yet",
        "line 7: it has 5 columns where 12 are expected",
    ]


def test_a_row_off_the_grid_is_kept_as_it_was_written(
    store: Store, tmp_path: Path, minute: Minute
) -> None:
    lines = exported([minute(index) for index in range(3)]).splitlines()
    lines[2] = lines[2].replace(str(START_MS + MINUTE_MS), str(START_MS + MINUTE_MS + 5))
    path = tmp_path / "off.csv"
    path.write_text("\r\n".join(lines))
    result = import_kline_file(store, path, *SERIES)
    assert result.faults == ("line 3: the open time is 5 ms off the 1m grid",)
    assert store.reader.query("SELECT raw FROM quarantine") == [{"raw": lines[2]}]


@pytest.mark.parametrize(("step", "words"), [(1, "say --interval 1m"), (7, "420 s apart")])
def test_a_file_of_another_interval_is_refused_whole(
    store: Store, tmp_path: Path, minute: Minute, step: int, words: str
) -> None:
    path = tmp_path / "other.csv"
    path.write_text(exported([minute(index * step) for index in range(20)]))
    for interval in ("5m", "1h", "1M"):
        with pytest.raises(BadFile, match=words):
            import_kline_file(store, path, "BTCUSDT", interval)
    assert store.reader.candle_count() == store.reader.quarantine_count() == 0


def test_a_file_with_holes_or_turned_round_is_still_of_its_interval(
    store: Store, tmp_path: Path, minute: Minute
) -> None:
    rows = [minute(index) for index in (0, 1, 2, 30, 31, 60, 90, 91, 92)]
    path = tmp_path / "holes.csv"
    path.write_text(exported(rows[::-1]))
    assert import_kline_file(store, path, *SERIES).inserted == len(rows)


def test_a_gzip_that_breaks_off_imports_what_it_holds(
    store: Store, tmp_path: Path, minute: Minute
) -> None:
    rows = [minute(index, close=91.0 + index % 17) for index in range(3_000)]
    path = tmp_path / "half.gz"
    path.write_bytes(gzip.compress(exported(rows).encode())[:-200])
    result = import_kline_file(store, path, *SERIES)
    assert 100 < result.inserted < 3_000
    assert store.reader.candles(*SERIES) == rows[: result.inserted]
    reasons = [r["reason"] for r in store.reader.query("SELECT reason FROM quarantine ORDER BY id")]
    assert "half.gz is damaged or half-written" in reasons[-1]
    assert result.quarantined == len(reasons)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name,colour\n", "bad.csv can not be imported. The first line names no kline columns"),
        (b"open_time,open,high\n1,2,3\n", "header lacks the columns low, close"),
        (b"PK\x03\x04", "is damaged or half-written"),
        (None, r"bad.csv can not be read: No such file"),
    ],
)
def test_a_file_that_holds_no_klines(
    store: Store, tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "bad.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StoreError, match=words):
        import_kline_file(store, path, *SERIES)
    with pytest.raises(UnknownInterval):
        import_kline_file(store, path, "BTCUSDT", "7m")


def test_an_import_onto_a_full_disk_ends_with_a_sentence(
    store: Store, tmp_path: Path, minute: Minute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports_module, "STALL_LIMIT_S", 1.0)
    path = tmp_path / "big.csv"
    path.write_text(exported([minute(index) for index in range(2_000)]))
    pages = store.writer.run(lambda c: c.execute("PRAGMA page_count").fetchone()[0]).result(10)
    store.writer.run(lambda c: c.execute(f"PRAGMA max_page_count = {pages}").fetchone()).result(10)
    with pytest.raises(WriteRefused, match="stopped after 0 rows: the disk is full"):
        import_kline_file(store, path, *SERIES)
    store._connection.execute("PRAGMA max_page_count = 1000000").fetchone()
    store.writer.flush()


def test_an_import_and_live_capture_share_the_writer(
    store: Store, tmp_path: Path, minute: Minute
) -> None:
    path = tmp_path / "big.csv"
    path.write_text(exported([minute(index) for index in range(20_000)]))
    live = threading.Thread(
        target=lambda: [
            store.writer.put_candles(*SERIES, [minute(index)], Source.STREAM)
            for index in range(19_900, 20_100)
        ]
    )
    live.start()
    result = import_kline_file(store, path, *SERIES)
    live.join()
    store.writer.flush()
    assert result.inserted + result.unchanged == 20_000
    assert store.reader.candles(*SERIES) == [minute(index) for index in range(20_100)]


def test_json_rows_name_what_is_unknown(minute: Minute) -> None:
    out = io.StringIO()
    assert write_json([minute(0), minute(1, trades=None)], "1m", out) == 2
    rows = json.loads(out.getvalue())
    assert list(rows[0]) == [*COLUMNS[:-1], "complete"]
    assert rows[0]["close_time"] == START_MS + MINUTE_MS - 1
    assert rows[1]["count"] is None
    nothing = io.StringIO()
    assert write_json([], "1m", nothing) == 0
    assert json.loads(nothing.getvalue()) == []


def test_a_frame_has_utc_times_and_plain_numbers(store: Store, minute: Minute) -> None:
    store.writer.put_candles(*SERIES, [minute(0), minute(1)], Source.STREAM).result(10)
    frame = engine.candles("btcusdt", data_dir=store.directory)
    assert isinstance(frame.index, pd.DatetimeIndex)
    assert (str(frame.index.tz), frame.index.name) == ("UTC", "open_time")
    assert frame.index[0] == pd.Timestamp("2024-12-01T00:00:00Z")
    assert frame["close"].tolist() == [101.0, 101.0]
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert kinds.pop("trades") == "int64"
    assert kinds.pop("complete") == "bool"
    assert set(kinds.values()) == {"float64"}
    store.writer.put_candles(*SERIES, [minute(2, trades=None)], Source.STREAM).result(10)
    trades = candle_frame(store.reader, *SERIES)["trades"]
    assert str(trades.dtype) == "float64"
    assert np.isnan(trades.iloc[-1])
    assert store.reader.candle_count() == 3, "the reader that was passed in stays open"


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (datetime(2024, 12, 1, 0, 2, tzinfo=UTC), datetime(2024, 12, 1, 0, 5)),  # noqa: DTZ001
        ("2024-12-01T00:02", "2024-12-01T01:05:00+01:00"),
        ("2024-12-01 00:02:00Z", START_MS + 5 * MINUTE_MS),
        ("1 Dec, 2024 00:02", "Dec 1 2024 12:05 am"),
        (str(START_MS + 2 * MINUTE_MS), "20241201T000500"),
    ],
)
def test_times_in_many_words(
    store: Store, minute: Minute, start: datetime | str | int, end: datetime | str | int
) -> None:
    store.writer.put_candles(*SERIES, [minute(i) for i in range(10)], Source.STREAM).result(10)
    frame = engine.candles(*SERIES, start, end, data_dir=str(store.directory))
    assert [moment.minute for moment in frame.index] == [2, 3, 4]


def test_an_empty_answer_is_an_empty_frame(store: Store) -> None:
    frame = engine.candles("NOSUCH", "4h", data_dir=store.directory)
    assert len(frame) == 0
    assert str(frame.index.dtype).endswith("UTC]")
    assert list(frame.columns)[:5] == ["open", "high", "low", "close", "volume"]


def test_no_database_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(NoDatabase, match="no klinetop database"):
        engine.candles("BTCUSDT", data_dir=tmp_path)
    with pytest.raises(AttributeError, match="nothing"):
        engine.nothing  # noqa: B018


def test_the_default_directory_is_the_live_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minute: Minute
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("platformdirs.user_data_dir", lambda name, **_: str(tmp_path / name))
    with Store.open(tmp_path / "klinetop" / "live", source="live") as store:
        store.writer.put_candles(*SERIES, [minute(0)], Source.STREAM).result(10)
    assert len(engine.candles("BTCUSDT")) == 1


def test_an_interval_that_is_not_stored_is_made_of_minutes(store: Store, minute: Minute) -> None:
    store.writer.put_candles(*SERIES, [minute(i) for i in range(1, 64)], Source.STREAM).result(10)
    made = candle_series(store.reader, "BTCUSDT", "15m")
    assert [(c.open_time_ms - START_MS) // MINUTE_MS for c in made] == [15, 30, 45]
    assert made[0].trades == 45
    assert candle_series(store.reader, "BTCUSDT", "15m", limit=2) == made[-2:]
    middle = START_MS + 16 * MINUTE_MS
    assert candle_series(store.reader, "BTCUSDT", "15m", start_ms=middle) == made[1:]
    assert candle_series(store.reader, "BTCUSDT", "15m", end_ms=middle) == made[:1]
    assert candle_series(store.reader, "BTCUSDT", "15m", start_ms=START_MS, limit=2) == made[:2]
    assert candle_series(store.reader, "BTCUSDT", "15m", start_ms=START_MS, limit=0) == []
    assert candle_series(store.reader, "BTCUSDT", "1s") == []


def test_a_limit_is_met_across_buckets_that_are_not_whole(store: Store, minute: Minute) -> None:
    holed = [minute(i) for i in range(300) if i % 15 or i > 240]
    whole = [minute(i) for i in range(300, 360)]
    store.writer.put_candles(*SERIES, holed + whole, Source.STREAM).result(10)
    made = candle_series(store.reader, "BTCUSDT", "15m", start_ms=START_MS, limit=3)
    assert [(c.open_time_ms - START_MS) // MINUTE_MS for c in made] == [255, 270, 285]


def test_the_exchanges_own_candles_win_and_a_difference_is_logged(
    store: Store, minute: Minute, caplog: pytest.LogCaptureFixture
) -> None:
    store.writer.put_candles(*SERIES, [minute(i) for i in range(60)], Source.STREAM).result(10)
    own = Candle(START_MS + 15 * MINUTE_MS, 100.0, 110.0, 90.0, 95.0, 1.0, 1.0, 1)
    store.writer.put_candles("BTCUSDT", "15m", [own], Source.REST).result(10)
    with caplog.at_level("INFO"):
        series = candle_series(store.reader, "BTCUSDT", "15m")
    assert len(series) == 4
    assert series[1] == own
    assert "1 stored candles differ from their minutes" in caplog.text
    assert candle_series(store.reader, "BTCUSDT", "15m", limit=3) == series[-3:]


def test_stored_candles_that_are_whole_need_no_minutes(
    store: Store, minute: Minute, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        Candle(START_MS + i * 15 * MINUTE_MS, 100.0, 110.0, 90.0, 95.0, 1.0, 1.0) for i in range(8)
    ]
    store.writer.put_candles("BTCUSDT", "15m", rows, Source.REST).result(10)
    store.writer.put_candles(*SERIES, [minute(i) for i in range(125)], Source.STREAM).result(10)
    asked: list[str] = []
    read = store.reader.candles

    def noted(symbol: str, interval: str, **options: int | None) -> list[Candle]:
        asked.append(interval)
        return read(symbol, interval, **options)

    monkeypatch.setattr(store.reader, "candles", noted)
    assert candle_series(store.reader, "BTCUSDT", "15m", limit=8) == rows
    assert asked == ["15m"]
    store.writer.put_candles(*SERIES, [minute(i) for i in range(125, 135)], Source.STREAM).result(
        10
    )
    asked.clear()
    first = candle_series(store.reader, "BTCUSDT", "15m", start_ms=START_MS, limit=8)
    assert first == rows
    assert asked == ["15m"]
    newest = candle_series(store.reader, "BTCUSDT", "15m", limit=8)
    assert newest[:-1] == rows[1:]
    assert newest[-1].open_time_ms == START_MS + 120 * MINUTE_MS


@pytest.mark.recorded
def test_a_real_file_goes_in_and_comes_out_the_same(store: Store, klines: Path) -> None:
    path = klines / "BTCUSDT_1m.csv.gz"
    result = import_kline_file(store, path, *SERIES)
    assert result[:5] == (41_761, 41_761, 0, 0, 0)
    text = gzip.decompress(path.read_bytes()).decode()
    assert exported(store.reader.candles(*SERIES)) == text
    assert (
        store.reader.missing(
            *SERIES,
            store.reader.first_open_time(*SERIES) or 0,
            (store.reader.last_open_time(*SERIES) or 0) + 1,
        )
        == []
    )
    days = engine.candles("BTCUSDT", "1d", data_dir=store.directory)
    assert len(days) == 28
    assert days.index[0] == pd.Timestamp("2024-12-01", tz="UTC")
