"""`klinetop report`, as a user types it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from engine.cli import make_group
from engine.commands.guard import run_guarded


@pytest.fixture
def run(captured_day, tmp_path, monkeypatch, capsys) -> Any:
    """Run the command on a day with two markets; return status, stdout and stderr."""
    day = captured_day
    day.captured("BTCUSDT", "ETHBTC")
    day.put("BTCUSDT", day.minutes(0, 1440))
    day.put("ETHBTC", day.minutes(0, 720))
    assert day.reader.candle_count() == 2160
    monkeypatch.setattr("time.time_ns", lambda: (day.start_ms + 26 * 3_600_000) * 1_000_000)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def call(*arguments: str) -> tuple[int, str, str]:
        directory = str(tmp_path / "day")
        status = run_guarded(make_group(), ["report", "--data-dir", directory, *arguments])
        told = capsys.readouterr()
        return status, told.out, told.err

    return call


def test_text_says_first_which_day_it_is_about(run) -> None:
    status, out, err = run("--day", "yesterday")
    assert (status, err) == (0, "")
    assert out.splitlines()[0] == "Capture on 2026-11-22 UTC, live"
    assert "Captured   75.00 % of 2,880 candles; 720 missing" in out
    assert out.index("ETHBTC   1m") < out.index("BTCUSDT  1m")
    assert run("--day", "2026-11-22")[1] == out
    assert run()[1].startswith("Capture on 2026-11-23 UTC, until 01:59:55, live\n")


def test_markets_choose_and_unknown_ones_are_refused(run) -> None:
    status, out, _ = run("--day", "2026-11-22", "--markets", "btc*", "--format", "csv")
    assert status == 0
    assert [row["symbol"] for row in csv.DictReader(io.StringIO(out))] == ["BTCUSDT"]
    status, out, err = run("--day", "2026-11-22", "--markets", "NOSUCH")
    assert (status, out) == (2, "")
    assert err.startswith("No captured market matches NOSUCH")


def test_a_file_takes_the_report(run, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    status, out, err = run("--day", "2026-11-22", "--format", "json", "--output", str(file))
    assert (status, out) == (0, "")
    assert err == f"The report of 2026-11-22 is in {file}.\n"
    assert json.loads(file.read_text())["totals"]["missing"] == 720


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("--day", "2020-01-01"), 2, "Nothing was captured on 2020-01-01"),
        (("--day", "someday"), 2, "--day 'someday' is no time"),
        (("--mail",), 2, "Mail is not set up: set host and sender and to"),
        (("--test-mail",), 2, "Mail is not set up: set host and sender and to"),
        (("--output", "/nonexistent/x"), 1, "/nonexistent/x: No such file or directory"),
    ],
)
def test_a_mistake_gets_one_line(run, arguments, status, sentence) -> None:
    found, out, err = run(*arguments)
    assert (found, out) == (status, "")
    assert err.startswith(sentence)
    assert err.count("\n") == 1
