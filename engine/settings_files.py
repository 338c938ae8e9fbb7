"""What the settings must know about files before anything else is loaded."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_MAGIC = b"PK\x03\x04"
_RECORDED_LINE = re.compile(rb"\d[\d.]*:?\s+[\[{]|(?:wss?|https?)://")


def holds_recording(path: Path) -> bool:
    """Tell whether `path` (plain, gz or zip) starts like a recording.

    A recording's line is a receipt time and raw JSON, or begins with an address; anything else,
    and a file that can not be read, counts as klines, whose reader then says what is wrong with it.
    """
    from zipfile import BadZipFile

    try:
        return _RECORDED_LINE.match(_first_line(path).lstrip()) is not None
    except (OSError, EOFError, BadZipFile):
        return False


def _first_line(path: Path) -> bytes:
    with path.open("rb") as file:
        magic = file.read(4)
    if magic.startswith(_GZIP_MAGIC):
        import gzip

        with gzip.open(path) as unpacked:
            return unpacked.readline(4096)
    if magic == _ZIP_MAGIC:
        import zipfile

        with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as member:
            return member.readline(4096)
    with path.open("rb") as file:
        return file.readline(4096)
