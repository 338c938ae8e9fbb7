"""The trades tape: newest trade at the top, as many as fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.style import Style

from tui.widgets import formats
from tui.widgets.line_widget import Line, PaintedWidget, Piece, line_width
from tui.widgets.number_column import NumberColumn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from tui.widgets.glyphs import Glyphs
    from tui.widgets.line_widget import WidgetOptions
    from tui.widgets.palette import Palette

SECONDS, MILLISECONDS = 9, 13
COLUMN_WIDTH = 39
"""Width of one of several columns of trades."""
_PLAIN = Style()


class TapeRow(NamedTuple):
    """One trade: epoch ms, price (quote asset), quantity (base asset), and who was the taker."""

    time_ms: int
    price: float
    quantity: float
    is_sell: bool


class Tape(PaintedWidget):
    """Time, side, price and quantity of the newest trades.

    An arrow up is a trade whose taker bought, an arrow down one whose taker sold.
    """

    def __init__(self, palette: Palette, glyphs: Glyphs, **options: Unpack[WidgetOptions]) -> None:
        super().__init__(palette, glyphs, **options)
        self._rows: tuple[TapeRow, ...] = ()
        self._decimals = (2, 4)
        self._note = ""
        self._quantities = NumberColumn()
        self._price_width = 0

    @property
    def rows_wanted(self) -> int:
        """How many trades fit the current size."""
        return self.rows_for(*self.size)

    @staticmethod
    def rows_for(width: int, height: int) -> int:
        """Return how many trades fit `width` columns and `height` rows."""
        return max(1, height * max(1, width // COLUMN_WIDTH))

    def show(
        self,
        rows: Sequence[TapeRow],
        price_decimals: int = 2,
        quantity_decimals: int = 4,
        *,
        note: str = "",
    ) -> None:
        """Show trades.

        Args:
            rows: Trades, OLDEST FIRST (as the engine sends them); the last one is drawn at the top.
            price_decimals: Places of prices.
            quantity_decimals: Places of quantities, at most.
            note: Shown when there are no trades.
        """
        decimals = (price_decimals, quantity_decimals)
        if decimals != self._decimals or not rows:
            self.reset()
        self._rows, self._decimals, self._note = tuple(rows), decimals, note
        self.draw()

    def reset(self) -> None:
        """Forget the widths of columns (for another market)."""
        self._quantities.reset()
        self._price_width = 0

    def draw(self) -> None:
        """Draw as many trades as fit, the newest first."""
        width, height = self.size
        if not width or not height:
            return
        if not self._rows:
            self.set_lines([((self._note[:width], self.palette.dim),)] if self._note else [])
            return
        columns = max(1, width // COLUMN_WIDTH)
        shown = self._rows[-height * columns :]
        width //= columns
        price_decimals, quantity_decimals = self._decimals
        self._price_width = max(
            self._price_width, *(len(formats.price(row.price, price_decimals)) for row in shown)
        )
        room = width - 4 - self._price_width
        self._quantities.see((row.quantity for row in shown), quantity_decimals, room - SECONDS)
        room -= self._quantities.width
        time_width = MILLISECONDS if room >= MILLISECONDS else SECONDS if room >= SECONDS else 0
        lines = [self._line(row, time_width) for row in reversed(shown)]
        self.set_lines(_in_columns(lines, columns, width, height))

    def _line(self, row: TapeRow, time_width: int) -> Line:
        price_decimals, quantity_decimals = self._decimals
        palette, glyphs = self.palette, self.glyphs
        time = formats.clock_ms(row.time_ms)[: max(0, time_width - 1)]
        arrow = glyphs.down if row.is_sell else glyphs.up
        price = formats.price(row.price, price_decimals).rjust(self._price_width)
        quantity = self._quantities.text(row.quantity, quantity_decimals)
        return (
            (f"{time:<{time_width}}", palette.dim),
            (f"{arrow} {price}", palette.down if row.is_sell else palette.up),
            (f"  {quantity.rjust(self._quantities.width)}", palette.text),
        )


def _in_columns(lines: list[Line], columns: int, width: int, height: int) -> list[Line]:
    """Return `lines` in columns of `height`, the first at the left, each `width` cells wide."""
    if columns == 1:
        return lines
    joined: list[Line] = []
    for row in range(min(height, len(lines))):
        line: list[Piece] = []
        for column, one in enumerate(lines[row::height]):
            line.append((" " * (column * width - line_width(line)), _PLAIN))
            line += one
        joined.append(tuple(line))
    return joined
