"""Colours and attributes that widgets draw with, independent of the app's theme.

No colour has two meanings. Foreground colours read on dark backgrounds (contrast of 4.5 and more
against #1e1e1e, bars and open candles 2.2 and more); `light=True` gives a darker set for light
backgrounds. Text that carries no meaning by colour has no colour of its own and takes the theme's
foreground. Blue, orange and yellow of the `okabe-ito` palette are from M. Okabe and K. Ito, "Color
Universal Design" (2008).
"""

from __future__ import annotations

from typing import Literal

import msgspec
from rich.style import Style

PaletteName = Literal["default", "okabe-ito", "mono"]
UpColor = Literal["green", "red"]


class Palette(msgspec.Struct, frozen=True):
    """Styles by their meaning.

    Attributes:
        name: Which palette this is.
        is_mono: True when no style has a colour, so that shapes must tell up from down.
        text: Plain data. `bright` stands out, `dim` stands back.
        up: Rising, or a buyer; `down` falling, or a seller. Always drawn beside an arrow, a sign or
            a shape.
        up_open: A rising candle that is not closed yet; `down_open` a falling one.
        fine: All is well. `warn` is not to be trusted right now, `error` went wrong.
        accent: What belongs to the model: forecasts and their marks.
        good: A forecast that was right (the model's colour); `bad` one that was wrong.
        frame: Border of a pane; `frame_focus` of the focused one.
        cursor: The selected row of the focused table; `cursor_blurred` of another one.
        header: Column titles.
        bid: Numbers of the bid side, `ask` of the ask side, `bid_bar` and `ask_bar` their depth.
        volume_up: Volume of a rising candle; `volume_down` of a falling one. `volume` is neither's.
        average_10: Moving average over 10 candles; 20 and 30 likewise.
        axis: Labels of an axis; `grid` lines behind the data.
        last_price: The last price on the axis; `crosshair` line and `crosshair_label`.
    """

    name: PaletteName
    is_mono: bool
    text: Style
    dim: Style
    bright: Style
    up: Style
    down: Style
    up_open: Style
    down_open: Style
    fine: Style
    warn: Style
    error: Style
    accent: Style
    good: Style
    bad: Style
    frame: Style
    frame_focus: Style
    cursor: Style
    cursor_blurred: Style
    header: Style
    bid: Style
    ask: Style
    bid_bar: Style
    ask_bar: Style
    volume: Style
    volume_up: Style
    volume_down: Style
    average_10: Style
    average_20: Style
    average_30: Style
    axis: Style
    grid: Style
    last_price: Style
    crosshair: Style
    crosshair_label: Style

    def direction(self, change: float | None) -> Style:
        """Return `up`, `down` or, for no change or an unknown one, `text`."""
        if not change:
            return self.text
        return self.up if change > 0 else self.down


class _Colors(msgspec.Struct, frozen=True):
    rising: str
    falling: str
    rising_quiet: str
    falling_quiet: str
    accent: str
    warn: str
    error: str
    error_text: str
    average_10: str
    average_20: str
    average_30: str
    cursor_background: str


# Each of these keeps its hue when a terminal of 16 colours gets the nearest one it has.
_DARK = _Colors(
    rising="#2db95a",
    falling="#f05f5a",
    rising_quiet="#198741",
    falling_quiet="#b02828",
    accent="#5b8cff",
    warn="#e6af1e",
    error="#a01e1e",
    error_text="#ffffff",
    average_10="#c8c8c8",
    average_20="#2fc9b4",
    average_30="#c07cff",
    cursor_background="#2d3f52",
)
_LIGHT = _Colors(
    rising="#00783c",
    falling="#be282d",
    rising_quiet="#5ab978",
    falling_quiet="#d7827d",
    accent="#1a4fd0",
    warn="#915f00",
    error="#a01e1e",
    error_text="#ffffff",
    average_10="#555555",
    average_20="#007a6c",
    average_30="#8a2fc8",
    cursor_background="#c6d8ea",
)
_OKABE_ITO_DARK = msgspec.structs.replace(
    _DARK,
    rising="#56b4e9",
    falling="#e69f00",
    rising_quiet="#32739b",
    falling_quiet="#96690a",
    accent="#ff8fd0",
    warn="#f0e442",
    average_30="#a970ff",
)
_OKABE_ITO_LIGHT = msgspec.structs.replace(
    _LIGHT,
    rising="#0072b2",
    falling="#a85b00",
    rising_quiet="#55a5cd",
    falling_quiet="#be8c46",
    accent="#9b3778",
    warn="#7f6a00",
    average_30="#5b35c0",
)


