"""Finding, starting and waiting for the engine of a data directory.

The engine is a process of its own in a session of its own, so that neither Ctrl-C in the terminal
nor the terminal's end reaches it. What it says goes to `engine.log` in the data directory; when it
can not start, the last line there is the sentence for the user.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from engine.service.client import EngineClient, EngineGone, EngineProblem
from engine.service.early import EarlyPull, connected
from engine.service.log_files import open_log
from engine.service.places import (
    LOG_NAME,
    UnsafeDirectory,
    engine_pid,
    find_socket,
    pointer_path,
    socket_path,
)
from engine.service.problems import refuse_other_source
from engine.settings import ENGINE_SETTINGS_VARIABLE, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from engine.service.contract import View
    from engine.settings import Settings

__all__ = [
    "Connector",
    "EngineFailed",
    "EngineProcess",
    "UnsafeDirectory",
    "attach_or_start",
    "engine_pid",
    "find_socket",
    "is_answering",
    "pointer_path",
    "socket_path",
    "start_engine",
]

START_TIMEOUT_S = 300.0
SAY_AFTER_S = 10.0
POLL_S = 0.02
_TAIL_BYTES = 8192
_USAGE_STATUS = 2
ENGINE_COMMAND = (sys.executable, "-P", "-m", "engine.daemon", "--owned")


class EngineFailed(EngineGone):
    """The engine ended while it was starting; `usage` marks a user's mistake."""

    def __init__(self, message: str, *, usage: bool) -> None:
        super().__init__(message)
        self.usage = usage


