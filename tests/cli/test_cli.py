"""The headless commands: what they print, where, and with which exit status."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from engine.commands.options import spread_replay
from engine.market.kline_csv import COLUMNS
from engine.service import contract
from engine.service.places import socket_path
from engine.store import DirectoryLock

HEADER = ",".join(COLUMNS)
ROW = "1733011200000,1,1,1,1,1,1733011259999,1,1,1,1,0"
ROOT = Path(__file__).parent.parent.parent


def in_a_process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environ = {name: text for name, text in os.environ.items() if name != "KLINETOP_RECORDINGS"}
    return subprocess.run(
        [sys.executable, "-m", "tui.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env=environ,
        check=False,
        **options,
    )


# --- help and mistakes ----------------------------------------------------------------------------


def test_help_lists_commands_and_settings(klinetop: Any) -> None:
    found = klinetop("--help", data_dir=None)
    assert found.status == 0
    for word in ("serve", "simulate", "--replay FILE…", "KLINETOP_…", "--demo"):
        assert word in found.out
    assert klinetop("-h", data_dir=None).out == found.out
    assert klinetop(data_dir=None).out == found.out
    assert "--levels" in klinetop("book", "-h", data_dir=None).out


def test_version(klinetop: Any) -> None:
    assert klinetop("--version", data_dir=None).out.startswith("klinetop 0.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--foo",), ("--foo", "`klinetop --help`")),
        (("stat",), ("stat", "'status'")),
        (("book",), ("SYMBOL", "`klinetop book --help`")),
        (("candles", "BTCUSDT", "1m", "--limit", "0"), ("--limit",)),
        (("candles", "BTCUSDT", "7m"), ("no interval '7m'", "15m")),
        (("candles", "BTCUSDT", "1m", "--start", "florp"), ("--start 'florp'", "2 days ago")),
        (("candles", "BTCUSTD", "1m"), ("'BTCUSTD'", "did you mean BTCUSDT?")),
        (("candles", "BTC/USDT", "1m"), ("'BTC/USDT'", "did you mean BTCUSDT?")),
        (
            ("candles", "BTCUSDT", "1m", "--start", "2024-01-02", "--end", "2024-01-01"),
            ("--end must lie after --start",),
        ),
        (
            ("candles", "BTCUSDT", "1m", "--output", "/no/such/btc.csv"),
            ("no directory /no/such", "--output"),
        ),
        (("--replay", "/", "status"), ("--replay: / is a directory", "name its files")),
        (("predictions", "XYZ"), ("'XYZ'", "it holds BTCUSDT")),
        (("predictions", "BTCUSDT", "--interval", "1x"), ("no interval '1x'",)),
        (("--speed", "fast", "status"), ("--speed is 'fast'", "exchange seconds per second")),
        (("--speed", "2", "status"), ("--speed works only together with",)),
        (("--demo", "status", "--replay", __file__), ("--demo or --replay",)),
        (("status", "--rest-url", "ftp://x"), ("--rest-url is 'ftp://x'",)),
        (("--settings", "/no/such.toml", "status"), ("/no/such.toml",)),
        (("import", "/no/such.csv", "--symbol", "A", "--interval", "1m"), ("/no/such.csv",)),
        (("import", __file__, "--symbol", "A B", "--interval", "1m"), ("'A B' is no symbol",)),
        (("import", __file__, "--symbol", "AB", "--interval", "1m"), ("can not be imported",)),
        (("backfill", "BTCUSDT"), ("--start",)),
        (
            ("backfill", "BTCUSDT", "--start", "2024-01-02", "--end", "2024-01-01"),
            ("--end must lie after --start",),
        ),
        (("train", "BTCUSDT", "7m"), ("no interval '7m'",)),
        (("train", "BTC USDT", "1m"), ("'BTC USDT' is no symbol",)),
        (("book", "BTC USDT"), ("'BTC USDT' is no symbol",)),
        (("backfill", "B!", "--start", "2024-01-02"), ("'B!' is no symbol",)),
        (("--symbols", "", "status"), ("--symbols is ''",)),
        (("--settings", "", "status"), ("settings file",)),
        (("train", "BTCUSDT", "1m", "--recipe", "magic"), ("magic", "tutorial")),
        (("simulate", "--port", "99999"), ("--port",)),
    ],
)
@pytest.mark.usefixtures("stored")
def test_mistakes_get_one_line_and_status_2(
    klinetop: Any, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    found = klinetop(*arguments)
    assert (found.status, found.out) == (2, "")
    assert len(found.err.strip().splitlines()) == 1
    for word in words:
        assert word in found.err


def test_a_misspelt_variable_is_a_mistake(klinetop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLINETOP_SIMBOLS", "BTCUSDT")
    found = klinetop("status")
    assert found.status == 2
    assert "KLINETOP_SYMBOLS" in found.err


@pytest.mark.parametrize("before", [True, False])
def test_options_stand_before_or_after_the_command(
    klinetop: Any, directory: Path, before: bool
) -> None:
    options = ["--demo", "--seed", "3", "--data-dir", str(directory)]
    arguments = [*options, "status", "--json"] if before else ["status", "--json", *options]
    found = json.loads(klinetop(*arguments, data_dir=None).out)
    assert found["engine"]["source_note"] == "seed 3, edition 2"
    assert found["engine"]["data_dir"] == str(directory)


def test_replay_takes_several_files(tmp_path: Path, klinetop: Any) -> None:
    one, two = tmp_path / "1.csv", tmp_path / "2.csv"
    for file in (one, two):
        file.write_text(HEADER)
    found = klinetop("--replay", str(one), str(two), "status", "--json")
    assert json.loads(found.out)["engine"]["source_note"] == "1.csv, 2.csv"
    a, b = str(one), str(two)
    assert spread_replay(["--replay", a, b, "status"]) == ["--replay", a, "--replay", b, "status"]
    assert spread_replay(["--replay=" + a, b]) == ["--replay=" + a, "--replay", b]
    assert spread_replay(["--replay", a, "--demo", b]) == ["--replay", a, "--demo", b]


# --- reading what is stored -----------------------------------------------------------------------


@pytest.mark.usefixtures("stored")
def test_candles_as_csv_and_json(klinetop: Any) -> None:
    lines = klinetop("candles", "btcusdt", "1m", "--limit", "2").out.splitlines()
    assert lines[0] == HEADER
    assert [line.split(",")[0] for line in lines[1:]] == ["1734659880000", "1734659940000"]
    found = klinetop(
        "candles",
        "BTCUSDT",
        "1m",
        "--start",
        "20 Dec, 2024 00:10",
        "--end",
        "2024-12-20T00:12:00",
        "--format",
        "json",
    )
    rows = json.loads(found.out)
    assert [row["volume"] for row in rows] == [20.0, 21.0]
    assert rows[0]["taker_buy_volume"] is None


@pytest.mark.usefixtures("stored")
def test_other_intervals_are_made_of_minutes(klinetop: Any) -> None:
    rows = json.loads(klinetop("candles", "BTCUSDT", "1h", "--json").out)
    assert [row["count"] for row in rows] == [180, 180]
    assert rows[0]["volume"] == sum(10.0 + at for at in range(60))


@pytest.mark.usefixtures("stored")
def test_an_empty_range_is_said_on_stderr(klinetop: Any) -> None:
    found = klinetop("candles", "BTCUSDT", "1m", "--start", "2025-01-01")
    assert (found.status, found.out) == (0, HEADER + "\n")
    assert "no 1m candles" in found.err


@pytest.mark.usefixtures("stored")
def test_predictions(klinetop: Any) -> None:
    found = json.loads(klinetop("predictions", "BTCUSDT", "--json").out)
    assert [row["state"] for row in found["predictions"]] == ["hit", "waiting"]
    assert found["predictions"][0]["outcome_price"] == 1.7
    table = klinetop("predictions", "BTCUSDT", "--limit", "1").out.splitlines()
    assert len(table) == 2
    assert "2024-12-20 00:01" in table[1]
    assert klinetop("predictions", "BTCUSDT", "--interval", "5m").status == 0


def test_status_tells_what_is_stored_without_an_engine(klinetop: Any, stored: Path) -> None:
    found = klinetop("status", "--json")
    report = json.loads(found.out)
    assert list(report) == ["engine", "stream", "store", "books", "forecast"]
    assert report["engine"]["running"] is False
    assert report["store"]["candles"] == 120
    assert report["store"]["by_source"]["rest"] == 120
    assert "candles            120" in klinetop("status").out
    assert json.loads(klinetop("--demo", "status", "--json").out)["engine"]["source"] == "live"
    assert stored.is_dir()


def test_nothing_stored_yet(klinetop: Any, directory: Path) -> None:
    assert json.loads(klinetop("status", "--json").out)["store"]["candles"] == 0
    found = klinetop("candles", "BTCUSDT", "1m")
    assert found.status == 1
    assert "no klinetop database" in found.err
    assert not directory.exists()


def test_a_broken_database_is_a_sentence(klinetop: Any, directory: Path) -> None:
    directory.mkdir()
    (directory / "klinetop.db").write_bytes(b"no database" * 1000)
    for arguments in (("status",), ("candles", "BTCUSDT", "1m")):
        found = klinetop(*arguments)
        assert found.status == 1
        assert "klinetop.db" in found.err


# --- writing without an engine --------------------------------------------------------------------


def test_import_what_was_exported(klinetop: Any, stored: Path, tmp_path: Path) -> None:
    exported = klinetop("candles", "BTCUSDT", "1m").out
    broken = exported.replace(",10.0,", ",ten,", 1)
    file = tmp_path / "k.csv.gz"
    file.write_bytes(gzip.compress(broken.encode()))
    arguments = ("import", str(file), "--symbol", "ethusdt", "--interval", "1m")
    counts = json.loads(klinetop(*arguments, "--json").out)
    assert (counts["rows"], counts["inserted"], counts["quarantined"]) == (120, 119, 1)
    again = klinetop(*arguments)
    assert again.out == ""
    assert "119 known already" in again.err
    same = klinetop("candles", "ETHUSDT", "1m").out.splitlines()
    assert same[1:] == exported.splitlines()[2:]
    assert stored.is_dir()


def test_import_tells_what_is_wrong_with_the_rows(klinetop: Any, tmp_path: Path) -> None:
    file = tmp_path / "k.csv"
    good = [f"{1_734_652_800_000 + at * 60_000},1,2,0.5,1.5,10,0,15,3,5,7,0" for at in range(9)]
    file.write_text("\n".join([HEADER, *good[:5], "1734", *(["x,y"] * 6), *good[5:]]))
    arguments = ("import", str(file), "--symbol", "A1", "--interval", "1m")
    found = klinetop(*arguments)
    assert (found.status, found.out) == (0, "")
    assert "9 candles stored" in found.err
    assert "  line 7: it has 1 columns where 12 are expected\n" in found.err
    assert "and 2 more" in found.err
    assert json.loads(klinetop(*arguments, "--json").out)["faults"][0].startswith("line 7: ")
    file.write_text(f"{HEADER}\n1,2\n3,4")
    found = klinetop(*arguments)
    assert (found.status, "line 2: it has 2 columns" in found.err) == (2, True)
    file.write_text("")
    found = klinetop(*arguments)
    assert found.status == 2
    assert "is empty" in found.err


def test_candles_of_another_interval_are_not_imported(klinetop: Any, stored: Path) -> None:
    file = stored / "k.csv"
    file.write_text(klinetop("candles", "BTCUSDT", "1m").out)
    for interval in ("5m", "1s"):
        found = klinetop("import", str(file), "--symbol", "A1", "--interval", interval)
        assert found.status == 2
        assert "say --interval 1m" in found.err
    assert json.loads(klinetop("status", "--json").out)["store"]["symbols"] == ["BTCUSDT"]


def test_a_demo_is_not_imported_into_live_data(klinetop: Any, stored: Path, tmp_path: Path) -> None:
    file = tmp_path / "k.csv"
    file.write_text(f"{HEADER}\n{ROW}\n")
    arguments = ("import", str(file), "--symbol", "A1", "--interval", "1m")
    found = klinetop("--demo", *arguments)
    assert found.status == 2
    assert "holds live data of Binance, not a demo" in found.err
    with DirectoryLock.acquire(stored):
        busy = klinetop(*arguments)
    assert busy.status == 2
    assert "already holds" in busy.err


def test_a_directory_that_can_not_be_written(klinetop: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(f"{HEADER}\n{ROW}\n")
    arguments = ("import", str(tmp_path / "file"), "--symbol", "A1", "--interval", "1m")
    found = klinetop(*arguments, data_dir=tmp_path / "file" / "data")
    assert found.status == 2
    assert "--data-dir" in found.err


class Forbidden(BaseHTTPRequestHandler):
    """Answers like a host that refuses the user's region."""

    def do_GET(self) -> None:
        self.send_response(451)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


