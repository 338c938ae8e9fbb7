"""What is stored, where it came from, and whether anything is missing."""

from __future__ import annotations

import math
from itertools import zip_longest
from typing import TYPE_CHECKING, ClassVar

from engine.market.capture_figures import Completeness, completeness
from tui.actions import bindings
from tui.cells import fit, pad, width_of
from tui.panes.pane import Pane
from tui.widgets import formats
from tui.widgets.heat import heat_pieces
from tui.widgets.text_lines import TextLines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.style import Style
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from engine.market.capture_figures import DayQuality, MarketCoverage
    from engine.service.contract import StorageSection
    from tui.cells import Cell, Line
    from tui.model import DeskModel

LABEL_WIDTH = 12
LEFT_WIDTH = 42
TWO_COLUMNS = 70
STRIP_WIDTH = 46
BARE_STRIP_WIDTH = 36
CLOCK_ALARM_MS = 1_000
SOURCES = ("stream", "rest", "both", "import")
_LOST = {"floor": "disk full", "gone": "file deleted", "damaged": "damaged"}
GAP_WORDS = {"open": "open", "filled": "filled", "exchange_hole": "holes", "unfillable": "lost"}


class StoragePane(Pane):
    """Pane 4."""

    NAME = "storage"
    SECTIONS = frozenset({"storage"})
    LEAST_S = 1.0
    OFFSET_S = 0.5
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("storage")]

    def __init__(self, model: DeskModel) -> None:
        super().__init__(model)
        self._lines = TextLines(classes="body")

    def compose(self) -> ComposeResult:
        """Hold the lines."""
        yield self._lines

    def draw(self) -> None:
        """Draw all counters."""
        storage = self.model.state.storage
        if storage is None:
            self._lines.show(((), ((f" {self.model.waiting_note}", self.model.palette.dim),)))
            self.set_title()
            return
        self._lines.show(self._columns(self._rows(storage), storage.worst))
        self.set_title(right=(self._verdict(storage),))

    def figure(self) -> Cell:
        """Return the open gaps."""
        storage = self.model.state.storage
        if storage is None:
            return ("-", self.model.palette.dim)
        gaps = storage.gaps.get("open", 0)
        return (f"{gaps} gaps", self.model.palette.warn if gaps else self.model.palette.text)

    def _verdict(self, storage: StorageSection) -> Cell:
        palette = self.model.palette
        if self.model.is_stale:
            return ("not capturing", palette.warn)
        if storage.disk is not None and storage.disk.level in _LOST:
            return (_LOST[storage.disk.level], palette.error)
        if storage.progress is not None or storage.backfill:
            return ("filling", palette.warn)
        match _completeness(storage):
            case Completeness.INCOMPLETE:
                return ("incomplete", palette.warn)
            case Completeness.COMPLETE:
                return ("complete", palette.fine)
            case Completeness.NOTHING_EXPECTED:
                return ("nothing expected yet", palette.dim)
            case Completeness.UNKNOWN:
                return ("being counted", palette.dim)

    def _rows(self, storage: StorageSection) -> list[Line]:
        palette = self.model.palette
        rows = [
            self._row("candles", (f"{storage.candles:,}", palette.bright),
                      (f"  {storage.rows_per_minute:+,.0f}/min", palette.text)),
            *self._progress(storage),
            self._coverage(storage),
            *self._quality(storage.quality),
            self._row("gaps", *self._gaps(storage.gaps)),
            *self._sources(storage.by_source),
            self._row("faults", *self._joined((self._fault(storage.dropped, "dropped"),
                                               self._fault(storage.quarantined, "quarantined")))),
            *self._failures(storage.failures),
            self._row("commit", *self._commit(storage)),
            self._row("stream", (f"{storage.messages_per_s:,.0f} msg/s", palette.text),
                      (f"  {formats.compact(storage.messages)} in all", palette.dim)),
            self._row("REST", *self._weight(storage.weight_used)),
            self._row("database", *self._sizes(storage)),
            self._row("reconnects", (f"{storage.reconnects:,}", palette.text)),
            *self._clock(storage.quality),
        ]  # fmt: skip
        if storage.recording:
            rows.append(self._row("recording", (storage.recording, palette.text)))
        return rows

    def _progress(self, storage: StorageSection) -> list[Line]:
        """How far the fetching of missing candles is: rows, rate and time left."""
        palette, progress = self.model.palette, storage.progress
        if progress is None:
            note = storage.backfill
            return [self._row("backfill", (note, palette.warn))] if note else []
        if progress.note:
            return [self._row("backfill", (progress.note, palette.warn))]
        of = f" of {formats.compact(progress.wanted)}" if progress.wanted else ""
        parts = [(f"{formats.compact(progress.rows)}{of}", palette.warn)]
        if progress.eta_s is not None:
            parts.append((f"{formats.duration(progress.eta_s)} left", palette.text))
        rate = f"{formats.compact(progress.rows_per_s)}/s"
        return [
            self._row("backfill", *self._joined(parts)),
            self._row("", *self._joined([(rate, palette.text), (progress.what, palette.dim)])),
        ]

    def _quality(self, quality: DayQuality | None) -> list[Line]:
        """Shares of a day's candles that are stored at all, and that the stream brought."""
        palette = self.model.palette
        if quality is None or not self._knows_share(quality):
            return []
        stored = formats.share_floor(quality.stored, quality.expected)
        by_stream = formats.share_floor(quality.by_stream, quality.expected)
        style = palette.fine if quality.stored >= quality.expected else palette.warn
        parts = [(stored, style)]
        if quality.holes:
            parts.append((f"{quality.holes:,} more in holes", palette.text))
        streamed = [(by_stream, palette.text)]
        if quality.untraded:
            streamed.append((f"{quality.untraded:,} untraded", palette.dim))
        return [
            self._row("captured", *self._joined(parts)),
            self._row("by stream", *self._joined(streamed)),
        ]

    def _knows_share(self, quality: DayQuality | None) -> bool:
        return quality is not None and quality.expected > 0

    def _clock(self, quality: DayQuality | None) -> list[Line]:
        palette = self.model.palette
        rows: list[Line] = []
        if quality is not None and quality.latency_ms is not None:
            p50, p95, p99 = quality.latency_ms
            late = f"{p50:,.0f} / {p95:,.0f} / {p99:,.0f} ms"
            rows.append(
                self._row(
                    "latency", *self._joined([(late, palette.text), ("p50/95/99", palette.dim)])
                )
            )
        if quality is not None and quality.clock_offset_ms is not None:
            is_off = abs(quality.clock_offset_ms) > CLOCK_ALARM_MS
            style = palette.warn if is_off else palette.text
            rows.append(self._row("own clock", (f"{quality.clock_offset_ms:+,.0f} ms", style)))
        return rows

    def _sizes(self, storage: StorageSection) -> tuple[Cell, ...]:
        palette = self.model.palette
        parts = [(formats.byte_size(storage.database_bytes), palette.text)]
        if storage.disk is not None:
            style = palette.text if storage.disk.level == "fine" else palette.warn
            parts.append((f"{formats.byte_size(storage.disk.free_bytes)} free", style))
        return self._joined(parts)

    def _worst(self, worst: Sequence[MarketCoverage], room: int) -> list[Line]:
        """A strip for each of the markets that lack most, in `room` cells."""
        palette, glyphs = self.model.palette, self.model.glyphs
        if not worst:
            return []
        has_share = room >= STRIP_WIDTH
        lines: list[Line] = [((" each market, hour by hour", palette.dim),)]
        for row in worst:
            style = palette.text if row.stored >= row.expected else palette.warn
            share = formats.share_floor(row.stored, row.expected)
            name = fit(((row.symbol, palette.text),), LABEL_WIDTH - 2, glyphs.ellipsis)
            lines.append(
                (
                    (" ", palette.text),
                    *name,
                    pad(LABEL_WIDTH - 1 - width_of(name)),
                    *heat_pieces(row.cells, glyphs, palette.text, palette.warn),
                    (f" {share:>8}" if row.expected and has_share else "", style),
                )
            )
        return lines

    def _columns(self, rows: list[Line], worst: Sequence[MarketCoverage]) -> list[Line]:
        """Return as many rows as fit: strips beside or beneath them, else rows in two columns."""
        width, height = self.inner_width, self.inner_height
        room = width - LEFT_WIDTH
        if worst and room >= BARE_STRIP_WIDTH and (room >= STRIP_WIDTH or len(rows) <= height):
            return self._beside(rows[:height], self._strips(worst, room), room)
        if len(rows) <= height or width < TWO_COLUMNS:
            return [*rows, *self._worst(worst, width)][:height]
        left = rows[:height]
        room = width - min(LEFT_WIDTH, max(map(width_of, left), default=0))
        return self._beside(left, [_whole(row, room) for row in rows[height : 2 * height]], room)

    def _strips(self, worst: Sequence[MarketCoverage], room: int) -> list[Line]:
        """Return strips in as many columns as `room` has place for."""
        strips, height = self._worst(worst, room), self.inner_height
        columns = [strips[at : at + height] for at in range(0, len(strips), max(1, height))]
        lines = columns[0]
        for at, column in enumerate(columns[1 : max(1, room // STRIP_WIDTH)], start=1):
            lines = [
                (*line, pad(at * STRIP_WIDTH - width_of(line)), *other)
                for line, other in zip_longest(lines, column, fillvalue=())
            ]
        return lines

    def _beside(self, left: Sequence[Line], right: Sequence[Line], room: int) -> list[Line]:
        """Return lines of both, where `room` cells belong to the right."""
        lines: list[Line] = []
        edge = self.inner_width - room
        for index in range(max(len(left), len(right))):
            start = fit(left[index], edge) if index < len(left) else ()
            end = right[index] if index < len(right) else ()
            space = pad(edge - width_of(start))
            lines.append((*start, space, *fit(end, room)))
        return lines

    def _row(self, label: str, *cells: Cell) -> Line:
        return ((f" {label:<{LABEL_WIDTH - 1}}", self.model.palette.dim), *cells)

    def _joined(self, parts: Sequence[tuple[str, Style]]) -> tuple[Cell, ...]:
        """Return the first part, and of the others those that fit whole."""
        room = min(self.inner_width, LEFT_WIDTH - 1) - LABEL_WIDTH
        cells: list[Cell] = []
        for part in parts:
            middot = ((f" {self.model.glyphs.middot} ", self.model.palette.dim),) if cells else ()
            if not cells or width_of((*cells, *middot, part)) <= room:
                cells += [*middot, part]
        return tuple(cells)

    def _sources(self, by_source: dict[str, int]) -> list[Line]:
        text = self.model.palette.text
        parts = [(f"{name} {formats.compact(by_source.get(name, 0))}", text) for name in SOURCES]
        return [
            self._row("from", *self._joined(parts[:2])),
            self._row("", *self._joined(parts[2:])),
        ]

    def _gaps(self, gaps: dict[str, int]) -> tuple[Cell, ...]:
        palette = self.model.palette
        counts = {"open": 0, "filled": 0, **gaps}
        return self._joined(
            [
                (
                    f"{counts[state]:,} {_counted(word, counts[state])}",
                    palette.warn if state == "open" and counts[state] else palette.text,
                )
                for state, word in GAP_WORDS.items()
                if state in ("open", "filled") or counts.get(state)
            ]
        )

    def _coverage(self, storage: StorageSection) -> Line:
        palette, glyphs = self.model.palette, self.model.glyphs
        if not storage.coverage:
            return self._row("24 h", ("being counted", palette.dim))
        known = [share for share in storage.coverage if share is not None]
        if not known:
            return self._row("24 h", ("nothing expected yet", palette.dim))
        mean = sum(known) / len(known)
        style = palette.fine if mean >= 1 else palette.warn
        percent = "100%" if mean >= 1 else f"{math.floor(mean * 100)}%"
        strip = heat_pieces(storage.coverage, glyphs, palette.text, palette.warn)
        # The row "captured" tells the share where it is known.
        share = () if self._knows_share(storage.quality) else ((f" {percent}", style),)
        return self._row("24 h", *strip, *share)

    def _commit(self, storage: StorageSection) -> tuple[Cell, ...]:
        palette = self.model.palette
        if storage.last_commit_ms is None:
            return (("none yet", palette.dim),)
        age = f", {formats.age(storage.last_commit_age_ms)} ago"
        return (
            (f"{storage.last_commit_ms:.1f} ms", palette.text),
            (age if storage.last_commit_age_ms is not None else "", palette.dim),
        )

    def _fault(self, count: int, word: str) -> Cell:
        return (f"{count:,} {word}", self.model.palette.warn if count else self.model.palette.text)

    def _failures(self, failures: dict[str, int]) -> list[Line]:
        """Tasks of the engine that failed and were begun anew; nothing while none did."""
        if not failures:
            return []
        parts = [
            (f"{name} {count:,}x", self.model.palette.warn) for name, count in failures.items()
        ]
        return [self._row("restarted", *self._joined(parts))]

    def _weight(self, weight: tuple[int, int]) -> tuple[Cell, ...]:
        used, limit = weight
        style = self.model.palette.warn if limit and used > 0.8 * limit else self.model.palette.text
        return (
            ((f"weight {used:,}", style), (f" of {limit:,}", style))
            if limit
            else (("no requests yet", self.model.palette.dim),)
        )


def _completeness(storage: StorageSection) -> Completeness:
    return completeness(storage.coverage, storage.quality, storage.gaps, storage.dropped)


def _whole(row: Line, room: int) -> Line:
    """Return label and first value of a row, and what follows as far as it fits whole."""
    kept = list(row)
    while len(kept) > 2 and (width_of(kept) > room or not kept[-1][0].strip(" ·|,-")):
        kept.pop()
    return tuple(kept)


def _counted(word: str, count: int) -> str:
    return word.removesuffix("s") if count == 1 else word
