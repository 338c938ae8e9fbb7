"""What the terminal keeps from one run to the next, in a file of the data directory."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from engine.market.interval import INTERVALS
from tui.pane_names import PANE_NAMES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

FILE_NAME: Final = "terminal.json"
SORTS: Final = ("", "symbol", "last", "change", "volume")
MOST_BYTES: Final = 65_536


class Remembered(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was set by keys; an empty text leaves it to the settings.

    Attributes:
        theme: Name of Textual's theme.
        symbol: The market shown in every pane.
        interval: Candle interval.
        pane: The pane that has the keyboard.
        maximised: Whether it fills the screen.
        behind: Panes that stand behind another one where two share a place.
        sort: Column that tickers are sorted by, and whether the other way round.
        zoom: Step of the chart's zoom; None for the usual one.
        step: Price step of the book (quote asset); 0 for none.
    """

    theme: str = ""
    symbol: str = ""
    interval: str = ""
    pane: str = ""
    maximised: bool = False
    behind: tuple[str, ...] = ()
    sort: str = ""
    sort_reversed: bool = False
    zoom: int | None = None
    step: float = 0.0


NOTHING: Final = Remembered()


class Memory:
    """Reads and writes `Remembered` as JSON; the file is the user's alone (0600).

    Args:
        directory: The data directory, so that each market's desk is remembered by itself.

    Attributes:
        problem: Why the file was not used or can not be written, for users; else empty.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE_NAME
        self.problem = ""
        self._saved: Remembered | None = None
        self._is_told = False

    def load(self) -> Remembered:
        """Return what the file holds; nothing where there is none or it is broken."""
        try:
            # Who opens a named pipe without it waits for a writer.
            with os.fdopen(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                found = msgspec.json.decode(file.read(MOST_BYTES), type=Remembered)
            _check(found)
        except FileNotFoundError:
            return NOTHING
        except (OSError, msgspec.DecodeError, ValueError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            self.problem = f"{self.path} is not used, since it can not be read ({reason})."
            return NOTHING
        self._saved = found
        return found

    def save(self, now: Remembered) -> None:
        """Write `now` where it differs from what was written last.

        What can not be written is told once, in `problem`, until it could be written again.
        """
        if now == self._saved:
            return
        self._saved = now
        scratch = self.path.with_name(f".{FILE_NAME}.{os.getpid()}")
        try:
            # A directory that is not there yet belongs to an engine that is still starting.
            with os.fdopen(
                os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb"
            ) as file:
                file.write(msgspec.json.format(msgspec.json.encode(now)))
            scratch.replace(self.path)
            self._is_told = False
        except OSError as error:
            with suppress(OSError):
                scratch.unlink()
            if not self._is_told:
                self._is_told = True
                self.problem = (
                    f"{self.path} can not be written ({error.strerror}); this layout is not "
                    "remembered."
                )


def first_view(
    kept: Remembered, symbols: Sequence[str], interval: str, given: Collection[str]
) -> tuple[str, str]:
    """Return symbol (empty: the engine's pick) and interval to begin with.

    Args:
        kept: What was remembered; the command line beats it.
        symbols: The settings' watchlist.
        interval: The settings' interval.
        given: Names of the settings that the command line sets.
    """
    symbol = symbols[0] if "symbols" in given and symbols else kept.symbol
    return symbol, interval if "interval" in given else kept.interval or interval


def _check(found: Remembered) -> None:
    """Refuse values that no key could have set.

    Raises:
        ValueError: with the value in words.
    """
    if found.interval and found.interval not in INTERVALS:
        raise ValueError(f"no interval is called {found.interval!r}")
    unknown = {found.pane, *found.behind} - {"", *PANE_NAMES}
    if unknown:
        raise ValueError(f"no pane is called {min(unknown)!r}")
    if found.sort not in SORTS:
        raise ValueError(f"tickers are not sorted by {found.sort!r}")
    if not 0 <= found.step < float("inf"):
        raise ValueError(f"{found.step} is no price step")
