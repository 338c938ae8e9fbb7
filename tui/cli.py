"""The `klinetop` command: the terminal, and all headless commands of `engine.cli`."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

    from engine.service.client import EngineClient
    from engine.settings import Settings


def main() -> None:
    """Entry of the program `klinetop`."""
    # What is imported stays; a collection in between would only cost time.
    gc.disable()
    from engine.cli import make_group
    from engine.commands.guard import run_guarded

    gc.freeze()
    gc.enable()
    sys.exit(run_guarded(make_group(open_terminal)))


def open_terminal(ctx: click.Context) -> int:
    """Attach to the engine of the settings, or start one, and show the dashboard.

    The engine starts while textual is still being imported; the terminal never waits for it.

    Returns:
        The exit status: 0, or that of an engine that could not start.
    """
    # Nothing of a start is garbage; the app takes care of it when it stands.
    gc.disable()
    from engine.commands.guard import USAGE, CommandError
    from engine.commands.options import given_options, settings_of

    settings = settings_of(ctx)
    # Textual draws on standard error.
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise CommandError(
            "The dashboard needs a terminal; `klinetop status`, `klinetop candles` and the other "
            "commands work without one (`klinetop --help`)."
        )
    kind = os.environ.get("TERM", "")
    if kind in ("dumb", "unknown"):
        raise CommandError(
            f"A terminal of the type {kind} can not show the dashboard; set TERM to what it is, "
            "such as xterm-256color.",
            status=USAGE,
        )
    if settings.replay_from is not None:
        from engine.commands.times import say_replay_start

        say_replay_start(settings)
    from engine.service.client import EngineMismatch, EngineProblem
    from engine.service.contract import View
    from engine.service.launch import Connector, EngineFailed
    from tui.remembered import Memory, first_view

    memory = Memory(settings.directory)
    kept = memory.load()
    symbol, interval = first_view(kept, settings.symbols, settings.interval, given_options(ctx))
    connector = Connector(settings)
    connector.start_early(View(focused=symbol, interval=interval))
    # Textual paints by this clock; at its 60 a key that comes right after a frame waits for 16 ms.
    os.environ.setdefault("TEXTUAL_FPS", "120")
    from tui.app import KlinetopApp

    failure: Exception | None = None

    async def connect() -> EngineClient:
        nonlocal failure
        had_connected = connector.has_connected
        try:
            return await connector()
        except (EngineFailed, EngineMismatch, EngineProblem) as error:
            if not had_connected or getattr(error, "usage", False) is True:
                failure = error
                app.exit()
            raise

    app = KlinetopApp(
        connect=connect,
        settings=settings.terminal,
        focused=symbol,
        interval=interval,
        memory=memory,
        kept=kept,
    )
    app.run()
    connector.abandon()
    if failure is not None:
        raise failure
    is_abandoned = connector.is_owner and not connector.has_connected
    _say_farewell(settings, stops=is_abandoned or app.link.engine_stops)
    return app.return_code or 0


def _say_farewell(settings: Settings, *, stops: bool | None) -> None:
    from contextlib import suppress

    from engine.commands.output import say
    from engine.service.places import engine_pid
    from tui.farewell import farewell

    with suppress(OSError):  # after a hang-up nobody is there to read it
        say(farewell(settings, engine_pid(settings.directory), stops=stops))


if __name__ == "__main__":
    main()
