"""service install, show, uninstall: a systemd unit that runs the engine day and night."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.commands.guard import FAILURE, USAGE, CommandError
from engine.commands.options import KlinetopCommand, given_options, settings_of
from engine.commands.output import say
from engine.commands.retention import retention_words
from engine.settings import option_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.settings import Settings

UNIT_NAME = "klinetop.service"
SYSTEM_UNITS = Path("/etc/systemd/system")
SYSTEM_DATA = Path("/var/lib/klinetop")
_system_option = click.option(
    "--system", "is_system", is_flag=True, help="A unit of the system, not of the user."
)
_user_option = click.option(
    "--user", "user", metavar="NAME", help="With --system: the account that runs it."
)


@click.group("service", short_help="Run the engine as a systemd service.")
def service() -> None:
    """Write, show or remove a systemd unit that runs `klinetop serve` day and night."""


@service.command("install", cls=KlinetopCommand, short_help="Write the unit.")
@_system_option
@_user_option
@click.option("--force", is_flag=True, help="Overwrite a unit that differs.")
@click.pass_context
def install(ctx: click.Context, is_system: bool, user: str | None, force: bool) -> None:
    """Write the unit and say what to do next; the settings' options given here go into it.

    For example `klinetop service install --markets USDT --data-dir /srv/klinetop`.
    """
    _check_platform(ctx)
    text = _unit(ctx, is_system=is_system, user=user)
    path = unit_path(is_system=is_system)
    if path.exists() and path.read_text(encoding="utf-8") != text and not force:
        raise CommandError(
            f"{path} is there already and differs; look at both (`klinetop service show`), then "
            "say --force.",
            status=USAGE,
        )
    try:
        _make_data_directory(ctx, is_system=is_system, user=user)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)
    except OSError as error:
        hint = "; run it with sudo" if isinstance(error, PermissionError) and is_system else ""
        raise CommandError(f"{path} can not be written: {error.strerror}{hint}.") from error
    say(f"{path} is written.")
    for complaint in complaints(path):
        say(f"systemd-analyze says: {complaint}")
    say("What to do next:")
    account = _account(user) if is_system else None
    for line in _next_steps(_directory(ctx, is_system=is_system), account):
        say(f"  {line}")
    say(retention_words(settings_of(ctx)))


@service.command("show", cls=KlinetopCommand, short_help="Print the unit.")
@_system_option
@_user_option
@click.pass_context
def show(ctx: click.Context, is_system: bool, user: str | None) -> None:
    """Print the unit that `install` would write with these options."""
    click.echo(_unit(ctx, is_system=is_system, user=user), nl=False)


@service.command("uninstall", cls=KlinetopCommand, short_help="Remove the unit.")
@_system_option
@click.pass_context
def uninstall(ctx: click.Context, is_system: bool) -> int:
    """Remove the unit; the data stay."""
    _check_platform(ctx)
    path = unit_path(is_system=is_system)
    control = "sudo systemctl" if is_system else "systemctl --user"
    if not path.exists():
        raise CommandError(f"There is no {path}.")
    try:
        path.unlink()
    except OSError as error:
        raise CommandError(f"{path} can not be removed: {error.strerror}.") from error
    say(f"{path} is removed; the data stay. An engine that still runs ends with:")
    say(f"  {control} disable --now klinetop; {control} daemon-reload")
    return 0


def unit_path(*, is_system: bool) -> Path:
    """Return where the unit belongs."""
    if is_system:
        return SYSTEM_UNITS / UNIT_NAME
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "systemd" / "user" / UNIT_NAME


def unit_text(
    settings: Settings, directory: Path, options: Mapping[str, object], *, user: str | None
) -> str:
    """Return the unit.

    Args:
        settings: Fully resolved; the directories in them are what the engine may write.
        directory: The data directory, absolute.
        options: The settings that were given on the command line, by name.
        user: The account of a system unit; None for a user's own unit.
    """
    arguments = [sys.executable, "-m", "engine.cli", "serve", "--data-dir", str(directory)]
    for name, value in options.items():
        if name != "data_dir":
            arguments += _option(name, value)
    writable = [str(directory)]
    if settings.record.directory is not None:
        writable.append(str(settings.record.directory.expanduser().resolve()))
    if settings.report.directory is not None:
        writable.append(str(settings.report.directory.expanduser().resolve()))
    who = [f"User={user}"] if user else []
    # A user's manager has no right to set up name spaces everywhere; these keys need none.
    sandbox = [
        "NoNewPrivileges=true",
        *(
            [
                "PrivateTmp=true",
                "ProtectSystem=strict",
                "ProtectHome=read-only",
                "ReadWritePaths=" + " ".join(map(_quoted, writable)),
                "ProtectKernelTunables=true",
                "ProtectControlGroups=true",
                "RestrictSUIDSGID=true",
                "RuntimeDirectory=klinetop",
                "RuntimeDirectoryMode=0700",
                *(["StateDirectory=klinetop"] if directory == SYSTEM_DATA else []),
                "StateDirectoryMode=0700",
            ]
            if user
            else []
        ),
    ]
    lines = [
        "# Written by `klinetop service install`.",
        "[Unit]",
        "Description=klinetop, which captures crypto markets",
        "Documentation=man:systemd.service(5)",
        *(["Wants=network-online.target", "After=network-online.target"] if user else []),
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=exec",
        *who,
        f"ExecStart={' '.join(map(_quoted, arguments))}",
        f"WorkingDirectory={_escaped(str(directory))}",
        "Environment=PYTHONUNBUFFERED=1",
        # The engine's socket must not lie in a temporary directory that nobody else sees.
        *(["Environment=XDG_RUNTIME_DIR=/run/klinetop"] if user else []),
        "EnvironmentFile=-" + _escaped(str(directory / "klinetop.env")),
        "Restart=always",
        "RestartSec=5",
        "RestartPreventExitStatus=2",
        "TimeoutStopSec=60",
        "KillMode=mixed",
        "OOMPolicy=continue",
        "OOMScoreAdjust=-100" if user else "OOMScoreAdjust=100",
        "LimitNOFILE=65536",
        "UMask=0077",
        *sandbox,
        "",
        "[Install]",
        "WantedBy=" + ("multi-user.target" if user else "default.target"),
        "",
    ]
    return "\n".join(lines)


def complaints(path: Path) -> list[str]:
    """Return what `systemd-analyze verify` says about a unit; nothing where it is not there."""
    command = ["systemd-analyze", "verify", str(path)]
    if SYSTEM_UNITS not in path.parents:
        command.insert(1, "--user")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line for line in done.stderr.splitlines() if UNIT_NAME in line]


def _unit(ctx: click.Context, *, is_system: bool, user: str | None) -> str:
    if user and not is_system:
        raise CommandError("--user goes with --system; a user's unit runs as that user.", status=2)
    directory = _directory(ctx, is_system=is_system)
    account = _account(user) if is_system else None
    return unit_text(settings_of(ctx), directory, given_options(ctx), user=account)


def _account(user: str | None) -> str:
    return user or os.environ.get("SUDO_USER") or getpass.getuser()


def _exists(account: str) -> bool:
    import pwd

    try:
        pwd.getpwnam(account)
    except KeyError:
        return False
    return True


def _directory(ctx: click.Context, *, is_system: bool) -> Path:
    """Return the data directory; the home of whoever calls `sudo` is no place for a system's."""
    settings = settings_of(ctx)
    if is_system and settings.data_dir is None:
        return SYSTEM_DATA
    return settings.directory.expanduser().resolve()


