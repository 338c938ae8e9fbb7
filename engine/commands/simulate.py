"""simulate: the simulated exchange by itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.commands.guard import FAILURE, USAGE
from engine.commands.options import KlinetopCommand, given_options, settings_of
from engine.commands.output import say
from engine.commands.times import say_replay_start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.settings import Settings

DEFAULT_PORT = 9443
PLAIN_SPEED = "1"


@click.command("simulate", cls=KlinetopCommand, short_help="Run the simulated exchange by itself.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port on 127.0.0.1; 0 takes a free one.",
)
@click.option(
    "--faults",
    metavar="FILE|random",
    help="Misbehave: by a script (TOML or JSON lines), or at random.",
)
@click.option(
    "--fault-seed", type=click.IntRange(0), default=0, show_default=True, help="Of random faults."
)
@click.option(
    "--fault-every",
    metavar="DURATION",
    default="5m",
    show_default=True,
    help="Exchange time between random faults.",
)
@click.option(
    "--api-key",
    metavar="KEY|new",
    help="An API key that may read the account; new makes one and prints it.",
)
@click.option(
    "--api-secret-file",
    "secret_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Its secret (mode 0600), or its public key in PEM (RSA or Ed25519).",
)
@click.option("--tls", is_flag=True, help="Speak https and wss with a certificate of its own.")
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --tls: where to write the CA to trust; a temporary file otherwise.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what it says as JSON lines.")
@click.pass_context
def simulate(
    ctx: click.Context,
    port: int,
    faults: str | None,
    fault_seed: int,
    fault_every: str,
    api_key: str | None,
    secret_file: Path | None,
    tls: bool,
    ca_file: Path | None,
    as_json: bool,
) -> int:
    """Run the simulated exchange by itself, for any bot: a generated market or a replay.

    It speaks Binance's REST and WebSocket protocol on 127.0.0.1. The generated market runs at
    speed 1 unless --speed says otherwise. docs/simulator.md tells which faults it can have, by a
    script or on request while it runs.
    """
    forced = {} if "replay" in given_options(ctx) else {"demo": True}
    settings = settings_of(ctx, **forced)
    say_replay_start(settings)
    command = simulator_command(settings, port)
    if faults is not None:
        command += ["--faults", faults, "--fault-seed", str(fault_seed)]
        command += ["--fault-every", fault_every]
    given = {"--api-key": api_key, "--api-secret-file": secret_file, "--ca-file": ca_file}
    for option, value in given.items():
        command += [] if value is None else [option, str(value)]
    command += ["--tls"] if tls else []
    return _run(command, as_json=as_json)


def simulator_command(settings: Settings, port: int) -> list[str]:
    """Return the command line of the simulated exchange for these settings."""
    from engine.service.exchange_process import exchange_arguments

    arguments = exchange_arguments(settings, None)
    arguments[arguments.index("--port") + 1] = str(port)
    plain = settings.demo and settings.speed is None
    arguments[arguments.index("--speed") + 1] = PLAIN_SPEED if plain else settings.speed_word
    return [sys.executable, "-P", "-m", "engine.simulator", *arguments]


def _run(command: Sequence[str], *, as_json: bool) -> int:
    import subprocess

    # The simulator ends when its stdin closes, so it can not outlive this process.
    with subprocess.Popen(  # noqa: S603  our own program, no shell
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            for line in process.stdout:
                _tell(line, as_json=as_json)
        except KeyboardInterrupt:
            say("The simulated exchange stops.")
            return 0
        finally:
            process.stdin.close()
        status = process.wait()
    return status if status in (0, USAGE) else FAILURE


def _tell(line: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(line.rstrip("\n"))
        return
    import json

    event = json.loads(line)
    if "rest_url" in event:
        click.echo(f"REST    {event['rest_url']}")
        click.echo(f"streams {event['stream_url']}")
        for name, label in (("api_key", "key"), ("api_secret", "secret"), ("ca_file", "trust")):
            if name in event:
                click.echo(f"{label:<7} {event[name]}")
        say(f"{len(event['symbols'])} markets at speed {event['speed']}; Ctrl-C stops it.")
    elif event.get("event") == "fault":
        problem = f" (not done: {event['problem']})" if "problem" in event else ""
        click.echo(f"{_when(event['exchange_time_ms'])} {event['fault']}{problem}")
    elif event.get("event") == "note":
        say(event["text"])
    elif event.get("event") == "ended":
        say("The replay is over; the exchange goes on answering. Ctrl-C stops it.")


def _when(time_ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
