"""Import of kline files through the writer, in big batches, while others may write too."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.market.interval import Interval, parse_interval
from engine.market.kline_layout import KlineHints
from engine.store.errors import WriteRefused
from engine.store.holes import note_import
from engine.store.import_source import opened_for_import
from engine.store.values import PutResult, Source

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from engine.store.import_source import Piece
    from engine.store.kline_blocks import BadLine
    from engine.store.store import Store

BATCHES_UNDERWAY = 4
STALL_LIMIT_S = 15.0
FAULTS_TOLD = 5
KEPT_ROWS = 100  # bad rows that quarantine takes of every file, and of bigger ones 1 % of the rows
KEPT_SHARE = 100


class ImportResult(NamedTuple):
    """What became of the rows of a file.

    Attributes:
        rows: Lines that held data, good or bad.
        inserted: Candles that were not stored before; `changed` and `unchanged` as in `PutResult`.
        quarantined: Bad rows that the table quarantine holds.
        seconds: Wall time it took.
        faults: Line and fault of the first bad rows.
        unkept: Bad rows beyond the share of a file that quarantine takes.
        left_out: Names and reasons of members of an archive that were not imported.
        broke_off: Where the file breaks off, as a sentence; else empty.
    """

    rows: int
    inserted: int
    changed: int
    unchanged: int
    quarantined: int
    seconds: float
    faults: tuple[str, ...] = ()
    unkept: int = 0
    left_out: tuple[tuple[str, str], ...] = ()
    broke_off: str = ""


def import_kline_file(
    store: Store, path: Path, symbol: str, interval: str, hints: KlineHints | None = None
) -> ImportResult:
    """Import a kline file of any usual making as closed candles of one series.

    Rows that hold no candle, lie off the interval's grid or belong to a candle that is not over
    yet go to quarantine with their line number, and the rest is stored; quarantine takes a small
    share of a file and the others are counted. Importing a file twice changes nothing. A
    `CHECKSUM` file beside it, as the public archive has them, must fit.

    Raises:
        UnknownInterval: for an interval that Binance does not have.
        BadFile: when the file can not be read, its first rows hold no candle, or candles of
            another interval; nothing is stored then.
        StoreError: when the disk refuses to be written; what was stored until then stays.
    """
    grid = parse_interval(interval)
    started = time.perf_counter()
    pipeline = _Pipeline(store, symbol, grid, path.name)
    with opened_for_import(path, symbol, grid, hints or KlineHints()) as opened:
        for piece in opened.pieces:
            pipeline.feed(piece)
        broke_off = opened.damage or pipeline.damage
        left_out = tuple(opened.left_out)
    inserted, changed, unchanged, quarantined = pipeline.finish()
    pipeline.note_spans()
    return ImportResult(
        inserted + changed + unchanged + quarantined + pipeline.unkept,
        inserted,
        changed,
        unchanged,
        quarantined,
        time.perf_counter() - started,
        tuple(pipeline.faults),
        pipeline.unkept,
        left_out,
        broke_off,
    )


def fault_line(member: str, line: BadLine) -> str:
    """Return a bad line's place and fault in words; `member` is empty in a file of one."""
    where = f"{member} line" if member else "line"
    return f"{where} {line.number}: {line.fault}"


class _Span(NamedTuple):
    """Open times of a member's first and last candle, and how many of its rows were refused."""

    first_ms: int | None = None
    last_ms: int | None = None
    refused: int = 0

    def with_rows(self, rows: Sequence[tuple[Any, ...]], refused: int) -> _Span:
        times = [int(row[0]) for row in (*rows[:1], *rows[-1:])]
        known = [time_ms for time_ms in self[:2] if time_ms is not None]
        ends = [*times, *known]
        first, last = (min(ends), max(ends)) if ends else (None, None)
        return _Span(first, last, self.refused + refused)


def check_kline_file(
    path: Path, symbol: str, interval: str, hints: KlineHints | None = None
) -> None:
    """Look at the first rows of a file as `import_kline_file` does.

    Raises:
        BadFile: when the import would refuse it.
    """
    with opened_for_import(path, symbol, parse_interval(interval), hints or KlineHints()):
        pass


class _Pipeline:
    """Keeps a few batches of rows on their way through the writer."""

    def __init__(self, store: Store, symbol: str, interval: Interval, name: str) -> None:
        self._writer = store.writer
        self._symbol = symbol
        self._interval = interval
        self._origin = f"import {name}"
        self._underway: deque[Future[PutResult]] = deque()
        self._total = (0, 0, 0, 0)
        self._rows = 0
        self._kept = 0
        self.unkept = 0
        self.damage = ""
        self.faults: list[str] = []
        self._spans: list[_Span] = []

    def feed(self, piece: Piece) -> None:
        """Hand all rows on in batches."""
        span = _Span()
        for block in piece.reader:
            self._rows += len(block.rows) + len(block.bad)
            bad = self._within_share([self._bad(piece.name, line) for line in block.bad])
            span = span.with_rows(block.rows, len(block.bad))
            if block.rows or bad:
                self._send(block.rows, bad)
        self._spans.append(span)
        self.damage = self.damage or piece.reader.damage
        if line := piece.reader.broken_line():
            self._send((), [self._bad(piece.name, line)])

    def finish(self) -> tuple[int, int, int, int]:
        """Wait for the batches underway and return the summed result."""
        while self._underway:
            self._wait()
        return self._total

    def note_spans(self) -> None:
        """Note from when to when each member told candles: what lies between, it did not have."""

        def note(connection: sqlite3.Connection) -> None:
            for first_ms, last_ms, refused in self._spans:
                if first_ms is not None and last_ms is not None:
                    series = (self._symbol, self._interval.name)
                    note_import(connection, *series, first_ms, last_ms, refused)

        self._writer.run(note).result(STALL_LIMIT_S)

    def _within_share(self, bad: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
        room = max(KEPT_ROWS + self._rows // KEPT_SHARE - self._kept, 0)
        self._kept += min(len(bad), room)
        self.unkept += max(len(bad) - room, 0)
        return bad[:room]

    def _bad(self, member: str, line: BadLine) -> tuple[str, str, str]:
        reason = fault_line(member, line)
        if len(self.faults) < FAULTS_TOLD:
            self.faults.append(reason)
        return self._origin, reason, line.raw

    def _send(self, good: Sequence[tuple[Any, ...]], bad: list[tuple[str, str, str]]) -> None:
        while len(self._underway) >= BATCHES_UNDERWAY:
            self._wait()
        self._underway.append(
            self._writer.put_rows(self._symbol, self._interval, good, bad, Source.IMPORT)
        )

    def _wait(self) -> None:
        first = self._underway[0]
        stalled_s = 0.0
        while True:
            try:
                result = first.result(0.5)
                break
            except TimeoutError:
                counters = self._writer.counters
                stalled_s = stalled_s + 0.5 if counters.is_stalled else 0.0
                if stalled_s >= STALL_LIMIT_S:
                    raise WriteRefused(
                        f"The import stopped after {sum(self._total)} rows: {counters.last_error}. "
                        f"What was stored stays; import the file again when there is space."
                    ) from None
        self._underway.popleft()
        a, b, c, d = self._total
        self._total = (
            a + result.inserted,
            b + result.changed,
            c + result.unchanged,
            d + result.quarantined,
        )