def test_a_blocked_region_is_a_failure_that_names_other_hosts(klinetop: Any) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Forbidden) as host:
        threading.Thread(target=host.serve_forever).start()
        try:
            url = f"http://127.0.0.1:{host.server_port}"
            found = klinetop("--rest-url", url, "book", "BTCUSDT")
        finally:
            host.shutdown()
    assert (found.status, found.out) == (1, "")
    assert "451" in found.err
    assert "data-api.binance.vision" in found.err


@pytest.mark.parametrize(
    "arguments", [("book", "BTCUSDT"), ("backfill", "BTCUSDT", "--start", "1 day ago")]
)
def test_a_demo_has_an_exchange_only_with_its_engine(
    klinetop: Any, arguments: tuple[str, ...]
) -> None:
    found = klinetop("--demo", *arguments)
    assert (found.status, found.out) == (1, "")
    assert "No engine runs" in found.err


def test_stop_without_an_engine(klinetop: Any) -> None:
    found = klinetop("stop")
    assert found.status == 1
    assert "No engine runs" in found.err


# --- asking the engine ----------------------------------------------------------------------------


def test_status_of_a_running_engine(klinetop: Any, scripted: Any) -> None:
    data = {"engine": {"running": True, "pid": 7}, "stream": {"state": "live"}}
    scripted.answers[contract.StatusRequest] = contract.Done(data=data)
    assert json.loads(klinetop("status", "--json").out) == data
    lines = klinetop("status").out.splitlines()
    assert [line.split() for line in lines[:3]] == [["engine"], ["running", "yes"], ["pid", "7"]]


