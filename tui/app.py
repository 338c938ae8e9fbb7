"""The terminal: a pure client of the engine that paints first and connects afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, runtime_checkable

import msgspec
from textual import constants, events
from textual.app import App
from textual.binding import Binding, BindingType

from engine.market.interval import INTERVALS
from engine.service.client import EngineGone, EngineMismatch, EngineProblem
from engine.service.contract import (
    Cancel,
    Done,
    Found,
    Notice,
    Retrain,
    Search,
    Unwatch,
    View,
    Watch,
)
from tui.actions import DESK, action_of
from tui.encoding import wants_ascii
from tui.garbage import Garbage
from tui.link import EngineLink, LinkState
from tui.messages import SHOWN_MS, Message
from tui.model import DeskModel
from tui.pace import LinkMeter, Pacer
from tui.panes.forecast_lines import BUSY
from tui.quiet import Quiet
from tui.remembered import NOTHING, Memory, Remembered
from tui.screen_diff import ScreenDiff
from tui.screens.dashboard import Dashboard
from tui.spares import Spares
from tui.widgets.glyphs import glyphs
from tui.widgets.palette import palettes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from textual.driver import Driver
    from textual.screen import Screen
    from textual.theme import Theme

    from engine.service.contract import Answer, Frame, Request, Welcome
    from tui.actions import Action
    from tui.commands import Command
    from tui.link import Client
    from tui.messages import Level
    from tui.model import TerminalOptions
    from tui.panes.book import BookPane
    from tui.panes.chart import ChartPane
    from tui.panes.tickers import TickersPane
    from tui.screens.foot import FootScreen

DARK_THEME: Final = "textual-dark"
BARS_STEP: Final = 60
BARS_MAX: Final = 20_000
LEVELS_STEP: Final = 10
KNOWING: Final = frozenset({"filling history", "running"})
"""States of an engine that has heard which markets its exchange has."""


@runtime_checkable
class HasFoot(Protocol):
    """A screen with a last line for messages."""

    def draw_foot(self) -> None:
        """Draw the last line."""
        ...


def wall_clock_ms() -> int:
    """Return the wall clock in epoch milliseconds."""
    return time.time_ns() // 1_000_000


class KlinetopApp(App[None], inherit_bindings=False):
    """The terminal of klinetop.

    Args:
        connect: Makes a connection to the engine (starting one if need be); called again every
            second while there is none.
        settings: Pace, drawing and colours.
        focused: Symbol to begin with; None leaves it to the engine.
        interval: Candle interval to begin with.
        memory: Where to write what is set by keys; None keeps nothing.
        kept: What was set by keys in an earlier run, but for symbol and interval.
        wall_ms: The wall clock; tests inject their own.
        environ: The environment that locale and NO_COLOR are read from.
    """

    TITLE = "klinetop"
    CSS_PATH = "klinetop.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c,ctrl+q", "leave(False)", show=False, priority=True)
    ]
    ESCAPE_TO_MINIMIZE = False
    PAUSE_GC_ON_SCROLL = False

    def __init__(
        self,
        connect: Callable[[], Awaitable[Client]],
        settings: TerminalOptions,
        *,
        focused: str | None,
        interval: str,
        wall_ms: Callable[[], int] = wall_clock_ms,
        memory: Memory | None = None,
        kept: Remembered = NOTHING,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.quiet = Quiet()
        self.garbage = Garbage(self.quiet)
        self.meter = LinkMeter()
        self.screen_diff = ScreenDiff()
        super().__init__(driver_class=_driver(self.meter, self.screen_diff))
        self.animation_level = "none"
        self.settings = settings
        self._palette_name = "mono" if environ.get("NO_COLOR") else settings.palette
        in_ascii = wants_ascii(environ) if settings.ascii is None else settings.ascii
        if kept.theme in self.available_themes:
            self.theme = kept.theme
        self.model = DeskModel(
            palette=palettes(
                self._palette_name, settings.up_color, light=not self.current_theme.dark
            ),
            glyphs=glyphs(in_ascii),
            wall_ms=wall_ms,
            view=View(
                focused=focused or "",
                interval=interval,
                ladder_step=kept.step if focused and focused == kept.symbol else 0.0,
            ),
        )
        self.link = EngineLink(
            connect,
            self,
            pacer=Pacer(settings.frames_per_s),
            meter=self.meter,
            wall_ms=wall_ms,
        )
        self.model.link = self.link.state
        self._started_wall_ms = wall_ms()
        self._leaving = False
        self._memory = memory
        self._checked = not focused
        self.dashboard = Dashboard(self.model, kept)
        self.spares = Spares(
            {
                "help": self._make_help,
                "palette": self._make_palette,
                "find": self._make_find,
                "gaps": self._make_gaps,
                "coverage": self._make_coverage,
                "notices": self._make_notices,
            },
            self._mount_ahead,
            self.quiet,
        )

    # --- life

    def get_default_screen(self) -> Dashboard:
        """Return the dashboard."""
        return self.dashboard

    def on_mount(self) -> None:
        """Connect once the first frame is painted."""
        self.theme_changed_signal.subscribe(self, self._theme_changed)
        if not self.is_headless and hasattr(signal, "SIGTERM"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)
        self.call_after_refresh(self._start_link)
        self._tell_memory_problem()

    async def on_event(self, event: events.Event) -> None:
        """Let what can wait wait for a moment without keys."""
        if isinstance(event, events.InputEvent):
            self.quiet.touched()
        await super().on_event(event)

    def on_resize(self) -> None:
        """Paint every cell anew: a terminal moves its text about when its size changes."""
        self.screen_diff.forget()

    def action_repaint(self) -> None:
        """Paint every cell anew, as after another program wrote on the screen."""
        self.screen_diff.forget()
        self.screen.refresh()

    def on_dashboard_ticked(self) -> None:
        """Remember what was set by keys."""
        self._remember()

    def _remember(self) -> None:
        view = self.model.view
        # A market that no engine has taken may be a slip of the command line.
        if self._memory is None or not view.focused or self.model.state.status is None:
            return
        kept = msgspec.structs.replace(
            self.dashboard.desk.kept(),
            theme=self.theme,
            symbol=view.focused,
            interval=view.interval,
            step=view.ladder_step,
        )
        self._memory.save(kept)
        self._tell_memory_problem()

    def _tell_memory_problem(self) -> None:
        if self._memory is not None and self._memory.problem:
            problem, self._memory.problem = self._memory.problem, ""
            self.say(problem, "warning")

    def _start_link(self) -> None:
        self.run_worker(self.garbage.run(), name="garbage", group="garbage")
        self.run_worker(self.link.run(), name="link", group="link")
        self.run_worker(self.spares.run(), name="spares", group="spares")

    async def action_leave(self, detach: bool) -> None:
        """Say goodbye to the engine and close the terminal."""
        if self._leaving:
            return
        self._leaving = True
        self._remember()
        await self.link.leave(detach=detach)
        self.exit()

    # --- the link's user

    @property
    def view(self) -> View:
        """What the terminal shows now."""
        return self.model.view

    @property
    def revision(self) -> int:
        """Revision of the last merged frame."""
        return self.model.state.revision

    def welcomed(self, welcome: Welcome) -> None:
        """Take the engine's pick of a symbol where the user named none."""
        self.model.state.forget_revision()
        if not self.model.view.focused:
            self.change_view(focused=welcome.focused)

    def _check_focus_once(self) -> None:
        state = self.model.state
        if self._checked or not state.order or state.status is None:
            return
        if state.status.engine not in KNOWING:
            return
        self._checked = True
        self.run_worker(self._check_focus(), group="requests")

    async def _check_focus(self) -> None:
        """Show the watchlist's first where the market is none of this exchange's."""
        symbol = self.model.view.focused
        try:
            found = await self.search(symbol)
        except (EngineGone, EngineMismatch, EngineProblem, OSError) as error:
            self.say(f"Whether {symbol} is still a market is not known: {error}", "warning")
            return
        instead = next((name for name in self.model.state.order if name != symbol), "")
        if instead and symbol not in {info.name for info in found.symbols}:
            self.say(f"{symbol} is no market here; {instead} is shown.")
            if self.model.view.focused == symbol:
                self.focus_symbol(instead)

    def received(self, frame: Frame, view: View) -> None:
        """Merge a frame and draw what it changed."""
        model = self.model
        before = self._status_key()
        changed = model.state.apply(
            frame, wall_ms=model.wall_ms(), bars=view.bars, tape_length=view.tape_length
        )
        asked_before = view is not model.view
        if asked_before:
            model.state.forget_revision()
        if any(part is not None and part.reset for part in (frame.chart, frame.trades)):
            self.dashboard.desk.hurry()
        model.slow_rate = self.link.pacer.rate if self.link.pacer.is_slow else None
        if "notices" in changed:
            self._tell(model.state.take_fresh_notices())
        self._check_focus_once()
        if self._status_key() != before:
            self.dashboard.draw_bars()
        self.dashboard.draw_changed(changed)
        if asked_before:
            self.dashboard.desk.hurry()
        self.link.pacer.least_s = self.dashboard.least_s

    def link_changed(self, state: LinkState) -> None:
        """Show how the link stands."""
        self.model.link = state
        self.dashboard.draw_all()

    def _status_key(self) -> tuple[object, ...]:
        status = self.model.state.status
        if status is None:
            return (self.model.slow_rate,)
        return (status.connection, status.engine, status.speed, self.model.slow_rate)

    def _tell(self, notices: Iterable[Notice]) -> None:
        for notice in notices:
            if notice.wall_ms >= self._started_wall_ms:
                self._show_message(notice.text, notice.level)

    def say(self, text: str, level: Level = "info") -> None:
        """Say something in the last line, and keep it among the notices."""
        self.model.state.notices.append(Notice(self.model.wall_ms(), level, text))
        self._show_message(text, level)

    def _show_message(self, text: str, level: str) -> None:
        self.model.messages.add(Message(self.model.wall_ms(), level, text))
        self._draw_foot()
        self.set_timer((SHOWN_MS + 100) / 1000, self._draw_foot)

    def _draw_foot(self) -> None:
        screen = self.screen
        if isinstance(screen, HasFoot):
            screen.draw_foot()

    # --- the view

    def change_view(self, **changes: Any) -> None:
        """Look at something else; the engine is asked at once."""
        view = msgspec.structs.replace(self.model.view, **changes)
        if view == self.model.view:
            return
        if (view.focused, view.interval) != (self.model.view.focused, self.model.view.interval):
            self.model.state.forget_revision()
            view = msgspec.structs.replace(view, bars=self._bars(0))
        self.model.view = view
        self.dashboard.draw_all()
        self.dashboard.desk.hurry()
        self.link.nudge()

    def focus_symbol(self, symbol: str) -> None:
        """Show `symbol` in every pane."""
        if symbol != self.model.view.focused:
            self.change_view(focused=symbol, ladder_step=0.0)

    def set_interval_name(self, name: str) -> None:
        """Show chart and forecast of the interval called `name`."""
        self.change_view(interval=name)

    def action_interval(self, by: int) -> None:
        """Take the next longer or shorter interval."""
        names = list(INTERVALS)
        at = names.index(self.model.view.interval) + by
        if 0 <= at < len(names):
            self.set_interval_name(names[at])

    def on_tickers_pane_focused(self, message: TickersPane.Focused) -> None:
        """Focus the chosen symbol."""
        self.focus_symbol(message.symbol)

    def on_tickers_pane_removed(self, message: TickersPane.Removed) -> None:
        """Take the symbol off the watchlist."""
        self.unwatch_symbol(message.symbol)

    def on_book_pane_grouped(self, message: BookPane.Grouped) -> None:
        """Group the book by another step."""
        self.change_view(ladder_step=message.step)

    def on_chart_pane_wants_bars(self, message: ChartPane.WantsBars) -> None:
        """Ask for more candles; fewer are not worth a request."""
        wanted = self._bars(message.bars)
        if wanted > self.model.view.bars:
            self.change_view(bars=wanted)

    def on_dashboard_laid(self) -> None:
        """Ask for as many levels and trades as there is room for."""
        desk = self.dashboard.desk
        levels = -(-desk.book.levels_wanted // LEVELS_STEP) * LEVELS_STEP
        trades = max(View().tape_length, desk.trades.rows_wanted)
        self.change_view(ladder_levels=levels, tape_length=trades)

    def _bars(self, wanted: int) -> int:
        least = max(wanted, self.dashboard.desk.chart.chart.bars_wanted, View().bars)
        return min(BARS_MAX, -(-least // BARS_STEP) * BARS_STEP)

    # --- requests

    def request(self, request: Request, *, aside: bool = False) -> None:
        """Send a command and say the engine's answer."""
        self.run_worker(self._request(request, aside=aside), group="requests")

    async def _request(self, request: Request, *, aside: bool) -> None:
        try:
            answer = await self.link.ask(request, aside=aside)
        except EngineProblem as problem:
            self.say(str(problem), "warning")
        except (EngineGone, EngineMismatch, OSError) as error:
            self.say(str(error), "error")
        else:
            if isinstance(answer, Done) and answer.message:
                self.say(answer.message)

    def action_retrain(self) -> None:
        """Train a model on the focused symbol and interval."""
        view, forecast = self.model.view, self.model.state.forecast
        if not view.focused:
            self.say("There is no symbol to train on yet; the engine has not answered.", "warning")
            return
        job = forecast.job if forecast is not None else None
        if job is not None and job.state in BUSY:
            what = f"{job.symbol} {job.interval}"
            if (job.symbol, job.interval) == (view.focused, view.interval):
                self.say(f"A training job for {what} runs already; x cancels it.", "warning")
                return
            self.say(f"A training job for {what} runs; this one waits for its turn.")
        self.request(Retrain(view.focused, view.interval), aside=True)

    def action_cancel_training(self) -> None:
        """Cancel the training job."""
        self.request(Cancel())

    def watch_symbol(self, symbol: str) -> None:
        """Put `symbol` on the watchlist."""
        self.request(Watch(symbol), aside=True)

    def unwatch_symbol(self, symbol: str) -> None:
        """Take `symbol` off the watchlist."""
        self.request(Unwatch(symbol))

    async def search(self, query: str, limit: int = 50) -> Found:
        """Return markets whose name holds the letters of `query` in order, and their prices.

        Raises:
            EngineProblem: when the engine refuses or the exchange does not answer.
            EngineGone: when there is no engine to ask.
        """
        answer = await self.link.ask(Search(query, limit), aside=True)
        return answer if isinstance(answer, Found) else Found(())

    # --- screens

    async def _replace_screen(self, screen: Screen[Any]) -> Screen[Any]:
        """Remove a screen that was popped; the one beneath is painted once, when it resumes."""
        screen.post_message(events.ScreenSuspend())
        self.capture_mouse(None)
        await self._prune(screen)
        return screen

    async def _mount_ahead(self, screen: FootScreen) -> None:
        await self._get_screen(screen)[1]
        await screen.draw_ahead(self.size)

    def action_palette(self) -> None:
        """Search all commands, markets, intervals and themes."""
        self.push_screen(self.spares.take("palette"))

    def _make_palette(self) -> FootScreen:
        from tui.screens.palette import PaletteScreen

        return PaletteScreen(self.model, self)

    def theme_names(self) -> Iterable[str]:
        """Return the names of all themes."""
        return self.available_themes

    def run_command(self, command: Command) -> None:
        """Do what a line of the palette says."""
        match command.kind:
            case "focus":
                self.focus_symbol(command.argument)
            case "interval":
                self.set_interval_name(command.argument)
            case "theme":
                self.theme = command.argument
            case "action":
                self.run_worker(self._act(action_of(command.argument)), group="commands")

    async def _act(self, action: Action) -> None:
        if action.context == DESK:
            await self.run_action(action.handler, self.dashboard)
        else:
            self.dashboard.show_pane(action.context)
            await self.run_action(action.handler, self.dashboard.desk.panes[action.context])

    def action_help(self) -> None:
        """Show all keys."""
        self.push_screen(self.spares.take("help"))

    def _make_help(self) -> FootScreen:
        from tui.screens.help import HelpScreen

        return HelpScreen(self.model)

    def action_notices(self) -> None:
        """Show what has happened."""
        self.model.messages.see()
        self.push_screen(self.spares.take("notices"))

    def _make_notices(self) -> FootScreen:
        from tui.screens.notices import NoticesScreen

        return NoticesScreen(self.model)

    def action_gaps(self, symbol: str = "") -> None:
        """Show the ledger of gaps, of one market or of all."""
        self.push_screen(self._make_gaps(symbol) if symbol else self.spares.take("gaps"))

    def _make_gaps(self, symbol: str = "") -> FootScreen:
        from tui.screens.gaps import GapsScreen

        return GapsScreen(self.model, self, symbol)

    def action_coverage(self) -> None:
        """Show how complete each market is."""
        self.push_screen(self.spares.take("coverage"))

    def _make_coverage(self) -> FootScreen:
        from tui.screens.coverage import CoverageScreen

        return CoverageScreen(self.model, self)

    def show_time(self, symbol: str, interval: str, time_ms: int) -> None:
        """Go back to the dashboard, with this time of this market in the middle of the chart."""
        while self.screen is not self.dashboard:
            self.pop_screen()
        self.change_view(focused=symbol, interval=interval, ladder_step=0.0)
        self.dashboard.show_pane("chart")
        self.dashboard.desk.chart.go_to(time_ms)

    async def look_up(self, request: Request) -> Answer:
        """Return the engine's answer, asked for beside the pulling.

        Raises:
            EngineProblem: when the engine refuses.
            EngineGone: when there is no engine to ask.
        """
        return await self.link.ask(request, aside=True)

    def action_find_symbol(self) -> None:
        """Look for a market."""
        self.push_screen(self.spares.take("find"))

    def _make_find(self) -> FootScreen:
        from tui.screens.find import FindScreen

        return FindScreen(self.model, self)

    def _theme_changed(self, theme: Theme) -> None:
        self.model.palette = palettes(
            self._palette_name, self.settings.up_color, light=not theme.dark
        )
        for screen in self.spares.forget():
            screen.remove()
        self.dashboard.call_next(self.dashboard.rebuild)


def _driver(meter: LinkMeter, diff: ScreenDiff) -> type[Driver] | None:
    """Return a driver that spares the link; None (Textual's choice) where there is none."""
    if os.name != "posix" or constants.DRIVER is not None:
        return None
    from tui.driver import metered_driver

    return metered_driver(meter, diff)
