"""What lies in a kline file as text: unpacked, transcoded, and member by member.

The kind of a file is told by its first bytes, never by its name. Whatever can break off while it is
read raises `DamagedKlineFile` there, after what came before has been given.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import importlib
import io
import lzma
import struct
import zipfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, cast

from engine.market.kline_arrow import arrow_text
from engine.market.kline_errors import DamagedKlineFile, UnreadableKlineFile
from engine.market.kline_json import json_text
from engine.market.torn_zip import torn_members

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO, BinaryIO

    from _typeshed import WriteableBuffer

CHUNK_BYTES = 1 << 20
_HEAD_BYTES = 600
_DAMAGE = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile, ValueError)
_BAD_ZIP = (zipfile.BadZipFile, EOFError, ValueError, struct.error, NotImplementedError)
_ENCRYPTED = 1
_ZIP = b"PK\x03\x04"
_ZSTD = b"\x28\xb5\x2f\xfd"
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_OTHER_KINDS: tuple[tuple[bytes, int, str], ...] = (
    (b"ustar", 257, "is a tar archive; unpack it with `tar -xf` and import what was in it"),
    (b"7z\xbc\xaf\x27\x1c", 0, "is a 7z archive; unpack it and import what was in it"),
    (b"Rar!", 0, "is a RAR archive; unpack it and import what was in it"),
    (b"\xd0\xcf\x11\xe0", 0, "is an Excel workbook; save the sheet as CSV and import that"),
    (b"\x89HDF", 0, "is an HDF5 file; write it as CSV or Parquet and import that"),
    (b"SQLite format 3", 0, "is an SQLite database; write its table as CSV and import that"),
    (b"\x80\x04\x95", 0, "is a Python pickle, which is never loaded; write it as CSV or Parquet"),
    (b"FEA1", 0, "is Feather of version 1; write it as version 2, Parquet or CSV"),
    (b"version https://git-lfs", 0, "is a pointer of Git LFS; fetch the file with `git lfs pull`"),
    (b"PK\x05\x06", 0, "is a zip archive with nothing in it; fetch it again"),
    (b"%PDF", 0, "is a PDF document, not data"),
)
_NO_ZSTD = (
    "{name} is packed with zstd, which this Python does not unpack: install pyarrow with "
    "`pip install 'klinetop[parquet]'`, or unpack the file with `zstd -d`."
)


class Stream:
    """The content of a file in pieces, as a stream that is read from its start to its end."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read1(self, size: int = -1) -> bytes:
        """Return the next bytes, `size` at most; none at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = piece
        if size < 0 or size >= len(self._rest):
            whole, self._rest = self._rest, b""
            return whole
        start, self._rest = self._rest[:size], self._rest[size:]
        return start

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes, fewer at the end; all that are left when it is negative."""
        pieces: list[bytes] = []
        left = size
        while size < 0 or left > 0:
            piece = self.read1(left if size >= 0 else -1)
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)


class Member(NamedTuple):
    """Text with klines, to be opened as often as wanted.

    Attributes:
        name: The file's name, or that of a member of an archive.
        kind: What its content is: `CSV`, `JSON`, `Parquet` or `Feather`.
        open: Gives the text in UTF-8, from its start.
    """

    name: str
    kind: str
    open: Callable[[], Stream]


class Package(NamedTuple):
    """What lies in a file.

    Attributes:
        members: In the order in which they lie there; one for a file that is no archive.
        left_out: Names and reasons of members that hold no text.
        damage: The sentence for an archive that breaks off, else empty.
    """

    members: list[Member]
    left_out: list[tuple[str, str]]
    damage: str = ""


@contextmanager
def unpacked(file: BinaryIO, name: str) -> Iterator[Package]:
    """Give what lies in a plain, gzip, xz, bzip2, zstd, zip, Parquet, Feather or JSON file.

    Args:
        file: Opened in binary mode, at its start; it stays open.
        name: What error messages call it.

    Raises:
        UnreadableKlineFile: when it is of another kind.
    """
    source = file if file.seekable() else _in_memory(file)
    start = source.tell()

    def opened() -> IO[bytes]:
        source.seek(start)
        return source

    if opened().read(len(_ZIP)) != _ZIP:
        yield Package([_text(opened, name)], [])
        return
    try:
        archive = zipfile.ZipFile(opened())
    except _BAD_ZIP as error:
        yield _torn(opened, name, error)
        return
    with archive:
        yield _members(archive, name)


def _in_memory(file: BinaryIO) -> IO[bytes]:
    return io.BytesIO(file.read())


def damaged(name: str, error: object) -> str:
    """Return the sentence for a file `name` that is damaged or breaks off."""
    return f"{name} is damaged or half-written ({error}); fetch it again."


