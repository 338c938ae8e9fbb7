"""The simulated exchange as a child process of the engine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from engine.service.log_files import open_log
from engine.task_supervisor import log_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from engine.settings import Settings

log = logging.getLogger(__name__)

READY_TIMEOUT_S = 240.0  # a recording of a day is read before it is played
STOP_TIMEOUT_S = 3.0


class ExchangeFailed(Exception):
    """The simulated exchange did not start; its text is a sentence for the user."""


class ExchangeReady(msgspec.Struct, frozen=True):
    """The first line that the simulated exchange prints."""

    rest_url: str
    stream_url: str
    symbols: tuple[str, ...]
    exchange_time_ms: int
    speed: float | str


def exchange_arguments(settings: Settings, start_ms: int | None) -> list[str]:
    """Return the command line of the simulated exchange for a demo or a replay."""
    arguments = ["--watch-stdin", "--port", "0"]
    if settings.replay:
        arguments += ["--source", "replay"]
        for path in settings.replay:
            arguments += ["--files", str(path)]
        if settings.replay_from is not None:
            arguments += ["--from", settings.replay_from]
    else:
        arguments += ["--source", "generated", "--seed", str(settings.seed)]
        arguments += ["--symbols", ",".join(settings.symbols)]
    arguments += ["--speed", str(settings.speed_word)]
    if start_ms is not None:
        arguments += ["--start-ms", str(start_ms)]
    return arguments


class ExchangeProcess:
    """Runs `python -m engine.simulator`; it ends by itself when this process does.

    Args:
        on_ended: Told why nothing more comes, and the exchange's last time (epoch ms) if known.
        on_note: Told sentences about what is played, such as that a file is cut off.
    """

    def __init__(
        self, on_ended: Callable[[str, int | None], None], on_note: Callable[[str], None]
    ) -> None:
        self._on_ended = on_ended
        self._on_note = on_note
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None else None

    async def start(self, arguments: Sequence[str], log_file: Path) -> ExchangeReady:
        """Start it and wait for its addresses.

        Raises:
            ExchangeFailed: with the last sentence that it wrote.
        """
        with os.fdopen(open_log(log_file), "ab") as stderr:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "engine.simulator",
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
            )
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                line = await self._process.stdout.readline()
        except TimeoutError:
            await self.close()
            raise ExchangeFailed(
                f"The simulated exchange did not start within {READY_TIMEOUT_S:.0f} s."
            ) from None
        if not line:
            raise ExchangeFailed(await self._last_words(log_file))
        ready = msgspec.json.decode(line, type=ExchangeReady)
        self._reader = asyncio.create_task(
            self._read_events(self._process.stdout), name="simulated exchange"
        )
        self._reader.add_done_callback(log_failure)
        return ready

    async def close(self) -> None:
        """End it: first by closing its standard input, then by signals."""
        process = self._process
        if process is None:
            return
        if self._reader is not None:
            self._reader.cancel()
        if process.stdin is not None:
            process.stdin.close()
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if process.returncode is not None:
                return
            if number is not None:
                process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await process.wait()

    async def _last_words(self, log_file: Path) -> str:
        assert self._process is not None
        await self._process.wait()
        text = await asyncio.to_thread(log_file.read_text, "utf-8", "replace")
        lines = [line for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else "The simulated exchange ended without a word."

    async def _read_events(self, stdout: asyncio.StreamReader) -> None:
        while line := await stdout.readline():
            try:
                event: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError:
                log.warning("the simulated exchange printed %r", line[:200])
                continue
            if event.get("event") == "ended":
                self._on_ended("the replay is over", event.get("exchange_time_ms"))
            elif event.get("event") == "note":
                self._on_note(str(event.get("text")))
        self._on_ended("the simulated exchange has ended", None)