def test_an_engine_of_another_source_is_not_asked(klinetop: Any, scripted: Any) -> None:
    found = klinetop("--demo", "status")
    assert found.status == 2
    assert "shows live data of Binance, not a demo (seed 7" in found.err
    scripted.source = "demo"
    assert klinetop("--demo", "status").status == 0
    assert klinetop("status").status == 0


@pytest.mark.parametrize("arguments", [("status",), ("book", "BTCUSDT")])
def test_an_engine_of_another_version(
    klinetop: Any, scripted: Any, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr("engine.service.client.__version__", "99.0")
    monkeypatch.setattr("engine.service.asked_once.__version__", "99.0")
    found = klinetop(*arguments)
    assert found.status == 1
    assert "klinetop stop" in found.err


def test_the_status_of_status_tells_whether_an_engine_runs(klinetop: Any, stored: Any) -> None:
    assert klinetop("status").status == 3
    assert klinetop("status", "--json").status == 3


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (b"", 3, ""),
        (b"\x00\x00\x00\x02\xc1\xc1", 1, "can not be read"),
        (b"\x00\x00\x00\x01\x90", 1, "it is no message"),
        (b"\xff\xff\xff\xff", 1, "can not be read"),
        (None, 1, "did not answer within 0 s"),
    ],
)
def test_status_of_a_door_behind_which_something_is_wrong(
    klinetop: Any,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes | None,
    status: int,
    words: str,
) -> None:
    place = socket_path(directory)
    place.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(place))
        door.listen()
        if answer is None:
            monkeypatch.setattr("engine.service.asked_once.TIMEOUT_S", 0.05)
            found = klinetop("status")
        else:
            visitor = threading.Thread(target=lambda: _answer(door, answer))
            visitor.start()
            found = klinetop("status")
            visitor.join()
    assert (found.status, found.err.count("\n")) == (status, 1 if words else 0)
    assert words in found.err


