"""Finds the real recordings that KLINETOP_RECORDINGS points to."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Iterator
from pathlib import Path

SESSION = ("btcusdt_20240808.gz", "btcusdt_20240809.gz")


def folder() -> Path:
    """Return the folder of recordings, or end with a sentence."""
    text = os.environ.get("KLINETOP_RECORDINGS")
    if not text or not Path(text).is_dir():
        sys.exit("Set KLINETOP_RECORDINGS to the folder that holds recordings/ and klines/.")
    return Path(text)


def session_files() -> list[Path]:
    """Return the files of the recorded BTCUSDT session, in order."""
    return [folder() / "recordings" / name for name in SESSION]


def session_frames() -> Iterator[bytes]:
    """Yield the raw JSON of each recorded frame, in order."""
    for path in session_files():
        with gzip.open(path) as lines:
            for line in lines:
                yield line.split(b" ", 1)[1].rstrip()


def kline_file() -> Path:
    """Return the file of recorded BTCUSDT 1m candles."""
    return folder() / "klines" / "BTCUSDT_1m.csv.gz"
