"""The members of a zip archive whose end is missing, and with it the list of what is in it.

Each member has a header of its own before its data (PKWARE's APPNOTE.TXT 6.3.10, section 4.3.7), so
that what was written before the archive broke off can be read.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO

_HEADER = struct.Struct("<4s5H3I2H")
_MAGIC = b"PK\x03\x04"
_DEFLATED, _STORED = 8, 0
_HAS_DESCRIPTOR = 8
_IS_ENCRYPTED = 1
_IS_UTF8 = 1 << 11
_CHUNK_BYTES = 1 << 18
_SEARCHED_BYTES = 64


class _Place(NamedTuple):
    name: str
    method: int
    start: int
    size: int


def torn_members(
    opened: Callable[[], IO[bytes]],
) -> list[tuple[str, Callable[[], Iterator[bytes]]]]:
    """Return name and content of all members that begin in the archive.

    The content of the one that the end cuts raises EOFError there.

    Args:
        opened: Gives the archive, from its start, as a stream that can seek.
    """
    found: list[tuple[str, Callable[[], Iterator[bytes]]]] = []
    at: int | None = 0
    while at is not None and (place := _place(opened(), at)) is not None:
        if place.name and not place.name.endswith("/"):
            found.append((place.name, _reader(opened, place)))
        at = _after(opened(), place)
    return found


def _reader(opened: Callable[[], IO[bytes]], place: _Place) -> Callable[[], Iterator[bytes]]:
    return lambda: _content(opened(), place)


def _place(file: IO[bytes], at: int) -> _Place | None:
    file.seek(at)
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size or not header.startswith(_MAGIC):
        return None
    _, _, flags, method, _, _, _, size, _, name_bytes, extra_bytes = _HEADER.unpack(header)
    if flags & _IS_ENCRYPTED or method not in (_STORED, _DEFLATED):
        return None
    if flags & _HAS_DESCRIPTOR:
        size = 0
        if method == _STORED:
            return None
    name = file.read(name_bytes).decode("utf-8" if flags & _IS_UTF8 else "cp437", "replace")
    return _Place(name, method, at + _HEADER.size + name_bytes + extra_bytes, size)


def _content(file: IO[bytes], place: _Place) -> Iterator[bytes]:
    file.seek(place.start)
    if place.method == _STORED:
        left = place.size
        while left > 0:
            piece = file.read(min(left, _CHUNK_BYTES))
            if not piece:
                raise EOFError("the archive ends early")
            left -= len(piece)
            yield piece
        return
    unpack = zlib.decompressobj(-zlib.MAX_WBITS)
    while not unpack.eof:
        packed = file.read(_CHUNK_BYTES)
        if not packed:
            raise EOFError("the archive ends early")
        if piece := unpack.decompress(packed):
            yield piece


def _after(file: IO[bytes], place: _Place) -> int | None:
    """Return where the header of the next member may stand; None when there is none."""
    if place.size:
        return place.start + place.size
    file.seek(place.start)
    unpack = zlib.decompressobj(-zlib.MAX_WBITS)
    end = place.start
    try:
        while not unpack.eof:
            packed = file.read(_CHUNK_BYTES)
            if not packed:
                return None
            unpack.decompress(packed)
            end += len(packed)
    except zlib.error:
        return None
    end -= len(unpack.unused_data)
    file.seek(end)
    step = file.read(_SEARCHED_BYTES).find(_MAGIC)
    return None if step < 0 else end + step
