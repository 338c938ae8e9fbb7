import msgspec
import pytest
from rich.color import Color, ColorSystem
from rich.style import Style

from tui.widgets.palette import Palette, palettes

ALL = [
    palettes(name, up_color, light=light)
    for name in ("default", "okabe-ito", "mono")
    for up_color in ("green", "red")
    for light in (False, True)
]


def luminance(color: Color) -> float:
    """WCAG 2 relative luminance."""
    channels = [value / 255 for value in color.get_truecolor()]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Color, other: Color) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def styles(palette: Palette) -> dict[str, Style]:
    found = {field.name: getattr(palette, field.name) for field in msgspec.structs.fields(palette)}
    return {name: value for name, value in found.items() if isinstance(value, Style)}


@pytest.mark.parametrize("light", [False, True])
@pytest.mark.parametrize("name", ["default", "okabe-ito"])
def test_colours_read_on_their_background(name, light) -> None:
    plain = Color.parse("#e0e0e0" if light else "#1e1e1e")
    for key, style in styles(palettes(name, light=light)).items():
        if style.color is not None:
            background = style.bgcolor or plain
            quiet = key.endswith(("_open", "_bar")) or key.startswith("volume")
            least = (1.6 if light else 2.2) if quiet else 3.8
            assert contrast(style.color, background) >= least, key


MEANINGS = {
    "rising, or a buyer": ("up", "bid"),
    "falling, or a seller": ("down", "ask"),
    "not to be trusted": ("warn",),
    "went wrong": ("error",),
    "the model's": ("accent", "good"),
    "10": ("average_10",),
    "20": ("average_20",),
    "30": ("average_30",),
}


@pytest.mark.parametrize("depth", [ColorSystem.TRUECOLOR, ColorSystem.STANDARD])
@pytest.mark.parametrize("palette", [p for p in ALL if not p.is_mono])
def test_no_colour_has_two_meanings(palette, depth) -> None:
    def look(style: Style) -> tuple[object, ...]:
        return tuple(
            color and color.downgrade(depth).name for color in (style.color, style.bgcolor)
        )

    looks = [{look(getattr(palette, name)) for name in names} for names in MEANINGS.values()]
    assert all(len(found) == 1 for found in looks), looks
    assert len(set.union(*looks)) == len(MEANINGS), looks
    grey = {style.color for style in (palette.text, palette.bright, palette.fine, palette.bad)}
    assert grey == {None}, "what is fine or plain takes the theme's own colour"


@pytest.mark.parametrize("palette", [p for p in ALL if not p.is_mono])
def test_up_and_down_differ_in_16_colours(palette) -> None:
    def number(style: Style) -> int:
        return style.color.downgrade(ColorSystem.STANDARD).number

    for one, other in (
        (palette.up, palette.down),
        (palette.bid_bar, palette.ask_bar),
        (palette.up_open, palette.down_open),
    ):
        assert number(one) != number(other)
        assert {number(one), number(other)}.isdisjoint({0, 7, 8, 15}), "no greys"
    assert number(palette.warn) in (3, 11), "amber"


def test_default_is_green_up_in_16_colours_and_the_switch_swaps() -> None:
    palette = palettes()
    assert palette.up.color.downgrade(ColorSystem.STANDARD).number in (2, 10)
    assert palette.down.color.downgrade(ColorSystem.STANDARD).number in (1, 9)
    swapped = palettes(up_color="red")
    assert (swapped.up, swapped.down) == (palette.down, palette.up)


def test_mono_has_no_colour() -> None:
    for style in styles(palettes("mono")).values():
        assert style.color is None
        assert style.bgcolor is None


def test_direction_and_unknown_name() -> None:
    palette = palettes()
    assert palette.direction(1.0) == palette.up
    assert palette.direction(-0.1) == palette.down
    assert palette.direction(0.0) == palette.direction(None) == palette.text
    with pytest.raises(ValueError, match="no palette"):
        palettes("neon")  # type: ignore[arg-type]
