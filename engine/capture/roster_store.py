"""What the roster keeps in the store: statuses, promises, and when it looked last."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import msgspec

from engine.store import promises
from engine.store.symbols import put_meta

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from engine.store import Reader

T = TypeVar("T")
Key = tuple[str, str]
log = logging.getLogger(__name__)

_LAST_LOOK = "roster"


class Look(msgspec.Struct, frozen=True):
    """Exchange time of a look, and whether it saw all markets or the watchlist alone."""

    time_ms: int
    is_whole: bool


def after(look: Look | None, now_ms: int) -> int:
    """Return the first moment of which nobody knows what the exchange did."""
    return now_ms if look is None else min(now_ms, look.time_ms + 1)


def read_stored(
    reader: Reader,
) -> tuple[dict[str, tuple[str, int]], frozenset[Key], Look | None]:
    """Return the statuses with their times, the captured series, and the last look.

    Raises:
        StoreError: when the database can not be read.
    """
    text = reader.meta(_LAST_LOOK)
    look = None
    try:
        look = msgspec.json.decode(text, type=Look) if text else None
    except msgspec.DecodeError as error:
        log.warning("the stored time of the last look could not be read: %s", error)
    return promises.latest_statuses(reader), frozenset(promises.captured_series(reader)), look


@dataclass(frozen=True)
class Notes:
    """What one look changed.

    Attributes:
        statuses: Market, status, and the exchange time from which it holds.
        begun: Series that are captured from a time on.
        ended: Series that are captured until a time.
        look: The newest look.
    """

    statuses: Sequence[tuple[str, str, int]]
    begun: Sequence[tuple[Key, int]]
    ended: Sequence[tuple[Key, int]]
    look: Look | None

    def write(self, connection: sqlite3.Connection) -> None:
        """Put it into the store; works inside a transaction."""
        told = {name: status for name, status, _ in self.statuses}
        for time_ms, names in _by_time((name, at_ms) for name, _, at_ms in self.statuses).items():
            promises.note_statuses(connection, {name: told[name] for name in names}, time_ms)
        for time_ms, keys in _by_time(self.ended).items():
            promises.end_promise(connection, keys, time_ms)
        for time_ms, keys in _by_time(self.begun).items():
            promises.promise(connection, keys, time_ms)
        put_meta(connection, _LAST_LOOK, msgspec.json.encode(self.look).decode())


def _by_time(items: Iterable[tuple[T, int]]) -> dict[int, list[T]]:
    grouped: dict[int, list[T]] = {}
    for item, time_ms in items:
        grouped.setdefault(time_ms, []).append(item)
    return grouped
