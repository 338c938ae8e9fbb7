"""Lists from outside, of which one entry that can not be understood does not cost the others.

A list is decoded in one pass. Only when that fails, each entry is decoded by itself, and those
that fail are set aside with their name and the reason. A list of which nothing can be understood is
refused as a whole, and so is anything that is no JSON. The levels of a book are no such list: a
book with a level left out is wrong, so they are decoded whole or not at all.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from msgspec import Raw

from engine.binance.failures import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

log = logging.getLogger(__name__)

T = TypeVar("T")
RAW_KEPT = 4000
_NAMED_AT_MOST = 5
_KEPT_AT_MOST = 1000
_raws = msgspec.json.Decoder(list[Raw])


class OddEntry(msgspec.Struct, frozen=True):
    """An entry that was left out.

    Attributes:
        name: The market or time that it is about where that can be read, else its beginning.
        reason: What is wrong with it.
        raw: Its JSON, cut after `RAW_KEPT` characters.
        is_named: Whether `name` could be read out of it.
    """

    name: str
    reason: str
    raw: str
    is_named: bool = True


class Listing(list[T], Generic[T]):
    """The entries that were understood; `odd` holds the others."""

    def __init__(self, entries: Iterable[T] = (), odd: Iterable[OddEntry] = ()) -> None:
        super().__init__(entries)
        self.odd = tuple(odd)


class ListDecoder(Generic[T]):
    """Decodes a JSON list of one kind of entry.

    Args:
        entry_type: What msgspec makes of an entry.
        strict: Whether texts are not to be taken as numbers.
    """

    def __init__(self, entry_type: Any, *, strict: bool = True) -> None:
        self._whole = msgspec.json.Decoder(list[entry_type], strict=strict)
        self._entry: Callable[[bytes], T] = msgspec.json.Decoder(entry_type, strict=strict).decode

    def decode(self, body: bytes) -> Listing[T]:
        """Return what could be understood.

        Raises:
            msgspec.MsgspecError: when nothing of it could, or when it is no list.
        """
        try:
            return Listing(self._whole.decode(body))
        except msgspec.ValidationError:
            found = each(_raws.decode(body), self._entry)
            if not found:
                raise
            return found


def each(raws: Sequence[Raw], decode: Callable[[bytes], T]) -> Listing[T]:
    """Decode entries one by one.

    Args:
        raws: The entries.
        decode: May raise a `msgspec.MsgspecError` or a `ValueError`, whose text is the reason.
    """
    entries: list[T] = []
    odd: list[OddEntry] = []
    for raw in raws:
        try:
            entries.append(decode(bytes(raw)))
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            odd.append(odd_entry(bytes(raw), str(error)))
    return Listing(entries, odd)


def odd_entry(raw: bytes, reason: str) -> OddEntry:
    """Return an entry that is left out, with the name that it gives itself."""
    text = raw.decode(errors="replace")
    name = _name_of(raw)
    return OddEntry(
        plain(name or text)[:40], plain(reason)[:200], text[:RAW_KEPT], is_named=bool(name)
    )


def _name_of(raw: bytes) -> str:
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return ""
    match value:
        case {"symbol": str(name)} | {"s": str(name)}:
            return name
        case {"id": int(number)} | [int(number), *_]:
            return str(number)
        case _:
            return ""


class OddEntries:
    """All that was left out since the start, each entry counted and told once.

    Args:
        on_new: Told what list it is of, and what was left out for the first time.

    Attributes:
        count: How many there were.
        named: Names and reasons by list, of each list the first thousand.
    """

    def __init__(self, on_new: Callable[[str, Sequence[OddEntry]], None] | None = None) -> None:
        self._on_new = on_new
        self.count = 0
        self.named: dict[str, dict[str, str]] = {}

    def of(self, what: str) -> list[OddEntry]:
        """Return what was left out of a list, without its JSON."""
        return [OddEntry(name, reason, "") for name, reason in self.named.get(what, {}).items()]

    def take(self, what: str, odd: Sequence[OddEntry]) -> None:
        """Take note of what was left out of a list, `what` being its name for users."""
        if not odd:
            return
        known = self.named.setdefault(what, {})
        new = [entry for entry in odd if known.get(entry.name) != entry.reason]
        if not new or len(known) >= _KEPT_AT_MOST:
            return
        self.count += len(new)
        known.update((entry.name, entry.reason) for entry in new)
        log.warning("%s", left_out_sentence(what, new))
        if self._on_new is not None:
            self._on_new(what, new)


def left_out_sentence(what: str, odd: Sequence[OddEntry]) -> str:
    """Say what was left out of a list, and why."""
    told = "; ".join(f"{entry.name} ({entry.reason})" for entry in odd[:_NAMED_AT_MOST])
    more = len(odd) - _NAMED_AT_MOST
    rest = f"; and {more:,} more" if more > 0 else ""
    entries = "an entry" if len(odd) == 1 else f"{len(odd):,} entries"
    return f"The exchange's {what} holds {entries} that can not be understood: {told}{rest}."