def _make_data_directory(ctx: click.Context, *, is_system: bool, user: str | None) -> None:
    directory = _directory(ctx, is_system=is_system)
    if directory == SYSTEM_DATA or directory.is_dir():
        return  # systemd makes its own state directories
    directory.mkdir(mode=0o700, parents=True)
    if is_system and os.geteuid() == 0:
        try:
            shutil.chown(directory, _account(user))
        except LookupError as error:
            raise CommandError(f"There is no account {_account(user)!r}.", status=USAGE) from error


def _check_platform(ctx: click.Context) -> None:
    if sys.platform == "darwin":
        raise CommandError(
            "macOS has launchd, not systemd: put a LaunchAgent with KeepAlive into "
            "~/Library/LaunchAgents that runs "
            f"`{sys.executable} -m engine.cli serve --data-dir {settings_of(ctx).directory}`.",
            status=FAILURE,
        )


def _option(name: str, value: object) -> list[str]:
    option = "--settings" if name == "settings" else option_name(name)
    values = value if isinstance(value, tuple | list) else (value,)
    if value is True:
        return [option]
    if name in ("settings", "replay"):
        values = [Path(str(one)).expanduser().resolve() for one in values]
    return [text for one in values for text in (option, str(one))]


def _escaped(text: str) -> str:
    """Return `text` with the specifiers of systemd.unit(5) taken literally."""
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """Quote an argument by the rules of systemd.service(5)."""
    plain = _escaped(text).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{plain}"' if shlex.quote(text) != text else plain


def _next_steps(directory: Path, account: str | None) -> list[str]:
    """Return commands; `account` is that of a system unit."""
    watch = f"klinetop --data-dir {shlex.quote(str(directory))}"
    if account is not None:
        return [
            *([] if _exists(account) else [f"sudo useradd --system {shlex.quote(account)}"]),
            "sudo systemctl daemon-reload",
            "sudo systemctl enable --now klinetop",
            "journalctl -u klinetop -f           # what it says",
            f"{watch}    # watch it, as the account that runs it",
        ]
    return [
        "systemctl --user daemon-reload",
        "systemctl --user enable --now klinetop",
        "sudo loginctl enable-linger $USER    # so that it outlives your login",
        "journalctl --user -u klinetop -f     # what it says",
        f"{watch}    # watch it",
    ]
