"""Kline files as sources of a replay: what they hold, and where a replay of them starts."""

from __future__ import annotations

import logging
import re
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate, groupby, islice, pairwise
from typing import TYPE_CHECKING

import msgspec

from engine.market.candle import Candle
from engine.market.interval import INTERVALS, Interval
from engine.market.kline_csv import UnreadableKlineFile, number
from engine.market.kline_files import read_klines
from engine.market.kline_layout import KlineHints
from engine.market.kline_names import series_of
from engine.simulator.candles import join
from engine.simulator.replay_fills import UNKNOWN_COUNT
from engine.simulator.replay_parts import ReplayError, decimals_in, parse_start, symbol_info

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from engine.market.symbol import SymbolInfo

_logger = logging.getLogger(__name__)

_SYMBOL = re.compile(r"([^\W_]+)(?:[-_.]|$)")
_HISTORY_SHARE = 0.6
_SNIFFED = 4  # rows
_ZIP = b"PK\x03\x04"
_USUAL_SHARE = 0.99
_SAMPLE = 2000  # rows that tell the decimals
_MONTH_MS = range(28 * 86_400_000, 31 * 86_400_000 + 1)


@dataclass(frozen=True, slots=True)
class KlineHistory:
    """All candles of one market that kline files hold.

    Attributes:
        info: The market; tick and step size follow from the decimals of the numbers.
        interval: Spacing of the rows.
        candles: Closed candles, ascending, one per open time; the files' numbers.
        ids_before: For each candle the number of trades of all candles before it, and their
            total as last item: made-up trade ids.
        bad_rows: Lines that hold no candle on the interval's grid, and repeated open times.
    """

    info: SymbolInfo
    interval: Interval
    candles: tuple[Candle, ...]
    ids_before: tuple[int, ...]
    bad_rows: int

    @property
    def first_ms(self) -> int:
        """Open time of the first candle."""
        return self.candles[0].open_time_ms

    @property
    def end_ms(self) -> int:
        """Time at which the last candle is over."""
        return self.interval.next(self.candles[-1].open_time_ms)

    def index(self, time_ms: int) -> int:
        """Return the index of the first candle that opens at `time_ms` or later."""
        return bisect_left(self.candles, time_ms, key=_open_time_ms)

    def whole(
        self, interval: Interval, start_ms: int | None, end_ms: int, limit: int, *, over_by_ms: int
    ) -> list[Candle]:
        """Return whole candles of `interval` with open times in [start_ms, end_ms), ascending.

        Those of the file's own interval are the file's rows; longer ones are joined from them,
        but for the one that the file's beginning cuts. Intervals that the rows do not add up to
        give none.

        Args:
            interval: Any interval.
            start_ms: First open time; None for the newest `limit` before `end_ms`.
            end_ms: Open times stop before it.
            limit: Most candles to return: the oldest from `start_ms`, or the newest.
            over_by_ms: Time at which the candles must be over.
        """
        if not self.makes(interval):
            return []
        first_ms = interval.floor(self.first_ms)
        if first_ms < self.first_ms:
            first_ms = interval.next(first_ms)
        first_ms = max(first_ms, start_ms or first_ms)
        stop_ms = min(end_ms, interval.floor(over_by_ms))
        if stop_ms <= first_ms or limit < 1:
            return []
        stop = self.index(interval.next(interval.floor(stop_ms - 1)))
        indices = range(self.index(first_ms), stop)
        groups = groupby(
            indices if start_ms is not None else reversed(indices),
            lambda index: interval.floor(self.candles[index].open_time_ms),
        )
        made = []
        for open_time_ms, group in islice(groups, limit + 1):
            members = sorted(group)
            if open_time_ms >= first_ms:
                made.append(self._join(open_time_ms, members[0], members[-1] + 1))
        made = made[:limit]
        return made if start_ms is not None else made[::-1]

    def _join(self, open_time_ms: int, start: int, stop: int) -> Candle:
        if stop - start == 1 and self.candles[start].open_time_ms == open_time_ms:
            return self.candles[start]
        return join(open_time_ms, self.candles[start:stop])

    def makes(self, interval: Interval) -> bool:
        """Tell whether candles of `interval` can be made of the file's rows."""
        if interval.name == "1M" and self.interval.name in ("3d", "1w"):
            return False
        return interval.length_ms % self.interval.length_ms == 0


def is_kline_file(path: Path) -> bool:
    """Tell by its first lines whether `path` holds klines; a zip archive is taken for one."""
    with path.open("rb") as file:
        if file.read(len(_ZIP)) == _ZIP:
            return True
        file.seek(0)
        try:
            told = series_of(path.name)
            hints = KlineHints(symbol=told.symbol if told else "")
            rows = islice(read_klines(file, path.name, hints), _SNIFFED)
            return any(isinstance(row, Candle) for row in rows)
        except UnreadableKlineFile:
            return False


