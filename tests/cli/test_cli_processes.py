"""klinetop's commands with a real simulated exchange, a real engine and a real terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from engine.service.places import engine_pid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent.parent


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tui.cli", *arguments]


def until(condition: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def exchange() -> Iterator[dict[str, Any]]:
    """`klinetop simulate` with one market; its first line."""
    process = subprocess.Popen(
        command("simulate", "--port", "0", "--symbols", "BTCUSDT", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0
    process.stdout.close()


def test_book_and_backfill_without_an_engine(klinetop: Any, exchange: dict[str, Any]) -> None:
    where = ("--rest-url", exchange["rest_url"])
    book = json.loads(klinetop("book", "btcusdt", "--levels", "5", "--json", *where).out)
    assert (book["symbol"], book["state"]) == ("BTCUSDT", "snapshot")
    assert len(book["bids"]) == len(book["asks"]) == 5
    assert book["bids"][0][0] < book["asks"][0][0]
    fill = ("backfill", "BTCUSDT", "--start", "3 hours ago", "--end", "1 hour ago", "--json")
    assert json.loads(klinetop(*fill, *where).out)["rows"] in (119, 120, 121)
    again = json.loads(klinetop(*fill, *where).out)["rows"]
    assert again <= 1
    stored = klinetop("candles", "BTCUSDT", "1m").out.splitlines()
    assert len(stored) in (120, 121, 122)
    for arguments in (("book", "NOSUCH"), ("backfill", "NOSUCH", "--start", "1 hour ago")):
        found = klinetop(*arguments, *where)
        assert (found.status, found.out) == (2, "")
        assert "NOSUCH" in found.err


def test_a_port_in_use_is_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        found = subprocess.run(
            command("simulate", "--port", port, "--symbols", "BTCUSDT"),
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
            check=False,
        )
    assert found.returncode == 2
    assert port in found.stderr
    assert "Traceback" not in found.stderr


def test_engine_from_serve_to_stop(
    directory: Path, engine_status: Callable[[Path], dict[str, Any]]
) -> None:
    where = ("--data-dir", str(directory), "--demo", "--symbols", "BTCUSDT")
    settings = {**os.environ, "KLINETOP_AUTO_TRAIN": "false", "KLINETOP_HISTORY_DAYS": "0.05"}
    serving = subprocess.Popen(
        command("serve", *where), stderr=subprocess.PIPE, text=True, cwd=ROOT, env=settings
    )
    try:
        pid = until(lambda: engine_pid(directory))
        assert pid == serving.pid
        until(lambda: engine_status(directory).get("store", {}).get("candles"))
        report = _report(directory)
        assert report["engine"]["pid"] == pid
        assert report["engine"]["running"]
        assert report["store"]["candles"]
        assert report["engine"]["source"] == "demo"
        second = subprocess.run(
            command("serve", *where),
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
            check=False,
        )
        assert second.returncode == 2
        assert str(pid) in second.stderr
        stop = command("stop", "--data-dir", str(directory))
        assert subprocess.run(stop, timeout=60, cwd=ROOT, check=False).returncode == 0
        _, said = serving.communicate(timeout=60)
    finally:
        serving.kill()
    assert serving.returncode == 0, said
    assert "Traceback" not in said


def _report(directory: Path) -> dict[str, Any]:
    status = command("status", "--json", "--data-dir", str(directory))
    found = subprocess.run(status, capture_output=True, text=True, timeout=60, cwd=ROOT, check=True)
    report: dict[str, Any] = json.loads(found.stdout)
    return report


class Terminal:
    """klinetop in a pseudo-terminal of 150 by 40 cells."""

    def __init__(self, *arguments: str, kind: str = "xterm-256color") -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 150, 0, 0))
        environ = {**os.environ, "TERM": kind, "KLINETOP_AUTO_TRAIN": "false"}
        self.process = subprocess.Popen(
            command(*arguments),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=ROOT,
            env=environ,
        )
        os.close(slave)
        self.shown = b""

    def read(self) -> bytes:
        while select.select([self._master], [], [], 0)[0]:
            try:
                chunk = os.read(self._master, 65536)
            except OSError:
                break
            if not chunk:
                break
            self.shown += chunk
        return self.shown

    def press(self, key: str) -> None:
        os.write(self._master, key.encode())

    def end(self) -> tuple[int, str]:
        until(lambda: self.read() is None or self.process.poll() is not None)
        return self.process.returncode, self.read().decode("utf-8", "replace")

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(60)
        os.close(self._master)


def test_a_demo_on_live_data_is_refused_in_a_sentence(stored: Path) -> None:
    with Terminal("--demo", "--data-dir", str(stored)) as terminal:
        status, said = terminal.end()
    assert status == 2
    assert "holds live data of Binance, not a demo" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert engine_pid(stored) is None


def test_a_terminal_that_can_not_draw_is_a_sentence(directory: Path) -> None:
    with Terminal("--demo", "--data-dir", str(directory), kind="dumb") as terminal:
        status, said = terminal.end()
    assert status == 2
    assert "set TERM" in said
    assert not directory.exists()


def test_a_watchlist_of_unknown_markets_ends_engine_and_terminal(
    directory: Path, exchange: dict[str, Any]
) -> None:
    where = ("--rest-url", exchange["rest_url"], "--stream-url", exchange["stream_url"])
    where = (*where, "--symbols", "FOOUSDT,BARUSDT", "--data-dir", str(directory))
    served = subprocess.run(
        command("serve", *where), capture_output=True, text=True, timeout=60, cwd=ROOT, check=False
    )
    with Terminal(*where) as terminal:
        status, said = terminal.end()
    for code, text in ((served.returncode, served.stderr), (status, said)):
        assert code == 2
        assert "'FOOUSDT', 'BARUSDT'" in text.splitlines()[-1]
        assert "--symbols" in text.splitlines()[-1]
        assert "Traceback" not in text
    assert engine_pid(directory) is None


def test_training_alone_on_an_unknown_market_is_a_mistake(
    klinetop: Any, exchange: dict[str, Any]
) -> None:
    found = klinetop("train", "FOOUSDT", "1m", "--rest-url", exchange["rest_url"])
    assert (found.status, found.out) == (2, "")
    assert "FOOUSDT" in found.err


def test_q_ends_the_engine_that_the_terminal_started(directory: Path) -> None:
    where = ("--demo", "--symbols", "BTCUSDT", "--data-dir", str(directory))
    with Terminal("--interval", "15m", *where) as terminal:
        pid = until(lambda: terminal.read() is not None and engine_pid(directory))
        try:
            until(lambda: b"DEMO" in terminal.read() and "BTCUSDT · 15m".encode() in terminal.shown)
            terminal.press("q")
            status, said = terminal.end()
            assert status == 0
            assert said.endswith(f"The engine stops; what it stored is in {directory}.\r\n")
            until(lambda: not is_alive(pid))
        finally:
            if is_alive(pid):
                os.kill(pid, signal.SIGTERM)


def test_a_lost_terminal_leaves_the_engine_running(directory: Path) -> None:
    where = ("--demo", "--symbols", "BTCUSDT", "--data-dir", str(directory))
    with Terminal(*where) as terminal:
        until(lambda: b"DEMO" in terminal.read())
        pid = engine_pid(directory)
        assert pid is not None
    try:
        with Terminal("--data-dir", str(directory)) as again:
            until(lambda: b"DEMO" in again.read())
            assert engine_pid(directory) == pid
            again.press("d")
            status, said = again.end()
        assert status == 0
        assert f"The engine (pid {pid}) goes on and stores into {directory}: `klinetop" in said
        assert said.endswith(f"`klinetop stop --data-dir {directory}` stops it.\r\n")
        assert engine_pid(directory) == pid
    finally:
        os.kill(pid, signal.SIGTERM)
    until(lambda: not is_alive(pid))
