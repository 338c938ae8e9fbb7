"""The command palette: type words, Enter does what stands under the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from engine.service.client import EngineGone, EngineMismatch, EngineProblem
from tui.commands import commands, focus_found, matching
from tui.screens.search import SEARCH_BINDINGS, SearchScreen
from tui.widgets.live_table import Column, TableRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual.binding import BindingType
    from textual.widgets import Input

    from engine.service.contract import Found
    from tui.commands import Command
    from tui.model import DeskModel

COLUMNS: Final = (
    Column("title", "command", None, least=30),
    Column("keys", "key", 18, priority=1),
)
SEARCH_LETTERS: Final = 2
FOUND_MAX: Final = 12


class Commander(Protocol):
    """What the palette needs of the app."""

    async def search(self, query: str, limit: int = 50) -> Found:
        """Return matching markets."""
        ...

    def theme_names(self) -> Iterable[str]:
        """Return the names of all themes."""
        ...

    def run_command(self, command: Command) -> None:
        """Do what `command` says."""
        ...


class PaletteScreen(SearchScreen, inherit_bindings=False):
    """An input and the commands that match. Where none does, Enter does nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [*SEARCH_BINDINGS]

    def __init__(self, model: DeskModel, commander: Commander) -> None:
        super().__init__(model, COLUMNS, "words of a command, a market or a theme")
        self.commander = commander
        self._offered: Sequence[Command] = ()
        self._shown: dict[str, Command] = {}

    def keys(self) -> Sequence[tuple[str, str]]:
        """Return the keys of this screen."""
        return (("Enter", "do what stands under the cursor"), ("Esc", "back"))

    def on_mount(self) -> None:
        """Begin with all commands."""
        self._write_heading("")
        self._offer()

    def opened(self) -> None:
        """Offer the markets that are on the watchlist by now."""
        super().opened()
        self._offer()

    def _offer(self) -> None:
        offered = commands(self.model.state.order, self.commander.theme_names())
        if offered != self._offered:
            self._offered = offered
            self._show(self.input.value, offered)

    def on_input_changed(self, message: Input.Changed) -> None:
        """Show what matches now, and look among the exchange's markets, too."""
        query = message.value
        self._show(query, self._offered)
        word = query.rsplit(" ", maxsplit=1)[-1]
        if len(word) >= SEARCH_LETTERS:
            self.run_worker(self._search(query, word), group="search", exclusive=True)

    def _write_heading(self, trouble: str) -> None:
        palette = self.model.palette
        self.heading.show((((" commands", palette.bright), (trouble, palette.warn)),))

    def choose(self) -> None:
        """Do what stands under the cursor."""
        command = self._shown.get(self.table.cursor_key or "")
        if command is not None:
            self.app.pop_screen()
            self.commander.run_command(command)

    def _show(self, query: str, offered: Sequence[Command], *, keep: bool = False) -> None:
        hits = matching(query, offered)
        before = self.table.cursor_key
        self._shown = {command.key: command for command in hits}
        note = f'No command matches "{query.strip()}"; Esc goes back.'
        self.table.set_rows([self._row(command) for command in hits], note=note)
        if hits and not (keep and before in self._shown):
            self.table.cursor_key = hits[0].key

    async def _search(self, query: str, word: str) -> None:
        try:
            found = await self.commander.search(word.upper(), FOUND_MAX)
        except (EngineGone, EngineMismatch, EngineProblem, OSError) as error:
            self._write_heading(f"   {error}")
            return
        self._write_heading("")
        known = set(self.model.state.order)
        others = focus_found(info for info in found.symbols if info.name not in known)
        if query == self.input.value:
            self._show(query, [*self._offered, *others], keep=True)

    def _row(self, command: Command) -> TableRow:
        palette = self.model.palette
        return TableRow(
            command.key, ((command.title, palette.text), (command.keys, palette.bright))
        )
