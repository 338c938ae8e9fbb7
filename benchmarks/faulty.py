"""One day of one seed: a faulty simulated exchange, an engine, and the comparison afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psutil

from engine.binance.rest_rows import KLINES
from engine.market.candle import Candle
from engine.market.interval import MINUTE_MS
from engine.service.client import EngineClient, EngineGone, EngineProblem
from engine.service.contract import Frame, StatusRequest, View
from engine.service.places import find_socket
from engine.store import open_reader

REPAIR_LIMIT_S = 300.0
START_LIMIT_S = 60.0
END_LIMIT_S = 60.0
HISTORY_MINUTES = 60
PAGE = 10_000


@dataclass(frozen=True)
class Plan:
    """What one seed is to live through.

    Attributes:
        place: Directory of its own for data and logs.
        hours: Exchange hours.
        speed: Exchange seconds a wall second.
        every: Exchange time between two faults, such as `5m`.
        kills: How often the engine gets SIGKILL.
    """

    seed: int
    place: Path
    hours: float
    markets: int
    speed: float
    every: str
    kills: int


@dataclass
class Result:
    """What became of one seed.

    Attributes:
        compared: Candles of the exchange's record that had to be there.
        missing: Each as text; `wrong` and `extra` likewise.
        rewritten: Candles that the exchange changed after they were stored as they were at first.
        problems: What else went wrong, in sentences.
        faults: Faults done, by kind.
        crossed: Books that were shown as live with best bid at or above best ask.
        repair_s: Wall seconds from the end of the day until nothing was missing.
        rss_early_mb: Of the engine after a tenth of the day; `rss_most_mb` the most ever.
    """

    seed: int
    compared: int = 0
    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    rewritten: int = 0
    problems: list[str] = field(default_factory=list)
    by_source: dict[str, int] = field(default_factory=dict)
    gaps: dict[str, int] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    reconnects: int = 0
    bad: int = 0
    crossed: int = 0
    kills: int = 0
    repair_s: float = 0.0
    cpu_s: float = 0.0
    exchange_cpu_s: float = 0.0
    wall_s: float = 0.0
    rss_early_mb: float = 0.0
    rss_most_mb: float = 0.0

    @property
    def is_perfect(self) -> bool:
        """Nothing is missing, wrong or extra, and nothing else went wrong."""
        return self.compared > 0 and not (
            self.missing or self.wrong or self.extra or self.problems or self.crossed
        )


async def live_through(plan: Plan) -> Result:
    """Run one seed's day to its end and compare."""
    result = Result(plan.seed)
    plan.place.mkdir(parents=True, exist_ok=True)
    (plan.place / "run").mkdir(mode=0o700, exist_ok=True)
    started = time.monotonic()
    async with _exchange(plan) as exchange, aiohttp.ClientSession() as session:
        record = _Record(session, exchange.rest_url)
        day = _Day(plan, exchange, record, result)
        try:
            await day.run()
        except TimeoutError as error:
            result.problems.append(str(error))
        finally:
            result.wall_s = time.monotonic() - started
            await day.end()
        told = await record.told()
        result.faults.update(told["counts"])
        result.exchange_cpu_s = sum(psutil.Process(exchange.pid).cpu_times()[:2])
        await _compare(day, record, result)
    return result


class _Started(msgspec.Struct):
    """The simulated exchange's first line."""

    rest_url: str
    stream_url: str
    symbols: list[str]
    exchange_time_ms: int
    pid: int = 0


@contextlib.asynccontextmanager
async def _exchange(plan: Plan) -> AsyncIterator[_Started]:
    arguments = ["--symbols", str(plan.markets), "--speed", str(plan.speed), "--watch-stdin"]
    arguments += ["--faults", "random", "--fault-seed", str(plan.seed), "--fault-every", plan.every]
    arguments += ["--seed", str(plan.seed), "--history-days", "2"]
    with (plan.place / "exchange.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "engine.simulator",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout is not None
    assert process.stdin is not None
    reader: asyncio.Task[None] | None = None
    try:
        started = msgspec.json.decode(await process.stdout.readline(), type=_Started)
        started.pid = process.pid
        reader = asyncio.create_task(_keep(process.stdout, plan.place / "faults.jsonl"))
        yield started
    finally:
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), END_LIMIT_S)
        if process.returncode is None:
            process.kill()
            await process.wait()
        if reader is not None:
            await reader


async def _keep(lines: asyncio.StreamReader, path: Path) -> None:
    """Write what the exchange tells of its faults into a file."""
    with path.open("wb") as file:
        while line := await lines.readline():
            file.write(line)


