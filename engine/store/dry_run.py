"""What an import would do with a file, without a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from engine.market.interval import parse_interval
from engine.market.kline_columns import NEEDED, OPTIONAL
from engine.market.kline_layout import KlineHints, split
from engine.market.kline_times import kind_of
from engine.store.flat_rows import times_of
from engine.store.import_source import opened_for_import
from engine.store.imports import FAULTS_TOLD, fault_line

if TYPE_CHECKING:
    from pathlib import Path

    from engine.market.kline_layout import Layout
    from engine.store.import_source import Piece

_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


class Reading(NamedTuple):
    """How a file, or one member of it, is read.

    Attributes:
        name: Of the member; empty where the file has only one.
        kind: `CSV`, `JSON`, `Parquet` or `Feather`.
        separator: Between the columns, as a word.
        skipped: Lines before the first row.
        columns: Our column names to the file's, or to the numbers of columns from 1.
        unknown: Our columns that the file does not have.
        time: The first open time, as the file writes it.
        unit: Of the times, such as `milliseconds`, or `text`.
        zone: Of the times; empty where each names its offset.
    """

    name: str
    kind: str
    separator: str
    skipped: int
    columns: dict[str, str]
    unknown: tuple[str, ...]
    time: str
    unit: str
    zone: str


class DryRun(NamedTuple):
    """What would become of the rows of a file.

    Attributes:
        rows: Lines that hold data, good or bad.
        candles: Rows that would be stored.
        refused: Rows that would not.
        faults: Line and fault of the first of those.
        first_ms: Open time of the oldest candle; None without any.
        last_ms: Open time of the newest.
        readings: How each member is read, in the order of import.
        left_out: Names and reasons of members of an archive that would not be imported.
        broke_off: Where the file breaks off, as a sentence; else empty.
        refusal: Why the import would refuse the whole file, as a sentence; else empty.
    """

    rows: int
    candles: int
    refused: int
    faults: tuple[str, ...]
    first_ms: int | None
    last_ms: int | None
    readings: tuple[Reading, ...]
    left_out: tuple[tuple[str, str], ...]
    broke_off: str
    refusal: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return self._asdict() | {"readings": [one._asdict() for one in self.readings]}


def try_kline_file(
    path: Path, symbol: str, interval: str, hints: KlineHints | None = None
) -> DryRun:
    """Read a kline file as `import_kline_file` does, and store nothing.

    Raises:
        UnknownInterval: for an interval that Binance does not have.
        BadFile: when it can not be told how the file is to be read.
    """
    grid = parse_interval(interval)
    candles = 0
    bad: list[str] = []
    refused = 0
    ends: list[int] = []
    readings: list[Reading] = []
    broke_off = ""
    with opened_for_import(path, symbol, grid, hints or KlineHints(), anyway=True) as opened:
        for piece in opened.pieces:
            readings += _reading(piece)
            for block in piece.reader:
                candles += len(block.rows)
                refused += len(block.bad)
                bad += [
                    fault_line(piece.name, line) for line in block.bad[: FAULTS_TOLD - len(bad)]
                ]
                if times := times_of(block.rows):
                    ends += (min(times), max(times))
            broke_off = broke_off or piece.reader.damage
            if line := piece.reader.broken_line():
                refused += 1
                bad = [*bad, fault_line(piece.name, line)][:FAULTS_TOLD]
        broke_off = opened.damage or broke_off
        left_out = tuple(opened.left_out)
    return DryRun(
        candles + refused,
        candles,
        refused,
        tuple(bad),
        min(ends, default=None),
        max(ends, default=None),
        tuple(readings),
        left_out,
        broke_off,
        opened.fault,
    )


def _reading(piece: Piece) -> list[Reading]:
    layout, line = piece.reader.layout, piece.reader.first_line()
    if layout is None:
        return []
    places = _places(layout)
    cells = split(line, layout.separator)
    time = layout.time_text(cells) if len(cells) >= layout.width else ""
    kind = kind_of(time, layout.form)
    return [
        Reading(
            piece.name,
            piece.kind,
            _SEPARATORS[layout.separator],
            piece.reader.skipped,
            {
                name: (layout.names[at] if layout.names else "") or str(at + 1)
                for name, at in places.items()
                if at is not None
            },
            tuple(name for name, at in places.items() if at is None),
            time.strip(),
            kind.unit,
            kind.zone,
        )
    ]


def _places(layout: Layout) -> dict[str, int | None]:
    positions = (layout.time, *layout.needed, *layout.optional)
    places: dict[str, int | None] = dict(zip((*NEEDED, *OPTIONAL), positions, strict=True))
    if layout.clock is not None:
        places["time of day"] = layout.clock
    if layout.symbol is not None:
        places["symbol"] = layout.symbol
    return places
