"""Which markets the words of a user mean: `all`, a quote asset, a symbol, a pattern."""

from __future__ import annotations

import re
from difflib import get_close_matches
from fnmatch import translate
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.market.symbol import SymbolInfo

ALL = "all"
_WILD = frozenset("*?[")
_NAMED_AT_MOST = 3
_NEAR = 0.72


class Selection(NamedTuple):
    """Markets that were asked for.

    Attributes:
        symbols: Their names in the order of the exchange, trading or not.
        unknown: The words that match nothing, as they were written.
    """

    symbols: tuple[str, ...]
    unknown: tuple[str, ...]


def select_markets(wanted: Sequence[str], infos: Sequence[SymbolInfo]) -> Selection:
    """Return the markets of `infos` that `wanted` means; upper and lower case are the same.

    Args:
        wanted: `all`; patterns (words with `*`, `?` or `[`, as in file names) of symbols; symbols;
            any other word is a quote asset.
        infos: What the exchange has, in its order.
    """
    found: set[str] = set()
    unknown = []
    by_name = {info.name.casefold(): info.name for info in infos}
    for word in dict.fromkeys(wanted):
        names = _meant(word.casefold(), infos, by_name)
        found.update(names)
        if not names:
            unknown.append(word)
    symbols = tuple(info.name for info in infos if info.name in found)
    return Selection(symbols, tuple(unknown))


def unknown_sentence(unknown: Sequence[str], infos: Sequence[SymbolInfo]) -> str:
    """Return a sentence about words that match no market, with the nearest that would."""
    shown = _listed([f"'{word}'" for word in unknown], "or")
    known = {name.casefold(): name for info in infos for name in (info.name, info.quote)}
    near = [
        known[match]
        for word in unknown[:_NAMED_AT_MOST]
        for match in get_close_matches(word.casefold(), known, n=2, cutoff=_NEAR)
    ]
    hint = (
        f"did you mean {' or '.join(dict.fromkeys(near))}?"
        if near
        else "write all, quote assets such as USDT, symbols, or patterns such as BTC*."
    )
    return f"No market of the exchange matches {shown}; {hint}"


def _meant(word: str, infos: Sequence[SymbolInfo], by_name: dict[str, str]) -> list[str]:
    if word == ALL:
        return list(by_name.values())
    if _WILD & set(word):
        fits = re.compile(translate(word)).match
        return [name for folded, name in by_name.items() if fits(folded)]
    if word in by_name:
        return [by_name[word]]
    return [info.name for info in infos if info.quote.casefold() == word]


def _listed(words: Sequence[str], joint: str) -> str:
    if len(words) > _NAMED_AT_MOST:
        more = len(words) - _NAMED_AT_MOST
        return f"{', '.join(words[:_NAMED_AT_MOST])} {joint} {more} more"
    return f" {joint} ".join(words)
