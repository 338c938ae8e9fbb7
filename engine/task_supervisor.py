"""The supervisor of the engine's long-lived tasks: what raises is told, counted and begun anew."""

from __future__ import annotations

import asyncio
import enum
import logging
import random
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    _Make = Callable[[], Coroutine[Any, Any, None]]

log = logging.getLogger(__name__)

LOOP = "event loop"


class TaskState(enum.Enum):
    """How a task is."""

    RUNNING = "running"
    WAITING = "waiting"
    """It failed, and is begun anew after its wait."""
    ENDED = "ended"
    """Its work is done, or it was stopped."""


class TaskFigures(msgspec.Struct, frozen=True):
    """What became of one task.

    Attributes:
        state: How it is now.
        failures: How often it raised; it was begun anew as often.
        last_error: Kind and text of the last exception; empty without one.
        last_failure_wall_ms: When that was (epoch ms); None without one.
    """

    state: TaskState
    failures: int = 0
    last_error: str = ""
    last_failure_wall_ms: int | None = None


class RestartLimits(NamedTuple):
    """How long a failed task waits: twice as long after each failure, less a random part.

    Attributes:
        first_s: Longest first wait.
        cap_s: Longest wait of all.
        healthy_s: After living so long a task that fails waits for `first_s` again.
    """

    first_s: float = 1.0
    cap_s: float = 60.0
    healthy_s: float = 300.0

    def wait_s(self, failures_in_a_row: int) -> float:
        """Return the wait after one failure more: half of it is certain, half of it random.

        Equal jitter (M. Brooker, "Exponential Backoff And Jitter", 2015).
        """
        longest_s = min(self.cap_s, self.first_s * 2.0 ** min(failures_in_a_row, 30))
        return longest_s * random.uniform(0.5, 1.0)  # noqa: S311


class TaskSupervisor:
    """Runs tasks by name and begins those anew that raise.

    Args:
        limits: How long a failed task waits.

    Attributes:
        on_notice: Told what users should know, as level and text.
    """

    def __init__(self, limits: RestartLimits | None = None) -> None:
        self.on_notice: Callable[[str, str], None] = lambda _level, _text: None
        self._limits = limits or RestartLimits()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._figures: dict[str, TaskFigures] = {}
        self._is_closing = False

    def start(self, name: str, make: _Make) -> None:
        """Run what `make` returns, again and again until it returns; one of that name goes on.

        Args:
            name: By which people know the task.
            make: Called for each run; its parts have to stand being begun twice.
        """
        if name in self._tasks or self._is_closing:
            return
        task = asyncio.create_task(self._keep(name, make), name=f"keeper of {name}")
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._ended(name))

    @property
    def figures(self) -> dict[str, TaskFigures]:
        """What became of each task, by name."""
        return dict(self._figures)

    @property
    def failures(self) -> dict[str, int]:
        """How often each task failed, without those that never did."""
        return {name: task.failures for name, task in self._figures.items() if task.failures}

    def loop_failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Count and tell what nobody else caught (the event loop's exception handler)."""
        error = context.get("exception")
        if not isinstance(error, Exception):
            loop.default_exception_handler(context)
            return
        log.error("%s", context.get("message"), exc_info=error)
        self._count(LOOP, error, TaskState.RUNNING)

    async def close(self, timeout_s: float) -> list[str]:
        """Cancel all tasks together, and wait for them.

        Returns:
            The names of those that did not end within `timeout_s`.
        """
        self._is_closing = True
        tasks = dict(self._tasks)
        for task in tasks.values():
            task.cancel()
        if tasks:
            await asyncio.wait(tasks.values(), timeout=timeout_s)
        return [name for name, task in tasks.items() if not task.done()]

    async def _keep(self, name: str, make: _Make) -> None:
        in_a_row = 0
        while True:
            self._put(name, TaskState.RUNNING)
            begun_s = time.monotonic()
            failure = await self._run(name, make)
            if failure is None:
                return
            log.error("the task '%s' failed", name, exc_info=failure)
            if time.monotonic() - begun_s >= self._limits.healthy_s:
                in_a_row = 0
            wait_s = self._limits.wait_s(in_a_row)
            in_a_row += 1
            self._count(name, failure, TaskState.WAITING)
            await asyncio.sleep(wait_s)

    async def _run(self, name: str, make: _Make) -> BaseException | None:
        """Return what one run raised, None when its work is done.

        It is a task of its own, so that its end by something else's cancellation can be told from
        that of the keeper.
        """
        run = asyncio.create_task(make(), name=name)
        try:
            await asyncio.wait({run})
        except asyncio.CancelledError:
            run.cancel()
            run.add_done_callback(log_failure)
            await asyncio.wait({run})
            raise
        if run.cancelled():
            return asyncio.CancelledError("what it waited for was cancelled")
        return run.exception()

    def _ended(self, name: str) -> None:
        del self._tasks[name]
        self._put(name, TaskState.ENDED)

    def _put(self, name: str, state: TaskState) -> None:
        before = self._figures.get(name) or TaskFigures(state)
        self._figures[name] = msgspec.structs.replace(before, state=state)

    def _count(self, name: str, error: BaseException, state: TaskState) -> None:
        before = self._figures.get(name) or TaskFigures(state)
        words = describe(error)
        failures = before.failures + 1
        self._figures[name] = TaskFigures(state, failures, words, time.time_ns() // 1_000_000)
        # One notice for each doubling keeps a task that always fails from filling the screen.
        if failures.bit_count() == 1:
            times = "" if failures == 1 else f" {failures:,} times"
            goes_on = "goes on" if name == LOOP else "is started again"
            self.on_notice(
                "error", f"The engine's task '{name}' failed{times} ({words}); it {goes_on}."
            )


async def in_time(name: str, step: _Make, limit_s: float) -> bool:
    """Do one step of a stop; what it raises, and that it takes too long, is logged.

    Returns:
        Whether it ended by itself within `limit_s`.
    """
    task = asyncio.ensure_future(step())
    done, _ = await asyncio.wait({task}, timeout=limit_s)
    if not done:
        log.error("stopping '%s' takes longer than %.0f s; going on without it", name, limit_s)
        task.cancel()
        task.add_done_callback(log_failure)
        return False
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("stopping '%s' failed", name, exc_info=error)
    return True


def log_failure(task: asyncio.Future[Any]) -> None:
    """Log what a task raised that nobody waits for (`add_done_callback`)."""
    if not task.cancelled() and (error := task.exception()) is not None:
        name = task.get_name() if isinstance(task, asyncio.Task) else "future"
        log.error("the task '%s' failed", name, exc_info=error)


def describe(error: BaseException) -> str:
    """Return kind and text of an exception; of a group those of its first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}".rstrip(": ")[:200]
