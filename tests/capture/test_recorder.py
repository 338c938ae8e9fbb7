"""Recordings: whole files, cut files, hours, the disk's floor, and what is dropped."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from engine.binance.rest import RestClient, RestError, UnknownSymbol
from engine.capture import recording_files
from engine.capture.recorder import DISK_FLOOR_NOTE, Recorder
from engine.capture.recording_files import RecordingFile, prune
from engine.simulator.recording import Line, read_lines
from engine.simulator.replay import open_replay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from engine.runtime import Engine
    from engine.simulator.server import Running

HOUR_NS = 3_600 * 10**9
NINE_NS = 1_767_258_000 * 10**9  # 2026-01-01 09:00 UTC


def frame(number: int, stream: str = "btcusdt@trade") -> str:
    return f'{{"stream":"{stream}","data":{{"e":"trade","s":"BTCUSDT","t":{number}}}}}'


def listing(*names: str) -> bytes:
    return json.dumps(
        {"symbols": [{"symbol": name, "status": "TRADING"} for name in names]}
    ).encode()


def lines_of(path: Path) -> list[str]:
    with gzip.open(path, "rt") as file:
        return file.read().splitlines()


class Books:
    """Answers depth requests into a recorder, as a REST client's tap does."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.failures = 0
        self.missing: dict[str, RestError] = {}
        self.asked: list[str] = []

    async def depth(self, symbol: str, limit: int = 1000, *, background: bool = False) -> Any:
        self.asked.append(symbol)
        if symbol in self.missing:
            raise self.missing[symbol]
        if self.failures:
            self.failures -= 1
            raise RestError("busy")
        body = b'{"lastUpdateId":7,"bids":[],"asks":[]}'
        self.recorder.answer("depth", {"symbol": symbol, "limit": limit}, body)


# --- files ----------------------------------------------------------------------------------------


def test_a_file_is_readable_up_to_its_last_flush_without_any_end(tmp_path: Path) -> None:
    file = RecordingFile(tmp_path / "deep" / "down", NINE_NS)
    for number in range(100):
        file.write(NINE_NS + number, frame(number).encode())
    file.flush()
    file.write(NINE_NS + 100, frame(100).encode())
    assert file.path.name == "klinetop-20260101T090000Z.gz"
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    found = list(read_lines(file.path))
    assert [json.loads(item.payload)["t"] for item in found[:-1]] == list(range(100))
    assert found[-1].is_cut
    file.close()
    found = list(read_lines(file.path))
    assert len(found) == 101
    assert file.bytes == file.path.stat().st_size


def test_a_message_with_newlines_stays_one_line(tmp_path: Path) -> None:
    file = RecordingFile(tmp_path, NINE_NS)
    file.write(NINE_NS, b'{"stream":"a@trade",\n"data":{\r\n"t":1}}')
    file.close()
    (line,) = lines_of(file.path)
    assert json.loads(line.partition(" ")[2])["data"] == {"t": 1}


def test_two_recordings_of_one_second_do_not_share_a_file(tmp_path: Path) -> None:
    first, second = RecordingFile(tmp_path, NINE_NS), RecordingFile(tmp_path, NINE_NS)
    assert first.path != second.path
    first.close()
    second.close()


def test_only_old_recordings_are_pruned(tmp_path: Path) -> None:
    for name in ("klinetop-20260101T090000Z.gz", "klinetop-20260101T100000Z-1.gz", "notes.gz"):
        (tmp_path / name).write_bytes(b"")
    assert prune(tmp_path, NINE_NS / 1e9 + 60) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "klinetop-20260101T100000Z-1.gz",
        "notes.gz",
    ]


# --- the recorder ---------------------------------------------------------------------------------


