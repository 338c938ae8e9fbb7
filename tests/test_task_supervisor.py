"""The supervisor of the engine's tasks: what raises comes back, and nothing is lost."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.task_supervisor import LOOP, RestartLimits, TaskState, TaskSupervisor, in_time

QUICK = RestartLimits(first_s=0.001, cap_s=0.004, healthy_s=60.0)


@pytest.fixture
def told() -> list[tuple[str, str]]:
    return []


@pytest.fixture
async def tasks(told: list[tuple[str, str]]) -> Any:
    made = TaskSupervisor(QUICK)
    made.on_notice = lambda level, text: told.append((level, text))
    yield made
    assert await made.close(1.0) == []


async def test_a_task_that_raises_is_logged_counted_told_and_begun_anew(
    tasks, told, eventually, caplog
) -> None:
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs <= 5:
            raise ValueError(f"run {runs}")
        await asyncio.Event().wait()

    tasks.start("quality", work)
    await eventually(lambda: runs == 6)
    figures = tasks.figures["quality"]
    assert (figures.state, figures.failures) == (TaskState.RUNNING, 5)
    assert figures.last_error == "ValueError: run 5"
    assert tasks.failures == {"quality": 5}
    logged = [record for record in caplog.records if record.exc_info]
    assert len(logged) == 5
    first, *others = [text for _, text in told]
    assert first == ("The engine's task 'quality' failed (ValueError: run 1); it is started again.")
    assert [text.split(" failed ")[1][:7] for text in others] == ["2 times", "4 times"]


async def test_a_cancelled_wait_inside_is_a_failure_and_a_stop_is_not(tasks, eventually) -> None:
    futures: list[asyncio.Future[None]] = []

    async def work() -> None:
        futures.append(asyncio.get_running_loop().create_future())
        await futures[-1]

    tasks.start("report", work)
    await eventually(lambda: futures)
    futures[0].cancel()
    await eventually(lambda: len(futures) == 2)
    assert tasks.failures == {"report": 1}
    assert await tasks.close(5.0) == []
    assert tasks.figures["report"].state is TaskState.ENDED
    assert tasks.failures == {"report": 1}


async def test_a_group_tells_its_first_failure(tasks, eventually) -> None:
    async def part() -> None:
        raise KeyError("BTCUSDT")

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(part())

    tasks.start("history", work)
    await eventually(lambda: tasks.failures)
    assert tasks.figures["history"].last_error == "KeyError: 'BTCUSDT'"


async def test_one_of_a_name_runs_and_what_returned_may_be_begun_again(tasks, eventually) -> None:
    runs = 0
    end = asyncio.Event()

    async def work() -> None:
        nonlocal runs
        runs += 1
        await end.wait()

    tasks.start("streams", work)
    tasks.start("streams", work)
    await eventually(lambda: runs)
    end.set()
    await eventually(lambda: tasks.figures["streams"].state is TaskState.ENDED)
    assert runs == 1
    tasks.start("streams", work)
    await eventually(lambda: runs == 2)


async def test_a_task_that_will_not_end_is_named_in_bounded_time(tasks, eventually) -> None:
    is_stubborn = True
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        while is_stubborn:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if not is_stubborn:
                    raise

    tasks.start("stubborn", work)
    await begun.wait()
    assert await tasks.close(0.02) == ["stubborn"]
    is_stubborn = False


async def test_what_nobody_caught_is_counted(tasks, told, eventually) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(tasks.loop_failed)
    empty: list[int] = []
    loop.call_soon(lambda: empty[0])
    await eventually(lambda: tasks.failures)
    assert tasks.failures == {LOOP: 1}
    assert "(IndexError: list index out of range); it goes on." in told[0][1]


async def test_a_step_of_a_stop_has_its_time_and_no_more(caplog) -> None:
    async def raises() -> None:
        raise OSError("disk")

    async def hangs() -> None:
        await asyncio.Event().wait()

    async def ends() -> None:
        pass

    caplog.set_level(logging.ERROR)
    assert await in_time("a", ends, 5.0)
    assert await in_time("b", raises, 5.0)
    assert not await in_time("c", hangs, 0.01)
    assert [record.getMessage() for record in caplog.records] == [
        "stopping 'b' failed",
        "stopping 'c' takes longer than 0 s; going on without it",
    ]


@given(st.integers(0, 10_000), st.floats(0.01, 10), st.floats(10, 100))
def test_waits_double_up_to_the_cap_and_are_never_none(
    failures: int, first_s: float, cap_s: float
) -> None:
    longest_s = min(cap_s, first_s * 2.0 ** min(failures, 30))
    assert longest_s / 2 <= RestartLimits(first_s, cap_s).wait_s(failures) <= longest_s
