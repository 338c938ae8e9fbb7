from __future__ import annotations

import os
import subprocess
import sys

import pytest

from engine.forecast.jobs import Job, JobQueue
from engine.forecast.priority import is_runnable, processor_s, training_threads, usable_cores
from engine.forecast.protocol import pinned_environment
from engine.forecast.values import ForecastConfig

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc or SCHED_IDLE")
STEP_BACK = """
import os, sys
if sys.argv[1] == "missing":
    os.sched_setscheduler = lambda *_: (_ for _ in ()).throw(PermissionError(1, "no"))
from engine.forecast.priority import step_back
step_back(foreground=False)
print(os.sched_getscheduler(0) == os.SCHED_IDLE, os.nice(0))
"""


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (3, 2), (4, 3), (8, 4), (64, 4)])
def test_a_core_is_left_free(cores, threads):
    assert training_threads(cores) == threads


@pytest.mark.parametrize("asked", [None, 3])
def test_a_job_has_as_many_threads_as_suit_the_machine_unless_told(asked):
    queue = JobQueue(
        None,
        None,
        ForecastConfig(threads=asked),
        ensure_history=None,
        champion=lambda *_: None,
        finish=None,
        on_change=None,
    )
    config = queue._job_config(Job("BTCUSDT", "1m", "honest"))
    assert config.threads == (asked or training_threads(usable_cores()))
    pinned = pinned_environment({}, config.threads)
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "OPENBLAS_NUM_THREADS"):
        assert pinned[name] == str(config.threads)
    assert pinned["TF_NUM_INTEROP_THREADS"] == "1"


@LINUX
@pytest.mark.parametrize(("mode", "is_idle"), [("there", True), ("missing", False)])
def test_it_is_idle_or_else_as_nice_as_can_be(mode, is_idle):
    if mode == "missing" and os.sched_getscheduler(0) == os.SCHED_IDLE:
        pytest.skip("this process is idle already")
    command = [sys.executable, "-c", STEP_BACK, mode]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found, nice = done.stdout.split()
    assert found == str(is_idle)
    assert is_idle or nice == "19"


@LINUX
def test_who_runs_and_who_sleeps_is_seen():
    assert is_runnable(os.getpid())
    assert processor_s(os.getpid()) > 0
    sleeper = subprocess.Popen([sys.executable, "-c", "print(1, flush=True); input()"], **PIPES)
    try:
        sleeper.stdout.readline()
        while is_runnable(sleeper.pid):
            pass
    finally:
        sleeper.communicate("\n")
    assert not is_runnable(sleeper.pid)
    assert processor_s(sleeper.pid) is None


PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
