"""Files of Binance's public data archive: what their names tell, and their checksums."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

from engine.market.interval import INTERVALS
from engine.store.errors import BadFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_NAME = re.compile(
    r"(?P<symbol>[^-/]+)-(?P<interval>[0-9]+[a-zA-Z]+)-\d{4}-\d{2}(-\d{2})?\.(zip|csv|csv\.gz)"
)
_MONTH = "1mo"  # the archive's word for 1M, as file names may not differ by case alone
SUFFIXES = (".zip", ".csv", ".gz")
CHECKSUM_SUFFIX = ".CHECKSUM"


class Named(NamedTuple):
    """What the name of an archive file tells, such as `BTCUSDT-1m-2024-12.zip`."""

    symbol: str
    interval: str


def series_of(path: Path) -> Named | None:
    """Return symbol and interval that the name of `path` tells; None when it is another name."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    interval = "1M" if match["interval"] == _MONTH else match["interval"]
    return Named(match["symbol"].upper(), interval) if interval in INTERVALS else None


def kline_files(paths: Sequence[Path]) -> list[Path]:
    """Return files as they are and, for directories, all kline files below them by name.

    Raises:
        BadFile: for a path that does not exist, or a directory without any such file.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(
                file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file()
            )
            if not inside:
                raise BadFile(f"The directory {path} holds no .zip, .csv or .gz file to import.")
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
