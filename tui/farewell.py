"""The line on the shell after the terminal has closed: whether an engine goes on, and where."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.settings import Settings


def farewell(settings: Settings, pid: int | None, *, stops: bool | None) -> str:
    """Return what to say to who has left.

    Args:
        settings: Of this terminal.
        pid: Process that holds the data directory; None when none does.
        stops: What the engine answered to the goodbye; None where it did not answer.
    """
    where = f" --data-dir {shlex.quote(str(settings.directory))}"
    if settings.data_dir is None and settings.is_binance:
        where = ""  # the commands' own default
    if stops:
        return f"The engine stops; what it stored is in {settings.directory}."
    if pid is None:
        return f"No engine runs any more; what it stored is in {settings.directory}."
    return (
        f"The engine (pid {pid}) goes on and stores into {settings.directory}: `klinetop{where}` "
        f"shows it again, `klinetop stop{where}` stops it."
    )
