"""The options that every command takes, and the settings that come of them.

They may stand before or after a command's name: `klinetop --demo status` and
`klinetop status --demo` mean the same.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.commands.guard import ReaderGone
from engine.settings import Settings, load_settings, option_name
from engine.settings_model import setting_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

_OVERRIDES = "klinetop.overrides"
_SETTINGS_FILE = "settings"
_METAVARS = {
    "data_dir": "DIRECTORY",
    "rest_url": "ADDRESS",
    "stream_url": "ADDRESS",
    "symbols": "A,B,…",
    "markets": "all,A,B*,…",
    "intervals": "1m,1h,…",
    "interval": "15m",
    "demo": None,
    "speed": "NUMBER",
    "replay": "FILE…",
    "replay_from": "TIME",
    "seed": "NUMBER",
}


_OF_THE_TERMINAL = ("interval",)  # commands have options of their own that are called so


class _SettingsParameters(click.Command):
    """Adds the settings' options to a command."""

    def __init__(self, *args: Any, opens_terminal: bool = False, **options: Any) -> None:
        super().__init__(*args, **options)
        left_out = () if opens_terminal else _OF_THE_TERMINAL
        self.settings_options = _settings_options(left_out)
        self.params = [*self.params, *self.settings_options]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let `--replay` take several files, as a shell's wildcard gives them."""
        return super().parse_args(ctx, spread_replay(args))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show a command's own options; the settings stand in the help of klinetop itself."""
        shared = self.settings_options
        own = [
            item
            for item in self.get_params(ctx)
            if isinstance(item, click.Option) and item not in shared
        ]
        sections = [("Options", own)]
        if ctx.parent is None:
            sections.append(("Settings, also as KLINETOP_… and in a file", shared))
        for title, parameters in sections:
            records = [record for item in parameters if (record := item.get_help_record(ctx))]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
        if ctx.parent is not None:
            names = ", ".join(item.opts[0] for item in shared)
            formatter.write_paragraph()
            formatter.write_text(f"Settings may be given, too ({names}): `klinetop --help`.")


class KlinetopCommand(_SettingsParameters):
    """A command with the settings' options."""


class KlinetopGroup(_SettingsParameters, click.Group):
    """A group of commands that takes the settings' options itself, too."""

    command_class = KlinetopCommand

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a reader that closed our output ends it quietly."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderGone from error

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the commands after all options."""
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


def settings_of(ctx: click.Context, **forced: Any) -> Settings:
    """Return the settings of this run: all layers, with `forced` on top.

    Raises:
        SettingsError: with a sentence for users.
    """
    overrides = {**given_options(ctx), **forced}
    file = overrides.pop(_SETTINGS_FILE, None)
    return load_settings(None if file is None else Path(file), os.environ, overrides)


def given_options(ctx: click.Context) -> dict[str, Any]:
    """Return what the command line sets, by the settings' names."""
    return dict(ctx.meta.get(_OVERRIDES, {}))


def spread_replay(arguments: Sequence[str]) -> list[str]:
    """Return `arguments` with `--replay A B` written as `--replay A --replay B`.

    After the first value an argument belongs to `--replay` as long as it names a file.
    """
    spread: list[str] = []
    waiting, taking = False, False
    for argument in arguments:
        if waiting:
            waiting, taking = False, True
        elif taking and not argument.startswith("-") and Path(argument).is_file():
            spread.append("--replay")
        else:
            waiting = argument == "--replay"
            taking = argument.startswith("--replay=")
        spread.append(argument)
    return spread


def _settings_options(left_out: Sequence[str] = ()) -> list[click.Option]:
    keys = setting_keys()
    options = [
        click.Option(
            [option_name(name), name],
            metavar=metavar,
            help=keys[name].description[0].upper() + keys[name].description[1:] + ".",
            is_flag=name == "demo",
            multiple=name == "replay",
            default=False if name == "demo" else None,
            expose_value=False,
            callback=_remember,
        )
        for name, metavar in _METAVARS.items()
        if name not in left_out
    ]
    options.append(
        click.Option(
            ["--settings", _SETTINGS_FILE],
            metavar="FILE",
            help="A TOML file with settings; unset, the user's own where there is one.",
            expose_value=False,
            callback=_remember,
        )
    )
    return options


def _remember(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value not in (None, False, ()) and parameter.name:
        ctx.meta.setdefault(_OVERRIDES, {})[parameter.name] = value