class _Record:
    """The exchange's own record, which no fault touches."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def told(self) -> dict[str, Any]:
        """What it says about time, connections and faults."""
        async with self._session.get(f"{self._url}/sim/faults") as answer:
            told: dict[str, Any] = await answer.json()
            return told

    async def candles(
        self, symbol: str, first_ms: int, end_ms: int, *, is_first: bool = False
    ) -> dict[int, Candle]:
        """Candles by open time in [first_ms, end_ms), all of them over.

        With `is_first` as they were when they closed, before the exchange rewrote its history.
        """
        found: dict[int, Candle] = {}
        while first_ms < end_ms:
            parameters: dict[str, str | int] = {"symbol": symbol, "interval": "1m", "limit": PAGE}
            parameters |= {"startTime": first_ms, "endTime": end_ms - 1, "first": int(is_first)}
            async with self._session.get(f"{self._url}/sim/klines", params=parameters) as answer:
                page = [row.candle(1 << 60) for row in KLINES.decode(await answer.read())]
            if not page:
                break
            found.update((candle.open_time_ms, candle) for candle in page)
            first_ms = page[-1].open_time_ms + MINUTE_MS
        return found


class _Day:
    """The engine of one seed, from its first start to its last end."""

    def __init__(self, plan: Plan, exchange: _Started, record: _Record, result: Result) -> None:
        self._plan = plan
        self._exchange = exchange
        self._record = record
        self._result = result
        self._process: asyncio.subprocess.Process | None = None
        self._client: EngineClient | None = None
        self._last: dict[str, Any] = {}
        self._revision = 0
        length_ms = int(plan.hours * 60) * MINUTE_MS
        self.symbols = exchange.symbols
        self.directory = plan.place / "data"
        self.first_ms = exchange.exchange_time_ms // MINUTE_MS * MINUTE_MS + MINUTE_MS
        self.end_ms = self.first_ms + length_ms
        choice = random.Random(plan.seed)
        self._kill_at_ms = sorted(
            self.first_ms + int(choice.uniform(0.1, 0.9) * length_ms) for _ in range(plan.kills)
        )

    async def run(self) -> None:
        """Live through the day and wait until what it cost is repaired.

        Raises:
            TimeoutError: when the engine does not answer, or does not repair.
        """
        await self._start()
        length_ms = self.end_ms - self.first_ms
        while (now_ms := (await self._record.told())["exchange_time_ms"]) < self.end_ms:
            if self._kill_at_ms and now_ms >= self._kill_at_ms[0]:
                self._kill_at_ms.pop(0)
                await self._kill()
                await self._start()
            await self._look()
            self._measure(is_early=now_ms < self.first_ms + length_ms / 10)
            await asyncio.sleep(1.0)
        over = time.monotonic()
        truth = {
            symbol: set(await self._record.candles(symbol, self.first_ms, self.end_ms))
            for symbol in self.symbols
        }
        while lacking := await asyncio.to_thread(self._lacking, truth):
            self._result.repair_s = time.monotonic() - over
            if self._result.repair_s > REPAIR_LIMIT_S:
                raise TimeoutError(f"not repaired within {REPAIR_LIMIT_S:.0f} s: {lacking[:3]}")
            await self._look()
            await asyncio.sleep(0.5)
        await self._look()

    async def end(self) -> None:
        """End the engine as an operator would."""
        await self._leave()
        process = self._process
        if process is None:
            return
        self._measure(is_early=False)
        self._count()
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            status = await asyncio.wait_for(process.wait(), END_LIMIT_S)
        except TimeoutError:
            process.kill()
            status = await process.wait()
        if status != 0:
            self._result.problems.append(f"the engine ended with status {status}")
        log = (self._plan.place / "engine.log").read_text(errors="replace")
        if "Traceback" in log:
            at = log.index("Traceback")
            last = log[at:].split("\n\n")[0].splitlines()[-1]
            self._result.problems.append(f"a traceback in the engine's log: {last}")

    async def _start(self) -> None:
        where = ["--rest-url", self._exchange.rest_url, "--stream-url", self._exchange.stream_url]
        which = ["--symbols", self.symbols[0], "--markets", "all"]
        kept = {key: text for key, text in os.environ.items() if not key.startswith("KLINETOP_")}
        own = {
            "XDG_RUNTIME_DIR": str(self._plan.place / "run"),
            "XDG_CONFIG_HOME": str(self._plan.place / "config"),
            "KLINETOP_AUTO_TRAIN": "false",
            "KLINETOP_HISTORY_DAYS": str(HISTORY_MINUTES / 1440),
        }
        with (self._plan.place / "engine.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *[sys.executable, "-m", "tui.cli", "serve", "--data-dir", str(self.directory)],
                *[*where, *which, "--speed", str(self._plan.speed)],
                stdout=log,
                stderr=log,
                env=kept | own,
            )
        end = time.monotonic() + START_LIMIT_S
        while self._client is None:
            try:
                self._client = await EngineClient.connect(find_socket(self.directory))
            except EngineGone:
                if self._process.returncode is not None or time.monotonic() > end:
                    raise TimeoutError("the engine does not answer; see engine.log") from None
                await asyncio.sleep(0.1)

    async def _kill(self) -> None:
        assert self._process is not None
        self._measure(is_early=False)
        self._count()
        await self._leave()
        self._process.kill()
        await self._process.wait()
        self._result.kills += 1

    async def _leave(self) -> None:
        if self._client is not None:
            self._client.abort()
            self._client = None
        self._revision = 0

    async def _look(self) -> None:
        """Ask for the status and look at a market, as a terminal does."""
        assert self._client is not None
        view = View(focused=self.symbols[int(time.monotonic() / 20) % len(self.symbols)])
        try:
            self._last = (await self._client.ask(StatusRequest(), timeout_s=20.0)).data  # type: ignore[union-attr]
            frame = await self._client.pull(view, self._revision)
        except (EngineGone, EngineProblem) as error:
            raise TimeoutError(f"the engine does not answer: {error}") from error
        self._check_book(frame)
        self._revision = frame.revision

    def _check_book(self, frame: Frame) -> None:
        book = frame.book
        is_live = book is not None and book.state == "synchronised"
        if is_live and book is not None and book.bids and book.asks:
            self._result.crossed += book.bids[0][0] >= book.asks[0][0]

    def _measure(self, *, is_early: bool) -> None:
        assert self._process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self._process.pid)
            rss_mb = process.memory_info().rss / 1e6
            self._cpu_s = sum(process.cpu_times()[:2])
            self._result.rss_most_mb = max(self._result.rss_most_mb, rss_mb)
            if is_early:
                self._result.rss_early_mb = rss_mb

    def _count(self) -> None:
        """Add what this engine did to the result, before it ends."""
        self._result.cpu_s += self._cpu_s
        stream = self._last.get("stream", {})
        self._result.reconnects += stream.get("reconnects", 0)
        self._result.bad += stream.get("bad", 0)

    def _lacking(self, truth: dict[str, set[int]]) -> list[str]:
        """Minutes that are not stored yet, and gaps that are open, up to the end of the day.

        A halted market has no candles, so the exchange's record says which ones there are.
        """
        with contextlib.closing(open_reader(self.directory)) as reader:
            lacking = [
                f"{symbol} {a}-{b}"
                for symbol, times in truth.items()
                for a, b in reader.missing(symbol, "1m", self.first_ms, self.end_ms)
                if any(a <= time_ms < b for time_ms in times)
            ]
            rows = reader.query(
                "SELECT name, from_ms, to_ms FROM gap JOIN symbol ON symbol.id = symbol_id"
                " WHERE gap.state = 'open' AND from_ms < ?",
                (self.end_ms,),
            )
        return lacking + [f"open gap {row['name']} {row['from_ms']}" for row in rows]


async def _compare(day: _Day, record: _Record, result: Result) -> None:
    """Compare the database with the exchange's record, candle by candle."""
    with contextlib.closing(open_reader(day.directory)) as reader:
        result.by_source = reader.count_by_source()
        result.gaps = reader.gap_counts()
        if sum(result.by_source.values()) != _rows(reader):
            result.problems.append("the counters do not equal the number of candles")
        stored = {symbol: reader.candles(symbol, "1m") for symbol in day.symbols}
        others = set(reader.symbols()) - set(day.symbols)
    result.extra += [f"candles of {symbol}" for symbol in sorted(others)]
    for symbol, candles in stored.items():
        last_ms = max([day.end_ms, *(candle.open_time_ms + MINUTE_MS for candle in candles[-1:])])
        first_ms = min([day.first_ms, *(candle.open_time_ms for candle in candles[:1])])
        truth = await record.candles(symbol, first_ms, last_ms)
        pushed = await record.candles(symbol, first_ms, last_ms, is_first=True)
        times = {candle.open_time_ms for candle in candles}
        wanted = {time_ms for time_ms in truth if day.first_ms <= time_ms < day.end_ms}
        result.compared += len(wanted)
        result.missing += [f"{symbol} {time_ms}" for time_ms in sorted(wanted - times)]
        result.extra += [f"{symbol} {time_ms}" for time_ms in sorted(times - truth.keys())]
        other = [one for one in candles if truth.get(one.open_time_ms, one) != one]
        wrong = [one for one in other if pushed[one.open_time_ms] != one]
        result.rewritten += len(other) - len(wrong)
        result.wrong += [f"{symbol} {one}, not {truth[one.open_time_ms]}" for one in wrong]


def _rows(reader: Any) -> int:
    [row] = reader.query("SELECT count(*) AS rows FROM candle")
    return int(row["rows"])
