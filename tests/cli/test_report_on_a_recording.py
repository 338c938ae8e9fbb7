"""The report on a replay of a real session, as a user reads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RECORDINGS = os.environ.get("KLINETOP_RECORDINGS")
CLI = [sys.executable, "-m", "tui.cli"]
LIMIT_S = 60

pytestmark = [
    pytest.mark.recorded,
    pytest.mark.skipif(RECORDINGS is None, reason="KLINETOP_RECORDINGS names no recordings"),
]


@pytest.fixture
def replayed(tmp_path: Path, engine_status: Callable[[Path], dict[str, Any]]) -> Path:
    """Replay the session of 650 s as fast as it goes; return the data directory."""
    files = sorted(Path(RECORDINGS or "", "recordings").glob("btcusdt_*.gz"))
    assert len(files) == 2
    directory = tmp_path / "replay"
    process = subprocess.Popen(
        [
            *CLI,
            "serve",
            "--speed",
            "max",
            "--data-dir",
            str(directory),
            "--replay",
            *map(str, files),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + LIMIT_S
        while engine_status(directory).get("stream", {}).get("state") != "ended":
            assert time.monotonic() < end, "the replay did not end"
            time.sleep(0.05)
    finally:
        process.terminate()
        process.wait(60)
    return directory


def asked(directory: Path, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [*CLI, *arguments, "--data-dir", str(directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return found


def test_all_ten_minutes_of_the_session_came_by_stream(replayed: Path) -> None:
    days = [
        asked(replayed, "report", "--format", "json", "--day", day)
        for day in ("2024-08-08", "2024-08-09")
    ]
    assert [day["totals"]["expected"] for day in days] == [5, 5]
    assert [day["totals"]["stored"] for day in days] == [5, 5]
    assert [day["totals"]["stream_percent"] for day in days] == [100.0, 100.0]
    assert [day["gaps"] for day in days] == [[], []]
    assert days[1]["is_running"]
    assert sum(day["streams"]["messages"] for day in days) > 26_000  # depth and trades
    assert all(day["streams"]["dropped"] == day["streams"]["bad"] == 0 for day in days)
    text = subprocess.run(
        [*CLI, "report", "--day", "2024-08-08", "--data-dir", str(replayed)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "no engine ran" not in text
