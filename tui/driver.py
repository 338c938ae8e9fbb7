"""The terminal driver with a meter on its output (POSIX only; others use Textual's own)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO, cast

from textual.drivers.linux_driver import LinuxDriver

from tui.pace import LinkMeter, MeteredFile

if TYPE_CHECKING:
    from io import TextIOWrapper

    from textual.driver import Driver


def metered_driver(meter: LinkMeter) -> type[Driver]:
    """Return a driver class that reports what it writes to `meter`."""

    class MeteredDriver(LinuxDriver):
        """Textual's driver for Linux and macOS, writing through a `MeteredFile`."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._file = cast("TextIOWrapper", MeteredFile(cast("TextIO", self._file), meter))

        def write(self, data: str) -> None:
            """Queue `data` for the writer thread."""
            meter.queued += len(data)
            super().write(data)

    return MeteredDriver
