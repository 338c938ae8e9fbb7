"""Cases 33 and 35: a damaged page with the way out, two engines on one directory."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.market.candle import Candle
from engine.market.interval import MINUTE_MS
from engine.store import Source, Store, open_reader

pytestmark = pytest.mark.faults

SPEED = 120.0
PAGE = 4096


def fill(directory: Path, count: int = 20_000) -> None:
    with Store.open(directory, source="live", source_note="127.0.0.1") as store:
        rows = [Candle(at * MINUTE_MS, 2.0, 3.0, 1.0, 2.5, 1.0, 1.0) for at in range(count)]
        store.writer.put_candles("OLDUSDT", "1m", rows, Source.REST).result(30)


def damage(path: Path) -> int:
    """Overwrite 2,000 bytes in the middle of the file; returns the number of the page."""
    data = bytearray(path.read_bytes())
    page = len(data) // 2 // PAGE
    data[page * PAGE : page * PAGE + 2000] = random.Random(7).randbytes(2000)
    path.write_bytes(data)
    return page + 1


def back_up(directory: Path, saved: Path, environment: dict[str, str]) -> None:
    backup = [sys.executable, "-m", "tui.cli", "db", "backup", str(saved)]
    done = subprocess.run(
        [*backup, "--data-dir", str(directory)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def run_shell(command: str) -> None:
    """Run what a sentence told the user to run."""
    subprocess.run(["sh", "-c", command], check=True)


async def test_case_33_one_damaged_page_is_reported_with_the_way_out(
    exchange_at, engine_process, process_environment, tmp_path
) -> None:
    running = await exchange_at(SPEED)
    directory = tmp_path / "data"
    fill(directory)
    saved = tmp_path / "saved.db"
    back_up(directory, saved, process_environment)
    page = damage(directory / "klinetop.db")
    before = (directory / "klinetop.db").read_bytes()
    engine = engine_process(running, directory, SPEED)
    assert await engine.ended() == 1
    said = engine.stderr
    assert "Traceback" not in said
    assert "quick_check" in said
    assert re.search(rf"\bpage {page}\b", said, re.IGNORECASE), said
    assert (directory / "klinetop.db").read_bytes() == before, "nothing was changed"

    # The way out that the sentence names: put the backup in its place, or move it aside.
    (directory / "klinetop.db").write_bytes(saved.read_bytes())
    engine = engine_process(running, directory, SPEED)
    await engine.until(lambda told: told["engine"]["state"] == "running")
    engine.tell(signal.SIGTERM)
    assert await engine.ended() == 0, engine.stderr
    with contextlib.closing(open_reader(directory)) as reader:
        assert len(reader.candles("OLDUSDT", "1m")) == 20_000

    damage(directory / "klinetop.db")
    engine = engine_process(running, directory, SPEED)
    assert await engine.ended() == 1
    move = next(words for words in engine.stderr.split("`") if words.startswith("mkdir"))
    run_shell(move)
    engine = engine_process(running, directory, SPEED)
    told = await engine.until(lambda told: told["engine"]["state"] == "running")
    await engine.until(lambda told: told["store"]["candles"] > 500)
    assert told["store"]["gaps"]["exchange_hole"] == 0
    engine.tell(signal.SIGTERM)
    assert await engine.ended() == 0, engine.stderr


async def test_case_33_a_page_that_is_damaged_while_it_runs_is_told(
    exchange_at, engine_process, tmp_path
) -> None:
    running = await exchange_at(SPEED)
    directory = tmp_path / "data"
    fill(directory)
    damage_at = directory / "klinetop.db"
    engine = engine_process(running, directory, SPEED)
    await engine.until(lambda told: told["engine"]["state"] == "running")
    damage(damage_at)
    engine.tell(signal.SIGTERM)
    assert await engine.ended() in (0, 2)
    again = engine_process(running, directory, SPEED)
    assert await again.ended() == 1
    assert "quick_check" in again.stderr


async def test_case_35_the_second_engine_says_who_holds_the_directory(
    exchange_at, engine_process, tmp_path
) -> None:
    running = await exchange_at(SPEED)
    directory = tmp_path / "data"
    first = engine_process(running, directory, SPEED)
    await first.until(lambda told: told["engine"]["state"] == "running")
    linked = tmp_path / "link"
    linked.symlink_to(directory)
    for place in (directory, linked):
        second = engine_process(running, place, SPEED)
        assert await second.ended() == 2
        said = second.stderr
        assert re.search(
            rf"\(pid {first.process.pid}, since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC\)", said
        ), said
        assert "klinetop stop" in said
        assert "Traceback" not in said
    counted = (await first.status())["store"]["candles"]
    await first.until(lambda told: told["store"]["candles"] > counted)
    first.tell(signal.SIGKILL)
    await first.ended()
    third = engine_process(running, directory, SPEED)
    await third.until(lambda told: told["engine"]["state"] == "running")


async def test_case_35_of_many_that_start_at_once_one_runs(
    exchange_at, engine_process, tmp_path
) -> None:
    running = await exchange_at(SPEED)
    directory = tmp_path / "data"
    engines = [engine_process(running, directory, SPEED) for _ in range(4)]
    ends = [asyncio.create_task(asyncio.to_thread(one.process.wait, 60)) for one in engines]
    while sum(end.done() for end in ends) < 3:
        await asyncio.wait(
            [end for end in ends if not end.done()], return_when=asyncio.FIRST_COMPLETED
        )
    [winner] = [one for one, end in zip(engines, ends, strict=True) if not end.done()]
    assert {end.result() for end in ends if end.done()} == {2}
    await winner.until(lambda told: told["engine"]["state"] == "running")
    winner.tell(signal.SIGTERM)
    await asyncio.wait(ends)
    assert winner.process.returncode == 0, winner.stderr
    losers = [one for one in engines if one is not winner]
    assert all(str(winner.process.pid) in one.stderr for one in losers)
