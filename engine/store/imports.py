"""Import of kline CSV files through the writer, in big batches, while others may write too."""

from __future__ import annotations

import itertools
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.market.interval import INTERVALS, Interval, parse_interval
from engine.market.kline_csv import UnreadableKlineFile, unpacked
from engine.store.archive import check_sum
from engine.store.errors import BadFile, WriteRefused
from engine.store.values import PutResult, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from engine.store.kline_blocks import Block
    from engine.store.store import Store

BATCHES_UNDERWAY = 4
STALL_LIMIT_S = 15.0
SPACING_ROWS = 1_000
FAULTS_TOLD = 5
_LEAST_PAIRS = 3


class ImportResult(NamedTuple):
    """What became of the rows of a file.

    Attributes:
        rows: Lines that held data, good or bad.
        inserted: Candles that were not stored before; `changed`, `unchanged` and `quarantined`
            as in `PutResult`.
        seconds: Wall time it took.
        faults: Line and fault of the first rows that were quarantined.
    """

    rows: int
    inserted: int
    changed: int
    unchanged: int
    quarantined: int
    seconds: float
    faults: tuple[str, ...] = ()


def import_kline_file(store: Store, path: Path, symbol: str, interval: str) -> ImportResult:
    """Import a kline CSV (plain, gzip or zip) as closed candles of one series.

    Rows that hold no candle, lie off the interval's grid or belong to a candle that is not over
    yet go to quarantine with their line number, and the rest is stored. Importing a file twice
    changes nothing. A `CHECKSUM` file beside it, as the public archive has them, must fit.

    Raises:
        UnknownInterval: for an interval that Binance does not have.
        BadFile: when the file can not be read, holds no klines, or those of another interval;
            nothing is stored then.
        StoreError: when the disk refuses to be written; what was stored until then stays.
    """
    from engine.store.kline_blocks import BlockReader  # brings numpy, which others do not need

    grid = parse_interval(interval)
    started = time.perf_counter()
    pipeline = _Pipeline(store, symbol, grid, path.name)
    try:
        check_sum(path)
        with path.open("rb") as file, unpacked(file, path.name) as content:
            over_ms = grid.floor(time.time_ns() // 1_000_000)
            blocks = BlockReader(content, path.name, grid, over_ms)
            if not path.stat().st_size:
                raise BadFile(f"{path} is empty; fetch it again.")
            _check_spacing(blocks.first_times(SPACING_ROWS), grid, path)
            pipeline.feed(blocks)
    except UnreadableKlineFile as error:
        raise BadFile(f"{path} can not be imported. {error}") from error
    except OSError as error:
        raise BadFile(f"{path} can not be read: {error.strerror or error}.") from error
    inserted, changed, unchanged, quarantined = pipeline.finish()
    return ImportResult(
        inserted + changed + unchanged + quarantined,
        inserted,
        changed,
        unchanged,
        quarantined,
        time.perf_counter() - started,
        tuple(pipeline.faults),
    )


def _check_spacing(times: Sequence[int], grid: Interval, path: Path) -> None:
    """Refuse a file whose candles mostly lie apart as those of another interval do.

    Each five-minute-aligned row of a 1m file would pass for a 5m candle, with a false close.
    """
    apart = Counter(
        0 if grid.next(min(pair)) == max(pair) else abs(pair[1] - pair[0])
        for pair in itertools.pairwise(times)
        if pair[0] != pair[1]
    )
    fitting = apart.pop(0, 0)
    spacing_ms, count = apart.most_common(1)[0] if apart else (0, 0)
    if count < _LEAST_PAIRS or count <= fitting:
        return
    name = next((name for name, other in INTERVALS.items() if other.length_ms == spacing_ms), "")
    lie = f"{name} apart; say --interval {name}" if name else f"{spacing_ms / 1000:,g} s apart"
    raise BadFile(
        f"{path} holds no {grid.name} candles: most of them lie {lie}. Nothing was stored."
    )


class _Pipeline:
    """Keeps a few batches of rows on their way through the writer."""

    def __init__(self, store: Store, symbol: str, interval: Interval, name: str) -> None:
        self._writer = store.writer
        self._symbol = symbol
        self._interval = interval
        self._origin = f"import {name}"
        self._underway: deque[Future[PutResult]] = deque()
        self._total = (0, 0, 0, 0)
        self.faults: list[str] = []

    def feed(self, blocks: Iterable[Block]) -> None:
        """Hand all rows on in batches."""
        for block in blocks:
            bad = [self._bad(*told) for told in block.bad]
            if block.rows or bad:
                self._send(block.rows, bad)

    def finish(self) -> tuple[int, int, int, int]:
        """Wait for the batches underway and return the summed result."""
        while self._underway:
            self._wait()
        return self._total

    def _bad(self, line_number: int, fault: str, raw: str) -> tuple[str, str, str]:
        reason = f"line {line_number}: {fault}"
        if len(self.faults) < FAULTS_TOLD:
            self.faults.append(reason)
        return self._origin, reason, raw

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
