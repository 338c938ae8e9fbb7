"""The terminal driver (POSIX only): writes only what differs, and meters it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO, cast

from textual.drivers.linux_driver import LinuxDriver

from tui.pace import LinkMeter, MeteredFile

if TYPE_CHECKING:
    from io import TextIOWrapper

    from textual.driver import Driver

    from tui.screen_diff import ScreenDiff


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

    return MeteredDriver