class EngineProcess:
    """An engine that this process started.

    Attributes:
        process: The child; it outlives this process.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path, log_offset: int) -> None:
        self.process = process
        self._log = log
        self._offset = log_offset

    @property
    def has_ended(self) -> bool:
        """Whether the process is over."""
        return self.process.poll() is not None

    def failure(self) -> EngineFailed:
        """Return why the process ended, in the last words of its log."""
        code = self.process.poll()
        if code is not None and code < 0:
            names = {number.value: number.name for number in signal.Signals}
            return EngineFailed(
                f"The engine was ended by {names.get(-code, -code)}; what it had stored is safe. "
                "Quit with q and start klinetop again.",
                usage=False,
            )
        with self._log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            since = self._offset if self._offset <= size else 0
            file.seek(max(since, size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").split("\n")
        said = next((line.strip() for line in reversed(lines) if line.strip()), "")
        is_crash = any(line.startswith("Traceback (") for line in lines)
        sentence = said if code == _USAGE_STATUS or (code == 1 and not is_crash) else ""
        if not sentence:
            sentence = f"The engine ended with status {code}; {self._log} tells more."
            sentence += f" Its last words: {said}" if said else ""
        return EngineFailed(sentence, usage=code == _USAGE_STATUS)


def start_engine(settings: Settings, *, command: Sequence[str] = ENGINE_COMMAND) -> EngineProcess:
    """Start the engine of `settings` and return at once.

    Args:
        settings: Handed over as JSON in the environment.
        command: The program; it must read `KLINETOP_ENGINE_SETTINGS`.

    Raises:
        SettingsError: when the data directory can not be made or written.
    """
    directory = settings.directory
    log = directory / LOG_NAME
    try:
        directory.mkdir(parents=True, exist_ok=True)
        output = open_log(log)
    except OSError as error:
        raise SettingsError(
            f"The data directory {directory} can not be written ({error.strerror}); "
            "choose another one with --data-dir."
        ) from None
    try:
        offset = os.lseek(output, 0, os.SEEK_END)
        process = subprocess.Popen(  # noqa: S603  our own program, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=directory,
            env={**os.environ, ENGINE_SETTINGS_VARIABLE: settings.to_json()},
            start_new_session=True,
            close_fds=True,
        )
    finally:
        os.close(output)
    return EngineProcess(process, log, offset)


def is_answering(directory: Path) -> bool:
    """Tell whether somebody listens on the socket of `directory`, without asyncio."""
    connection = connected(find_socket(directory))
    if connection is not None:
        connection.close()
    return connection is not None


async def attach_or_start(
    settings: Settings, *, command: Sequence[str] = ENGINE_COMMAND
) -> EngineClient:
    """Connect to the engine of `settings`, and start it first where none runs.

    Raises:
        EngineGone: when it does not come up (`EngineFailed` when it ended).
        EngineMismatch: when a running engine is of another version.
        EngineProblem: when it does not want this viewer, or runs another source.
    """
    return await Connector(settings, command=command)()


class Connector:
    """Connects a terminal to its engine, again after a loss.

    Only the first connection may start an engine: one that was stopped on purpose while a terminal
    watched it must not come back by itself.

    Args:
        settings: Say which engine.
        command: The program to start.
        say_after_s: How long to wait for an engine that holds the directory and does not answer
            before `EngineGone` says so; the next call waits on.

    Attributes:
        has_connected: Whether a connection was ever made.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        command: Sequence[str] = ENGINE_COMMAND,
        say_after_s: float = SAY_AFTER_S,
    ) -> None:
        self._settings = settings
        self._command = command
        self._started: EngineProcess | None = None
        self._may_start = True
        self._early: EarlyPull | None = None
        self._was_held = False
        self._say_after_s = say_after_s
        self.has_connected = False

    @property
    def is_owner(self) -> bool:
        """Whether this terminal started the engine."""
        return self._started is not None

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The engine's process where this terminal started it."""
        return self._started.process if self._started is not None else None

    def abandon(self) -> None:
        """End the engine that was started here when nobody ever connected to it."""
        if self.process is not None and not self.has_connected:
            self.process.terminate()

    def start_early(self, view: View | None = None) -> None:
        """Start the engine where none runs, without waiting for it.

        Args:
            view: Pulled at once from an engine that answers; the first connection brings the
                frame along.

        Raises:
            SettingsError: when the data directory can not be written.
        """
        connection = connected(find_socket(self._settings.directory))
        if connection is None:
            if engine_pid(self._settings.directory) is None:
                self._start()
        elif view is None:
            connection.close()
        else:
            self._early = EarlyPull(connection, view)

    async def __call__(self) -> EngineClient:
        """Return a connection; errors as in `attach_or_start`."""
        try:
            client = await self._attach()
        except EngineGone:
            if not self._may_start:
                raise self._loss() from None
            client = await self._start_and_wait()
        self._may_start = False
        self.has_connected = True
        return client

    def _start(self) -> None:
        self._started = start_engine(self._settings, command=self._command)

    async def _attach(self) -> EngineClient:
        early, self._early = self._early, None
        answered = None if early is None else await early.take()
        if answered is not None:
            client = await EngineClient.adopt(answered)
        else:
            place = find_socket(self._settings.directory)
            client = await EngineClient.connect(place, owner=self.is_owner)
        try:
            welcome = client.welcome
            refuse_other_source(self._settings, welcome.source, welcome.source_note, exact=True)
        except EngineProblem:
            await client.close()
            raise
        return client

    async def _start_and_wait(self) -> EngineClient:
        """Wait for the engine that starts, or for one that stops and then for one of our own."""
        began_s = time.monotonic()
        while True:
            blocking_pid = self._see_to_an_engine()
            try:
                return await self._attach()
            except EngineGone:
                waited_s = time.monotonic() - began_s
                if blocking_pid is not None and waited_s > self._say_after_s:
                    raise self._still_there(blocking_pid) from None
                if waited_s > START_TIMEOUT_S:
                    raise EngineGone(
                        f"The engine did not answer within {START_TIMEOUT_S:.0f} s; "
                        f"{self._settings.directory / LOG_NAME} tells more."
                    ) from None
            await asyncio.sleep(POLL_S)

    def _see_to_an_engine(self) -> int | None:
        """Start the engine where none holds the directory; return who else holds it.

        Raises:
            EngineFailed: when the one that was started here has ended, and not for another's sake.
        """
        holder = engine_pid(self._settings.directory)
        started = self._started
        if started is not None and not started.has_ended:
            return None
        if holder is not None:
            self._was_held = True
            return holder
        if started is not None and not self._was_held:
            self._may_start = False
            raise started.failure()
        # Whoever held it is gone; it may have been in the way of the one that was started here.
        self._was_held = False
        self._start()
        return None

    def _still_there(self, pid: int) -> EngineGone:
        directory = self._settings.directory
        return EngineGone(
            f"An engine (pid {pid}) holds {directory} and does not answer: it starts or stops. "
            "This terminal waits for it, and starts a new one when it has stopped; "
            f"`klinetop stop --data-dir {shlex.quote(str(directory))}` ends it."
        )

    def _loss(self) -> EngineGone:
        if self._started is not None and self._started.has_ended:
            failure = self._started.failure()
            if self._started.process.returncode:
                return failure
        return EngineGone("The engine has stopped; quit with q and start klinetop again.")
