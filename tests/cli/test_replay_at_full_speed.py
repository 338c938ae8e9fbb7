"""A short recording replayed by a whole engine: nothing is missed, and time ends with it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BEGIN_MS = 1_723_161_540_000  # a full minute
LAST_UPDATE = 60
LIMIT_S = 90.0
START = (sys.executable, "-m", "tui.cli", "serve", "--speed")


def recording() -> Iterator[str]:
    """Two whole minutes: a snapshot, then a diff and a trade every two seconds."""
    snapshot = {"lastUpdateId": 0, "bids": [["99.00", "2.0"]], "asks": [["101.00", "4.0"]]}
    yield line(BEGIN_MS, snapshot)
    for number in range(1, LAST_UPDATE + 1):
        time_ms = BEGIN_MS + number * 2_000 + 10
        head = {"E": time_ms, "s": "TESTUSDT"}
        levels = {"b": [["99.00", f"{number}.0"]], "a": []}
        diff = {"e": "depthUpdate", **head, "U": number, "u": number, **levels}
        trade = {"e": "trade", **head, "t": number, "p": "100.00", "q": "0.50", "T": time_ms}
        yield line(time_ms, {"stream": "testusdt@depth@100ms", "data": diff})
        yield line(time_ms, {"stream": "testusdt@trade", "data": {**trade, "m": False, "M": True}})


def line(time_ms: int, message: dict[str, Any]) -> str:
    return f"{time_ms * 1_000_000} {json.dumps(message, separators=(',', ':'))}\n"


@pytest.fixture
def served(directory: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    file = tmp_path / "session.txt"
    file.write_text("".join(recording()))
    process = subprocess.Popen(
        [*START, request.param, "--data-dir", str(directory), "--replay", str(file)],
        stderr=subprocess.DEVNULL,
    )
    yield directory
    process.terminate()
    process.wait(60)


@pytest.mark.parametrize("served", ["max"], indirect=True)
def test_book_and_candles_are_whole_without_a_viewer(
    served: Path, engine_status: Callable[[Path], dict[str, Any]]
) -> None:
    found: dict[str, Any] = {}
    end = time.monotonic() + LIMIT_S
    # The snapshot may still be on its way when the last update has come.
    while (
        found.get("stream", {}).get("state") != "ended"
        or not found["store"]["candles"]
        or found["books"]["TESTUSDT"]["state"] != "synchronised"
    ):
        assert time.monotonic() < end, found
        time.sleep(0.05)
        found = engine_status(served)
    assert found["engine"]["speed"] == "max"
    book = found["books"]["TESTUSDT"]
    assert (book["state"], book["last_update_id"]) == ("synchronised", LAST_UPDATE)
    assert (book["resyncs"], book["missed"]) == (0, 0)
    assert found["stream"]["messages"] >= 2 * LAST_UPDATE
    assert found["store"]["candles"] == 2


@pytest.mark.parametrize("served", ["60"], indirect=True)
def test_when_a_replay_is_over_its_time_stands_still(
    served: Path, engine_status: Callable[[Path], dict[str, Any]]
) -> None:
    end = time.monotonic() + LIMIT_S
    while engine_status(served).get("stream", {}).get("state") != "ended":
        assert time.monotonic() < end
        time.sleep(0.05)
    ended_ms, later_ms = (engine_status(served)["engine"]["exchange_time_ms"] for _ in range(2))
    assert ended_ms == later_ms
    assert BEGIN_MS + 120_000 <= ended_ms < BEGIN_MS + 121_000