def _answer(door: socket.socket, answer: bytes) -> None:
    visitor, _ = door.accept()
    with visitor:
        visitor.recv(65_536)
        visitor.sendall(answer)


def test_book_of_the_engine(klinetop: Any, scripted: Any) -> None:
    report = {
        "symbol": "BTCUSDT",
        "state": "synchronised",
        "last_update_id": 5,
        "bids": [[1.5, 2.0], [1.4, 3.0]],
        "asks": [[1.6, 1.0]],
    }
    scripted.answers[contract.BookRequest] = contract.Done(data=report)
    assert json.loads(klinetop("book", "btcusdt", "--json").out) == report
    assert scripted.requests[-1].symbol == "BTCUSDT"
    lines = klinetop("book", "BTCUSDT", "--levels", "2").out.splitlines()
    assert lines[2].split() == ["2", "1.5", "1.6", "1"]
    scripted.answers[contract.BookRequest] = contract.Done(
        data={**report, "state": "buffering", "reason": "waiting for a snapshot", "bids": []}
    )
    found = klinetop("book", "BTCUSDT", "--json")
    assert found.status == 1
    assert "buffering: waiting for a snapshot" in found.err
    assert json.loads(found.out)["state"] == "buffering"


def test_refusals_of_the_engine(klinetop: Any, scripted: Any) -> None:
    for usage, status in ((True, 2), (False, 1)):
        scripted.answers[contract.BookRequest] = contract.Problem("There is no 'X'.", usage=usage)
        found = klinetop("book", "X")
        assert (found.status, found.err) == (status, "There is no 'X'.\n")


