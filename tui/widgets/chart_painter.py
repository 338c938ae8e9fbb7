"""Turns a scene into columns of cells, and columns into lines of styled pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.style import Style

from tui.widgets import formats
from tui.widgets.candle_geometry import BODY, WICK, candle_shape, volume_eighths
from tui.widgets.chart_scene import AVERAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui.widgets.candle_geometry import Bar, CandleShape, Mark
    from tui.widgets.chart_scene import Scene
    from tui.widgets.glyphs import Glyphs
    from tui.widgets.line_widget import Line, Piece
    from tui.widgets.palette import Palette

Cell = tuple[str, Style]
Column = list[Cell]

_BLANK: Cell = (" ", Style())


class ChartPainter:
    """Paints scenes with one palette and one set of glyphs."""

    def __init__(self, palette: Palette, glyphs: Glyphs) -> None:
        self.palette = palette
        self.glyphs = glyphs
        self._average_styles = (palette.average_10, palette.average_20, palette.average_30)

    def column(self, scene: Scene, x: int) -> Column:
        """Return the cells of column `x` from the top of the plot to the foot of the volume."""
        layout = scene.layout
        cells = [_BLANK] * (layout.plot_rows + layout.volume_rows)
        self._paint_grid(cells, scene, x)
        for index in (2, 1, 0):
            self._paint_average(cells, scene, x, index)
        slot = scene.slot_at(x)
        if slot is None:
            return cells
        bar = scene.bars[slot]
        offset = x - scene.first_x - slot * scene.zoom.cells
        shape = candle_shape(bar, scene.scale)
        self._paint_candle(cells, scene, bar, shape, offset)
        self._paint_volume(cells, scene, bar, offset)
        if offset == scene.middle:
            self._paint_mark(cells, scene, scene.marks[slot], shape)
        return cells

    def _paint_grid(self, cells: Column, scene: Scene, x: int) -> None:
        is_tick = any(tick.position == x for tick in scene.time_ticks)
        if is_tick:
            cell = (self.glyphs.middot, self.palette.grid)
            for tick in scene.price_ticks:
                cells[tick.position] = cell
        if scene.crosshair is not None and x == scene.column(scene.crosshair):
            line = (self.glyphs.bar, self.palette.crosshair)
            for y in range(len(cells)):
                cells[y] = line

    def _paint_average(self, cells: Column, scene: Scene, x: int, index: int) -> None:
        rows = scene.average_rows[index]
        row = rows[x]
        if row is None:
            return
        style = self._average_styles[index]
        if self.palette.is_mono or self.glyphs.is_ascii:
            cells[row] = (self.glyphs.averages[index], style)
            return
        before = rows[x - 1] if x else None
        if before is None or before == row:
            cells[row] = ("─", style)
            return
        upper, lower = min(before, row), max(before, row)
        for y in range(upper + 1, lower):
            cells[y] = ("│", style)
        falls = row > before
        cells[upper] = ("╮" if falls else "╭", style)
        cells[lower] = ("╰" if falls else "╯", style)

    def candle_style(self, bar: Bar) -> Style:
        """Return the style of a candle: rising or falling, closed or open."""
        if bar.close >= bar.open:
            return self.palette.up if bar.closed else self.palette.up_open
        return self.palette.down if bar.closed else self.palette.down_open

    def _paint_candle(
        self, cells: Column, scene: Scene, bar: Bar, shape: CandleShape, offset: int
    ) -> None:
        wide = _body_part(scene.zoom.cells, offset, self.glyphs.is_ascii)
        if wide is None:
            return
        style = self.candle_style(bar)
        is_up = bar.close >= bar.open
        first, last = shape.top // 2, shape.bottom // 2
        for row in range(first, last + 1):
            upper, lower = shape.state(2 * row), shape.state(2 * row + 1)
            if wide:
                hollow = is_up and self.palette.is_mono and not self.glyphs.is_ascii
                glyph = _wide_glyph(upper, lower, wide, shape, row, is_hollow=hollow)
                if self.glyphs.is_ascii:
                    body = self._glyphs_of(is_up=is_up)[8]
                    glyph = body if glyph not in " │╷╵" else "|" if glyph != " " else " "
            else:
                glyph = self._glyphs_of(is_up=is_up)[3 * upper + lower]
            if glyph != " " or (wide and BODY in (upper, lower)):
                cells[row] = (glyph, style)

    def _glyphs_of(self, *, is_up: bool) -> str:
        if not (self.palette.is_mono or self.glyphs.is_ascii):
            return self.glyphs.candle
        return self.glyphs.candle_up if is_up else self.glyphs.candle_down

    def _paint_volume(self, cells: Column, scene: Scene, bar: Bar, offset: int) -> None:
        rows = scene.layout.volume_rows
        if not rows or _body_part(scene.zoom.cells, offset, is_ascii=True) is None:
            return
        eighths = volume_eighths(bar.volume, scene.largest_volume, rows)
        style = self.palette.volume_up if bar.close >= bar.open else self.palette.volume_down
        levels = self.glyphs.levels
        foot = len(cells) - 1
        for row in range(rows):
            height = min(8, eighths - 8 * row)
            if height <= 0:
                break
            cells[foot - row] = (levels[height - 1], style)

    def _paint_mark(
        self, cells: Column, scene: Scene, mark: Mark | None, shape: CandleShape
    ) -> None:
        if mark is None:
            return
        glyphs = self.glyphs
        is_miss = mark.state == "miss"
        if mark.is_up:
            row = min(scene.layout.plot_rows - 1, shape.bottom // 2 + 1)
            glyph = glyphs.up_hollow if is_miss else glyphs.up
        else:
            row = max(0, shape.top // 2 - 1)
            glyph = glyphs.down_hollow if is_miss else glyphs.down
        cells[row] = (glyph, self.mark_style(mark))

    def mark_style(self, mark: Mark) -> Style:
        """Return the style of a forecast by its outcome."""
        palette = self.palette
        styles = {"hit": palette.good, "miss": palette.bad, "waiting": palette.dim}
        return styles.get(mark.state, palette.dim)

    def row(self, scene: Scene, columns: Sequence[Column], y: int) -> Line:
        """Return row `y` of plot and volume with its part of the price axis."""
        pieces = runs([column[y] for column in columns])
        label = self._axis_label(scene, y)
        return (*pieces, label) if label[0] else tuple(pieces)

    def _axis_label(self, scene: Scene, y: int) -> Piece:
        width = scene.layout.axis_width
        if not width:
            return ("", self.palette.axis)
        scale, last = scene.scale, scene.last_price
        inner = width - 1
        if last is not None and y == scale.row(last) and y < scene.layout.plot_rows:
            pointer = self.glyphs.pointer
            if last > scale.high:
                pointer = self.glyphs.up
            elif last < scale.low:
                pointer = self.glyphs.down
            label = formats.price(last, scene.decimals)
            return (pointer + label[:inner].rjust(inner), self.palette.last_price)
        if scene.crosshair is not None:
            close = scene.bars[scene.crosshair].close
            if y == scale.row(close) and y < scene.layout.plot_rows:
                label = formats.price(close, scene.decimals)
                return (" " + label[:inner].rjust(inner), self.palette.crosshair_label)
        for tick in scene.price_ticks:
            if tick.position == y:
                return (" " + tick.label.rjust(inner), self.palette.axis)
        return (" " * width, self.palette.axis)

    def time_axis(self, scene: Scene) -> Line:
        """Return the row of time labels, the crosshair's own one above all."""
        width = scene.layout.width
        cells: Column = [_BLANK] * width
        label, start = "", width
        if scene.crosshair is not None:
            label = f" {formats.stamp(scene.bars[scene.crosshair].time_ms)} "
            start = max(0, min(width - len(label), scene.column(scene.crosshair) - len(label) // 2))
        for tick in scene.time_ticks:
            end = tick.position + 1 + len(tick.label)
            if end < start or tick.position > start + len(label):
                _write(cells, tick.position, self.glyphs.tick + tick.label, self.palette.axis)
        _write(cells, start, label, self.palette.crosshair_label)
        return tuple(runs(cells))

    def header(self, scene: Scene, note: str) -> Line:
        """Return the crosshair's readout and the legend of the averages, as far as they fit."""
        remarks = self._remarks(scene, note)
        line: list[Piece] = []
        room = scene.layout.width
        if scene.crosshair is not None:
            room = _append_fitting(
                line, self._readout(scene.bars[scene.crosshair], scene.decimals), room
            )
        # What makes candles differ from what they seem to be goes before the averages.
        reserved = len(remarks) + 2 if remarks and len(remarks) + 2 <= room else 0
        room = _append_fitting(line, self._legend(scene), room - reserved) + reserved
        if reserved:
            line.append((remarks.rjust(room), self.palette.warn if note else self.palette.dim))
        return tuple(line)

    def _readout(self, bar: Bar, decimals: int) -> list[Piece]:
        palette = self.palette
        change = bar.close - bar.open
        arrow = self.glyphs.up if change > 0 else self.glyphs.down if change < 0 else ""
        percent = formats.percent(change / bar.open * 100 if bar.open else None)
        pieces: list[Piece] = []
        for name, value in zip("OHLC", (bar.open, bar.high, bar.low, bar.close), strict=True):
            pieces += [
                (f"{name} ", palette.dim),
                (formats.price(value, decimals) + " ", palette.text),
            ]
        pieces.append((f"{arrow}{percent} ".lstrip(), palette.direction(change)))
        pieces += [("V ", palette.dim), (formats.compact(bar.volume) + " ", palette.text)]
        if not bar.closed:
            pieces.append(("open ", palette.dim))
        return [*pieces, (" ", palette.text)]

    def _legend(self, scene: Scene) -> list[Piece]:
        pieces: list[Piece] = []
        for index, length in enumerate(AVERAGES):
            style = self._average_styles[index]
            if self.palette.is_mono or self.glyphs.is_ascii:
                mark = self.glyphs.averages[index]
            else:
                mark = "─"
            value = formats.price(scene.average_values[index], scene.decimals)
            pieces.append((f"{mark}MA{length} {value}  ", style))
        return pieces

    def _remarks(self, scene: Scene, note: str) -> str:
        remarks = [note] if note else []
        if scene.zoom.join > 1:
            remarks.append(f"{scene.zoom.join} candles a column")
        if not scene.is_live:
            remarks.append("history, 0 = now")
        return "  ".join(remarks)


def _append_fitting(line: list[Piece], pieces: list[Piece], room: int) -> int:
    """Append pieces while they fit `room` cells; return the room that is left."""
    for piece in pieces:
        if len(piece[0]) > room:
            break
        line.append(piece)
        room -= len(piece[0])
    return room


def runs(cells: Sequence[Cell]) -> list[Piece]:
    """Join neighbouring cells that have the same style object into pieces."""
    pieces: list[Piece] = []
    text: list[str] = []
    style: Style | None = None
    for glyph, cell_style in cells:
        if cell_style is not style:
            if style is not None:
                pieces.append(("".join(text), style))
            text, style = [], cell_style
        text.append(glyph)
    if style is not None:
        pieces.append(("".join(text), style))
    return pieces


def _write(cells: Column, x: int, text: str, style: Style) -> None:
    for offset, char in enumerate(text):
        if 0 <= x + offset < len(cells):
            cells[x + offset] = (char, style)


def _body_part(cells: int, offset: int, is_ascii: bool) -> str | None:
    """Return which part of a wide body a column is; empty for a thin one, None for a gap."""
    if cells <= 2:
        return "" if offset == 0 else None
    if cells == 3:
        if is_ascii:
            return "" if offset == 1 else None
        return ("half left", "middle", "half right")[offset]
    if offset == cells - 1:
        return None
    if offset == (cells - 1) // 2:
        return "middle"
    return "left" if offset == 0 else "right" if offset == cells - 2 else "inside"


_SOLID = {
    "half left": " ▗▝▐",
    "half right": " ▖▘▌",
    "middle": " ▄▀█",
    "left": " ▄▀█",
    "right": " ▄▀█",
    "inside": " ▄▀█",
}
_HOLLOW = {"half left": "▐", "half right": "▌", "left": "▌", "right": "▐"}
_HOLLOW_TOP = {"left": "▛", "right": "▜", "middle": "▀", "inside": "▀"}
_HOLLOW_FOOT = {"left": "▙", "right": "▟", "middle": "▄", "inside": "▄"}
_WICKS = " ╷╵│"


def _wide_glyph(
    upper: int, lower: int, part: str, shape: CandleShape, row: int, *, is_hollow: bool
) -> str:
    """Return the glyph of one cell of a body that is wider than a column.

    Where a wick goes on beyond a cell that is half body, the whole cell becomes body, so that the
    candle does not break apart: an error of half a row at most.
    """
    if BODY not in (upper, lower):
        if part != "middle":
            return " "
        return _WICKS[(2 if upper == WICK else 0) + (1 if lower == WICK else 0)]
    if upper == WICK and shape.top < 2 * row:
        upper = BODY
    if lower == WICK and shape.bottom > 2 * row + 1:
        lower = BODY
    state = (2 if upper == BODY else 0) + (1 if lower == BODY else 0)
    if not is_hollow or state != 3:
        return _SOLID[part][state]
    return _hollow_glyph(
        part, is_top=shape.body_top >= 2 * row, is_foot=shape.body_bottom <= 2 * row + 1
    )


def _hollow_glyph(part: str, *, is_top: bool, is_foot: bool) -> str:
    if is_top and not is_foot and part in _HOLLOW_TOP:
        return _HOLLOW_TOP[part]
    if is_foot and part in _HOLLOW_FOOT:
        return _HOLLOW_FOOT[part]
    return _HOLLOW.get(part, " ")
