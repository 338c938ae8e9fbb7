"""A process that is told to stop ends, whatever its tasks do."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

_HEAD = """
    import asyncio, sys
    from engine.stopping import StopRequest
    stop = StopRequest(limit_s=0.2)
    async def main():
        stop.listen()
        print("ready", flush=True)
"""
_STUCK = {
    "a task that never yields": """
        while True:
            pass
    """,
    "a task that swallows its cancellation": """
        async def deaf():
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    pass
        task = asyncio.create_task(deaf())
        await stop.wanted.wait()
    """,
    "a thread that the loop waits for": """
        import time
        task = asyncio.create_task(asyncio.to_thread(time.sleep, 3600))
        await stop.wanted.wait()
    """,
}


def _run(body: str, number: signal.Signals) -> tuple[int, str]:
    script = (
        textwrap.dedent(_HEAD)
        + textwrap.indent(textwrap.dedent(body), "    ")
        + "\nasyncio.run(main())\nstop.ended()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
        return process.returncode, errors


@pytest.mark.parametrize("what", _STUCK)
def test_a_stop_that_hangs_ends_by_force_and_says_where_it_hung(what: str) -> None:
    status, errors = _run(_STUCK[what], signal.SIGTERM)
    assert status == 1
    assert "the engine did not stop within 0 s and is ended" in errors
    assert "most recent call first" in errors


def test_an_engine_that_hangs_in_writing_its_log_ends_too() -> None:
    body = """
        import logging
        log = logging.getLogger("engine")
        while True:
            log.error("nobody reads this " * 1000)
    """
    script = textwrap.dedent(_HEAD) + textwrap.indent(textwrap.dedent(body), "    ")
    with subprocess.Popen(
        [sys.executable, "-c", f"{script}\nasyncio.run(main())\n"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            process.terminate()
            assert process.wait(60) == 1
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_in_order_is_left_alone(number: signal.Signals) -> None:
    assert _run("await stop.wanted.wait()\n", number) == (0, "")
