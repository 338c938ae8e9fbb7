"""The terminal driver (POSIX only): writes only what differs, meters it, and is quick with keys."""

from __future__ import annotations

import codecs
import errno
import os
import selectors
from typing import TYPE_CHECKING, Any, TextIO, cast

from textual.drivers.linux_driver import LinuxDriver

from tui.key_parser import KeyParser, lone_escape_s
from tui.pace import LinkMeter, MeteredFile

if TYPE_CHECKING:
    from io import TextIOWrapper

    from textual.driver import Driver

    from tui.screen_diff import ScreenDiff

LEAVING_POLL_S = 0.1
READ_BYTES = 4096


def metered_driver(meter: LinkMeter, diff: ScreenDiff) -> type[Driver]:
    """Return a driver class that passes its output through `diff` and reports it to `meter`."""

    class MeteredDriver(LinuxDriver):
        """Textual's driver for Linux and macOS, writing through a `MeteredFile`."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._file = cast("TextIOWrapper", MeteredFile(cast("TextIO", self._file), meter))

        def write(self, data: str) -> None:
            """Queue for the writer thread what `data` changes on the screen."""
            written = diff.feed(data)
            if written:
                meter.queued += len(written)
                super().write(written)

        def run_input_thread(self) -> None:
            """Read keys and dispatch them until the driver is told to leave.

            A terminal that has hung up ends the app, for who ignores the signal for it (nohup).
            """
            parser = KeyParser(lone_esc_s=lone_escape_s(os.environ), debug=self._debug)
            decode = codecs.getincrementaldecoder("utf-8")("replace").decode
            with selectors.SelectSelector() as selector:
                selector.register(self.fileno, selectors.EVENT_READ)
                while not self.exit_event.is_set():
                    wait_s = parser.wait_s
                    if selector.select(LEAVING_POLL_S if wait_s is None else wait_s):
                        data = _read(self.fileno)
                        if not data:
                            self._loop.call_soon_threadsafe(self._app.exit)
                            return
                        text = decode(data)
                        for message in parser.feed(text) if text else ():
                            self.process_message(message)
                    for message in parser.tick():
                        self.process_message(message)

    return MeteredDriver


def _read(fileno: int) -> bytes:
    """Return what can be read, nothing from a terminal that has hung up."""
    try:
        return os.read(fileno, READ_BYTES)
    except OSError as error:
        if error.errno == errno.EIO:
            return b""
        raise
