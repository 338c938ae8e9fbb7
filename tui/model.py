"""What panes and bars draw from: the state, the view and how the terminal stands."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from engine.service.contract import View
from tui.link import LinkState
from tui.messages import Messages
from tui.state import DeskState
from tui.widgets.glyphs import Glyphs
from tui.widgets.palette import Palette

DEFAULT_DECIMALS = 2


class TerminalOptions(Protocol):
    """The settings that the terminal reads (see `engine.settings.TerminalSettings`)."""

    @property
    def frames_per_s(self) -> float:
        """Pulls a second on a fast link."""
        ...

    @property
    def ascii(self) -> bool | None:
        """Draw in ASCII; None decides by the locale."""
        ...

    @property
    def palette(self) -> Literal["default", "okabe-ito", "mono"]:
        """Which colours."""
        ...

    @property
    def up_color(self) -> Literal["green", "red"]:
        """The colour of a rise."""
        ...


class DeskModel(msgspec.Struct):
    """Plain data behind the screen.

    Attributes:
        wall_ms: The wall clock (epoch ms); tests inject their own.
        frozen_since_wall_ms: Wall time when the user froze the view; None while it is live.
        messages: What there is to say in passing.
        slow_rate: Pulls a second on a link too slow for the usual rate; None on a fast one.
    """

    palette: Palette
    glyphs: Glyphs
    wall_ms: Callable[[], int]
    view: View = msgspec.field(default_factory=View)
    state: DeskState = msgspec.field(default_factory=DeskState)
    link: LinkState = msgspec.field(default_factory=LinkState)
    frozen_since_wall_ms: int | None = None
    slow_rate: float | None = None
    messages: Messages = msgspec.field(default_factory=Messages)

    @property
    def connection(self) -> str:
        """One word for how data arrive: the link's when it is down, else the engine's."""
        if self.link.kind in ("gone", "mismatch"):
            return "engine gone" if self.link.kind == "gone" else "other version"
        if self.link.kind == "connecting" or self.state.status is None:
            return "connecting"
        return self.state.status.connection

    @property
    def is_stale(self) -> bool:
        """Whether what is drawn may no longer be so."""
        if self.connection == "connecting":
            return self.is_connecting_again
        return self.connection not in ("live", "ended")

    @property
    def is_connecting_again(self) -> bool:
        """Whether the engine had a stream, lost it and is connecting to it."""
        status = self.state.status
        return (
            self.link.is_up
            and status is not None
            and status.connection == "connecting"
            and status.data_age_ms is not None
        )

    @property
    def waiting_note(self) -> str:
        """Why a section has not come yet, in words."""
        if self.link.kind == "connecting":
            return "connecting to the engine" + ("..." if self.glyphs.is_ascii else "…")
        if not self.link.is_up:
            return self.link.sentence
        status = self.state.status
        if status is not None and status.connection != "live" and status.connection_note:
            return status.connection_note
        return "waiting for the engine"

    def exchange_now_ms(self) -> int | None:
        """Return the exchange clock, carried on at its speed since the last status."""
        status = self.state.status
        if status is None:
            return None
        follows = math.isinf(status.speed)
        if follows or not self.link.is_up or status.connection == "ended":
            return status.exchange_time_ms
        elapsed = max(0, self.wall_ms() - self.state.status_wall_ms)
        return status.exchange_time_ms + int(elapsed * status.speed)

    def aged(self, age_ms: float | None, received_wall_ms: int) -> float | None:
        """Return an age that a section told, as it is now (wall ms)."""
        if age_ms is None:
            return None
        return age_ms + max(0, self.wall_ms() - received_wall_ms)

    def price_decimals(self) -> int:
        """Return the decimals of the focused symbol's prices."""
        row = self.state.tickers.get(self.view.focused)
        return row.price_decimals if row is not None else DEFAULT_DECIMALS
