"""Salvage: every row whose own pages are whole is saved, whatever happened to the others."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.market.candle import Candle
from engine.store import Source, Store, StoreError
from engine.store.database import open_for_writing
from engine.store.errors import WriteRefused
from engine.store.fresh_database import PARTIAL_NAME
from engine.store.page_file import PageFile
from engine.store.page_map import PageMap
from engine.store.record_layout import layouts
from engine.store.salvage import SalvageProgress, salvage

PAGE = 4096
MINUTE_MS = 60_000
START_MS = 1_700_000_040_000 // 300_000 * 300_000
SYMBOLS = ("AUSDT", "BTCUSDT", "CUSDT", "ÄÖUSDT")
TABLES = tuple(name for name in layouts() if layouts()[name].is_copied and name != "meta")
Rows = dict[str, set[tuple[Any, ...]]]


def candle(at: int) -> Candle:
    price = 100.0 + at % 97 / 7
    return Candle(
        START_MS + at * MINUTE_MS,
        price,
        price + 2,
        price - 1,
        price + 1,
        5.0,
        500.0,
        at,
        1.5,
        150.0,
    )


def fill_small_tables(db: sqlite3.Connection, rows: int) -> None:
    many = range(rows)
    text = "reason " * 3
    db.executemany(
        "INSERT INTO gap (symbol_id, interval, from_ms, to_ms, state, first_seen_wall_ms,"
        " changed_wall_ms, reason) VALUES (?, '1m', ?, ?, 'filled', 1, 1, ?)",
        [(1 + at % 3, at * 1000, at * 1000 + 500, text) for at in many],
    )
    db.executemany(
        "INSERT INTO session (wall_ms, event, connection, reason) VALUES (?, ?, 'a', ?)",
        [(at, ("connect", "disconnect")[at % 2], text) for at in many],
    )
    db.executemany(
        "INSERT INTO quarantine (wall_ms, origin, reason, raw) VALUES (?, 'stream', 'bad', ?)",
        [(at, f"{at:05}" * (20 if at % 9 else 900)) for at in many],
    )
    db.executemany(
        "INSERT INTO prediction (symbol_id, interval, model, open_time_ms, due_ms, price, p_up,"
        " features_sha, scored_exchange_ms, scored_wall_ms)"
        " VALUES (?, '1m', 'v000001-abc', ?, ?, 1.5, 0.25, 'sha', 1, 1)",
        [(1 + at % 3, at, at + 10) for at in range(5, rows)],
    )
    db.executemany(
        "INSERT INTO outcome VALUES (?, 'hit', 1, 2.5, 9, 1, NULL, 0)",
        [(at,) for at in range(1, rows - 9)],
    )
    db.executemany(
        "INSERT INTO revision (symbol_id, interval, open_time_ms, old_source, new_source,"
        " old_values, new_values, applied, wall_ms) VALUES (1, '1m', ?, 1, 2, '[1]', '[2]', 1, 5)",
        [(at,) for at in many],
    )
    db.executemany("INSERT INTO captured VALUES (2, '1m', ?, NULL)", [(at,) for at in many])
    db.executemany("INSERT INTO market_status VALUES (3, ?, 'TRADING')", [(at,) for at in many])
    db.executemany("INSERT INTO series_start VALUES (1, ?, 7)", [(f"{at}m",) for at in many])
    db.executemany(
        "INSERT INTO coverage VALUES (1, '1m', ?, 9, 8, 7, 6, 5, 4, 3, 2, 1)",
        [(at,) for at in many],
    )
    db.executemany("INSERT INTO hour_figures (hour_ms, bad) VALUES (?, 1)", [(at,) for at in many])
    db.executemany("INSERT INTO reread VALUES (?, 60, 0, 1)", [(at,) for at in many])
    db.executemany(
        "INSERT INTO backfill_job (markets, interval, start_ms, end_ms, state, created_wall_ms,"
        " changed_wall_ms) VALUES (?, '1m', 0, 1, 'done', 1, 1)",
        [("BTCUSDT," * (at * 30 + 1),) for at in range(60)],
    )
    db.executemany(
        "INSERT INTO resample_difference VALUES (1, '1h', ?, '[1]', '[2]', 1)",
        [(at,) for at in many],
    )


def build(directory: Path, candles: int, rows: int) -> None:
    """A database with rows in every table, pages that were freed, and all of it in one file."""
    with Store.open(directory, source="replay", source_note="a file") as store:
        gone = [candle(at) for at in range(candles // 4)]
        store.writer.put_candles("GONEUSDT", "1m", gone, Source.REST).result(30)
        for symbol in SYMBOLS:  # in turns, as an engine writes them
            store.writer.put_candles(symbol, "5m", [candle(0)], Source.REST).result(30)
        for start in range(0, candles, 500):
            for symbol in SYMBOLS:
                piece = [candle(at) for at in range(start, min(candles, start + 500))]
                store.writer.put_candles(symbol, "1m", piece, Source.REST).result(30)
        store.writer.run(lambda db: fill_small_tables(db, rows)).result(30)
        store.writer.run(
            lambda db: db.execute(
                "DELETE FROM candle WHERE symbol_id IN"
                " (SELECT id FROM symbol WHERE name = 'GONEUSDT')"
            )
        ).result(30)
    with closing(sqlite3.connect(directory / "klinetop.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def rows_of(path: Path) -> Rows:
    with closing(sqlite3.connect(path)) as db:
        return {name: set(db.execute(f"SELECT * FROM {name}")) for name in TABLES}


def pages_of(path: Path) -> dict[str, list[tuple[frozenset[int], tuple[Any, ...]]]]:
    """Every row with the pages that it lies on, by the reader on the undamaged file."""
    found: dict[str, list[tuple[frozenset[int], tuple[Any, ...]]]] = {}
    with PageFile(path) as file:
        pages = PageMap(file)
        for name in TABLES:
            layout = layouts()[name]
            rows = found.setdefault(name, [])
            for visit in pages.walk(pages.roots[name]):
                pages.seen[:] = bytes(len(pages.seen))
                page = pages.pages.page(visit.number)
                assert page is not None
                over = {at for at, mark in enumerate(pages.seen) if mark}
                for cell in page.cells:
                    if cell is not None and cell.kinds:
                        row = layout.row(cell)
                        is_long = sum(len(one) for one in row if isinstance(one, str)) > 4_000
                        rows.append((frozenset({visit.number, *(over if is_long else ())}), row))
    return found


class Sample:
    """A sound database, its rows, and where they lie."""

    def __init__(self, directory: Path, candles: int, rows: int) -> None:
        build(directory, candles, rows)
        self.path = directory / "klinetop.db"
        self.data = self.path.read_bytes()
        self.pages = len(self.data) // PAGE
        self.rows = rows_of(self.path)
        self.placed = pages_of(self.path)

    def damaged(self, directory: Path, spoiled: bytes) -> Path:
        shutil.rmtree(directory, ignore_errors=True)
        (directory / "damaged").mkdir(parents=True)
        (directory / "damaged" / "klinetop.db").write_bytes(spoiled)
        return directory / "damaged"

    def touched(self, spoiled: bytes) -> set[int]:
        return {
            at + 1
            for at in range(self.pages)
            if spoiled[at * PAGE : (at + 1) * PAGE] != self.data[at * PAGE : (at + 1) * PAGE]
        }

    def check(self, directory: Path, spoiled: bytes) -> Rows:
        """Salvage `spoiled`; what must be there is there, and nothing that never was."""
        source, fresh = self.damaged(directory, spoiled), directory / "fresh"
        found = salvage(source, fresh)
        assert (source / "klinetop.db").read_bytes() == spoiled
        saved, touched = rows_of(fresh / "klinetop.db"), self.touched(spoiled)
        for name in TABLES:
            must = {row for pages, row in self.placed[name] if not pages & touched}
            if name == "outcome":
                known = {row[0] for row in saved["prediction"]}
                must = {row for row in must if row[0] in known}
            assert must <= saved[name], f"{name}: {len(must - saved[name])} are missing"
            if name not in {"symbol", "candle"}:
                assert saved[name] <= self.rows[name], name
        # What was overwritten may end inside the last number of a page: when it was written.
        candles = {row[:-1] for row in saved["candle"] if row[0] != GONE}
        assert candles <= {row[:-1] for row in self.rows["candle"]}
        names = {row[0]: row[1] for row in self.rows["symbol"]}
        assert all(row[1] in {names.get(row[0]), f"id-{row[0]}"} for row in saved["symbol"])
        assert found.candles == len(saved["candle"])
        lacks = any(saved[name] < self.rows[name] for name in TABLES)
        assert not (lacks and found.is_complete)
        with closing(sqlite3.connect(fresh / "klinetop.db")) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        return saved


GONE = 1


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return Sample(tmp_path_factory.mktemp("sample"), 600, 120)


def overwrite(data: bytes, start: int, length: int, kind: str, seed: int = 1) -> bytes:
    end = min(len(data), start + length)
    made = {
        "ones": lambda: b"\xff" * (end - start),
        "zeros": lambda: bytes(end - start),
        "noise": lambda: random.Random(seed).randbytes(end - start),
    }[kind]()
    return data[:start] + made + data[end:]


damages = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.integers(600, 40_000),
        st.sampled_from(["ones", "zeros", "noise"]),
        st.integers(0, 999),
    ),
    min_size=1,
    max_size=4,
)


def test_the_reader_sees_what_sqlite_sees(sample: Sample) -> None:
    for name in TABLES:
        assert {row for _, row in sample.placed[name]} == sample.rows[name], name


def test_a_sound_file_is_copied_whole(sample: Sample, tmp_path: Path) -> None:
    saved = sample.check(tmp_path, sample.data)
    assert saved == sample.rows
    shutil.rmtree(tmp_path / "fresh")
    found = salvage(tmp_path / "damaged", tmp_path / "fresh")
    assert found.is_complete
    assert (found.series, found.stretches) == ((), ())


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(damages=damages)
@example(damages=[(0.515625, 600, "zeros", 0)])  # the middle of a long text
@example(damages=[(0.0, 600, "ones", 0), (0.125, 100_000, "ones", 0)])
def test_every_row_outside_the_damage_is_saved(
    sample: Sample, tmp_path: Path, damages: list[tuple[float, int, str, int]]
) -> None:
    spoiled = sample.data
    for place, length, kind, seed in damages:
        spoiled = overwrite(spoiled, int(place * len(spoiled)), length, kind, seed)
    sample.check(tmp_path, spoiled)


@pytest.mark.parametrize("kind", ["ones", "zeros", "noise"])
def test_half_of_the_file_is_gone_and_the_other_half_is_saved(
    sample: Sample, tmp_path: Path, kind: str
) -> None:
    half = len(sample.data) // 2
    for start in (0, half):
        sample.check(tmp_path, overwrite(sample.data, start, half, kind))


def test_without_schema_and_map_of_pages_tables_are_known_by_their_looks(
    sample: Sample, tmp_path: Path
) -> None:
    spoiled = overwrite(sample.data, 0, 3 * PAGE, "noise")
    saved = sample.check(tmp_path, spoiled)
    assert len(saved["candle"]) >= len(sample.rows["candle"])


@pytest.mark.parametrize("table", [*TABLES, "meta"])
def test_the_root_of_any_table_may_be_lost(sample: Sample, tmp_path: Path, table: str) -> None:
    with PageFile(sample.path) as file:
        root = PageMap(file).roots[table]
    saved = sample.check(tmp_path, overwrite(sample.data, (root - 1) * PAGE, PAGE, "ones"))
    if table == "symbol":
        assert {row[1] for row in saved["symbol"]} >= set(SYMBOLS), "the index has the names"


def test_names_that_are_nowhere_are_made_up(sample: Sample, tmp_path: Path) -> None:
    spoiled = sample.data
    with PageFile(sample.path) as file:
        pages = PageMap(file)
        for name in ("symbol", "sqlite_autoindex_symbol_1"):
            spoiled = overwrite(spoiled, (pages.roots[name] - 1) * PAGE, PAGE, "ones")
    source = sample.damaged(tmp_path, spoiled)
    found = salvage(source, tmp_path / "fresh")
    assert found.unnamed == ("id-1", "id-2", "id-3", "id-4", "id-5")
    assert found.candles == len(sample.rows["candle"])
    with Store.open(tmp_path / "fresh", source="replay", source_note="a file") as store:
        assert len(store.reader.candles("id-3", "1m")) == 600


def test_what_is_lost_is_told_by_series_and_time(sample: Sample, tmp_path: Path) -> None:
    layout = layouts()["candle"]
    with PageFile(sample.path) as file:
        pages = PageMap(file)
        leaves = [
            visit
            for visit in pages.walk(pages.roots["candle"])
            if visit.page is not None and visit.page.right is None
        ]
    hit = next(v for v in leaves if v.low and v.high and v.low[:2] == v.high[:2])
    assert hit.page is not None
    lost = [layout.row(cell) for cell in hit.page.cells if cell is not None]
    assert lost[0][:2] == lost[-1][:2], "all of one series"
    spoiled = overwrite(sample.data, (hit.number - 1) * PAGE, PAGE, "ones")
    found = salvage(sample.damaged(tmp_path, spoiled), tmp_path / "fresh")
    assert found.unreadable == {"candle": 1}
    assert found.stretches == ()
    (loss,) = found.series
    names = {row[0]: row[1] for row in sample.rows["symbol"]}
    assert (loss.symbol, loss.interval) == (names[lost[0][0]], lost[0][1])
    assert loss.candles == len(lost)
    assert loss.ranges == ((lost[0][2], lost[-1][2] + MINUTE_MS),)


def test_the_lost_end_of_the_newest_series_is_told(sample: Sample, tmp_path: Path) -> None:
    with PageFile(sample.path) as file:
        pages = PageMap(file)
        last = [v.number for v in pages.walk(pages.roots["candle"]) if v.high is None][-1]
    spoiled = overwrite(sample.data, (last - 1) * PAGE, PAGE, "ones")
    found = salvage(sample.damaged(tmp_path, spoiled), tmp_path / "fresh")
    (stretch,) = found.stretches
    assert stretch.before is None
    assert stretch.after is not None


def test_what_the_log_holds_is_saved_too(tmp_path: Path) -> None:
    source = tmp_path / "source"
    store = Store.open(source, source="live")
    store.writer.put_candles("AUSDT", "1m", [candle(at) for at in range(300)], Source.REST).result(
        9
    )
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("klinetop.db", "klinetop.db-wal"):
        shutil.copy(source / name, copy / name)
    store.close()
    assert (copy / "klinetop.db-wal").stat().st_size > PAGE
    assert salvage(copy, tmp_path / "fresh").candles == 300
    log = bytearray((copy / "klinetop.db-wal").read_bytes())
    log[-100] ^= 1
    (copy / "klinetop.db-wal").write_bytes(log)
    assert salvage(copy, tmp_path / "second").candles == 0, "a torn commit is none"
    with closing(sqlite3.connect(copy / "klinetop.db")) as db:
        assert db.execute("SELECT count(*) FROM candle").fetchall() == [(0,)]


def test_an_outcome_whose_prediction_is_lost_is_left_out(sample: Sample, tmp_path: Path) -> None:
    spoiled = sample.data
    for number in {at for pages, _ in sample.placed["prediction"] for at in pages}:
        spoiled = overwrite(spoiled, (number - 1) * PAGE, PAGE, "ones")
    saved = sample.check(tmp_path, spoiled)
    assert (saved["prediction"], saved["outcome"]) == (set(), set())


def test_a_candle_that_breaks_a_rule_is_refused_and_told(sample: Sample, tmp_path: Path) -> None:
    source = sample.damaged(tmp_path, sample.data)
    with closing(sqlite3.connect(source / "klinetop.db")) as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        with db:
            db.execute("UPDATE candle SET low = -1 WHERE interval = '5m' AND symbol_id = 3")
    found = salvage(source, tmp_path / "fresh")
    assert found.refused == 1
    assert not found.is_complete
    assert found.candles == len(sample.rows["candle"]) - 1


def test_a_file_that_never_was_a_database_is_said_and_nothing_is_made(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for content in (b"", b"a letter to a friend\n" * 5_000, b"\xff" * 100_000):
        (source / "klinetop.db").write_bytes(content)
        with pytest.raises(StoreError, match="Nothing can be read"):
            salvage(source, tmp_path / "fresh")
    assert not (tmp_path / "fresh").exists()


def test_a_cut_file_keeps_what_came_before_the_cut(sample: Sample, tmp_path: Path) -> None:
    spoiled = sample.data[: len(sample.data) * 2 // 3 + 1_000]
    source = sample.damaged(tmp_path, spoiled)
    found = salvage(source, tmp_path / "fresh")
    saved = rows_of(tmp_path / "fresh" / "klinetop.db")
    assert not found.is_complete
    assert found.cut_off == sample.pages - len(spoiled) // PAGE
    whole = range(1, len(spoiled) // PAGE + 1)
    must = {row for pages, row in sample.placed["candle"] if all(at in whole for at in pages)}
    assert must <= saved["candle"]


def test_series_behind_a_cut_are_told(tmp_path: Path) -> None:
    with Store.open(tmp_path / "whole", source="live") as store:
        for symbol in ("AUSDT", "BUSDT"):
            candles = [candle(at) for at in range(2_000)]
            store.writer.put_candles(symbol, "1m", candles, Source.REST).result(9)
    whole = (tmp_path / "whole" / "klinetop.db").read_bytes()
    source = tmp_path / "cut"
    source.mkdir()
    (source / "klinetop.db").write_bytes(whole[: len(whole) // 2])
    found = salvage(source, tmp_path / "fresh")
    assert 0 < found.candles < 2_100
    assert found.stretches[-1].before is None
    assert not found.is_complete


@pytest.mark.parametrize("size", [512, 2048, 8192, 65536])
def test_a_page_size_that_the_pages_contradict_is_not_believed(
    sample: Sample, tmp_path: Path, size: int
) -> None:
    header = (size % 65_535).to_bytes(2, "big")
    spoiled = sample.data[:16] + header + sample.data[18:]
    assert sample.check(tmp_path, spoiled) == sample.rows


def test_progress_counts_pages_rows_and_skips(sample: Sample, tmp_path: Path) -> None:
    told: list[SalvageProgress] = []
    spoiled = overwrite(sample.data, len(sample.data) // 2, 16 * PAGE, "ones")
    salvage(sample.damaged(tmp_path, spoiled), tmp_path / "fresh", told.append)
    assert told[-1].pages == told[-1].all_pages == sample.pages
    assert told[-1].rows > 2_000
    assert told[-1].unreadable >= 10
    assert [one.pages for one in told] == sorted(one.pages for one in told)


def test_a_salvage_that_breaks_off_leaves_no_database(sample: Sample, tmp_path: Path) -> None:
    source, fresh = sample.damaged(tmp_path, sample.data), tmp_path / "fresh"

    def interrupt(progress: SalvageProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        salvage(source, fresh, interrupt)
    assert list(fresh.iterdir()) == []
    (fresh / PARTIAL_NAME).mkdir()
    (fresh / PARTIAL_NAME / "klinetop.db").write_bytes(b"of one that was killed")
    assert salvage(source, fresh).is_complete
    assert [path.name for path in fresh.iterdir()] == ["klinetop.db"]


def test_a_full_disk_is_said_and_leaves_no_database(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(directory: Path, source: str, note: str) -> sqlite3.Connection:
        connection = open_for_writing(directory, source, note)
        connection.execute("PRAGMA max_page_count = 60")
        return connection

    monkeypatch.setattr("engine.store.fresh_database.open_for_writing", opened)
    with pytest.raises(WriteRefused, match=r"can not be written to .*is full.*make room there"):
        salvage(sample.damaged(tmp_path, sample.data), tmp_path / "fresh")
    assert list((tmp_path / "fresh").iterdir()) == []


def test_a_source_that_is_lost_is_taken_as_told(sample: Sample, tmp_path: Path) -> None:
    with PageFile(sample.path) as file:
        root = PageMap(file).roots["meta"]
    spoiled = overwrite(sample.data, (root - 1) * PAGE, PAGE, "zeros")
    found = salvage(sample.damaged(tmp_path, spoiled), tmp_path / "fresh", None, ("demo", "7"))
    assert not found.is_source_known
    open_for_writing(tmp_path / "fresh", "demo", "7").close()


@pytest.mark.faults
@settings(max_examples=100, deadline=None)
@given(damages=damages, share=st.sampled_from([0.0, 0.1, 0.5]), at=st.floats(0, 0.5))
@example(damages=[(0.0, 600, "zeros", 0)], share=0.1, at=0.49113680847901164)
def test_every_row_outside_larger_damage_is_saved(
    sample: Sample,
    tmp_path_factory: pytest.TempPathFactory,
    damages: list[tuple[float, int, str, int]],
    share: float,
    at: float,
) -> None:
    spoiled = overwrite(
        sample.data, int(at * len(sample.data)), int(share * len(sample.data)), damages[0][2]
    )
    for place, length, kind, seed in damages:
        spoiled = overwrite(spoiled, int(place * len(spoiled)), length, kind, seed)
    sample.check(tmp_path_factory.mktemp("salvage"), spoiled)
