"""One page of an SQLite b-tree, read so that damage costs no more than the rows that it touches.

A page has no checksum. A cell counts as whole when its lengths add up exactly, its text is UTF-8,
and it overlaps no other cell; the cells that lie next to a broken one are not trusted either, as
what was overwritten may end inside them.

Formats: https://www.sqlite.org/fileformat2.html, sections 1.6 and 2.1.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    Value = int | float | str | bytes | None
    Read = Callable[[int], bytes]

INDEX_INTERIOR: Final = 2
TABLE_INTERIOR: Final = 5
INDEX_LEAF: Final = 10
TABLE_LEAF: Final = 13
_KINDS: Final = {INDEX_INTERIOR, TABLE_INTERIOR, INDEX_LEAF, TABLE_LEAF}
_INTERIOR: Final = {INDEX_INTERIOR, TABLE_INTERIOR}
_FILE_HEADER: Final = 100
_MOST_COLUMNS: Final = 100
_MOST_PAYLOAD: Final = 4 << 20
_KEPT_DECODERS: Final = 20_000
_INTEGER_BYTES: Final = (0, 1, 2, 3, 4, 6, 8)


class Broken(Exception):
    """A cell or a page can not be what it should be."""


class Cell(NamedTuple):
    """One cell.

    Attributes:
        child: The page left of it, of interior pages.
        rowid: Of table pages.
        kinds: One letter for each value: `i`nteger, `f`loat, `t`ext, `b`lob, `n`ull.
        values: Of the record; empty for interior pages of tables, which hold none.
    """

    child: int | None
    rowid: int | None
    kinds: str
    values: tuple[Value, ...]


class Page(NamedTuple):
    """What could be read of a page.

    Attributes:
        kind: One of the four kinds.
        cells: In the order of their keys; None where one is broken or not trusted.
        right: The right-most child, of interior pages.
    """

    kind: int
    cells: list[Cell | None]
    right: int | None

    @property
    def is_whole(self) -> bool:
        """Whether no cell is broken."""
        return None not in self.cells


def looks_like_btree(data: bytes, usable: int, at: int = 0) -> bool:
    """Tell whether the header of a page can be that of a b-tree page.

    Args:
        data: The page.
        usable: Bytes of it that are used.
        at: Where its header begins: 100 on the first page of the file.
    """
    if len(data) < at + 12 or data[at] not in _KINDS:
        return False
    count, content = struct.unpack_from(">2H", data, at + 3)
    end = at + (12 if data[at] in _INTERIOR else 8) + 2 * count
    return end <= (content or 65_536) <= usable and data[at + 7] <= 60


class PageReader:
    """Reads b-tree pages of one file.

    Args:
        read: Gives a page by number, empty when there is none.
        usable: Bytes of a page that SQLite uses.
        seen: By page number; 1 is set for pages that a record flows over to.
    """

    def __init__(self, read: Read, usable: int, seen: bytearray) -> None:
        self._read = read
        self._usable = usable
        self._seen = seen
        self._decoders: dict[bytes, _Decoder] = {}

    def page(self, number: int) -> Page | None:
        """Return what can be read of a page; None when it is no page of a b-tree."""
        data = self._read(number)
        at = _FILE_HEADER if number == 1 else 0
        if not looks_like_btree(data, self._usable, at):
            return None
        kind = data[at]
        count = int.from_bytes(data[at + 3 : at + 5], "big")
        start = at + (12 if kind in _INTERIOR else 8)
        pointers = struct.unpack_from(f">{count}H", data, start)
        right = int.from_bytes(data[at + 8 : at + 12], "big") if kind in _INTERIOR else None
        return Page(kind, self._cells(data, kind, pointers, start + 2 * count), right)

    def _cells(
        self, data: bytes, kind: int, pointers: tuple[int, ...], least: int
    ) -> list[Cell | None]:
        cells: list[Cell | None] = [None] * len(pointers)
        ends = [0] * len(pointers)
        in_file_order = sorted(range(len(pointers)), key=pointers.__getitem__)
        for index in in_file_order:
            at = pointers[index]
            if not least <= at <= self._usable - 4:
                continue
            try:
                cells[index], ends[index] = self._cell(data, kind, at)
            except (Broken, IndexError, struct.error, UnicodeDecodeError):
                continue
        _distrust(cells, ends, pointers, in_file_order)
        return cells

    def _cell(self, data: bytes, kind: int, at: int) -> tuple[Cell | None, int]:
        """Return a cell and where it ends; None for zeroed text or a broken overflow."""
        child: int | None = None
        if kind in _INTERIOR:
            child = int.from_bytes(data[at : at + 4], "big")
            at += 4
        if kind == TABLE_INTERIOR:
            rowid, at = _varint(data, at)
            return Cell(child, _signed(rowid), "", ()), at
        length, at = _varint(data, at)
        found: int | None = None
        if kind == TABLE_LEAF:
            number, at = _varint(data, at)
            found = _signed(number)
        local = self._local_bytes(kind, length)
        end = at + local
        payload = data[at:end]
        size, decoder = self._decoder(payload)
        if len(payload) < local or end > self._usable or size + decoder.length != length:
            raise Broken
        if local == length:
            values = decoder.values(payload, size)
        else:
            if end + 4 > self._usable:
                raise Broken
            first, end = int.from_bytes(data[end : end + 4], "big"), end + 4
            try:
                values = decoder.values(payload + self._overflow(first, length - local), size)
            except (Broken, UnicodeDecodeError):
                return None, end
        return None if _has_nul(values) else Cell(child, found, decoder.kinds, values), end

    def _local_bytes(self, kind: int, length: int) -> int:
        """Return how much of a payload lies on the page itself."""
        usable = self._usable
        most = usable - 35 if kind == TABLE_LEAF else (usable - 12) * 64 // 255 - 23
        if length <= most:
            return length
        if length > _MOST_PAYLOAD:
            raise Broken
        least = (usable - 12) * 32 // 255 - 23
        local = least + (length - least) % (usable - 4)
        return local if local <= most else least

    def _overflow(self, number: int, length: int) -> bytes:
        parts: list[bytes] = []
        chain: list[int] = []
        room = self._usable - 4
        while length > 0:
            data = self._read(number)
            if not data or number in chain:
                raise Broken
            chain.append(number)
            number = int.from_bytes(data[:4], "big")
            parts.append(data[4 : 4 + min(length, room)])
            length -= room
        if number:
            raise Broken
        for page in chain:
            self._seen[page] = 1
        return b"".join(parts)

    def _decoder(self, payload: bytes) -> tuple[int, _Decoder]:
        size, _ = _varint(payload, 0)
        if not 1 <= size <= len(payload):
            raise Broken
        header = payload[:size]
        decoder = self._decoders.get(header)
        if decoder is None:
            if len(self._decoders) >= _KEPT_DECODERS:
                self._decoders.clear()
            decoder = self._decoders[header] = _Decoder(header)
        return size, decoder


def _has_nul(values: tuple[Value, ...]) -> bool:
    """Tell whether a text holds a NUL, which klinetop writes into none."""
    return any(isinstance(value, str) and "\x00" in value for value in values)


def _distrust(
    cells: list[Cell | None], ends: list[int], pointers: tuple[int, ...], order: list[int]
) -> None:
    """Drop cells that overlap, and those that lie next to a broken one."""
    is_broken = [not ends[index] for index in order]
    for place in range(1, len(order)):
        before, this = order[place - 1], order[place]
        if not is_broken[place - 1] and ends[before] > pointers[this]:
            is_broken[place - 1] = is_broken[place] = True
    for place, index in enumerate(order):
        if any(is_broken[max(0, place - 1) : place + 2]):
            cells[index] = None


class _Decoder:
    """Turns bodies of records with one header into values."""

    def __init__(self, header: bytes) -> None:
        _, at = _varint(header, 0)
        formats: list[str] = [">"]
        kinds: list[str] = []
        self._fixes: list[tuple[int, Value]] = []
        while at < len(header):
            serial, at = _varint(header, at)
            layout, kind, constant = _layout(serial)
            formats.append(layout)
            if kind == "c":
                kind = "i"
                self._fixes.append((len(kinds), constant))
            kinds.append(kind)
        if at != len(header) or len(kinds) > _MOST_COLUMNS:
            raise Broken
        self.kinds = "".join(kinds)
        self._struct = struct.Struct("".join(formats))
        self.length = self._struct.size
        self._raw = [index for index, kind in enumerate(self.kinds) if kind in "tbin"]
        self._plain = all(kind == "f" for kind in self.kinds)

    def values(self, payload: bytes, start: int) -> tuple[Value, ...]:
        """Return the values of the body that begins at `start`; floats may not be NaN."""
        if self._plain:
            return self._struct.unpack_from(payload, start)
        found = list(self._struct.unpack_from(payload, start))
        for index in self._raw:
            value, kind = found[index], self.kinds[index]
            if kind == "t":
                found[index] = value.decode()
            elif kind == "i" and isinstance(value, bytes):
                found[index] = int.from_bytes(value, "big", signed=True)
            elif kind == "n":
                found[index] = None
        for index, constant in self._fixes:
            found[index] = constant
        return tuple(found)


def _layout(serial: int) -> tuple[str, str, Value]:
    """Return a serial type's struct format, kind and constant; kind `c` is a constant integer."""
    if serial >= 12:
        return f"{(serial - 12) // 2}s", "t" if serial % 2 else "b", None
    if serial in {8, 9}:
        return "0s", "c", serial - 8
    if serial in {10, 11}:
        raise Broken
    if serial == 7:
        return "d", "f", None
    if serial == 0:
        return "0s", "n", None
    formats = {1: "b", 2: "h", 4: "i", 6: "q"}
    return formats.get(serial, f"{_INTEGER_BYTES[serial]}s"), "i", None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a variable-length integer (section 1.6) and where it ends."""
    value = data[at]
    if value < 0x80:
        return value, at + 1
    value &= 0x7F
    for index in range(at + 1, at + 8):
        byte = data[index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, index + 1
    return value << 8 | data[at + 8], at + 9


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