def _members(archive: zipfile.ZipFile, name: str) -> Package:
    members: list[Member] = []
    left_out: list[tuple[str, str]] = []
    if "xl/workbook.xml" in archive.namelist():
        raise UnreadableKlineFile(
            f"{name} is an Excel workbook; save the sheet as CSV and import that."
        )
    for info in archive.infolist():
        if info.filename[-1:] in ("", "/") or info.filename.startswith("__MACOSX/"):
            continue
        try:
            members.append(_member(archive, info))
        except UnreadableKlineFile as error:
            left_out.append((info.filename, str(error).removeprefix(f"{info.filename} ")))
    if not members and left_out:
        raise UnreadableKlineFile(" ".join(left_out[0]))
    if not members:
        raise UnreadableKlineFile(f"{name} holds no file; fetch it again.")
    return Package(members, left_out)


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    def opened() -> IO[bytes]:
        if info.flag_bits & _ENCRYPTED:
            raise UnreadableKlineFile(
                f"{info.filename} is locked by a password; unpack the archive and import the file."
            )
        try:
            return archive.open(info)
        except (NotImplementedError, RuntimeError) as error:
            raise UnreadableKlineFile(f"{info.filename} can not be unpacked: {error}.") from error
        except _BAD_ZIP as error:
            raise DamagedKlineFile(damaged(info.filename, error)) from error

    return _text(opened, info.filename)


def _torn(opened: Callable[[], IO[bytes]], name: str, error: Exception) -> Package:
    sentence = damaged(name, error)
    members = [_text(_opener(pieces), member) for member, pieces in torn_members(opened)]
    if not members:
        raise DamagedKlineFile(sentence)
    return Package(members, [], sentence)


def _opener(pieces: Callable[[], Iterator[bytes]]) -> Callable[[], IO[bytes]]:
    return lambda: cast("IO[bytes]", Stream(pieces()))


def _text(opened: Callable[[], IO[bytes]], name: str) -> Member:
    """Return what `opened` gives as text.

    Raises:
        UnreadableKlineFile: when it is of a kind that is not read.
    """
    head = _head(opened, name)
    if unpack := _unpacker(head, name):
        return _text(lambda: unpack(opened()), name)
    if head.startswith(_ZIP):
        raise UnreadableKlineFile(f"{name} is an archive inside an archive; unpack that.")
    for magic, at, words in _OTHER_KINDS:
        if head[at : at + len(magic)] == magic:
            raise UnreadableKlineFile(f"{name} {words}.")
    if coding := _UTF16.get(head[:2]):
        return Member(name, "CSV", lambda: Stream(_recoded(_guarded(opened(), name), coding)))
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if start[:5].lower() in (b"<html", b"<!doc", b"<?xml"):
        raise UnreadableKlineFile(f"{name} is a web page, not data; fetch the file itself.")
    if head.startswith((b"PAR1", b"ARROW1")):
        kind = "Parquet" if head.startswith(b"PAR1") else "Feather"
        return Member(name, kind, lambda: Stream(arrow_text(opened(), name)))
    if b"\x00" in head:
        raise UnreadableKlineFile(f"{name} is a binary file of a kind that klinetop does not know.")
    if start[:1] in (b"[", b"{"):
        return Member(name, "JSON", lambda: Stream(json_text(_guarded(opened(), name), name)))
    return Member(name, "CSV", lambda: Stream(_guarded(opened(), name)))


def _unpacker(head: bytes, name: str) -> Callable[[IO[bytes]], IO[bytes]] | None:
    if head[:2] == b"\x1f\x8b":
        return lambda file: cast("IO[bytes]", gzip.GzipFile(fileobj=file, mode="rb"))
    if head[:6] == b"\xfd7zXZ\x00":
        return lambda file: cast("IO[bytes]", lzma.LZMAFile(file))
    if head[:3] == b"BZh":
        return lambda file: cast("IO[bytes]", bz2.BZ2File(file))
    if head[:4] == _ZSTD:
        return lambda file: _zstd(file, name)
    return None


def _zstd(file: IO[bytes], name: str) -> IO[bytes]:
    try:
        arrow = importlib.import_module("pyarrow")
    except ImportError:
        raise UnreadableKlineFile(_NO_ZSTD.format(name=name)) from None
    return cast("IO[bytes]", arrow.input_stream(_Unclosed(file), compression="zstd"))


class _Unclosed(io.RawIOBase):
    """A file for a reader that closes what it reads from."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill `buffer` from the file; returns how many bytes that are."""
        view = memoryview(buffer)
        piece = self._file.read(len(view))
        view[: len(piece)] = piece
        return len(piece)


def _head(opened: Callable[[], IO[bytes]], name: str) -> bytes:
    """Return the first bytes; fewer, when the file breaks off among them."""
    head = b""
    try:
        for piece in _guarded(opened(), name, _HEAD_BYTES):
            head += piece
            if len(head) >= _HEAD_BYTES:
                break
    except DamagedKlineFile:
        if not head:
            raise
    return head


def _guarded(stream: IO[bytes], name: str, size: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Yield what can be read.

    Raises:
        DamagedKlineFile: where the packing is damaged or ends early.
        OSError: where the disk fails.
    """
    read = getattr(stream, "read1", stream.read)
    try:
        while piece := read(size):
            yield piece
    except UnreadableKlineFile:
        raise
    except _DAMAGE as error:
        raise DamagedKlineFile(damaged(name, error)) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise DamagedKlineFile(damaged(name, error)) from error
    except (NotImplementedError, RuntimeError) as error:
        raise UnreadableKlineFile(f"{name} can not be unpacked: {error}.") from error


def _recoded(pieces: Iterator[bytes], coding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(coding)("replace")
    for piece in pieces:
        yield decoder.decode(piece).encode()
    yield decoder.decode(b"", final=True).encode()
