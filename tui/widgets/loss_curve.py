"""Training loss by epoch and hit rate by outcome, drawn by plotext when their data change."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from rich.text import Text

from tui.widgets.line_widget import Line, PaintedWidget

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from rich.style import Style

    from tui.widgets.glyphs import Glyphs
    from tui.widgets.line_widget import WidgetOptions
    from tui.widgets.palette import Palette

_TO_ASCII = str.maketrans("┌┐└┘┤├┬┴┼─│", "+++++++++-|")
_LEAST_SIZE = (16, 5)
COIN = 50.0


def loss_plot(
    loss: Sequence[float],
    val_loss: Sequence[float],
    width: int,
    height: int,
    *,
    epochs: int = 0,
    is_ascii: bool = False,
) -> list[str]:
    """Return a plot of both losses over epochs as `height` rows of `width` cells, uncoloured.

    The training loss is drawn with dots, the validation loss with circles (`x` in ASCII). plotext
    keeps one global figure, which is cleared before and after: call this in one thread only.

    Args:
        loss: Training loss by epoch, from epoch 1; values that are not finite are left out.
        val_loss: Validation loss likewise.
        width: Cells.
        height: Rows.
        epochs: Length of the axis; 0 ends it at the last epoch there is.
        is_ascii: Draw with ASCII characters only.
    """
    import plotext

    train = [(i, value) for i, value in enumerate(loss, 1) if isfinite(value)]
    valid = [(i, value) for i, value in enumerate(val_loss, 1) if isfinite(value)]
    last = max([epochs, *(i for i, _ in train + valid)], default=1)
    plotext.clear_figure()
    plotext.limit_size(False, False)
    plotext.theme("clear")
    plotext.plot_size(width, height)
    plotext.xlim(1, max(2, last))
    step = max(1, -(-last // max(2, width // 12)))
    plotext.xticks(list(range(1, max(2, last) + 1, step)))
    for points, marker in ((train, "." if is_ascii else "•"), (valid, "x" if is_ascii else "○")):
        if points:
            plotext.plot([i for i, _ in points], [value for _, value in points], marker=marker)
    text = Text.from_ansi(plotext.build()).plain
    plotext.clear_figure()
    rows = [row.ljust(width)[:width] for row in text.split("\n")[:height]]
    return [row.translate(_TO_ASCII) for row in rows] if is_ascii else rows


class LossCurve(PaintedWidget):
    """Loss and validation loss by epoch, with a legend that tells the last values."""

    def __init__(self, palette: Palette, glyphs: Glyphs, **options: Unpack[WidgetOptions]) -> None:
        super().__init__(palette, glyphs, **options)
        self._losses: tuple[tuple[float, ...], tuple[float, ...], int] = ((), (), 0)
        self._drawn: object = None

    def show(self, loss: Sequence[float], val_loss: Sequence[float], *, epochs: int = 0) -> None:
        """Show losses by epoch, from epoch 1; `epochs` fixes the length of the axis (0: as is)."""
        self._losses = (tuple(loss), tuple(val_loss), epochs)
        self.draw()

    def draw(self) -> None:
        """Draw the curve if its data or its size changed."""
        width, height = self.size
        key = (self._losses, width, height)
        if not width or not height or key == self._drawn:
            return
        self._drawn = key
        loss, val_loss, epochs = self._losses
        if not loss and not val_loss:
            self.set_lines([])
            return
        lines = [self._legend(loss, val_loss)]
        if width >= _LEAST_SIZE[0] and height - 1 >= _LEAST_SIZE[1]:
            rows = loss_plot(
                loss, val_loss, width, height - 1, epochs=epochs, is_ascii=self.glyphs.is_ascii
            )
            lines += [self._styled(row) for row in rows]
        self.set_lines(lines)

    @property
    def _marks(self) -> tuple[tuple[str, Style], tuple[str, Style]]:
        is_ascii = self.glyphs.is_ascii
        return (
            ("." if is_ascii else "•", self.palette.accent),
            ("x" if is_ascii else "○", self.palette.bright),
        )

    def _legend(self, loss: tuple[float, ...], val_loss: tuple[float, ...]) -> Line:
        (train_mark, train_style), (valid_mark, valid_style) = self._marks
        pieces = []
        if loss:
            pieces.append((f"{train_mark} loss {loss[-1]:.4f}  ", train_style))
        if val_loss:
            best = min(range(len(val_loss)), key=val_loss.__getitem__)
            pieces.append((f"{valid_mark} val_loss {val_loss[-1]:.4f}  ", valid_style))
            pieces.append((f"best {val_loss[best]:.4f} in epoch {best + 1}", self.palette.dim))
        return tuple(pieces)

    def _styled(self, row: str) -> Line:
        """Colour the marks of the curves, and leave frame and labels dim."""
        edge = next((x for x, char in enumerate(row) if char in "│┤|+"), len(row))
        styles = dict(self._marks)
        pieces: list[tuple[str, Style]] = []
        for x, char in enumerate(row):
            style = styles.get(char, self.palette.dim) if x > edge else self.palette.dim
            if pieces and pieces[-1][1] == style:
                pieces[-1] = (pieces[-1][0] + char, style)
            else:
                pieces.append((char, style))
        return tuple(pieces)


class HitCurve(LossCurve):
    """Share of right forecasts after each outcome, beside that of a coin."""

    def show_rates(self, rates: Sequence[float]) -> None:
        """Show `rates` (per cent), one for each outcome, the oldest first."""
        self.show(rates, [COIN] * len(rates))

    def _legend(self, loss: tuple[float, ...], val_loss: tuple[float, ...]) -> Line:
        del val_loss
        (mark, style), (coin_mark, coin_style) = self._marks
        return (
            (f"{mark} right, of the last {len(loss)}: {loss[-1]:.1f} %  ", style),
            (f"{coin_mark} a coin", coin_style),
        )
