"""The exchange's clock as the store remembers it, for those who read without an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from engine.store.symbols import put_meta

if TYPE_CHECKING:
    import sqlite3

    from engine.store import Reader

_KEY = "exchange_time"
_SETTLE_MS = 5_000
_LIVE_SPEED = 1.0


class ExchangeTime(msgspec.Struct, frozen=True):
    """What the engine knew last.

    Attributes:
        exchange_ms: Exchange time.
        settled_ms: Exchange time up to which every closed candle had the time to be stored.
        wall_ms: Local wall clock at the same moment.
        speed: Exchange seconds per wall second; 0 for a replay as fast as it goes.
    """

    exchange_ms: int
    settled_ms: int
    wall_ms: int
    speed: float


def put_exchange_time(connection: sqlite3.Connection, known: ExchangeTime) -> None:
    """Keep what is known now; works inside a transaction."""
    put_meta(connection, _KEY, msgspec.json.encode(known).decode())


def stored_exchange_time(reader: Reader) -> ExchangeTime | None:
    """Return what the engine kept last; None before the first time.

    Raises:
        StoreError: when the database can not be read.
        msgspec.DecodeError: when it is no such text.
    """
    text = reader.meta(_KEY)
    return None if text is None else msgspec.json.decode(text, type=ExchangeTime)


def judged_until_ms(reader: Reader, wall_now_ms: int) -> int | None:
    """Return the exchange time up to which capture can be judged now; None when nothing tells.

    A live exchange goes on while no engine runs, and what it closes meanwhile is missing. The clock
    of a demo or a replay stands still with its engine.

    Raises:
        StoreError: when the database can not be read.
        msgspec.DecodeError: when what the engine kept can not be read.
    """
    known = stored_exchange_time(reader)
    if reader.meta("source") == "live" and (known is None or known.speed == _LIVE_SPEED):
        ahead_ms = 0 if known is None else known.wall_ms - known.exchange_ms
        return wall_now_ms - ahead_ms - _SETTLE_MS
    return None if known is None else known.settled_ms
