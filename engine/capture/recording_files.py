"""Files of recorded frames: named by their start, gzip, readable up to the last flush.

A line is `<receipt time, epoch ns> <JSON>`. The JSON of a stream frame stands there as it was
received; that of a REST answer is `{"rest":"depth","symbol":"BTCUSDT","data":{…}}` or
`{"rest":"exchangeInfo","data":{…}}`.
"""

from __future__ import annotations

import os
import re
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"klinetop-(\d{8}T\d{6})Z(?:-\d+)?\.gz")
_STAMP = "%Y%m%dT%H%M%S"
_LEVEL = 5
_GZIP_WINDOW = 31  # zlib's number for the largest window in a gzip wrapper
_NEWLINES = bytes.maketrans(b"\r\n", b"  ")


class RecordingFile:
    """One gzip file that grows by lines.

    After `flush` a reader gets every line so far, even when nothing follows because the process
    was killed.

    Attributes:
        path: Where it is.
        start_ns: Receipt time of its first line.
        bytes: Its size so far.
        lines: Lines so far.
    """

    def __init__(self, directory: Path, start_ns: int) -> None:
        """Create the file, which only its owner may read.

        Raises:
            OSError: when that can not be done.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.start_ns = start_ns
        self.path, self._file = _create(directory, start_ns)
        self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
        self.bytes = 0
        self.lines = 0

    def write(self, receipt_ns: int, message: bytes) -> None:
        """Add one line; newlines in the message become blanks, which JSON does not mind."""
        if b"\n" in message or b"\r" in message:
            message = message.translate(_NEWLINES)
        self._put(self._packer.compress(b"%d %b\n" % (receipt_ns, message)))
        self.lines += 1

    def flush(self) -> None:
        """Hand all lines to the operating system in a form that can be unpacked as it is."""
        self._put(self._packer.flush(zlib.Z_SYNC_FLUSH))

    def close(self) -> None:
        """Write the end of the gzip file and close it.

        Raises:
            OSError: when the end can not be written; the file is closed nevertheless.
        """
        try:
            self._put(self._packer.flush(zlib.Z_FINISH))
        finally:
            os.close(self._file)

    def abandon(self) -> None:
        """Close it as it is, after a write has failed."""
        os.close(self._file)

    def _put(self, packed: bytes) -> None:
        view = memoryview(packed)
        while view:
            written = os.write(self._file, view)
            self.bytes += written
            view = view[written:]


def prune(directory: Path, before_s: float) -> int:
    """Delete the recordings in `directory` that began before `before_s` (epoch); count them.

    Only files with the name of a recording are looked at.
    """
    count = 0
    for path in directory.iterdir():
        match = _NAME.fullmatch(path.name)
        if match and _epoch_s(match[1]) < before_s:
            path.unlink(missing_ok=True)
            count += 1
    return count


def _create(directory: Path, start_ns: int) -> tuple[Path, int]:
    stamp = datetime.fromtimestamp(start_ns // 10**9, UTC).strftime(_STAMP)
    copy = 0
    while True:
        path = directory / f"klinetop-{stamp}Z{f'-{copy}' if copy else ''}.gz"
        try:
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            copy += 1


def _epoch_s(stamp: str) -> float:
    return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC).timestamp()
