"""serve, status, stop: the engine's life."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import click

from engine.commands.asking import ask, run_async, running_engine
from engine.commands.guard import CommandError
from engine.commands.options import KlinetopCommand, settings_of
from engine.commands.output import emit_json, say
from engine.commands.plain_text import report_lines

if TYPE_CHECKING:
    from pathlib import Path

    from engine.settings import Settings

STOP_TIMEOUT_S = 60.0
NO_ENGINE = 3
_POLL_S = 0.05


@click.command("serve", cls=KlinetopCommand, short_help="Run the engine in the foreground.")
@click.pass_context
def serve(ctx: click.Context) -> int:
    """Run the engine in the foreground, without a terminal, until Ctrl-C or SIGTERM."""
    import logging

    from engine.commands.times import say_replay_start
    from engine.daemon import run

    settings = settings_of(ctx)
    say_replay_start(settings)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    say(f"The engine of {settings.directory} starts ({settings.source}); Ctrl-C stops it.")
    return run(settings, owned=False)


@click.command(
    "status", cls=KlinetopCommand, short_help="Show engine, stream, store, books and forecast."
)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> int:
    """Show the state of engine, stream, store, books and forecast.

    The exit status is 3 when no engine runs; what is stored is shown then.
    """
    settings = settings_of(ctx)
    report, is_running = _report(settings)
    if as_json:
        emit_json(report)
    else:
        for line in report_lines(report):
            click.echo(line)
    return 0 if is_running else NO_ENGINE


@click.command("stop", cls=KlinetopCommand, short_help="Stop the engine of this data directory.")
@click.pass_context
def stop(ctx: click.Context) -> None:
    """Stop the engine of this data directory in order."""
    from engine.service.places import engine_pid

    settings = settings_of(ctx)
    directory = settings.directory
    pid = run_async(_ask_to_stop(settings)) or _signal_to_stop(directory)
    if pid is None:
        raise CommandError(f"No engine runs for {directory}.")
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while engine_pid(directory) == pid:
        if time.monotonic() > deadline:
            raise CommandError(
                f"The engine (pid {pid}) was asked to stop and still runs after "
                f"{STOP_TIMEOUT_S:.0f} s; {directory / 'engine.log'} may tell why."
            )
        time.sleep(_POLL_S)
    say(f"The engine (pid {pid}) has stopped.")


async def _ask_to_stop(settings: Settings) -> int | None:
    from engine.service.client import EngineGone, EngineMismatch
    from engine.service.contract import Stop

    try:
        client = await running_engine(settings)
        if client is None:
            return None
        pid = client.welcome.pid
        await ask(client, Stop())
    except (EngineGone, EngineMismatch):
        return None
    return pid


def _signal_to_stop(directory: Path) -> int | None:
    """End an engine of another version, or one that does not answer, by its lock's process id."""
    import signal

    from engine.service.places import engine_pid

    pid = engine_pid(directory)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
    return pid


def _report(settings: Settings) -> tuple[dict[str, Any], bool]:
    """Return the figures, and whether they are a running engine's."""
    from engine.service.asked_once import engine_status
    from engine.service.places import find_socket

    report = engine_status(find_socket(settings.directory), settings)
    if report is not None:
        return report, True
    from engine.commands.stored import stored_report

    return stored_report(settings), False