def test_backfill_and_import_go_through_the_engine(
    klinetop: Any, scripted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.answers[contract.Backfill] = contract.Done(data={"rows": 7})
    found = klinetop("backfill", "btcusdt", "--start", "2024-12-20", "--json")
    assert json.loads(found.out)["rows"] == 7
    assert scripted.requests[-1].start_ms == 1_734_652_800_000
    counts = {"rows": 2, "inserted": 1, "changed": 0, "unchanged": 1, "quarantined": 0}
    scripted.answers[contract.Import] = contract.Done(data={**counts, "faults": []})
    (tmp_path / "k.csv").write_text(HEADER)
    monkeypatch.chdir(tmp_path)
    found = klinetop("import", "k.csv", "--symbol", "A1", "--interval", "1m")
    assert "2 rows read, 1 candles stored" in found.err
    assert scripted.requests[-1].path == str((tmp_path / "k.csv").resolve())
    scripted.source = "demo"
    found = klinetop("import", "k.csv", "--symbol", "A1", "--interval", "1m")
    assert found.status == 2
    assert "shows a demo" in found.err
    assert klinetop("--demo", "import", "k.csv", "--symbol", "A1", "--interval", "1m").status == 0


def test_train_through_the_engine(klinetop: Any, scripted: Any) -> None:
    report = {"state": "done", "model": "v000001", "rows": 9, "accuracy": 0.5, "baselines": {}}
    scripted.answers[contract.Retrain] = contract.Done(data=report)
    assert json.loads(klinetop("train", "BTCUSDT", "1m", "--json").out) == report
    assert scripted.requests[-1].wait
    assert "v000001" in klinetop("train", "BTCUSDT", "1m").out
    failed = {"state": "failed", "message": "There are too few candles."}
    scripted.answers[contract.Retrain] = contract.Done(data=failed)
    found = klinetop("train", "BTCUSDT", "1m")
    assert (found.status, found.err) == (1, "There are too few candles.\n")


def test_stop_waits_until_the_lock_is_free(klinetop: Any, scripted: Any) -> None:
    found = klinetop("stop")
    assert found.status == 0
    assert "has stopped" in found.err
    assert scripted.stopped.wait(60)


# --- as real processes ----------------------------------------------------------------------------


def test_ctrl_c_cancels_the_training(scripted: Any, directory: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.cli", "--data-dir", str(directory), "train", "A1", "1m"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    deadline = time.monotonic() + 60
    while not any(isinstance(item, contract.Retrain) for item in list(scripted.requests)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "cancelled" in err
    assert "Traceback" not in err
    assert any(isinstance(item, contract.Cancel) for item in scripted.requests)


def test_stop_ends_an_engine_that_does_not_answer(klinetop: Any, directory: Path) -> None:
    holder = (
        "import sys, time; from pathlib import Path; from engine.store import DirectoryLock;"
        "lock = DirectoryLock.acquire(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", holder, str(directory)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert klinetop("stop").status == 0
    assert process.wait(timeout=60) == -signal.SIGTERM
    process.stdout.close()


def test_the_dashboard_needs_a_terminal(directory: Path) -> None:
    found = in_a_process("--demo", "--data-dir", str(directory), stdin=subprocess.DEVNULL)
    assert (found.returncode, found.stdout) == (1, "")
    assert "needs a terminal" in found.stderr
    assert not directory.exists()


def test_a_reader_that_has_enough_gets_no_complaint(stored: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    found = subprocess.run(
        [sys.executable, "-m", "tui.cli", "candles", "BTCUSDT", "1m", "--data-dir", str(stored)],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    os.close(writing)
    assert (found.returncode, found.stderr) == (0, "")


def test_an_unknown_failure_leaves_its_details_in_a_file(
    klinetop: Any, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("surprise")

    monkeypatch.setattr("engine.commands.stored.stored_report", fails)
    found = klinetop("status")
    assert found.status == 1
    assert "RuntimeError: surprise" in found.err
    details = directory.parent / "log" / "failure.log"
    assert str(details) in found.err
    assert "Traceback" in details.read_text()


@pytest.mark.usefixtures("stored")
def test_the_range_that_was_understood_is_told(klinetop: Any) -> None:
    found = klinetop(
        "candles", "BTCUSDT", "1m", "--start", "1734652860000000", "--end", "2024-12-21"
    )
    assert found.status == 0
    assert "from 2024-12-20 00:01 UTC to 2024-12-21 00:00 UTC\n" in found.err
    assert "\n1734652860000," in found.out
    assert klinetop("candles", "BTCUSDT", "1m", "--start", "2021-13").status == 2
    found = klinetop("candles", "BTCUSDT", "1m", "--start", "01/02/2021")
    assert (found.status, found.err) == (
        2,
        "--start '01/02/2021' may be two days; write 2021-01-02 or 2021-02-01.\n",
    )


def test_a_replay_tells_where_it_starts(klinetop: Any, tmp_path: Path) -> None:
    file = tmp_path / "BTCUSDT_1m.csv"
    file.write_text(HEADER)
    found = klinetop("simulate", "--replay", str(file), "--from", "2024-02", "--port", "0")
    assert found.err.startswith("from 2024-02-01 00:00 UTC\n")
    found = klinetop("serve", "--replay", str(file), "--from", "2024-02-30")
    assert (found.status, found.err.count("\n")) == (2, 1)
    assert "--from '2024-02-30' is no time: there is no such day" in found.err


@pytest.mark.parametrize(
    ("command", "own"), [("candles", "--limit"), ("status", "--json"), ("record", "--streams")]
)
def test_the_help_of_a_command_shows_its_own_options(klinetop: Any, command: str, own: str) -> None:
    shown = klinetop(command, "--help").out
    assert own in shown
    assert "--rest-url ADDRESS" not in shown
    assert "--data-dir" in shown.rpartition("Settings may be given, too")[2]
    assert shown.endswith("`klinetop --help`.\n")
    assert "--rest-url ADDRESS" in klinetop("--help").out


def test_the_interval_of_the_chart_is_an_option_of_the_terminal(klinetop: Any) -> None:
    assert "--interval 15m" in klinetop("--help").out
    found = klinetop("--interval", "60m", "status")
    assert (found.status, found.err.count("\n")) == (2, 1)
    assert "--interval" in found.err
    assert "did you mean 1h?" in found.err
    found = klinetop("status", "--interval", "5m")
    assert found.status == 2
    assert "Did you mean '--intervals'?" in found.err
    assert klinetop("candles", "BTCUSDT", "5min").err.startswith(
        "There is no interval '5min'; did you mean 5m?"
    )
