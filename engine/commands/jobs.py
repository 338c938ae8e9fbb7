"""A training job from the command line: in the running engine, else in this process."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from engine.commands.asking import ask, running_engine
from engine.commands.output import say
from engine.service.contract import Cancel, Retrain, StatusRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from engine.settings import Settings

T = TypeVar("T")
PROGRESS_EVERY_S = 1.0


async def train_anywhere(
    settings: Settings, symbol: str, interval: str, recipe: str
) -> dict[str, Any]:
    """Train in the running engine, else here; return the job's report.

    A cancelled call (Ctrl-C) cancels the job.

    Raises:
        EngineProblem: when the engine refuses the job.
        StoreError: when the data directory can not be used.
        ForecastError: when no model can be made.
    """
    client = await running_engine(settings)
    if client is None:
        return await _train_alone(settings, symbol, interval, recipe)

    async def job_now() -> dict[str, Any] | None:
        other = await running_engine(settings)
        if other is None:
            return None
        job: dict[str, Any] | None = (await ask(other, StatusRequest())).data["forecast"]["job"]
        return job

    async def cancel() -> None:
        other = await running_engine(settings)
        if other is not None:
            await ask(other, Cancel())

    work = ask(client, Retrain(symbol, interval, recipe, wait=True))
    return (await _watched(work, job_now, cancel)).data


async def _train_alone(
    settings: Settings, symbol: str, interval: str, recipe: str
) -> dict[str, Any]:
    from engine.commands.fetching import own_store
    from engine.commands.training import OwnTraining

    with own_store(settings) as store:
        async with OwnTraining(settings, store) as training:

            async def job_now() -> dict[str, Any] | None:
                return training.job()

            async def cancel() -> None:
                training.cancel()

            return await _watched(training.run(symbol, interval, recipe), job_now, cancel)


async def _watched(
    work: Coroutine[Any, Any, T],
    job_now: Callable[[], Awaitable[dict[str, Any] | None]],
    cancel: Callable[[], Awaitable[None]],
) -> T:
    """Run `work`, tell its progress on stderr, and cancel the job on Ctrl-C."""
    progress = asyncio.create_task(_tell_progress(job_now))
    try:
        return await work
    except asyncio.CancelledError:
        await cancel()
        say("The training job is cancelled.")
        raise
    finally:
        progress.cancel()
        with suppress(asyncio.CancelledError):
            await progress


async def _tell_progress(job_now: Callable[[], Awaitable[dict[str, Any] | None]]) -> None:
    told = ""
    while True:
        await asyncio.sleep(PROGRESS_EVERY_S)
        job = await job_now()
        line = _progress_line(job) if job else ""
        if line and line != told:
            say(line)
            told = line


def _progress_line(job: dict[str, Any]) -> str:
    parts = [str(job["state"])]
    if job.get("epochs") and job["state"] == "training":
        parts.append(f"network {job['seed_index']} of {job['seeds']}")
        parts.append(f"epoch {job['epoch']} of at most {job['epochs']}")
        if job.get("val_loss"):
            parts.append(f"loss {job['val_loss'][-1]:.4f}")
    elif job.get("message"):
        parts.append(str(job["message"]))
    return ", ".join(parts)