def load_kline_files(paths: Sequence[Path]) -> list[KlineHistory]:
    """Read kline files; several of one market continue each other.

    Raises:
        ReplayError: for a file without candles, of no recognisable interval or symbol, damaged, or
            of another interval than the files beside it.
    """
    rows: dict[str, list[Candle]] = {}
    bad: Counter[str] = Counter()
    intervals: dict[str, Interval] = {}
    for path in paths:
        symbol = _symbol_of(path)
        candles, bad_rows = _read(path, symbol)
        interval = _interval_of(path.name, sorted({row.open_time_ms for row in candles}))
        intervals[interval.name] = interval
        rows.setdefault(symbol, []).extend(candles)
        bad[symbol] += bad_rows
    if len(intervals) > 1:
        raise ReplayError(
            f"The kline files have different intervals ({', '.join(intervals)}); "
            "play files of one interval together."
        )
    (interval,) = intervals.values()
    return [_history(symbol, interval, found, bad[symbol]) for symbol, found in rows.items()]


def start_of(history: KlineHistory, start: str | None, start_ms: int | None) -> int:
    """Return where a replay starts: the open time of a candle, or the end of the file.

    Args:
        history: The first market.
        start: Text of a user: any form that `engine.market.times` reads.
        start_ms: Where an earlier replay stopped; counts if there is no `start`, and is moved
            inside the file.

    Raises:
        ReplayError: when `start` is no time or lies outside the file.
    """
    if start is not None:
        what = f"klines of {history.info.name}"
        return history.interval.floor(parse_start(start, what, history.first_ms, history.end_ms))
    if start_ms is not None:
        inside = min(max(start_ms, history.first_ms), history.end_ms)
        return history.end_ms if inside == history.end_ms else history.interval.floor(inside)
    return history.candles[int(len(history.candles) * _HISTORY_SHARE)].open_time_ms


def _open_time_ms(candle: Candle) -> int:
    return candle.open_time_ms


def _symbol_of(path: Path) -> str:
    if told := series_of(path.name):
        return told.symbol
    match = _SYMBOL.match(path.name)
    if not match:
        raise ReplayError(
            f"The name of {path.name} does not begin with its symbol; "
            "call the file something like BTCUSDT_1m.csv."
        )
    return match[1].upper()


def _read(path: Path, symbol: str) -> tuple[list[Candle], int]:
    candles: list[Candle] = []
    bad_rows = 0
    try:
        with path.open("rb") as file:
            for row in read_klines(file, path.name, KlineHints(symbol=symbol)):
                if isinstance(row, Candle):
                    candles.append(_with_quote_volume(row))
                else:
                    bad_rows += 1
                    _logger.warning("%s line %d: %s", path.name, row.line_number, row.reason)
    except UnreadableKlineFile as error:
        raise ReplayError(str(error)) from error
    return candles, bad_rows


def _with_quote_volume(candle: Candle) -> Candle:
    """Give a candle that lacks it a quote volume: the volume at the candle's typical price.

    The exchange's messages know no unknown amount.
    """
    if candle.quote_volume is not None:
        return candle
    price = (candle.high + candle.low + candle.close) / 3
    return msgspec.structs.replace(candle, quote_volume=round(candle.volume * price, 8))


def _history(symbol: str, interval: Interval, rows: list[Candle], bad_rows: int) -> KlineHistory:
    by_time = {row.open_time_ms: row for row in rows}
    times = sorted(by_time)
    candles = tuple(by_time[time] for time in times if interval.is_aligned(time))
    if len(candles) < 2:
        raise ReplayError(f"The open times of {symbol}'s klines do not lie on the UTC grid.")
    sample = candles[:: len(candles) // _SAMPLE + 1]
    return KlineHistory(
        symbol_info(
            symbol,
            _usual_decimals(value for row in sample for value in (row.open, row.high, row.low)),
            _usual_decimals(row.volume for row in sample),
        ),
        interval,
        candles,
        tuple(
            accumulate(
                (UNKNOWN_COUNT if row.trades is None else row.trades for row in candles), initial=0
            )
        ),
        bad_rows + len(rows) - len(candles),
    )


def _interval_of(name: str, times: Sequence[int]) -> Interval:
    if len(times) < 2:
        raise ReplayError(f"{name} holds fewer than two candles.")
    spacing, _ = Counter(after - before for before, after in pairwise(times)).most_common(1)[0]
    if spacing in _MONTH_MS:
        return INTERVALS["1M"]
    for interval in INTERVALS.values():
        if interval.length_ms == spacing:
            return interval
    raise ReplayError(
        f"The rows of {name} lie {spacing / 1000:g} s apart, which is no interval that Binance has."
    )


def _usual_decimals(values: Iterable[float]) -> int:
    """Return how many decimals nearly all of `values` do with; a few odd ones do not count."""
    counts = Counter(decimals_in(number(value)) for value in values)
    total = sum(counts.values())
    covered = 0
    for decimals in sorted(counts):
        covered += counts[decimals]
        if covered >= _USUAL_SHARE * total:
            return decimals
    return 8
