"""Styles of terminal cells: what the codes of SGR (select graphic rendition) make of them.

Codes after ECMA-48 §8.3.117; colours of 8 and 24 bits after ITU T.416, as xterm writes them.
A code that is not known makes a style unknown (None), never a guess.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

_SET = {1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 7: 32, 8: 64, 9: 128}
"""Attribute code to bit: bold, dim, italic, underline, blink, reverse, conceal, strike."""
_UNSET = {22: 1 | 2, 23: 4, 24: 8, 25: 16, 27: 32, 28: 64, 29: 128}
_INK = 8 | 32 | 128
"""Attributes that show on a blank: underline, reverse, strike."""
_CACHED = 4096


class CellStyle(NamedTuple):
    """Attribute bits and colours; a colour is its code such as `31` or `38;2;1;2;3`, or empty."""

    attributes: int = 0
    foreground: str = ""
    background: str = ""


DEFAULT = CellStyle()


@lru_cache(_CACHED)
def applied(style: CellStyle | None, codes: str) -> CellStyle | None:
    """Return `style` after `ESC[<codes>m`; None when that cannot be told."""
    parts = [int(part or 0) for part in codes.split(";")]
    at = 0
    while at < len(parts):
        code = parts[at]
        at += 1
        if code == 0:
            style = DEFAULT
        elif style is None:
            return None
        elif code in _SET:
            style = style._replace(attributes=style.attributes | _SET[code])
        elif code in _UNSET:
            style = style._replace(attributes=style.attributes & ~_UNSET[code])
        elif code in (38, 48):
            length = {5: 2, 2: 4}.get(parts[at] if at < len(parts) else -1)
            if length is None or at + length > len(parts):
                return None
            color = ";".join(str(part) for part in (code, *parts[at : at + length]))
            style = _colored(style, code, color)
            at += length
        elif code in (39, 49):
            style = _colored(style, code, "")
        elif 30 <= code <= 37 or 90 <= code <= 97 or 40 <= code <= 47 or 100 <= code <= 107:
            style = _colored(style, code, str(code))
        else:
            return None
    return style


def _colored(style: CellStyle, code: int, color: str) -> CellStyle:
    if code // 10 in (4, 10):
        return style._replace(background=color)
    return style._replace(foreground=color)


@lru_cache(_CACHED)
def blank(style: CellStyle) -> CellStyle:
    """Return what is left to see of `style` on a blank cell."""
    if style.attributes & _INK:
        return style
    return CellStyle(0, "", style.background)


@lru_cache(_CACHED)
def change(now: CellStyle | None, wanted: CellStyle) -> str:
    """Return the shortest sequence that makes `wanted` of `now` (None: unknown)."""
    if now == wanted:
        return ""
    anew = [code for code, bit in _SET.items() if wanted.attributes & bit]
    full = ";".join(
        ["0", *map(str, anew), *filter(None, (wanted.foreground, wanted.background))]
        if wanted != DEFAULT
        else [""]
    )
    if now is None:
        return f"\x1b[{full}m"
    step = ";".join(_steps(now, wanted))
    return f"\x1b[{min(step, full, key=len)}m"


def _steps(now: CellStyle, wanted: CellStyle) -> list[str]:
    codes: list[str] = []
    kept = now.attributes
    for code, bits in _UNSET.items():
        if kept & bits & ~wanted.attributes:
            codes.append(str(code))
            kept &= ~bits
    codes += [str(code) for code, bit in _SET.items() if wanted.attributes & ~kept & bit]
    if now.foreground != wanted.foreground:
        codes.append(wanted.foreground or "39")
    if now.background != wanted.background:
        codes.append(wanted.background or "49")
    return codes
