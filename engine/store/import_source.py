"""A kline file opened for import: all of its members are looked at before any is stored."""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from engine.market.interval import INTERVALS
from engine.market.kline_errors import UnreadableKlineFile
from engine.market.kline_files import ordered
from engine.market.kline_names import series_of
from engine.market.kline_packing import unpacked
from engine.store.archive import check_sum
from engine.store.errors import BadFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from engine.market.interval import Interval
    from engine.market.kline_layout import KlineHints
    from engine.market.kline_packing import Member
    from engine.store.kline_blocks import BlockReader, Head

HEAD_ROWS = 1_000
_LEAST_PAIRS = 3
_FEW_UNTIMED = 4


class Piece(NamedTuple):
    """One member of a file.

    Attributes:
        name: Of the member; empty where the file has only one.
        reader: Of its rows.
        kind: What its content is, such as `CSV`.
    """

    name: str
    reader: BlockReader
    kind: str


class Opened(NamedTuple):
    """A file whose members were all looked at.

    Attributes:
        pieces: Opens one member after the other, in order of time.
        left_out: Names and reasons of members that are not imported.
        damage: The sentence for an archive that breaks off, else empty.
        fault: Why the only member is not to be imported, as a sentence; else empty.
    """

    pieces: Iterator[Piece]
    left_out: list[tuple[str, str]]
    damage: str
    fault: str = ""


@contextmanager
def opened_for_import(
    path: Path, symbol: str, grid: Interval, hints: KlineHints, *, anyway: bool = False
) -> Iterator[Opened]:
    """Open a kline file and look at the first rows of all of its members.

    Args:
        path: A file of any kind that `kline_packing` unpacks.
        symbol: The market that it is to be of.
        grid: The interval that its candles are to be of.
        hints: What the user says about it.
        anyway: Give a file whose rows are not to be imported, too, with its `fault`.

    Raises:
        BadFile: when it can not be read, or no member holds candles of `grid`; also from within
            the block, where the disk fails.
    """
    known = hints._replace(symbol=symbol)
    try:
        check_sum(path)
        if not path.stat().st_size:
            raise BadFile(f"{path} is empty; fetch it again.")
        with path.open("rb") as file, unpacked(file, path.name) as package:
            inside = ordered(package, known)
            over_ms = grid.floor(time.time_ns() // 1_000_000)
            source = _Source(path, symbol, grid, known, over_ms)
            left_out = list(inside.left_out)
            if len(inside.members) == 1:
                piece, fault = source.only(inside.members[0])
                if fault and not anyway:
                    raise BadFile(f"{fault} See with --dry-run how it is read.")
                yield Opened(iter((piece,)), left_out, inside.damage, fault)
            else:
                good = source.good_ones(inside.members, left_out)
                yield Opened(map(source.opened, good), left_out, inside.damage)
    except UnreadableKlineFile as error:
        named = str(error).removeprefix(f"{path.name} ")
        begin = f"{path} can not be imported." if named == str(error) else str(path)
        raise BadFile(f"{begin} {named}") from error
    except OSError as error:
        raise BadFile(f"{path} can not be read: {error.strerror or error}.") from error


class _Source:
    def __init__(
        self, path: Path, symbol: str, grid: Interval, hints: KlineHints, over_ms: int
    ) -> None:
        self._path = path
        self._symbol = symbol
        self._grid = grid
        self._hints = hints
        self._over_ms = over_ms

    def opened(self, member: Member) -> Piece:
        return Piece(member.name, self._reader(member), member.kind)

    def only(self, member: Member) -> tuple[Piece, str]:
        """Open the only member; the text says why it is not to be imported."""
        reader = self._reader(member)
        fault = self._fault(reader.head(HEAD_ROWS))
        sentence = f"{self._path} {fault} Nothing was stored." if fault else ""
        return Piece("", reader, member.kind), sentence

    def good_ones(self, members: Sequence[Member], left_out: list[tuple[str, str]]) -> list[Member]:
        """Return the members that are to be imported, and tell of the others in `left_out`.

        Raises:
            BadFile: when there are none.
        """
        good = []
        for member in members:
            if fault := self._member_fault(member):
                left_out.append((member.name, fault))
            else:
                good.append(member)
        if not good:
            name, why = left_out[0]
            raise BadFile(
                f"{self._path} holds nothing to import: {name}: {why} Nothing was stored."
            )
        return good

    def _member_fault(self, member: Member) -> str:
        told = series_of(member.name)
        if told is not None and told != (self._symbol, self._grid.name):
            return f"it is of {told.symbol} {told.interval}, not {self._symbol} {self._grid.name}."
        try:
            return self._fault(self._reader(member).head(HEAD_ROWS))
        except UnreadableKlineFile as error:
            return str(error)

    def _reader(self, member: Member) -> BlockReader:
        from engine.store.kline_blocks import BlockReader  # brings numpy, which others do not need

        return BlockReader(member.open(), self._grid, self._over_ms, self._hints)

    def _fault(self, head: Head) -> str:
        """Say why no row is to be stored, after the name of the file; empty when there is none."""
        if not head.good and not head.bad:
            return "holds no rows; fetch it again."
        if fault := _spacing_fault(head, self._grid):
            return fault
        if not head.good and head.bad:
            first = head.bad[0]
            return (
                f"holds no {self._grid.name} candle in its first {len(head.bad):,} rows: line "
                f"{first.number}: {first.fault}."
            )
        return ""


def _spacing_fault(head: Head, grid: Interval) -> str:
    """Say when candles mostly lie apart as those of another interval do, in any order of rows.

    Each five-minute-aligned row of a 1m file would pass for a 5m candle, with a false close.
    """
    times = head.times
    same = sum(1 for before, after in itertools.pairwise(times) if before == after)
    if same >= _LEAST_PAIRS and same > len(times) - 1 - same:
        return (
            "gives most rows the same open time as the row before: its times lack their hours, or "
            "it mixes markets; say which column tells the time with --columns open_time=NAME."
        )
    pairs = list(itertools.pairwise(sorted(set(times))))
    apart = Counter(after - before for before, after in pairs if grid.next(before) != after)
    spacing_ms, count = apart.most_common(1)[0] if apart else (0, 0)
    fitting = len(pairs) - apart.total()
    finest_ms = math.gcd(*apart)  # rows of which some are missing lie apart by multiples of it
    is_of_another = count * 2 > len(pairs) or (not fitting and finest_ms > grid.length_ms)
    if count < _LEAST_PAIRS or not is_of_another:
        return ""
    spacing_ms = spacing_ms if count * 2 > len(pairs) else finest_ms
    untimed = head.good + len(head.bad) - len(times)
    name = next((name for name, other in INTERVALS.items() if other.length_ms == spacing_ms), "")
    if not name and untimed > len(times) // _FEW_UNTIMED:
        return ""  # bad rows lie between those that have a time
    lie = f"{name} apart; say --interval {name}" if name else f"{spacing_ms / 1000:,g} s apart"
    return f"holds no {grid.name} candles: most of them lie {lie}."
