"""Runs a command so that a user gets sentences and exit statuses, never a traceback.

Exit status: 0 fine, 1 a failure, 2 a user's mistake, 130 interrupted; 3 is a `status` without an
engine.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

FAILURE = 1
USAGE = 2
INTERRUPTED = 130
_STATUS_BY_NAME = {
    "NoDatabase": FAILURE,
    "CorruptDatabase": FAILURE,
    "WriteRefused": FAILURE,
    "DatabaseHeld": FAILURE,
    "StoreError": USAGE,
    "SettingsError": USAGE,
    "UnknownInterval": USAGE,
    "UnknownTime": USAGE,
    "UnknownSymbol": USAGE,
    "RestError": FAILURE,
    "UnreadableKlineFile": USAGE,
    "ReplayError": USAGE,
    "ForecastError": FAILURE,
    "ExchangeFailed": USAGE,
    "EngineGone": FAILURE,
    "EngineMismatch": FAILURE,
    "EngineProblem": FAILURE,
    "SocketTaken": FAILURE,
    "UnsafeDirectory": FAILURE,
}


class CommandError(Exception):
    """A command could not be carried out; the text is a sentence for users.

    Attributes:
        status: The exit status.
    """

    def __init__(self, message: str, *, status: int = FAILURE) -> None:
        super().__init__(message)
        self.status = status


class ReaderGone(Exception):
    """Who read our output has seen enough, as `head` does: no failure.

    It stands for `BrokenPipeError`, of which click would make an exit status of 1.
    """


def run_guarded(command: click.Command, arguments: Sequence[str] | None = None) -> int:
    """Run `command` and return the exit status; every error ends as one line on stderr."""
    # Without a handler of its own, logging would write warnings of the rooms to stderr.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        result = command.main(
            args=None if arguments is None else list(arguments),
            prog_name="klinetop",
            standalone_mode=False,
        )
        sys.stdout.flush()
    except click.Abort:
        return INTERRUPTED
    except (ReaderGone, BrokenPipeError):
        _discard_output()
        return 0
    except click.ClickException as error:
        return _said(_usage_sentence(error), error.exit_code)
    except Exception as error:  # noqa: BLE001  the last place to make a sentence of it
        status = exit_status(error)
        if status is None:
            return _said(_unknown_sentence(error), FAILURE)
        return _said(str(error), status)
    return result if isinstance(result, int) else 0


def exit_status(error: Exception) -> int | None:
    """Return the exit status of an error whose text is a sentence; None for any other."""
    if isinstance(error, CommandError):
        return error.status
    if getattr(error, "usage", False) is True:
        return USAGE
    for kind in type(error).__mro__:
        if kind.__module__.startswith("engine.") and kind.__name__ in _STATUS_BY_NAME:
            return _STATUS_BY_NAME[kind.__name__]
    return None


def _said(sentence: str, status: int) -> int:
    click.echo(sentence, err=True)
    return status


def _usage_sentence(error: click.ClickException) -> str:
    message = error.format_message()
    if not isinstance(error, click.UsageError) or error.ctx is None:
        return message
    return f"{message} `{error.ctx.command_path} --help` tells more."


def _unknown_sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}."
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    return f"klinetop failed in a way it does not know ({what}); {_keep_traceback(error)}"


def _keep_traceback(error: Exception) -> str:
    import traceback

    import platformdirs

    file = Path(platformdirs.user_log_dir("klinetop", appauthor=False)) / "failure.log"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError as problem:
        return f"the details could not be written to {file} ({problem.strerror})."
    return f"{file} holds the details."


def _discard_output() -> None:
    # The interpreter flushes stdout once more when it ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
