"""The order book of the focused symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from textual.message import Message

from tui.actions import bindings
from tui.panes.pane import Pane
from tui.widgets import formats
from tui.widgets.ladder import Ladder

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from tui.cells import Cell
    from tui.model import DeskModel

GROUPINGS: Final = (0, 5, 10, 50, 100, 500, 1000, 5000, 10_000)
"""Price steps as multiples of the tick; 0 leaves levels as they are."""
OLD_MS: Final = 3000


class BookPane(Pane):
    """Pane 2. Its title tells the book's state and age; it is dimmed unless synchronised."""

    NAME = "book"
    SECTIONS = frozenset({"book"})
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("book")]

    class Grouped(Message):
        """The user chose a price step (0: none)."""

        def __init__(self, step: float) -> None:
            super().__init__()
            self.step = step

    def __init__(self, model: DeskModel) -> None:
        super().__init__(model)
        self._ladder = Ladder(model.palette, model.glyphs, classes="body")
        self._ladder.can_focus = False

    def compose(self) -> ComposeResult:
        """Hold the ladder."""
        yield self._ladder

    @property
    def levels_wanted(self) -> int:
        """Levels a side that fit."""
        return Ladder.levels_for(self.inner_width, self.inner_height)

    def draw(self) -> None:
        """Draw ladder and title."""
        book = self.model.state.book
        if book is None or book.symbol != self.model.view.focused:
            self._ladder.show((), (), self.model.price_decimals(), 4, live=False,
                              note=self.model.waiting_note)  # fmt: skip
            self.set_title()
            self.set_foot(())
            return
        live = book.state == "synchronised" and not self._is_cut_off
        self._ladder.show(
            book.bids,
            book.asks,
            book.price_decimals,
            book.quantity_decimals,
            live=live,
            note="" if live else (book.reason or self._state()[0]),
            best=book.best,
        )
        self._show_title()

    def tick(self) -> None:
        """Count the age on."""
        self._show_title()

    def figure(self) -> Cell:
        """Return the spread."""
        book = self.model.state.book
        palette = self.model.palette
        if book is None or book.best is None:
            return ("-", palette.dim)
        bid, ask = book.best
        spread = formats.price(ask - bid, book.price_decimals)
        return (f"spread {spread}", palette.text if book.state == "synchronised" else palette.warn)

    def action_group(self, by: int) -> None:
        """Take the next larger or smaller price step."""
        book = self.model.state.book
        if book is None or book.tick <= 0:
            return
        now = round(self.model.view.ladder_step / book.tick)
        at = GROUPINGS.index(now) if now in GROUPINGS else 0
        self.post_message(self.Grouped(book.tick * GROUPINGS[(at + by) % len(GROUPINGS)]))

    @property
    def _is_cut_off(self) -> bool:
        """Whether nothing comes at all; a part that is stale says so by the book's own state."""
        return self.model.is_stale and self.model.connection != "stale"

    def _show_title(self) -> None:
        book, palette = self.model.state.book, self.model.palette
        if book is None or book.symbol != self.model.view.focused:
            return
        step = self.model.view.ladder_step
        left: list[Cell] = [("invented", palette.warn)] if book.made_up else []
        if step:
            left = [(f"step {formats.plain(step, book.price_decimals)}", palette.bright)]
        state, style = self._state()
        # Where both do not fit, the age gives way.
        if left and not self.has_room_for(left, ((state, style),)):
            state = state.split(" ", 1)[0]
        self.set_title(left, ((state, style),))
        self.set_foot((("invented: made of candles", palette.warn),) if book.made_up else ())

    def _state(self) -> Cell:
        book, palette = self.model.state.book, self.model.palette
        assert book is not None
        if self._is_cut_off:
            return ("not live", palette.error)
        if book.state != "synchronised":
            return (book.state, palette.warn)
        age = self.model.aged(book.age_ms, self.model.state.book_wall_ms)
        if age is None or age < 1000:
            return ("synced < 1 s", palette.fine)
        return (f"synced {age / 1000:.0f} s", palette.warn if age >= OLD_MS else palette.fine)
