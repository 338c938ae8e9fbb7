"""Three-row digits for the one figure that should be read from afar."""

from __future__ import annotations

from typing import Final

_DIGITS: Final = {
    "0": ("┏━┓", "┃ ┃", "┗━┛"),
    "1": ("╺┓ ", " ┃ ", "╺┻╸"),
    "2": ("╺━┓", "┏━┛", "┗━╸"),
    "3": ("╺━┓", " ━┫", "╺━┛"),
    "4": ("╻ ╻", "┗━┫", "  ╹"),
    "5": ("┏━╸", "┗━┓", "╺━┛"),
    "6": ("┏━╸", "┣━┓", "┗━┛"),
    "7": ("╺━┓", "  ┃", "  ╹"),
    "8": ("┏━┓", "┣━┫", "┗━┛"),
    "9": ("┏━┓", "┗━┫", "╺━┛"),
    "%": ("   ", "   ", " % "),
    ".": (" ", " ", "•"),
}


def big(text: str) -> tuple[str, str, str]:
    """Return the three rows of `text`, which holds digits, a point and a per cent sign."""
    glyphs = [_DIGITS[letter] for letter in text]
    return (
        "".join(glyph[0] for glyph in glyphs),
        "".join(glyph[1] for glyph in glyphs),
        "".join(glyph[2] for glyph in glyphs),
    )
