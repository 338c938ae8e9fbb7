"""The headless commands of klinetop.

`tui.cli` adds the terminal to this group. Run alone (`python -m engine.cli`), a call without a
command shows the help.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from engine import __version__
from engine.commands.backfilling import backfill, gaps
from engine.commands.data import book
from engine.commands.db import db
from engine.commands.exporting import candles
from engine.commands.guard import run_guarded
from engine.commands.importing import import_file
from engine.commands.life import serve, status, stop
from engine.commands.models import predictions, train
from engine.commands.options import KlinetopGroup
from engine.commands.record import record
from engine.commands.report import report
from engine.commands.service_unit import service
from engine.commands.simulate import simulate

if TYPE_CHECKING:
    from collections.abc import Callable

COMMANDS = (
    serve,
    status,
    stop,
    candles,
    book,
    predictions,
    train,
    backfill,
    gaps,
    import_file,
    record,
    report,
    db,
    service,
    simulate,
)


def make_group(default: Callable[[click.Context], int | None] | None = None) -> click.Group:
    """Return the group of all commands.

    Args:
        default: Called when no command is given; None shows the help.
    """

    @click.group(
        "klinetop",
        cls=KlinetopGroup,
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

    for command in COMMANDS:
        klinetop.add_command(command)
    return klinetop


def main() -> None:
    """Entry of `python -m engine.cli`."""
    sys.exit(run_guarded(make_group()))


if __name__ == "__main__":
    main()
