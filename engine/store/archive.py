"""Kline files by name: those in a directory, and the checksums of the public archive."""

from __future__ import annotations

import hashlib
import re
import zipfile
from typing import TYPE_CHECKING

from engine.market.kline_names import SUFFIXES, Named, series_of
from engine.store.errors import BadFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CHECKSUM_SUFFIX = ".CHECKSUM"


def series_in(path: Path) -> Named | None:
    """Return what the name of `path` tells, or else the names in it, where it is a zip archive.

    None when they tell nothing, or several series.
    """
    told = series_of(path.name)
    if told is not None or not zipfile.is_zipfile(path):
        return told
    try:
        with zipfile.ZipFile(path) as archive:
            found = {series_of(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return None
    found.discard(None)
    return found.pop() if len(found) == 1 else None


def kline_files(paths: Sequence[Path]) -> list[Path]:
    """Return files as they are and, for directories, all kline files below them by name.

    Raises:
        BadFile: for a path that does not exist, or a directory without any such file.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(
                file
                for file in path.rglob("*")
                if file.suffix.lower() in SUFFIXES and file.is_file()
            )
            if not inside:
                raise BadFile(
                    f"The directory {path} holds no kline file ({' '.join(SUFFIXES)}) to import."
                )
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise BadFile(f"There is no file {path} to import.")
    return found


def check_sum(path: Path) -> bool:
    """Compare `path` with the SHA-256 in the file `<name>.CHECKSUM` beside it.

    Returns:
        Whether there is such a file.

    Raises:
        BadFile: when the sums differ, or the file holds none.
        OSError: when one of both can not be read.
    """
    beside = path.with_name(path.name + CHECKSUM_SUFFIX)
    if not beside.is_file():
        return False
    words = beside.read_text("utf-8", "replace").split()
    wanted = words[0].lower() if words else ""
    if not re.fullmatch(r"[0-9a-f]{64}", wanted):
        raise BadFile(f"{beside} holds no SHA-256 sum; fetch it again, or delete it.")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != wanted:
        raise BadFile(f"{path} does not fit the sum in {beside.name}; fetch both again.")
    return True
