"""Import of kline CSV files through the writer, in big batches, while others may write too."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.market.interval import Interval, parse_interval
from engine.market.kline_csv import BadRow, UnreadableKlineFile, read_rows, text_lines
from engine.store.checks import candle_values, grid_fault
from engine.store.errors import StoreError, WriteRefused
from engine.store.values import PutResult, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from engine.market.candle import Candle
    from engine.store.store import Store

BATCH_ROWS = 5_000
BATCHES_UNDERWAY = 3
STALL_LIMIT_S = 15.0


class ImportResult(NamedTuple):
    """What became of the rows of a file.

    Attributes:
        rows: Lines that held data, good or bad.
        inserted: Candles that were not stored before; `changed`, `unchanged` and `quarantined`
            as in `PutResult`.
        seconds: Wall time it took.
    """

    rows: int
    inserted: int
    changed: int
    unchanged: int
    quarantined: int
    seconds: float


def import_kline_file(store: Store, path: Path, symbol: str, interval: str) -> ImportResult:
    """Import a kline CSV (plain, gzip or zip) as closed candles of one series.

    Rows that hold no candle, lie off the interval's grid or belong to a candle that is not over
    yet go to quarantine with their line number, and the rest is stored. Importing a file twice
    changes nothing.

    Raises:
        UnknownInterval: for an interval that Binance does not have.
        StoreError: when the file can not be opened or holds no klines, or when the disk refuses
            to be written; what was stored until then stays.
    """
    grid = parse_interval(interval)
    started = time.perf_counter()
    pipeline = _Pipeline(store, symbol, grid, path.name)
    try:
        with path.open("rb") as file:
            pipeline.feed(text_lines(file, path.name))
    except UnreadableKlineFile as error:
        raise StoreError(f"{path} can not be imported. {error}") from error
    except OSError as error:
        raise StoreError(f"{path} can not be read: {error.strerror or error}.") from error
    inserted, changed, unchanged, quarantined = pipeline.finish()
    return ImportResult(
        inserted + changed + unchanged + quarantined,
        inserted,
        changed,
        unchanged,
        quarantined,
        time.perf_counter() - started,
    )


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, Candle | BadRow]]:
    """Yield rows with their line numbers; a file that breaks off ends with a bad row."""
    at = [0]

    def counted() -> Iterator[str]:
        for at[0], line in enumerate(lines, 1):
            yield line

    is_empty = True
    try:
        for row in read_rows(counted()):
            is_empty = False
            yield at[0], row
    except UnreadableKlineFile as error:
        if is_empty:
            raise
        yield at[0] + 1, BadRow(at[0] + 1, str(error), "")


class _Pipeline:
    """Checks rows and keeps a few batches on their way through the writer."""

    def __init__(self, store: Store, symbol: str, interval: Interval, name: str) -> None:
        self._writer = store.writer
        self._symbol = symbol
        self._interval = interval
        self._origin = f"import {name}"
        self._underway: deque[Future[PutResult]] = deque()
        self._total = (0, 0, 0, 0)

    def feed(self, lines: Iterable[str]) -> None:
        """Read and check all rows and hand them on in batches."""
        good: list[tuple[Any, ...]] = []
        bad: list[tuple[str, str, str]] = []
        over_ms = self._interval.floor(time.time_ns() // 1_000_000)
        for line_number, row in _numbered(lines):
            if isinstance(row, BadRow):
                bad.append((self._origin, f"line {line_number}: {row.reason}", row.raw))
            elif fault := self._fault(row.open_time_ms, over_ms):
                bad.append((self._origin, f"line {line_number}: {fault}", repr(row)))
            else:
                good.append(candle_values(row))
            if len(good) + len(bad) >= BATCH_ROWS:
                self._send(good, bad)
                good, bad = [], []
        if good or bad:
            self._send(good, bad)

    def finish(self) -> tuple[int, int, int, int]:
        """Wait for the batches underway and return the summed result."""
        while self._underway:
            self._wait()
        return self._total

    def _fault(self, open_time_ms: int, over_ms: int) -> str | None:
        fault = grid_fault(open_time_ms, self._interval)
        return "the candle is not over yet" if not fault and open_time_ms >= over_ms else fault

    def _send(self, good: list[tuple[Any, ...]], bad: list[tuple[str, str, str]]) -> None:
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
