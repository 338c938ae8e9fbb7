"""Runs a program in a pseudo-terminal of a given size, counts what it writes, presses its keys."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from pathlib import Path

import psutil

Size = tuple[int, int]  # columns, rows


class Terminal:
    """A child process on a pseudo-terminal.

    Attributes:
        written: Bytes that the program has written so far.
        started: Monotonic time (s) just before it was started.
    """

    def __init__(self, command: list[str], size: Size, env: dict[str, str] | None = None) -> None:
        columns, rows = size
        self._main, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            stdin=child,
            stdout=child,
            stderr=child,
            start_new_session=True,
            env={
                **os.environ,
                "TERM": "xterm-256color",
                "COLORTERM": "truecolor",
                "LANG": "C.UTF-8",
                **(env or {}),
            },
        )
        os.close(child)
        self.written = 0
        self.usage = psutil.Process(self.process.pid)

    def press(self, keys: str) -> None:
        """Send keys as a keyboard would."""
        os.write(self._main, keys.encode())

    def read(self, timeout_s: float) -> bytes:
        """Return what comes within `timeout_s` (s), at most 64 KiB, or nothing."""
        ready, _, _ = select.select([self._main], [], [], timeout_s)
        if not ready:
            return b""
        try:
            data = os.read(self._main, 65536)
        except OSError:
            return b""
        self.written += len(data)
        return data

    def drain(self, seconds: float) -> int:
        """Read for `seconds`; return the bytes that came."""
        before = self.written
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self.read(left)
        return self.written - before

    def wait_for(self, text: bytes, timeout_s: float = 60.0) -> float:
        """Read until `text` was written; return the seconds since the start of the program."""
        seen = b""
        end = time.perf_counter() + timeout_s
        while text not in seen:
            left = end - time.perf_counter()
            if left <= 0:
                raise TimeoutError(f"{text!r} did not appear within {timeout_s} s")
            seen = (seen + self.read(left))[-200_000:]
        return time.perf_counter() - self.started

    def cpu_seconds(self) -> float:
        """Processor seconds (user and system) of the program itself."""
        times = self.usage.cpu_times()
        return times.user + times.system

    def resident_mb(self) -> float:
        """Resident memory of the program in MB."""
        return self.usage.memory_info().rss / 1e6

    def modules(self) -> str:
        """Return the memory map of the program, which names each native library it loaded."""
        return Path(f"/proc/{self.process.pid}/maps").read_text()

    def close(self) -> None:
        """End the program and the terminal."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        os.close(self._main)