async def test_each_hour_gets_a_file_that_begins_with_what_a_replay_needs(
    tmp_path: Path, eventually: Callable[..., Awaitable[Any]]
) -> None:
    recorder = Recorder(tmp_path, books=lambda: ["BTCUSDT"])
    books = Books(recorder)
    task = asyncio.create_task(recorder.run(books))
    recorder.answer("exchangeInfo", {}, listing("BTCUSDT", "ETHUSDT"))
    recorder.answer("klines", {}, b"[]")
    recorder._queue[0] = (NINE_NS - HOUR_NS + 1, recorder._queue[0][1])
    recorder.frame(NINE_NS - HOUR_NS + 5, frame(1))
    recorder.frame(NINE_NS - 1, frame(2))
    recorder.frame(NINE_NS, frame(3))
    recorder.frame(NINE_NS + HOUR_NS, frame(4))
    await eventually(lambda: len(recorder.files) >= 3)
    await eventually(lambda: recorder.messages >= 6)
    task.cancel()
    await recorder.close()
    first, second, third = (lines_of(path) for path in recorder.files[:3])
    assert [line.partition(" ")[2] for line in first[1:]] == [frame(1), frame(2)]
    assert second[0].endswith(
        '{"rest":"exchangeInfo","data":{"symbols":[{"symbol": "BTCUSDT", "status": "TRADING"}]}}'
    )
    assert second[1] == f"{NINE_NS} {frame(3)}"
    assert third[1] == f"{NINE_NS + HOUR_NS} {frame(4)}"
    everything = [line for path in recorder.files for line in lines_of(path)]
    assert any('"rest":"depth","symbol":"BTCUSDT"' in line for line in everything)
    assert recorder.dropped == 0


async def test_an_odd_market_keeps_no_other_from_the_next_file(
    tmp_path: Path, eventually: Callable[..., Awaitable[Any]]
) -> None:
    recorder = Recorder(tmp_path)
    recorder.answer("exchangeInfo", {}, b'{"symbols":[null,{"symbol":5},{"symbol":"BTCUSDT"},7]}')
    recorder._queue[0] = (NINE_NS - 2, recorder._queue[0][1])
    recorder.frame(NINE_NS - 1, frame(1))
    recorder.frame(NINE_NS, frame(2))
    await eventually(lambda: recorder.messages >= 3)
    await recorder.close()
    last = lines_of(recorder.files[-1])
    assert last[0].endswith('{"rest":"exchangeInfo","data":{"symbols":[{"symbol":"BTCUSDT"}]}}')


async def test_old_recordings_go_when_a_file_begins(tmp_path: Path) -> None:
    old = [tmp_path / f"klinetop-20260101T0{hour}0000Z.gz" for hour in (5, 6)]
    for path in old:
        path.write_bytes(b"")
    recorder = Recorder(tmp_path, keep_hours=3.5)
    recorder.frame(NINE_NS, frame(1))
    await recorder.close()
    assert [path.exists() for path in (*old, *recorder.files)] == [False, True, True]


async def test_a_snapshot_that_is_refused_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Awaitable[Any]]
) -> None:
    monkeypatch.setattr("engine.capture.recorder._RETRY_S", 0.01)
    recorder = Recorder(tmp_path)
    books = Books(recorder)
    books.failures = 2
    task = asyncio.create_task(recorder.run(books))
    recorder.want_snapshots(["BTCUSDT"])
    await eventually(lambda: recorder.messages == 1)
    task.cancel()
    await recorder.close()


async def test_a_market_that_has_no_snapshot_keeps_no_other_from_having_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Awaitable[Any]]
) -> None:
    monkeypatch.setattr("engine.capture.recorder._RETRY_S", 0.01)
    recorder = Recorder(tmp_path)
    books = Books(recorder)
    books.missing = {
        "BUSYUSDT": RestError("busy"),
        "GONEUSDT": UnknownSymbol("There is no such market.", ("GONEUSDT",)),
    }
    task = asyncio.create_task(recorder.run(books))
    recorder.want_snapshots(["BUSYUSDT", "GONEUSDT", "BTCUSDT"])
    await eventually(lambda: books.asked.count("BUSYUSDT") > 2 and recorder.messages == 1)
    assert books.asked.count("GONEUSDT") == 1, "what the exchange lacks is asked for once"
    task.cancel()
    await recorder.close()


async def test_an_old_file_that_stays_does_not_end_the_one_that_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Awaitable[Any]]
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("engine.capture.recorder.prune", refuse)
    recorder = Recorder(tmp_path, keep_hours=1.0)
    recorder.frame(NINE_NS, frame(1))
    await eventually(lambda: recorder.messages == 1)
    await recorder.close()
    assert (recorder.dropped, recorder.note, len(recorder.files)) == (0, "", 1)


async def test_a_slow_disk_drops_and_counts_but_never_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Awaitable[Any]]
) -> None:
    gate = threading.Event()
    entered = threading.Event()
    write = RecordingFile.write

    def slowly(self: RecordingFile, receipt_ns: int, message: bytes) -> None:
        entered.set()
        gate.wait(60)
        write(self, receipt_ns, message)

    monkeypatch.setattr(RecordingFile, "write", slowly)
    recorder = Recorder(tmp_path, queue_bytes=1_000)
    recorder.frame(NINE_NS, frame(0))
    await eventually(entered.is_set)
    for number in range(1, 101):
        recorder.frame(NINE_NS + number, frame(number))
    dropped = recorder.dropped
    assert 80 < dropped < 100
    assert f"{dropped} dropped" in recorder.summary
    gate.set()
    await recorder.close()
    assert recorder.messages == 101 - dropped
    assert len(lines_of(recorder.files[0])) == 101 - dropped


