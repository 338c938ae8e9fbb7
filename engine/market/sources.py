"""Sources of market data in words."""

from __future__ import annotations


def source_words(source: str, note: str) -> str:
    """Return what a source is, such as `a demo (seed 7)` or `live data of Binance`.

    Args:
        source: `live`, `demo` or `replay`.
        note: What tells it from others of its kind; empty for Binance's own hosts.
    """
    if source == "live":
        return f"live data of {note or 'Binance'}"
    words = {"demo": "a demo", "replay": "a replay"}.get(source, source)
    return f"{words} ({note})" if note else words
