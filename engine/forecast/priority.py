"""How a trainer shares the processor: it takes what nobody else wants, and threads to match."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

NICE = 10
_LEAST_NICE = 19
_MOST_THREADS = 4
_SMALL_MACHINE = 2


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def training_threads(cores: int) -> int:
    """Return the threads of a training job on a machine of `cores`.

    One on up to two cores; else all but one, and four at most, as a network of 32 units has no
    work for more.
    """
    if cores <= _SMALL_MACHINE:
        return 1
    return min(cores - 1, _MOST_THREADS)


def step_back(*, foreground: bool) -> None:
    """Lower the priority of this process, for it and for all threads that it starts.

    In the background it runs only when a core has nothing else to do (SCHED_IDLE, sched(7)); where
    the system has no such class it is as nice as can be. In the foreground somebody waits for
    it, and it is nice by 10 only.
    """
    if foreground:
        os.nice(NICE)
    elif not _is_idle_now():
        os.nice(_LEAST_NICE)


def _is_idle_now() -> bool:
    if sys.platform != "linux":
        return False
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        return True
    return False


def processor_s(pid: int) -> float | None:
    """Return the processor seconds that a process has had; None where /proc does not tell."""
    fields = _stat(Path(f"/proc/{pid}/stat"))
    if fields is None:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_runnable(pid: int) -> bool:
    """Whether any thread of a process runs, waits for a core, or waits for the disk."""
    tasks = Path(f"/proc/{pid}/task")
    try:
        threads = list(tasks.iterdir())
    except OSError:
        return False
    return any(
        fields is not None and fields[0] in {"R", "D"}
        for fields in (_stat(thread / "stat") for thread in threads)
    )


def _stat(path: Path) -> list[str] | None:
    """Return the fields after the name, from the state on (proc_pid_stat(5))."""
    try:
        return path.read_text().rpartition(")")[2].split()
    except OSError:
        return None
