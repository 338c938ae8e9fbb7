"""Starts a whole klinetop for the benchmarks: data directory, engine, exchange, terminal."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.terminal import Size, Terminal

KLINETOP = [sys.executable, "-m", "tui.cli"]


def command(*arguments: str) -> list[str]:
    """Return the command line of klinetop with `arguments`."""
    return [*KLINETOP, *arguments]


def ask(directory: Path, *arguments: str) -> dict[str, Any]:
    """Run a headless command with --json and return what it prints."""
    done = subprocess.run(
        command(*arguments, "--data-dir", str(directory), "--json"),
        capture_output=True,
        check=True,
        text=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@contextlib.contextmanager
def engine(directory: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `klinetop serve` on `directory`; ends it in order afterwards."""
    log = (directory.parent / "serve.log").open("ab")
    process = subprocess.Popen(
        command("serve", "--data-dir", str(directory), *arguments), stdout=log, stderr=log
    )
    try:
        wait_until(lambda: answers(directory), 60, "the engine answers")
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
        log.close()


def stop(directory: Path) -> None:
    """Stop the engine of `directory`, where one runs."""
    subprocess.run(command("stop", "--data-dir", str(directory)), capture_output=True, check=False)


def answers(directory: Path) -> bool:
    """Whether the engine of `directory` answers."""
    with contextlib.suppress(subprocess.CalledProcessError, json.JSONDecodeError):
        return bool(ask(directory, "status")["engine"]["running"])
    return False


def wait_until(condition: Any, timeout_s: float, what: str) -> None:
    """Wait for `condition` to be true."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {timeout_s} s: {what}")
        time.sleep(0.2)


@contextlib.contextmanager
def terminal(directory: Path, size: Size, *arguments: str) -> Iterator[Terminal]:
    """Open klinetop on `directory` in a pseudo-terminal."""
    opened = Terminal(command("--data-dir", str(directory), *arguments), size)
    try:
        yield opened
    finally:
        opened.close()


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Yield a data directory that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="klinetop-bench-") as folder:
        yield Path(folder) / "data"
