"""The headless commands of klinetop.

`tui.cli` adds the terminal to this group. Run alone (`python -m engine.cli`), a call without a
command shows the help.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

import click

from engine import __version__
from engine.commands.guard import run_guarded
from engine.commands.options import KlinetopGroup

if TYPE_CHECKING:
    from collections.abc import Callable

PLACES: Final = {
    "backfill": ("backfilling", "backfill"),
    "book": ("data", "book"),
    "candles": ("exporting", "candles"),
    "db": ("db", "db"),
    "gaps": ("backfilling", "gaps"),
    "import": ("importing", "import_file"),
    "predictions": ("models", "predictions"),
    "record": ("record", "record"),
    "report": ("report", "report"),
    "serve": ("life", "serve"),
    "service": ("service_unit", "service"),
    "simulate": ("simulate", "simulate"),
    "status": ("life", "status"),
    "stop": ("life", "stop"),
    "train": ("models", "train"),
}
"""Module in `engine.commands` and name there of each command."""


class CommandGroup(KlinetopGroup):
    """Imports a command when it is asked for: most runs need one of them, or none."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all commands, in their order in the help."""
        return sorted(PLACES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command `cmd_name`; None, with all others at hand to hint at, for no name."""
        if cmd_name in PLACES:
            return _imported(cmd_name)
        for name in PLACES:
            self.add_command(_imported(name), name)
        return super().get_command(ctx, cmd_name)


def _imported(name: str) -> click.Command:
    module, attribute = PLACES[name]
    command: click.Command = getattr(import_module(f"engine.commands.{module}"), attribute)
    return command


def make_group(default: Callable[[click.Context], int | None] | None = None) -> click.Group:
    """Return the group of all commands.

    Args:
        default: Called when no command is given; None shows the help.
    """

    @click.group(
        "klinetop",
        cls=CommandGroup,
        opens_terminal=True,
        invoke_without_command=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    @click.version_option(__version__, message="klinetop %(version)s")
    @click.pass_context
    def klinetop(ctx: click.Context) -> int | None:
        """Watch, store and forecast Binance spot markets.

        Without a command the terminal opens; `klinetop --demo` needs no network and no account.
        """
        if ctx.invoked_subcommand is not None:
            return None
        if default is None:
            click.echo(ctx.get_help())
            return None
        return default(ctx)

    return klinetop


def main() -> None:
    """Entry of `python -m engine.cli`."""
    sys.exit(run_guarded(make_group()))


if __name__ == "__main__":
    main()
