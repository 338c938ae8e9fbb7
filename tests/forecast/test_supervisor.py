from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import psutil
import pytest

from engine.forecast.protocol import JobConfig, TrainJob
from engine.forecast.supervisor import JobCancelled, JobFailed, Limits, run_trainer

FAKE = Path(__file__).with_name("fake_trainer.py")
LIMITS = Limits(silence_s=0.6, wall_s=20, cancel_s=0.3, end_s=0.3)


async def run(mode, tmp_path, *extra, limits=LIMITS, cancelled=None, progress=None):
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    job = TrainJob("1", JobConfig(symbol="X", interval="1m"), "none", "none", str(out))
    return await run_trainer(
        job,
        log_path=tmp_path / "log",
        on_progress=(progress if progress is not None else []).append,
        cancelled=cancelled or asyncio.Event(),
        limits=limits,
        command=[sys.executable, str(FAKE), mode, *extra],
    )


def children() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if str(FAKE) in " ".join(one.cmdline())]


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  processes come and go
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("silent", "silent for 1 s"),
        ("heavy", "9.0 GB of memory"),
        ("crash", "ended before its job was done"),
        ("refuse", "There is nothing to learn from."),
        ("endless", "line without end"),
    ],
)
async def test_a_misbehaving_trainer_fails_in_words_and_is_gone(mode, words, tmp_path):
    with pytest.raises(JobFailed, match=words):
        await run(mode, tmp_path)
    assert not children()
    if mode == "crash":
        assert "boom" in (tmp_path / "log").read_text()


async def test_a_trainer_that_takes_too_long_is_ended(tmp_path):
    with pytest.raises(JobFailed, match="more than 1 s"):
        await run("deaf", tmp_path, limits=Limits(silence_s=5, wall_s=0.7, end_s=0.3))
    assert not children()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells who waits for a core")
async def test_a_trainer_that_waits_for_a_core_is_not_called_silent(tmp_path):
    done = tmp_path / "done"
    limits = Limits(silence_s=0.2, silence_cpu_s=1e9, wall_s=60, end_s=0.3)
    task = asyncio.create_task(run("busy", tmp_path, str(done), limits=limits))
    await asyncio.wait({task}, timeout=1.0)
    assert not task.done(), "five silences have passed"
    done.touch()
    assert await task == {"accuracy": 0.5}


async def test_a_trainer_that_runs_and_says_nothing_is_silent(tmp_path):
    limits = Limits(silence_s=0.2, silence_cpu_s=0.0, wall_s=60, end_s=0.3)
    with pytest.raises(JobFailed, match="silent"):
        await run("busy", tmp_path, "never", limits=limits)
    assert not children()


async def test_cancel_ends_even_a_deaf_trainer(tmp_path):
    cancelled = asyncio.Event()
    task = asyncio.create_task(run("deaf", tmp_path, cancelled=cancelled))
    await until(lambda: len(children()) == 1)
    cancelled.set()
    with pytest.raises(JobCancelled):
        await asyncio.wait_for(task, 60)
    assert not children()


async def test_a_stopped_engine_task_leaves_no_trainer(tmp_path):
    task = asyncio.create_task(run("deaf", tmp_path))
    await until(lambda: len(children()) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not children())


async def test_garbage_on_stdout_does_no_harm(tmp_path, caplog):
    model, progress = tmp_path / "model", []
    model.mkdir()
    (model / "metrics.json").write_text('{"accuracy": 0.5}')
    metrics = await run("copy", tmp_path, str(model), progress=progress)
    assert metrics == {"accuracy": 0.5}
    assert progress[0].epoch == 1
    assert "none of ours" in caplog.text
