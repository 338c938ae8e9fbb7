"""One trainer process: started, watched, and ended whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from engine.forecast.priority import is_runnable, processor_s
from engine.forecast.protocol import (
    CancelJob,
    Failure,
    FromTrainer,
    Heartbeat,
    Progress,
    Result,
    TrainJob,
    from_trainer,
    line,
    pinned_environment,
)
from engine.forecast.values import ForecastError

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from engine.forecast.values import JsonObject

log = logging.getLogger(__name__)

TRAINER: tuple[str, ...] = (sys.executable, "-m", "engine.forecast.trainer")
FOREGROUND_TRAINER = (*TRAINER, "--foreground")
_LINE_BYTES = 4 * 1024 * 1024


class JobFailed(ForecastError):
    """A training job failed; the text is a sentence that says why."""


class JobCancelled(ForecastError):
    """A training job was cancelled."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a trainer may do before it is ended.

    Attributes:
        silence_s: Wall seconds without a line. TensorFlow's import holds the interpreter for
            seconds at a time.
        silence_cpu_s: Processor seconds that it has had in a silence before that counts, unless it
            sleeps: on a machine that others keep busy it waits for a core for minutes.
        wall_s: Wall seconds in all.
        rss_bytes: Resident memory.
        cancel_s: Wall seconds to obey a cancel.
        end_s: Wall seconds to end after its input closed, and again after SIGTERM.
    """

    silence_s: float = 45.0
    silence_cpu_s: float = 20.0
    wall_s: float = 14_400.0
    rss_bytes: int = 1_500_000_000
    cancel_s: float = 1.5
    end_s: float = 2.0


async def run_trainer(
    job: TrainJob,
    *,
    log_path: Path,
    on_progress: Callable[[Progress], None],
    cancelled: asyncio.Event,
    limits: Limits | None = None,
    command: Sequence[str] = TRAINER,
) -> JsonObject:
    """Run one job in a trainer process of its own and return its metrics.

    Args:
        job: What to do.
        log_path: Where the trainer's standard error goes; overwritten.
        on_progress: Told of progress, in the caller's loop.
        cancelled: Set it to cancel.
        limits: When to end a trainer that misbehaves.
        command: The trainer's command line.

    Raises:
        JobFailed: with a sentence; the trainer is gone.
        JobCancelled: `cancelled` was set; the trainer is gone.
    """
    limits = limits or Limits()
    with log_path.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=pinned_environment(_environment(), job.config.threads),
            start_new_session=True,
            limit=_LINE_BYTES,
        )
    watch = _Watch(process, limits, log_path, on_progress)
    try:
        await watch.tell(line(job))
        return await watch.follow(cancelled)
    finally:
        await asyncio.shield(_end(process, limits.end_s))


class _Watch:
    """Follows one trainer's lines."""

    def __init__(
        self,
        process: Process,
        limits: Limits,
        log_path: Path,
        on_progress: Callable[[Progress], None],
    ) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._limits = limits
        self._log_path = log_path
        self._on_progress = on_progress
        self._started_s = time.monotonic()
        self._cancel_s: float | None = None
        self._garbled = 0
        self._heard_cpu_s = processor_s(process.pid)

    async def tell(self, text: bytes) -> None:
        """Write to the trainer; its early end is found out by reading."""
        with contextlib.suppress(ConnectionError):
            self._stdin.write(text)
            await self._stdin.drain()

    async def follow(self, cancelled: asyncio.Event) -> JsonObject:
        """Read until the result; raises `JobFailed` and `JobCancelled`."""
        stop = asyncio.ensure_future(cancelled.wait())
        read = asyncio.ensure_future(self._stdout.readline())
        try:
            while True:
                tasks = {read} if stop.done() else {read, stop}
                await asyncio.wait(
                    tasks, timeout=self._patience_s(), return_when=asyncio.FIRST_COMPLETED
                )
                if stop.done() and self._cancel_s is None:
                    self._cancel_s = time.monotonic()
                    await self.tell(line(CancelJob()))
                    continue
                if not read.done() or not self._patience_s():
                    if self._patience_s() and self._is_starved():
                        continue
                    raise self._out_of_patience()
                result = self._heard(self._line(read))
                if result is not None:
                    return result
                read = asyncio.ensure_future(self._stdout.readline())
        finally:
            stop.cancel()
            read.cancel()
            await asyncio.gather(stop, read, return_exceptions=True)

    def _patience_s(self) -> float:
        now_s = time.monotonic()
        left_s = min(self._limits.silence_s, self._started_s + self._limits.wall_s - now_s)
        if self._cancel_s is not None:
            left_s = min(left_s, self._cancel_s + self._limits.cancel_s - now_s)
        return max(0.0, left_s)

    def _is_starved(self) -> bool:
        """Whether it is silent because others have the cores."""
        now_s = processor_s(self._process.pid)
        if now_s is None or self._heard_cpu_s is None or not is_runnable(self._process.pid):
            return False
        return now_s - self._heard_cpu_s < self._limits.silence_cpu_s

    def _out_of_patience(self) -> ForecastError:
        if self._cancel_s is not None:
            return JobCancelled("The training was cancelled.")
        if time.monotonic() - self._started_s >= self._limits.wall_s:
            return JobFailed(
                f"The training took more than {self._limits.wall_s:.0f} s and was ended; "
                "train on fewer rows or fewer networks."
            )
        return JobFailed(
            f"The trainer was silent for {self._limits.silence_s:.0f} s and was ended; "
            f"try again, and see {self._log_path}."
        )

    def _line(self, read: asyncio.Future[bytes]) -> bytes:
        try:
            return read.result()
        except ValueError as error:
            raise JobFailed(f"The trainer wrote a line without end ({error}).") from error

    def _heard(self, text: bytes) -> JsonObject | None:
        """Act on one line; returns the metrics when it was the result."""
        if not text:
            raise self._gone()
        self._heard_cpu_s = processor_s(self._process.pid)
        try:
            message: FromTrainer = from_trainer(text)
        except msgspec.DecodeError:
            self._garbled += 1
            log.warning("The trainer wrote a line that is none of ours (%d so far).", self._garbled)
            return None
        if isinstance(message, Progress):
            self._on_progress(message)
        elif isinstance(message, Heartbeat):
            if message.rss_bytes > self._limits.rss_bytes:
                raise JobFailed(
                    f"The trainer took {message.rss_bytes / 1e9:.1f} GB of memory and was ended; "
                    "train on fewer rows."
                )
        elif isinstance(message, Failure):
            if message.cancelled:
                raise JobCancelled(message.message)
            raise JobFailed(message.message)
        elif isinstance(message, Result):
            return message.metrics
        return None

    def _gone(self) -> ForecastError:
        if self._cancel_s is not None:
            return JobCancelled("The training was cancelled.")
        return JobFailed(
            f"The trainer ended before its job was done; try again, and see {self._log_path}."
        )


async def _end(process: Process, patience_s: float) -> None:
    """Close the trainer's input, which ends it; then SIGTERM, then SIGKILL to its group."""
    if process.stdin is not None:
        process.stdin.close()
    for kind in (None, signal.SIGTERM, signal.SIGKILL):
        if kind is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, kind)
        try:
            await asyncio.wait_for(process.wait(), patience_s)
        except TimeoutError:
            continue
        return
    log.error("The trainer (pid %d) can not be ended.", process.pid)


def _environment() -> dict[str, str]:
    """Return this process's environment without our own settings, which may hold secrets."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KLINETOP_")}
