"""Recordings played from a time in them, of klines alone, of an unsteady clock, or cut off."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import os
import zlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from engine.simulator.recorded_time import RecordedTime
from engine.simulator.recording import Line, merged
from engine.simulator.replay import ReplayError, open_replay
from engine.simulator.server import Running, serve

MINUTE_MS = 60_000
BEGIN_MS = 1_723_161_600_000  # 2024-08-09 00:00 UTC
NAME = "TESTUSDT"
IN_TIME_S = 20


def line(time_ms: float, message: Any) -> str:
    return f"{int(time_ms * 1_000_000)} {json.dumps(message, separators=(',', ':'))}\n"


def wrap(kind: str, **data: Any) -> dict[str, Any]:
    return {"stream": f"{NAME.lower()}@{kind}", "data": data}


def trade(number: int, time_ms: int, price: float) -> dict[str, Any]:
    values = {"p": f"{price:.2f}", "q": "0.50", "T": time_ms, "m": False, "M": True}
    return wrap("trade", e="trade", E=time_ms, s=NAME, t=number, **values)


def diff(number: int, time_ms: int) -> dict[str, Any]:
    levels = {"b": [["99.00", f"{number}.0"]], "a": []}
    return wrap("depth@100ms", e="depthUpdate", E=time_ms, s=NAME, U=number, u=number, **levels)


def kline(open_ms: int, time_ms: int, close: float, *, closed: bool) -> dict[str, Any]:
    body = {"t": open_ms, "T": open_ms + MINUTE_MS - 1, "s": NAME, "i": "1m", "f": 1, "L": 2}
    body |= {"o": "100.0", "h": "200.0", "l": "50.0", "c": f"{close}", "v": "1.5", "n": 2}
    body |= {"x": closed, "q": "150.0", "V": "1.0", "Q": "100.0", "B": "0"}
    return wrap("kline_1m", e="kline", E=time_ms, s=NAME, k=body)


def session(minutes: int = 8) -> list[str]:
    """A snapshot, then a diff and a trade every second; the price is the number of the second."""
    snapshot = {"lastUpdateId": 0, "bids": [["99.00", "2.0"]], "asks": [["9999.00", "4.0"]]}
    lines = [line(BEGIN_MS, {"rest": "depth", "symbol": NAME, "data": snapshot})]
    for number in range(1, minutes * 60):
        time_ms = BEGIN_MS + number * 1_000
        lines.append(line(time_ms, diff(number, time_ms)))
        lines.append(line(time_ms, trade(number, time_ms, number)))
    return lines


def write(path: Path, lines: Iterable[str]) -> Path:
    path.write_bytes(gzip.compress("".join(lines).encode()))
    return path


@asynccontextmanager
async def playing(
    paths: list[Path], start: str | None = None
) -> AsyncIterator[tuple[Running, aiohttp.ClientSession]]:
    source = open_replay(paths, start=start, start_ms=None)
    async with serve(source, speed=math.inf) as running, aiohttp.ClientSession() as http:
        yield running, http


async def get(running: Running, http: aiohttp.ClientSession, path: str) -> Any:
    async with http.get(f"{running.rest_url}/api/v3/{path}") as answer:
        assert answer.status == 200
        return await answer.json()


async def frames_of(
    running: Running, http: aiohttp.ClientSession, *kinds: str
) -> list[dict[str, Any]]:
    streams = "/".join(f"{NAME.lower()}@{kind}" for kind in kinds)
    frames: list[dict[str, Any]] = []
    url = f"{running.stream_url}/stream?streams={streams}"
    async with asyncio.timeout(IN_TIME_S), http.ws_connect(url) as socket:

        async def ask_at_the_end() -> None:
            await running.ended
            await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})

        asking = asyncio.create_task(ask_at_the_end())
        async for message in socket:
            frame = json.loads(message.data)
            if "result" in frame:
                await asking
                return frames
            frames.append(frame)
    raise AssertionError("the connection ended before the replay")


# --- from a time on -----------------------------------------------------------------------------


async def test_from_a_time_on_book_candles_and_tape_hold_what_was_before(tmp_path: Path) -> None:
    lines = session()
    paths = [write(tmp_path / "b.gz", lines[400:]), write(tmp_path / "a.gz", lines[:400])]
    async with playing(paths, "2024-08-09 00:05:30") as (running, http):
        start_ms = BEGIN_MS + 330_000
        assert running.exchange.now_ms == start_ms
        book = await get(running, http, f"depth?symbol={NAME}&limit=5")
        assert (book["lastUpdateId"], float(book["bids"][0][1])) == (329, 329.0)
        rows = await get(running, http, f"klines?symbol={NAME}&interval=1m")
        assert [(row[0] - BEGIN_MS) // MINUTE_MS for row in rows] == [0, 1, 2, 3, 4, 5]
        assert [float(rows[3][at]) for at in (1, 2, 3, 4, 5)] == [180, 239, 180, 239, 30]
        assert float(rows[5][4]) == 329.0
        fives = await get(running, http, f"klines?symbol={NAME}&interval=5m")
        assert [(float(row[1]), row[8]) for row in fives] == [(1.0, 299), (300.0, 30)]
        tape = await get(running, http, f"trades?symbol={NAME}&limit=1000")
        assert [row["id"] for row in tape] == list(range(1, 330))
        frames = await frames_of(running, http, "trade", "depth@100ms", "kline_1m")
        rows = await get(running, http, f"klines?symbol={NAME}&interval=1m")
    trades = [frame["data"]["t"] for frame in frames if frame["stream"].endswith("@trade")]
    assert trades == list(range(330, 480))
    assert [frame["data"]["u"] for frame in frames if "@depth" in frame["stream"]] == trades
    closed = [f["data"]["k"] for f in frames if "@kline" in f["stream"] and f["data"]["k"]["x"]]
    assert [(k["n"], float(k["o"]), float(k["c"])) for k in closed] == [
        (60, 300, 359),
        (60, 360, 419),
    ]
    assert [row[8] for row in rows] == [59, 60, 60, 60, 60, 60, 60, 60]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2024-08-08", "recordings run from 2024-08-09 00:00:00 to 2024-08-09 00:07:59 UTC"),
        ("the day of the crash", "is no time; write it as"),
    ],
)
def test_a_start_that_can_not_be_is_said(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ReplayError, match=words):
        open_replay([write(tmp_path / "a.gz", session())], start=text, start_ms=None)


@pytest.mark.recorded
async def test_the_real_book_and_candles_are_right_when_the_replay_starts_late() -> None:
    folder = os.environ.get("KLINETOP_RECORDINGS")
    if not folder:
        pytest.skip("KLINETOP_RECORDINGS is not set")
    paths = sorted((Path(folder) / "recordings").glob("btcusdt_*.gz"))
    sides: dict[str, dict[str, str]] = {}
    diffs: list[dict[str, Any]] = []
    last_id = trades = 0
    minute_ms = BEGIN_MS + 3 * MINUTE_MS
    for item in merged(paths):
        assert isinstance(item, Line)
        message = json.loads(item.payload)
        if item.kind == "depth":
            last_id = message["lastUpdateId"]
            sides = {"b": dict(message["bids"]), "a": dict(message["asks"])}
        elif item.name.endswith("@trade"):
            trades += minute_ms <= message["T"] < minute_ms + MINUTE_MS
        elif "@depth" in item.name:
            diffs.append(message)
    for message in diffs:
        for key, side in sides.items():
            side |= dict(message[key]) if message["u"] > last_id else {}
    async with playing(paths, "2024-08-09 00:04:10") as (running, http):
        url = f"{running.stream_url}/stream?streams=btcusdt@bookTicker"
        async with asyncio.timeout(60), http.ws_connect(url) as socket:
            reading = asyncio.create_task(_drain(socket))
            await running.ended
            reading.cancel()
        book = await get(running, http, "depth?symbol=BTCUSDT&limit=5000")
        rows = await get(running, http, "klines?symbol=BTCUSDT&interval=1m")
    for key, shown in (("b", book["bids"]), ("a", book["asks"])):
        assert {tuple(level) for level in shown} == {
            (price, quantity) for price, quantity in sides[key].items() if float(quantity)
        }
    assert {row[0]: row[8] for row in rows}[minute_ms] == trades


async def _drain(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


# --- ends and beginnings ------------------------------------------------------------------------


async def test_the_last_partial_minute_is_shown_at_the_end(tmp_path: Path) -> None:
    async with playing([write(tmp_path / "a.gz", session())]) as (running, http):
        frames = await frames_of(running, http, "kline_1m", "kline_5m", "ticker")
    last = {frame["stream"].partition("@")[2]: frame["data"] for frame in frames}
    assert (last["kline_1m"]["k"]["t"], last["kline_1m"]["k"]["n"]) == (
        BEGIN_MS + 7 * MINUTE_MS, 60
    )  # fmt: skip
    assert last["kline_5m"]["k"]["n"] == 180
    assert float(last["ticker"]["c"]) == 479.0


async def test_a_cut_file_is_played_as_far_as_it_goes_and_that_is_said(tmp_path: Path) -> None:
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    lines = session()
    path = tmp_path / "cut.gz"
    flushed = packer.compress("".join(lines[:301]).encode()) + packer.flush(zlib.Z_SYNC_FLUSH)
    path.write_bytes(flushed + packer.compress("".join(lines[301:]).encode()))
    source = open_replay([path], start=None, start_ms=None)
    assert source.notes == [  # type: ignore[attr-defined]
        "cut.gz is cut off (its recorder was killed, or still runs); what it holds is played."
    ]
    async with playing([path]) as (running, http):
        frames = await frames_of(running, http, "trade")
    assert [frame["data"]["t"] for frame in frames] == list(range(1, 151))


async def test_what_a_recorder_heard_twice_counts_once(tmp_path: Path) -> None:
    lines = [text for text in session(3) for _ in range(2)]
    async with playing([write(tmp_path / "a.gz", lines)]) as (running, http):
        await frames_of(running, http, "trade")
        rows = await get(running, http, f"klines?symbol={NAME}&interval=1m")
    assert [row[8] for row in rows] == [59, 60, 60]


# --- klines alone -------------------------------------------------------------------------------


def klines_alone() -> list[str]:
    """Six minutes of pushes, of which the fourth lost its closing one."""
    lines = []
    for minute in range(6):
        open_ms = BEGIN_MS + minute * MINUTE_MS
        lines.append(line(open_ms + 30_000, kline(open_ms, open_ms + 30_000, 90, closed=False)))
        if minute != 3:
            end_ms = open_ms + MINUTE_MS + 40
            lines.append(line(end_ms, kline(open_ms, end_ms, 110 + minute, closed=True)))
    return lines


async def test_recorded_klines_are_the_history_even_without_any_trade(tmp_path: Path) -> None:
    async with playing([write(tmp_path / "a.gz", klines_alone())]) as (running, http):
        before = await get(running, http, f"klines?symbol={NAME}&interval=1m")
        frames = await frames_of(running, http, "kline_1m")
        after = await get(running, http, f"klines?symbol={NAME}&interval=1m")
        price = await get(running, http, f"ticker/price?symbol={NAME}")
    assert [row for row in before if float(row[5])] == []
    assert len(frames) == 11
    closed = [row for row in after if row[8]]
    assert [(row[0] - BEGIN_MS) // MINUTE_MS for row in closed] == [0, 1, 2, 4, 5]
    assert [float(row[4]) for row in closed] == [110, 111, 112, 114, 115]
    assert float(price["price"]) == 115.0


async def test_klines_from_a_time_on_are_history_before_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gz", klines_alone())
    async with playing([path], "2024-08-09 00:03") as (running, http):
        rows = await get(running, http, f"klines?symbol={NAME}&interval=1m")
        threes = await get(running, http, f"klines?symbol={NAME}&interval=3m&endTime={BEGIN_MS}")
    assert [float(row[4]) for row in rows if row[8]] == [110, 111, 112]
    assert [(float(row[4]), row[8]) for row in threes] == [(112.0, 6)]


# --- the recorder's clock -----------------------------------------------------------------------


def test_one_offset_is_enough_for_a_clock_that_runs_evenly() -> None:
    time = RecordedTime()
    for second in range(100):
        time.observe(second * 10**9 + 40_000_000 * (second % 3), BEGIN_MS + second * 1_000)
    assert time.is_steady
    assert time.exchange_ms(50 * 10**9) == BEGIN_MS + 50_000


@pytest.mark.parametrize("step_s", [3_600, -3_500])
def test_a_clock_that_was_set_does_not_tear_the_recording(step_s: int) -> None:
    time = RecordedTime()
    receipts: list[int] = []
    for second in range(100):
        receipts.append((10_000 + second + (step_s if second >= 50 else 0)) * 10**9)
        time.observe(receipts[-1], BEGIN_MS + second * 1_000)
    assert not time.is_steady
    if step_s > 0:
        assert [time.exchange_ms(ns) for ns in receipts] == [
            BEGIN_MS + second * 1_000 for second in range(100)
        ]


def test_a_faster_exchange_is_followed() -> None:
    time = RecordedTime()
    for step in range(1_000):
        time.observe(step * 100_000_000, BEGIN_MS + step * 6_000)
    assert time.exchange_ms(5_050_000_000) == BEGIN_MS + 303_000
    assert time.exchange_ms(-1_000_000_000) == BEGIN_MS - 1_000
