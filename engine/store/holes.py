"""Minutes that the exchange itself does not have, told from those that klinetop lacks.

The exchange makes its longer candles of what was traded, however long a maintenance took. A candle
made of stored minutes may do the same where one of these says that there are no others:

* the ledger of gaps calls the minutes an exchange hole;
* the market was not TRADING, as exchangeInfo told then, or had no candle yet;
* the exchange as a whole was down (`engine.market.outages`);
* one imported file goes on before and after them. That counts up to `MOST_HOLE_MS`, longer than
  any outage was, and only for holes of more minutes than the file had rows that were refused.

Of the last two none counts where the ledger holds the minutes as open or unfillable and the
exchange never answered without them: then klinetop lacks them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from engine.market.interval import MINUTE_MS
from engine.market.outages import known_outages
from engine.store.ranges import shared, union, without
from engine.store.symbols import symbol_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from engine.store.ranges import Range
    from engine.store.reader import Reader

MOST_HOLE_MS = 48 * 3_600_000
_MINUTE = "1m"
_TRADING = "TRADING"
_GAPS = (
    "SELECT from_ms, to_ms, state = 'exchange_hole' AS is_hole FROM gap"
    " WHERE symbol_id = (SELECT id FROM symbol WHERE name = :symbol) AND interval = '1m'"
    " AND (state = 'exchange_hole' OR state IN ('open', 'unfillable') AND first_empty_ms IS NULL)"
)
_STATUSES = (
    "SELECT from_ms, status, lead(from_ms) OVER (ORDER BY from_ms) AS to_ms FROM market_status"
    " WHERE symbol_id = (SELECT id FROM symbol WHERE name = :symbol) ORDER BY from_ms"
)
_IMPORTED = (
    "SELECT from_ms, to_ms, refused FROM imported"
    " WHERE symbol_id = (SELECT id FROM symbol WHERE name = :symbol) AND interval = '1m'"
)


class _Imported(NamedTuple):
    from_ms: int
    to_ms: int
    refused: int


class _Known(NamedTuple):
    holes: list[Range]
    outages: list[Range]
    lacked: list[Range]
    imported: list[_Imported]


class Holes:
    """What is known of the minutes that one market does not have; read when first asked for.

    Args:
        reader: The store.
        symbol: Binance's name of the market.
    """

    def __init__(self, reader: Reader, symbol: str) -> None:
        self._reader = reader
        self._symbol = symbol
        self._known: _Known | None = None

    def cover(self, lacking: Sequence[Range]) -> bool:
        """Tell whether the exchange has none of these minutes, which are not stored."""
        return not without(lacking, self.within(lacking))

    def within(self, lacking: Sequence[Range]) -> list[Range]:
        """Return those of `lacking` (ranges [from_ms, to_ms), ascending) that are holes."""
        known = self._known = self._known or _read(self._reader, self._symbol)
        found = shared(lacking, known.holes)
        rest = without(without(lacking, found), known.lacked)
        outages = shared(rest, known.outages)
        by_file = [piece for piece in without(rest, outages) if self._is_in_file(piece, known)]
        return union([*found, *outages, *by_file])

    def _is_in_file(self, piece: Range, known: _Known) -> bool:
        if not known.imported:
            return False
        before = self._reader.candle_rows(self._symbol, _MINUTE, end_ms=piece[0], limit=1)
        after = self._reader.candle_rows(self._symbol, _MINUTE, start_ms=piece[1], limit=1)
        if not before or not after:
            return False
        hole = (before[0][0] + MINUTE_MS, after[0][0])
        length_ms = hole[1] - hole[0]
        return length_ms <= MOST_HOLE_MS and any(
            file.from_ms < hole[0] and hole[1] < file.to_ms and length_ms > file.refused * MINUTE_MS
            for file in known.imported
        )


def note_import(
    connection: sqlite3.Connection,
    symbol: str,
    interval: str,
    first_ms: int,
    last_ms: int,
    refused: int,
) -> None:
    """Note that one imported file told the candles that open in [first_ms, last_ms].

    Works inside a transaction.

    Args:
        connection: The writer's.
        symbol: Binance's name of the market.
        interval: Binance's name of the interval.
        first_ms: Open time of its first candle (epoch ms).
        last_ms: Open time of its last candle.
        refused: Rows of it that were refused; any of them may be a candle that is missing.
    """
    connection.execute(
        "INSERT INTO imported (symbol_id, interval, from_ms, to_ms, refused)"
        " VALUES (:symbol_id, :interval, :from_ms, :to_ms, :refused)"
        " ON CONFLICT (symbol_id, interval, from_ms, to_ms) DO UPDATE"
        " SET refused = min(refused, excluded.refused)",
        {
            "symbol_id": symbol_id(connection, symbol),
            "interval": interval,
            "from_ms": first_ms,
            "to_ms": last_ms + 1,
            "refused": refused,
        },
    )


def _read(reader: Reader, symbol: str) -> _Known:
    named = {"symbol": symbol}
    gaps = reader.query(_GAPS, named)
    starts = reader.query(
        "SELECT first_ms FROM series_start WHERE interval = '1m'"
        " AND symbol_id = (SELECT id FROM symbol WHERE name = :symbol)",
        named,
    )
    holes = [(gap["from_ms"], gap["to_ms"]) for gap in gaps if gap["is_hole"]]
    holes += [(0, row["first_ms"]) for row in starts if row["first_ms"] > 0]
    holes += _halts(reader, symbol)
    return _Known(
        union(holes),
        known_outages(),
        union((gap["from_ms"], gap["to_ms"]) for gap in gaps if not gap["is_hole"]),
        [_Imported(**row) for row in reader.query(_IMPORTED, named)],
    )


def _halts(reader: Reader, symbol: str) -> list[Range]:
    """Return when the market was not trading; the status it was first seen with tells no time."""
    now_ms = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS
    rows = reader.query(_STATUSES, {"symbol": symbol})
    halts = [
        (_ceil_minute(row["from_ms"]), _ceil_minute(row["to_ms"] or now_ms))
        for row in rows
        if row["from_ms"] > 0 and row["status"] != _TRADING
    ]
    return [(start, end) for start, end in halts if start < end]


def _ceil_minute(time_ms: int) -> int:
    return -(-time_ms // MINUTE_MS) * MINUTE_MS