async def test_below_the_disks_floor_nothing_is_recorded_and_later_it_goes_on(
    tmp_path: Path, eventually: Callable[..., Awaitable[Any]]
) -> None:
    may_write = True
    recorder = Recorder(tmp_path, may_write=lambda: may_write)
    recorder.frame(NINE_NS, frame(1))
    await eventually(lambda: recorder.messages == 1)
    may_write = False
    await eventually(lambda: recorder.note == DISK_FLOOR_NOTE)
    recorder.frame(NINE_NS + 1, frame(2))
    await eventually(lambda: recorder.dropped == 1)
    assert DISK_FLOOR_NOTE in recorder.summary
    may_write = True
    await eventually(lambda: not recorder.note)
    recorder.frame(NINE_NS + 2, frame(3))
    await eventually(lambda: recorder.messages == 2)
    await recorder.close()
    assert [len(lines_of(path)) for path in recorder.files] == [1, 1]


async def test_a_full_disk_is_told_and_a_new_file_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Awaitable[Any]]
) -> None:
    monkeypatch.setattr("engine.capture.recorder._RETRY_S", 0.01)
    real = os.write
    is_full = True

    def write(file: int, data: Any) -> int:
        if is_full:
            raise OSError(28, "No space left on device")
        return real(file, data)

    monkeypatch.setattr(recording_files.os, "write", write)
    recorder = Recorder(tmp_path, flush_s=0.0)
    recorder.frame(NINE_NS, frame(1))
    await eventually(lambda: "No space left" in recorder.summary)
    is_full = False
    await asyncio.sleep(0.02)
    recorder.frame(NINE_NS + 1, frame(2))
    await eventually(lambda: len(recorder.files) == 2 and not recorder.note)
    await recorder.close()
    assert lines_of(recorder.files[1]) == [f"{NINE_NS + 1} {frame(2)}"]


# --- in the engine --------------------------------------------------------------------------------


async def test_an_engine_records_what_its_viewers_see_and_a_replay_finds_it(
    tmp_path: Path,
    exchange_at: Callable[[float], Awaitable[Running]],
    engine_on: Callable[..., Awaitable[Engine]],
    eventually: Callable[..., Awaitable[Any]],
) -> None:
    from engine.capture.subscriptions import Lease
    from engine.service.figures import storage_section
    from engine.settings_tables import RecordSettings

    running = await exchange_at(60.0)
    engine = await engine_on(running, 60.0, record=RecordSettings(tmp_path / "recorded"))
    engine.subscriptions.lease(1, Lease("BTCUSDT", "1m"))
    await eventually(lambda: engine.collector.closed_seen >= 4)
    book = engine.collector.books["BTCUSDT"].sync
    await eventually(lambda: book.state.value == "synchronised")
    assert "messages" in storage_section(engine).recording
    await engine.close()
    recorder = engine.recorder
    assert recorder is not None
    assert recorder.dropped == 0
    source = open_replay(recorder.files, start=None, start_ms=None)
    assert {info.name for info in source.symbols()} == {"BTCUSDT", "LTCUSDT"}
    assert {"btcusdt@trade", "btcusdt@depth@100ms", "ltcusdt@kline_1m"} <= source.recorded_streams
    kinds = [
        item.kind for path in recorder.files for item in read_lines(path) if type(item) is Line
    ]
    assert {"depth", "exchangeInfo", "stream"} == set(kinds)


async def test_a_rest_client_hands_its_answers_over(
    tmp_path: Path, exchange_at: Callable[[float], Awaitable[Running]]
) -> None:
    running = await exchange_at(1.0)
    recorder = Recorder(tmp_path)
    rest = RestClient(running.rest_url, on_answer=recorder.answer)
    await rest.depth("LTCUSDT", 5)
    await rest.symbols(["LTCUSDT"])
    await rest.close()
    await recorder.close()
    found = [item for item in read_lines(recorder.files[0]) if isinstance(item, Line)]
    assert [(item.kind, item.name) for item in found] == [
        ("depth", "LTCUSDT"),
        ("exchangeInfo", ""),
    ]
