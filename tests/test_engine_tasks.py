"""Each long-lived task of a whole engine is broken once, and comes back."""

from __future__ import annotations

import asyncio
import gc
import re
import signal
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from engine.daemon import _serve
from engine.market.interval import MINUTE_MS
from engine.service.figures import storage_section
from engine.service.reports import status_report
from engine.settings import Settings
from engine.settings_tables import ReportSettings
from engine.stopping import StopRequest
from engine.store import Store, WriterDied
from engine.task_supervisor import RestartLimits, TaskState, TaskSupervisor

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from engine.runtime import Engine

SPEED = 60.0
ONCE = {"boot", "pages", "prices"}  # their work is done at some time
LONG_LIVED = {
    "history", "gap", "backfill", "clock", "session", "health", "differences", "house", "quality",
    "report", "forecast", "streams", "subscriptions", "roster",
}  # fmt: skip


class BreakableTasks(TaskSupervisor):
    """Ends the run of a task with an exception when a test says so."""

    def __init__(self) -> None:
        super().__init__(RestartLimits(first_s=0.01, cap_s=0.05))
        self.broken: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.runs: Counter[str] = Counter()

    def start(self, name: str, make: Any) -> None:
        super().start(name, lambda: self._run_until_broken(name, make))

    async def _run_until_broken(self, name: str, make: Any) -> None:
        self.runs[name] += 1
        work = asyncio.create_task(make())
        breaking = asyncio.create_task(self.broken[name].wait())
        try:
            await asyncio.wait({work, breaking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            was_broken = self.broken[name].is_set()
            self.broken[name].clear()
            for task in (work, breaking):
                task.cancel()
            await asyncio.gather(work, breaking, return_exceptions=True)
        if was_broken:
            raise RuntimeError(f"{name} was broken")
        if not work.cancelled():
            work.result()


async def test_every_task_that_fails_comes_back_and_capture_goes_on(
    exchange_at, engine_on, eventually
) -> None:
    lost: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    tasks = BreakableTasks()
    tasks.broken["boot"].set()
    running = await exchange_at(SPEED)
    engine: Engine = await engine_on(running, SPEED, tasks=tasks, report=ReportSettings(at="00:01"))
    await eventually(lambda: engine.state == "running")
    assert tasks.runs["boot"] == 2
    assert LONG_LIVED <= set(tasks.figures) <= LONG_LIVED | ONCE
    before_ms = engine.clock.now_ms()
    for name in LONG_LIVED:
        tasks.broken[name].set()
    await eventually(lambda: all(tasks.runs[name] == 2 for name in LONG_LIVED))
    await eventually(
        lambda: all(tasks.figures[name].state is TaskState.RUNNING for name in LONG_LIVED)
    )
    assert tasks.failures == dict.fromkeys(LONG_LIVED | {"boot"}, 1)
    await eventually(
        lambda: (
            (engine.store.reader.last_open_time("BTCUSDT", "1m") or 0) > before_ms + 2 * MINUTE_MS
        )
    )
    await eventually(lambda: not storage_section(engine).gaps.get("open"))
    assert storage_section(engine).failures == tasks.failures
    told = status_report(engine)["tasks"]
    assert told["running"] >= len(LONG_LIVED)
    assert told["failed"]["quality"]["last_error"] == "RuntimeError: quality was broken"
    notices = " ".join(notice.text for notice in engine.notices.after(0))
    assert set(re.findall(r"task '(\w+)' failed", notices)) == LONG_LIVED | {"boot"}
    await engine.close()
    assert all(task.state is TaskState.ENDED for task in tasks.figures.values())
    gc.collect()
    assert lost == []


@pytest.fixture
def kept_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


async def test_an_engine_whose_store_can_not_go_on_stops_and_says_why(
    exchange_at, eventually, tmp_path: Path, kept_signals: None
) -> None:
    def end_the_thread(connection: sqlite3.Connection) -> None:
        raise SystemExit("a fault in the driver")

    running = await exchange_at(SPEED)
    settings = Settings(
        data_dir=tmp_path, symbols=("BTCUSDT",), history_days=0.1,
        rest_url=running.rest_url, stream_url=running.stream_url,
    )  # fmt: skip
    store, stop = Store.open(tmp_path, source="live", source_note="127.0.0.1"), StopRequest()
    engine = asyncio.create_task(_serve(settings, store, stop, owned=False))
    await eventually(lambda: store.reader.candle_count())
    assert not engine.done()
    store.writer.run(end_the_thread)
    await asyncio.wait_for(engine, 60)
    stop.ended()
    with pytest.raises(WriterDied, match="a fault in the driver"):
        store.close()
