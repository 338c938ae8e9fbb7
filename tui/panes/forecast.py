"""The forecast of the focused symbol and interval, and what became of earlier ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from textual.containers import Container

from tui.panes.forecast_lines import BUSY, Sheet, forecast_lines, model_title
from tui.panes.pane import Pane
from tui.widgets.loss_curve import HitCurve, LossCurve
from tui.widgets.text_lines import TextLines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from engine.market.forecast import PredictionRow
    from engine.service.contract import ForecastSection
    from tui.cells import Cell
    from tui.model import DeskModel

TEXT_WIDTH: Final = 62
CURVE_MIN_WIDTH: Final = 24
CURVE_MIN_HEIGHT: Final = 7
CURVE_HEIGHT: Final = 10
TEXT_HEIGHT: Final = 8
TEXT_MIN_HEIGHT: Final = 5
HITS_HEIGHT: Final = 24
HITS_TEXT_WIDTH: Final = 70
HITS_MIN_HEIGHT: Final = 18


class ForecastPane(Pane):
    """Pane 5. The loss curve stands beside the text, or below it, while a job trains.

    In a large pane the share of forecasts that came true stands there at other times.
    """

    NAME = "forecast"
    SECTIONS = frozenset({"forecast"})
    LEAST_S = 1.0
    OFFSET_S = 0.75
    DEFAULT_CSS = """
    ForecastPane .body { layout: vertical; overflow: hidden hidden; }
    ForecastPane .body.-beside { layout: horizontal; }
    """

    def __init__(self, model: DeskModel) -> None:
        super().__init__(model)
        self._lines = TextLines()
        self._curve = LossCurve(model.palette, model.glyphs)
        self._curve.display = False
        self._hits = HitCurve(model.palette, model.glyphs)
        self._hits.display = False
        self._body = Container(self._lines, self._curve, self._hits, classes="body")
        self._text_size = (0, 0)

    def compose(self) -> ComposeResult:
        """Hold text and loss curve."""
        yield self._body

    def draw(self) -> None:
        """Draw text, loss curve and title."""
        section = self._section()
        palette = self.model.palette
        if section is None:
            self._place(None)
            self._lines.show(((), ((f"  {self.model.waiting_note}", palette.dim),)))
            self.set_title()
            return
        self._place(section)
        width, height = self._text_size
        self._lines.show(forecast_lines(Sheet(self.model, section, width, height)))
        right = (model_title(self.model, section.model),) if section.model is not None else ()
        self.set_title((self._heading(section),), right)
        if self._curve.display and section.job is not None:
            job = section.job
            self._curve.show(job.loss, job.val_loss, epochs=job.epochs)
        if self._hits.display:
            self._hits.show_rates(hit_rates(section.recent))

    def tick(self) -> None:
        """Count down to the outcome."""
        section = self._section()
        if section is not None and section.latest is not None:
            self.draw()

    def figure(self) -> Cell:
        """Return the probability of a higher close."""
        section = self._section()
        palette, glyphs = self.model.palette, self.model.glyphs
        if section is not None and section.job is not None and section.job.state in BUSY:
            return ("training", palette.accent)
        if section is None or section.latest is None:
            return ("-", palette.dim)
        p_up = section.latest.p_up
        name = "p(up)" if glyphs.is_ascii else "p↑"
        return (f"{name} {p_up * 100:.0f}%", palette.up if p_up >= 0.5 else palette.down)

    def _section(self) -> ForecastSection | None:
        section, view = self.model.state.forecast, self.model.view
        if section is None or (section.symbol, section.interval) != (view.focused, view.interval):
            return None
        return section

    def _heading(self, section: ForecastSection) -> Cell:
        return (f"{section.symbol} {section.interval}", self.model.palette.bright)

    def _place(self, section: ForecastSection | None) -> None:
        """Give the loss curve its place while a job trains, and take it back afterwards."""
        width, height = self.inner_width, self.inner_height
        job = section.job if section is not None else None
        wanted = job is not None and job.state in ("training", "evaluating") and len(job.loss) > 1
        beside = width >= TEXT_WIDTH + CURVE_MIN_WIDTH
        text_rows = max(TEXT_MIN_HEIGHT, min(TEXT_HEIGHT, height - CURVE_HEIGHT))
        below = not beside and height >= TEXT_MIN_HEIGHT + CURVE_MIN_HEIGHT
        shown = wanted and (beside or below)
        self._curve.display = shown
        hits = (
            section is not None
            and not shown
            and width >= HITS_TEXT_WIDTH + 40
            and height >= HITS_MIN_HEIGHT
        )
        self._hits.display = hits and len(hit_rates(section.recent if section else ())) > 1
        self._body.set_class(beside or self._hits.display, "-beside")
        text_width = width
        if self._hits.display:
            text_width = max(HITS_TEXT_WIDTH, width // 2)
            self._hits.styles.height = min(height, HITS_HEIGHT)
        elif shown and beside:
            text_width = max(TEXT_WIDTH, width // 2)
        text_height = text_rows if shown and below else height
        if (text_width, text_height) != self._text_size:
            self._text_size = (text_width, text_height)
            self._lines.styles.width = text_width
            self._lines.styles.height = text_height


def hit_rates(recent: Sequence[PredictionRow]) -> list[float]:
    """Return the share of right forecasts (per cent) after each outcome, the oldest first."""
    rates: list[float] = []
    hits = 0
    for row in recent:
        if row.state in ("hit", "miss"):
            hits += row.state == "hit"
            rates.append(100.0 * hits / (len(rates) + 1))
    return rates
