"""The pages of an SQLite file as they are, damaged or not, with the frames of its log on top.

Formats: https://www.sqlite.org/fileformat2.html, sections 1.2 to 1.8 and 4.
"""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING, Self

from engine.store.btree_page import looks_like_btree

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

MAGIC = b"SQLite format 3\x00"
HEADER_BYTES = 100
POINTER_ROOT, POINTER_FREE, POINTER_OVERFLOW, POINTER_OVERFLOW_MORE, POINTER_CHILD = 1, 2, 3, 4, 5
_SIZES = tuple(1 << power for power in range(9, 17))
_USUAL_SIZE = 4096
_FAR_BETTER = 1.5
_LOCK_BYTE = 1 << 30
_SAMPLED_BYTES = 64 << 20
_DEEPEST = 30
_LOG_HEADER, _FRAME_HEADER = 32, 24
_LOG_MAGIC = 0x377F0682


class PageFile:
    """Read-only access to the pages of one database file, numbered from 1.

    Memory is that of the system's file cache, and a number for each page in the log.

    Attributes:
        page_size: Bytes of a page; from the log, else from the header, or from what the pages look
            like where they contradict it.
        usable: Bytes of a page that SQLite uses.
        count: Pages.
        cut_off: Pages that the header counts behind the end of the file.
        has_pointer_map: Whether the file tells of each page whose child it is.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        size = path.stat().st_size
        self._data: mmap.mmap | bytes = (
            mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        )
        header = self._data[:HEADER_BYTES]
        self.is_header_whole = _header_page_size(header) is not None
        log = self._log = _Log(path.with_name(path.name + "-wal"))
        self.page_size = log.page_size or _likely_size(self._data, _header_page_size(header))
        reserved = header[20] if self.is_header_whole else 0
        self.usable = self.page_size - reserved
        self.count = size // self.page_size
        self.cut_off = max(0, _counted_pages(header) - self.count)
        if log.frames:
            self.count, self.cut_off = log.count, 0
        self.has_pointer_map = self._tells_parents()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(self._data, mmap.mmap):
            self._data.close()
        self._log.close()
        self._file.close()

    def page(self, number: int) -> bytes:
        """Return a page, newest version; empty when there is none of that number."""
        if not 1 <= number <= self.count:
            return b""
        if number in self._log.frames:
            return self._log.page(number)
        start = (number - 1) * self.page_size
        data = self._data[start : start + self.page_size]
        return data if len(data) == self.page_size else b""

    def is_reserved(self, number: int) -> bool:
        """Whether a page never holds content: the one with the lock byte, and pointer maps."""
        if number == _LOCK_BYTE // self.page_size + 1:
            return True
        return self.has_pointer_map and number == self._map_of(number)

    def parent(self, number: int) -> tuple[int, int] | None:
        """Return what the pointer map says of a page: its kind (`POINTER_…`) and its parent.

        None when there is no map, or the entry is not one.
        """
        if not self.has_pointer_map or number < 3:
            return None
        where = self._map_of(number)
        at = 5 * (number - where - 1)
        entry = self.page(where)[at : at + 5]
        if number == where or len(entry) < 5:
            return None
        kind, above = entry[0], int.from_bytes(entry[1:], "big")
        is_sound = POINTER_ROOT <= kind <= POINTER_CHILD and above <= self.count
        return (kind, above) if is_sound else None

    def root(self, number: int) -> int | None:
        """Return the root of the tree that a page is in, by the pointer map alone."""
        for _ in range(_DEEPEST):
            found = self.parent(number)
            if found is None or found[0] not in {POINTER_ROOT, POINTER_CHILD}:
                return None
            if found[0] == POINTER_ROOT:
                return number
            number = found[1]
        return None

    def free_pages(self) -> set[int]:
        """Return the pages on the list of free ones, as far as it can be followed."""
        free: set[int] = set()
        header = self.page(1)[:HEADER_BYTES]
        trunk = int.from_bytes(header[32:36], "big") if header[:16] == MAGIC else 0
        while 1 < trunk <= self.count and trunk not in free:
            free.add(trunk)
            data = self.page(trunk)
            following, leaves = struct.unpack_from(">2I", data)
            if leaves > self.usable // 4 - 2:
                break
            numbers = struct.unpack_from(f">{leaves}I", data, 8)
            free.update(number for number in numbers if 1 < number <= self.count)
            trunk = following
        return free

    def _map_of(self, number: int) -> int:
        stride = self.usable // 5 + 1
        where = (number - 2) // stride * stride + 2
        return where + 1 if where == _LOCK_BYTE // self.page_size + 1 else where

    def _tells_parents(self) -> bool:
        header = self.page(1)[:HEADER_BYTES]
        if header[:16] == MAGIC:
            return bool(int.from_bytes(header[52:56], "big"))
        kinds = self.page(2)[: self.usable // 5 * 5 : 5][: max(0, self.count - 2)]
        return bool(kinds) and all(POINTER_ROOT <= kind <= POINTER_CHILD for kind in kinds)


def _header_page_size(header: bytes) -> int | None:
    if header[:16] != MAGIC or len(header) < HEADER_BYTES:
        return None
    size = int.from_bytes(header[16:18], "big")
    size = 1 << 16 if size == 1 else size
    return size if size in _SIZES else None


def _counted_pages(header: bytes) -> int:
    """Return how many pages the header says there are; 0 where it may be old (section 1.3.7)."""
    is_in_step = header[:16] == MAGIC and header[24:28] == header[92:96]
    return int.from_bytes(header[28:32], "big") if is_in_step else 0


def _likely_size(data: mmap.mmap | bytes, told: int | None) -> int:
    """Return the size of page by which most pages, and the largest share of them, are a tree's.

    Half the size finds as many at half the share, and twice the size half as many.

    Args:
        data: The file.
        told: What the header says; taken unless another size fits far better.
    """
    end = min(len(data), _SAMPLED_BYTES)

    def fit(size: int) -> float:
        starts = range(size, end - size + 1, size)
        found = sum(looks_like_btree(data[at : at + size], size) for at in starts)
        return found * found / len(starts) if starts else 0.0

    fits = {size: fit(size) for size in _SIZES}
    best = max(_SIZES, key=lambda size: (fits[size], size == _USUAL_SIZE))
    is_told = told is not None and fits[best] <= _FAR_BETTER * (fits[told] + 1)
    return told if told is not None and is_told else best


class _Log:
    """The write-ahead log: the newest committed version of each page in it.

    Attributes:
        page_size: Bytes of a page; 0 when there is no log that can be read.
        frames: Where the newest version of each page lies in the file.
        count: Pages of the database after the last commit.
    """

    def __init__(self, path: Path) -> None:
        self.page_size = 0
        self.frames: dict[int, int] = {}
        self.count = 0
        self._file = path.open("rb") if path.is_file() else None
        if self._file is not None:
            self._read()

    def page(self, number: int) -> bytes:
        """Return a page that `frames` names."""
        assert self._file is not None
        self._file.seek(self.frames[number])
        return self._file.read(self.page_size)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _read(self) -> None:
        """Follow the frames up to the first that is not whole, as SQLite does."""
        assert self._file is not None
        header = self._file.read(_LOG_HEADER)
        if len(header) < _LOG_HEADER:
            return
        words = struct.unpack(">8I", header)
        order = ">" if words[0] & 1 else "<"
        is_log = words[0] & ~1 == _LOG_MAGIC and words[2] in _SIZES
        checked = _checksum(header[:24], order, (0, 0))
        if not is_log or checked != words[6:8]:
            return
        self.page_size = words[2]
        pending: dict[int, int] = {}
        while True:
            frame = self._file.read(_FRAME_HEADER)
            page = self._file.read(self.page_size)
            if len(page) < self.page_size:
                return
            number, after, *rest = struct.unpack(">6I", frame)
            checked = _checksum(page, order, _checksum(frame[:8], order, checked))
            if tuple(rest[:2]) != words[4:6] or checked != tuple(rest[2:]):
                return
            pending[number] = self._file.tell() - self.page_size
            if after:
                self.frames.update(pending)
                pending.clear()
                self.count = after


def _checksum(data: bytes, order: str, start: tuple[int, int]) -> tuple[int, int]:
    """Return the log's running checksum (section 4.2)."""
    first, second = start
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for at in range(0, len(words), 2):
        first = (first + words[at] + second) & 0xFFFFFFFF
        second = (second + words[at + 1] + first) & 0xFFFFFFFF
    return first, second
