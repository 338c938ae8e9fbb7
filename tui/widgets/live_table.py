"""A table of live rows with a cursor that stays on its row's key."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.widgets.line_widget import Line, Piece, changed_span, to_strip
from tui.widgets.table_layout import Column, column_widths, fit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from textual import events

    from tui.widgets.glyphs import Glyphs
    from tui.widgets.line_widget import WidgetOptions
    from tui.widgets.palette import Palette

__all__ = ["Cell", "Column", "LiveTable", "TableRow"]

Cell = tuple[str, Style]
"""A text and its style."""

_PLAIN = Style()
_WHEEL_ROWS = 3


class TableRow(NamedTuple):
    """A row: a key that is unique in the table, and one cell for each column."""

    key: str
    cells: tuple[Cell, ...]


class TableMessage(Message):
    """What happened to a table; `key` is that of the row, or of the column, that is meant."""

    def __init__(self, table: LiveTable, key: str) -> None:
        super().__init__()
        self.table = table
        self.key = key

    @property
    def control(self) -> LiveTable:
        """The table."""
        return self.table


class LiveTable(ScrollView, can_focus=True):
    """A table that repaints only the cells that changed."""

    class Chosen(TableMessage):
        """Enter or a click on a row."""

    class Highlighted(TableMessage):
        """The user moved the cursor to another row."""

    class HeaderClicked(TableMessage):
        """A click on the title of a column."""

    DEFAULT_CSS = """
    LiveTable {
        width: 1fr;
        height: 1fr;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor_up", "Up", id="table.up", show=False),
        Binding("down,j", "cursor_down", "Down", id="table.down", show=False),
        Binding("home,g", "cursor_first", "First", id="table.first", show=False),
        Binding("end,G", "cursor_last", "Last", id="table.last", show=False),
        Binding("pageup,ctrl+u", "page_up", "Page up", id="table.page_up", show=False),
        Binding("pagedown,ctrl+d", "page_down", "Page down", id="table.page_down", show=False),
        Binding("enter", "choose", "Choose", id="table.choose"),
    ]

    def __init__(
        self,
        columns: Sequence[Column],
        palette: Palette,
        glyphs: Glyphs,
        *,
        show_header: bool = True,
        **options: Unpack[WidgetOptions],
    ) -> None:
        super().__init__(**options)
        self.palette = palette
        self.glyphs = glyphs
        self._columns = tuple(columns)
        self._header_rows = 1 if show_header else 0
        self._rows: list[TableRow] = []
        self._index: dict[str, int] = {}
        self._lines: list[Line] = []
        self._strips: dict[int, Strip] = {}
        self._strips_key: tuple[int, Style] | None = None
        self._widths: tuple[int, ...] = ()
        self._cursor: str | None = None
        self._sort: tuple[str | None, bool] = (None, False)
        self._note = ""

    @property
    def cursor_key(self) -> str | None:
        """Key of the row under the cursor; None without rows. Setting it moves the cursor."""
        return self._cursor

    @cursor_key.setter
    def cursor_key(self, key: str | None) -> None:
        if key is not None and key in self._index:
            self._move_to(self._index[key], tell=False)

    @property
    def rows(self) -> Sequence[TableRow]:
        """The rows in their order."""
        return tuple(self._rows)

    def set_rows(self, rows: Sequence[TableRow], *, note: str = "") -> None:
        """Show `rows` in this order; `note` stands in their place when there are none.

        The cursor stays on its key; if that row is gone, it goes to the one in its place. Where its
        row was in sight and moved out of it, the table scrolls after it.
        """
        old_rows, old_cursor, old_room = self._rows, self._cursor, self._room
        old_place = self._index.get(old_cursor) if old_cursor is not None else None
        was_in_sight = old_place is not None and self._in_sight(old_place)
        self._rows = list(rows)
        self._index = {row.key: index for index, row in enumerate(self._rows)}
        if old_cursor not in self._index:
            place = min(old_place or 0, len(self._rows) - 1)
            self._cursor = self._rows[place].key if self._rows else None
        place_now = self._index.get(self._cursor) if self._cursor is not None else None
        dirty = {
            index
            for index in range(max(len(old_rows), len(self._rows)))
            if index >= len(old_rows)
            or index >= len(self._rows)
            or old_rows[index] != self._rows[index]
        }
        if old_place != place_now:
            dirty |= {place for place in (old_place, place_now) if place is not None}
        if note != self._note or bool(old_rows) != bool(rows):
            self._note = note
            dirty.add(0)
        if self._room == old_room:
            self._redraw(dirty)
        else:
            self._redraw_all()
        self._fit_virtual_size()
        if was_in_sight and place_now is not None and place_now != old_place:
            self._scroll_into_sight(place_now)

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Show other columns (set rows to match right after)."""
        if tuple(columns) != self._columns:
            self._columns = tuple(columns)
            self._redraw_all()

    def set_sort(self, key: str | None, reverse: bool = False) -> None:
        """Mark the title of column `key` as sorted; the order of rows is the caller's."""
        if (key, reverse) != self._sort:
            self._sort = (key, reverse)
            if self._header_rows:
                self._strips.pop(-1, None)
                self.refresh(Region(0, 0, max(1, self.size.width), 1))

    @property
    def _room(self) -> int:
        """Cells for columns: beside the cursor's mark and the scrollbar, where there is one."""
        has_bar = self._header_rows + len(self._rows) > self.size.height
        return self.size.width - 1 - has_bar * (self.styles.scrollbar_size_vertical or 0)

    def _fit_virtual_size(self) -> None:
        size = Size(self.size.width, self._header_rows + len(self._rows))
        if size != self.virtual_size:
            self.virtual_size = size

    def _redraw_all(self) -> None:
        self._widths = column_widths(self._columns, self._room)
        self._lines = [self._line(index) for index in range(max(1, len(self._rows)))]
        self._strips.clear()
        self.refresh()

    def _redraw(self, dirty: set[int]) -> None:
        """Draw rows anew, and repaint their cells that changed."""
        regions: list[Region] = []
        count = max(1, len(self._rows))
        old_lines = self._lines
        self._lines = old_lines[:count] + [()] * (count - len(old_lines))
        top = self.scroll_offset.y
        for index in sorted(dirty):
            before = old_lines[index] if index < len(old_lines) else ()
            after: Line = ()
            if index < count:
                after = self._lines[index] = self._line(index)
            span = changed_span(before, after)
            is_cursor_row = index < len(self._rows) and self._rows[index].key == self._cursor
            if span is None:
                continue
            self._strips.pop(index, None)
            y = index - top + self._header_rows
            if not self._header_rows <= y < self.size.height:
                continue
            if before[:1] != after[:1] or is_cursor_row:
                span = (0, self.size.width)
            regions.append(Region(span[0], y, span[1] - span[0], 1))
        if regions:
            self.refresh(*regions)

    def _line(self, index: int) -> Line:
        if index >= len(self._rows):
            return ((f" {self._note}", self.palette.dim),) if self._note else ()
        row = self._rows[index]
        marker = self.glyphs.cursor if row.key == self._cursor else " "
        pieces: list[Piece] = [(marker, self.palette.bright)]
        for column, width, (text, style) in zip(
            self._columns, self._widths, row.cells, strict=False
        ):
            if width:
                pieces.append((fit(text, width, column.align, self.glyphs), style))
                pieces.append((" ", _PLAIN))
        return tuple(pieces[:-1])

    def _header(self) -> Line:
        pieces: list[Piece] = [(" ", self.palette.header)]
        key, reverse = self._sort
        for column, width in zip(self._columns, self._widths, strict=False):
            if not width:
                continue
            title = column.title
            if column.key == key:
                mark = self.glyphs.sort_down if reverse else self.glyphs.sort_up
                title += f" {mark}" if self.glyphs.is_ascii else mark
            style = self.palette.bright if column.key == key else self.palette.header
            pieces.append((fit(title, width, column.align, self.glyphs), style))
            pieces.append((" ", self.palette.header))
        return tuple(pieces[:-1])

    def on_resize(self) -> None:
        """Share the width among the columns anew."""
        self._redraw_all()
        self._fit_virtual_size()

    def render_line(self, y: int) -> Strip:
        """Return row `y` of the screen: the header, or a row from the cache."""
        width, base = self.size.width, self.visual_style.rich_style
        if (width, base) != self._strips_key:
            self._strips_key = (width, base)
            self._strips.clear()
        is_header = y < self._header_rows
        index = -1 if is_header else y - self._header_rows + self.scroll_offset.y
        strip = self._strips.get(index)
        if strip is None:
            if is_header:
                strip = to_strip(self._header(), width, base)
            elif index >= len(self._lines):
                strip = Strip.blank(width, base)
            else:
                if index < len(self._rows) and self._rows[index].key == self._cursor:
                    focus = self.palette.cursor if self.has_focus else self.palette.cursor_blurred
                    base += focus
                strip = to_strip(self._lines[index], width, base)
            self._strips[index] = strip
        return strip

    def _body_height(self) -> int:
        return max(1, self.size.height - self._header_rows)

    def _in_sight(self, index: int) -> bool:
        top = self.scroll_offset.y
        return top <= index < top + self._body_height()

    def _scroll_into_sight(self, index: int) -> None:
        top, height = self.scroll_offset.y, self._body_height()
        if index < top:
            self.scroll_to(y=index, animate=False)
        elif index >= top + height:
            self.scroll_to(y=index - height + 1, animate=False)

    def _move_to(self, index: int, *, tell: bool = True) -> None:
        if not self._rows:
            return
        index = max(0, min(len(self._rows) - 1, index))
        key = self._rows[index].key
        if key != self._cursor:
            dirty = {index}
            if self._cursor in self._index:
                dirty.add(self._index[self._cursor])
            self._cursor = key
            self._redraw(dirty)
            if tell:
                self.post_message(self.Highlighted(self, key))
        self._scroll_into_sight(index)

    def _place(self) -> int:
        return self._index.get(self._cursor, 0) if self._cursor is not None else 0

    def action_cursor_up(self) -> None:
        """Move the cursor one row up."""
        self._move_to(self._place() - 1)

    def action_cursor_down(self) -> None:
        """Move the cursor one row down."""
        self._move_to(self._place() + 1)

    def action_cursor_first(self) -> None:
        """Move the cursor to the first row."""
        self._move_to(0)

    def action_cursor_last(self) -> None:
        """Move the cursor to the last row."""
        self._move_to(len(self._rows) - 1)

    def action_page_up(self) -> None:
        """Move the cursor one page up."""
        self._move_to(self._place() - self._body_height())

    def action_page_down(self) -> None:
        """Move the cursor one page down."""
        self._move_to(self._place() + self._body_height())

    def action_choose(self) -> None:
        """Choose the row under the cursor."""
        if self._cursor is not None:
            self.post_message(self.Chosen(self, self._cursor))

    def _repaint_cursor_row(self) -> None:
        y = self._place() - self.scroll_offset.y + self._header_rows
        self._strips.pop(self._place(), None)
        if self._rows and self._header_rows <= y < self.size.height:
            self.refresh(Region(0, y, max(1, self.size.width), 1))

    def on_focus(self) -> None:
        """Show the cursor as the focused one."""
        self._repaint_cursor_row()

    def on_blur(self) -> None:
        """Show the cursor as a blurred one."""
        self._repaint_cursor_row()

    def on_click(self, event: events.Click) -> None:
        """Choose the row under the pointer, or report a click on a title."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y < self._header_rows:
            self._header_click(offset.x)
            return
        index = offset.y - self._header_rows + self.scroll_offset.y
        if index < len(self._rows):
            self._move_to(index)
            self.action_choose()

    def _header_click(self, x: int) -> None:
        left = 1
        for column, width in zip(self._columns, self._widths, strict=False):
            if width:
                if left <= x < left + width:
                    self.post_message(self.HeaderClicked(self, column.key))
                left += width + 1

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Scroll down without moving the cursor."""
        event.stop()
        event.prevent_default()
        self.scroll_to(y=self.scroll_offset.y + _WHEEL_ROWS, animate=False)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Scroll up without moving the cursor."""
        event.stop()
        event.prevent_default()
        self.scroll_to(y=self.scroll_offset.y - _WHEEL_ROWS, animate=False)