def palettes(
    name: PaletteName = "default", up_color: UpColor = "green", *, light: bool = False
) -> Palette:
    """Return the palette called `name`.

    Args:
        name: `default` (green and red), `okabe-ito` (blue and orange, for colour-blind readers) or
            `mono` (no colours; the choice for NO_COLOR terminals).
        up_color: The colour of a rise; `red` swaps both (in `okabe-ito` blue and orange).
        light: True when the background is light.

    Raises:
        ValueError: `name` is none of these.
    """
    if name == "mono":
        return _mono()
    if name == "default":
        colors = _LIGHT if light else _DARK
    elif name == "okabe-ito":
        colors = _OKABE_ITO_LIGHT if light else _OKABE_ITO_DARK
    else:
        raise ValueError(f"There is no palette {name!r}; use default, okabe-ito or mono.")
    if up_color == "red":
        colors = msgspec.structs.replace(
            colors,
            rising=colors.falling,
            falling=colors.rising,
            rising_quiet=colors.falling_quiet,
            falling_quiet=colors.rising_quiet,
        )
    return _colored(name, colors)


def _colored(name: PaletteName, colors: _Colors) -> Palette:
    dim = Style(dim=True)
    up, down = Style(color=colors.rising), Style(color=colors.falling)
    up_quiet, down_quiet = Style(color=colors.rising_quiet), Style(color=colors.falling_quiet)
    return Palette(
        name=name,
        is_mono=False,
        text=Style(),
        dim=dim,
        bright=Style(bold=True),
        up=up,
        down=down,
        up_open=up_quiet,
        down_open=down_quiet,
        fine=Style(bold=True),
        warn=Style(color=colors.warn),
        error=Style(color=colors.error_text, bgcolor=colors.error, bold=True),
        accent=Style(color=colors.accent),
        good=Style(color=colors.accent),
        bad=Style(),
        frame=dim,
        frame_focus=Style(bold=True),
        cursor=Style(bgcolor=colors.cursor_background),
        cursor_blurred=Style(),
        header=dim,
        bid=up,
        ask=down,
        bid_bar=up_quiet,
        ask_bar=down_quiet,
        volume=dim,
        volume_up=up_quiet,
        volume_down=down_quiet,
        average_10=Style(color=colors.average_10),
        average_20=Style(color=colors.average_20),
        average_30=Style(color=colors.average_30),
        axis=dim,
        grid=dim,
        last_price=Style(reverse=True),
        crosshair=dim,
        crosshair_label=Style(reverse=True),
    )


def _mono() -> Palette:
    plain, dim, bold = Style(), Style(dim=True), Style(bold=True)
    reverse = Style(reverse=True)
    return Palette(
        name="mono",
        is_mono=True,
        text=plain,
        dim=dim,
        bright=bold,
        up=plain,
        down=plain,
        up_open=dim,
        down_open=dim,
        fine=bold,
        warn=Style(bold=True, underline=True),
        error=Style(bold=True, reverse=True),
        accent=bold,
        good=plain,
        bad=plain,
        frame=dim,
        frame_focus=bold,
        cursor=reverse,
        cursor_blurred=plain,
        header=dim,
        bid=plain,
        ask=plain,
        bid_bar=dim,
        ask_bar=dim,
        volume=dim,
        volume_up=dim,
        volume_down=dim,
        average_10=dim,
        average_20=dim,
        average_30=dim,
        axis=dim,
        grid=dim,
        last_price=reverse,
        crosshair=dim,
        crosshair_label=reverse,
    )
