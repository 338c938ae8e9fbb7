"""`klinetop record`: a killed recording replays into an engine as it was."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from engine.binance import requester
from engine.commands.guard import CommandError
from engine.commands.record import parse_duration_s, parse_streams
from engine.simulator.recording import Line, Unread, merged
from engine.store import open_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KLINETOP = (sys.executable, "-m", "tui.cli")
MARKETS = ("--symbols", "BTCUSDT,LTCUSDT")
LIMIT_S = 90.0
SPEED = "120"


def eventually(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + LIMIT_S
    while not (value := condition()):
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.05)
    return value


@pytest.fixture(scope="module")
def addresses() -> Iterator[list[str]]:
    command = [*KLINETOP, "simulate", "--json", "--port", "0", "--symbols", "BTCUSDT,LTCUSDT"]
    with subprocess.Popen(
        [*command, "--speed", SPEED], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield ["--rest-url", ready["rest_url"], "--stream-url", ready["stream_url"]]
        process.send_signal(signal.SIGINT)


def start(addresses: list[str], output: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *KLINETOP,
            "record",
            *addresses,
            "--symbols",
            "BTCUSDT,LTCUSDT",
            "--output",
            str(output),
            *list(more),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def recorded(output: Path) -> list[Line]:
    files = sorted(output.glob("*.gz")) if output.is_dir() else []
    return [item for item in merged(files) if isinstance(item, Line)]


def closed_of(lines: list[Line]) -> dict[tuple[str, int], dict[str, Any]]:
    bodies = [json.loads(item.payload)["k"] for item in lines if "@kline_1m" in item.name]
    return {(body["s"], body["t"]): body for body in bodies if body["x"]}


def test_what_was_recorded_before_a_kill_is_what_a_replay_shows(
    addresses: list[str],
    directory: Path,
    tmp_path: Path,
    engine_status: Callable[[Path], dict[str, Any]],
) -> None:
    output = tmp_path / "out"
    with start(addresses, output) as process:
        eventually(lambda: len(closed_of(recorded(output))) >= 6)
        process.kill()
    lines = recorded(output)
    (file,) = output.glob("*.gz")
    assert isinstance(next(iter(merged([file]))), Line)
    assert any(isinstance(item, Unread) and item.is_cut for item in merged([file]))
    log = tmp_path / "serve.log"
    with log.open("w") as words:
        served = subprocess.Popen(
            [
                *KLINETOP,
                "serve",
                "--replay",
                str(file),
                "--speed",
                "max",
                "--data-dir",
                str(directory),
            ],
            stderr=words,
        )
    try:
        found = eventually(lambda: _ended(engine_status(directory)))
        eventually(lambda: len(_stored(directory)) >= len(closed_of(lines)))
        for (symbol, open_ms), body in closed_of(lines).items():
            candle = _stored(directory)[symbol, open_ms]
            values = (candle.open, candle.high, candle.low, candle.close, candle.volume)
            assert values == tuple(float(body[key]) for key in "ohlcv")
            assert candle.trades == body["n"]
        for symbol in ("BTCUSDT", "LTCUSDT"):
            book = found["books"][symbol]
            last = [item for item in lines if item.name == f"{symbol.lower()}@depth@100ms"][-1]
            assert book["last_update_id"] == json.loads(last.payload)["u"]
            assert book["missed"] == 0
            assert (book["best_bid"], book["best_ask"]) == _top_of(lines, symbol)
    finally:
        served.terminate()
        served.wait(60)


def _ended(found: dict[str, Any]) -> dict[str, Any] | None:
    books = found.get("books", {})
    is_over = found.get("stream", {}).get("state") == "ended" and len(books) == 2
    return found if is_over and all(b["state"] == "synchronised" for b in books.values()) else None


def _stored(directory: Path) -> dict[tuple[str, int], Any]:
    reader = open_reader(directory)
    try:
        return {
            (symbol, candle.open_time_ms): candle
            for symbol in reader.symbols()
            for candle in reader.candles(symbol, "1m")
        }
    finally:
        reader.close()


def _top_of(lines: list[Line], symbol: str) -> tuple[float, float]:
    """Rebuild the top of a book from snapshot and diffs, independently of the engine."""
    snapshot = next(item for item in lines if item.kind == "depth" and item.name == symbol)
    first = json.loads(snapshot.payload)
    sides = [{float(p): float(q) for p, q in first[key]} for key in ("bids", "asks")]
    for item in lines:
        if item.name != f"{symbol.lower()}@depth@100ms":
            continue
        diff = json.loads(item.payload)
        if diff["u"] <= first["lastUpdateId"]:
            continue
        for side, key in zip(sides, "ba", strict=True):
            side |= {float(price): float(quantity) for price, quantity in diff[key]}
    bids, asks = ([price for price, q in side.items() if q] for side in sides)
    return max(bids), min(asks)


def test_ctrl_c_ends_in_order_and_prints_the_files(addresses: list[str], tmp_path: Path) -> None:
    output = tmp_path / "out"
    with start(addresses, output, "--streams", "trade,!miniTicker@arr", "--json") as process:
        eventually(lambda: len(recorded(output)) > 20)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    figures = json.loads(out)
    lines = recorded(output)
    assert figures["files"] == [str(path) for path in output.glob("*.gz")]
    assert figures["messages"] == len(lines)
    assert figures["dropped"] == 0
    assert not any(isinstance(item, Unread) for item in merged(list(output.glob("*.gz"))))
    assert {item.name for item in lines if item.kind == "stream"} <= {
        "btcusdt@trade", "ltcusdt@trade", "!miniTicker@arr"
    }  # fmt: skip
    assert "3 streams" in err
    assert "0 dropped" in err


def test_a_duration_ends_it(addresses: list[str], tmp_path: Path) -> None:
    options = ("--symbols", "BTCUSDT", "--duration", "1s", "--streams", "bookTicker")
    done = subprocess.run(
        [*KLINETOP, "record", *addresses, *options, "--output", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    (path,) = tmp_path.glob("*.gz")
    assert done.stdout == f"{path}\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--demo"], "A demo is not recorded"),
        (["--streams", "tirade"], "there is no stream 'tirade'"),
        (["--streams", ","], "names no stream"),
        (["--duration", "soon"], "is no duration"),
        (["--duration", "0m"], "is no duration"),
    ],
)
def test_mistakes_are_sentences(
    klinetop: Callable[..., Any], options: list[str], words: str
) -> None:
    called = klinetop("record", *options)
    assert (called.status, called.out) == (2, "")
    assert words in called.err


def test_an_exchange_that_is_not_there_is_said(
    klinetop: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requester, "_FIRST_WAIT_S", 0.01)
    called = klinetop(
        "record", "--rest-url", "http://127.0.0.1:1", "--stream-url", "ws://127.0.0.1:1"
    )
    assert called.status == 1
    assert "127.0.0.1:1 refused the connection" in called.err


def test_durations_and_streams() -> None:
    assert [parse_duration_s(text) for text in ("90s", "10m", "1h30m", "2d")] == [
        90.0, 600.0, 5_400.0, 172_800.0
    ]  # fmt: skip
    assert parse_streams("kline_1M, depth depth20@100ms") == ("kline_1M", "depth", "depth20@100ms")
    with pytest.raises(CommandError):
        parse_streams("kline_7m")
