"""What can go wrong between a viewer and an engine, each as a sentence for users."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from engine import __version__
from engine.market.sources import source_words

if TYPE_CHECKING:
    from engine.settings import Settings


class EngineGone(Exception):
    """No engine answers; the text is a sentence for users."""


class EngineMismatch(Exception):
    """The engine is of another version; the text is a sentence for users."""


class EngineProblem(Exception):
    """The engine refused a request; `usage` marks a user's mistake."""

    def __init__(self, message: str, *, usage: bool = False) -> None:
        super().__init__(message)
        self.usage = usage


def mismatch(theirs: str) -> EngineMismatch:
    """Return the error for an engine of `theirs`, such as `version 0.2.0`."""
    return EngineMismatch(
        f"The running engine is of {theirs}, this klinetop is version {__version__}: "
        "`klinetop stop` stops it, and `klinetop` then starts its own."
    )


def refuse_other_source(
    settings: Settings, source: str, source_note: str, *, exact: bool = False
) -> None:
    """Refuse to show one source's data to who asked for another's.

    Who asks for Binance's live data only names a directory (`klinetop status --data-dir
    data/demo`), so that any engine there will do.

    Args:
        settings: What was asked for.
        source: What the engine says it runs: `live`, `demo` or `replay`.
        source_note: What tells it from others of its kind.
        exact: Tell apart the sources of one kind, too: seeds, files, hosts.

    Raises:
        EngineProblem: when the engine runs something else, with both in words.
    """
    if settings.is_binance:
        return
    wanted = settings.source
    if wanted != source or (exact and settings.source_note != source_note):
        raise EngineProblem(
            f"The engine that runs on {settings.directory} shows "
            f"{source_words(source, source_note)}, not "
            f"{source_words(wanted, settings.source_note)}; use another --data-dir, or end it with "
            f"`klinetop stop --data-dir {shlex.quote(str(settings.directory))}`.",
            usage=True,
        )
