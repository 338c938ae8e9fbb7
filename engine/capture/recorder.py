"""Keeps the raw frames of a session, with the REST answers that a replay of them needs.

Frames are taken in the event loop and written by a thread of the recorder's own. What the thread
can not keep up with is dropped and counted: a recording never slows the engine.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from engine.binance.rest import RestError, UnknownSymbol
from engine.capture.recording_files import RecordingFile, prune

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from engine.binance.book_feed import SnapshotSource

log = logging.getLogger(__name__)

ROTATE_S = 3600.0
FLUSH_S = 1.0
QUEUE_BYTES = 64_000_000
SNAPSHOT_LEVELS = 1_000
DISK_FLOOR_NOTE = "the disk is nearly full, so nothing is recorded"
_STEP_S = 0.2
_RETRY_S = 10.0
_CLOSE_S = 20.0
_HOUR_S = 3600.0
_PREFIX = '{"stream":"'


class _Answer(NamedTuple):
    """A REST answer that a replay needs."""

    path: str
    symbol: str
    body: bytes


class _Named(msgspec.Struct):
    symbol: str


class _Listing(msgspec.Struct):
    symbols: list[msgspec.Raw]


_decode_listing = msgspec.json.Decoder(_Listing).decode
_decode_named = msgspec.json.Decoder(_Named).decode


class Recorder:
    """Writes frames into files that each replay alone; use it inside a running event loop.

    A new file begins at every full hour of the wall clock. It starts with what the exchange said
    about the markets, and fresh snapshots of all books are asked for at once.

    Args:
        directory: Where the files go; made when it is missing.
        keep_hours: Older recordings are deleted when a file begins; None keeps all.
        books: Tells the symbols whose diffs are recorded, for the snapshots of a new file.
        may_write: Whether the disk has room for more than candles; asked in the thread.
        rotate_s: Wall seconds of a file, counted from the epoch.
        flush_s: Wall seconds after which a line is safe from a kill.
        queue_bytes: Most that may wait for the thread.

    Attributes:
        files: All files of this recorder, oldest first.
        messages: Frames and answers written.
        note: Why nothing is written at the moment; empty while all is well.
    """

    def __init__(
        self,
        directory: Path,
        *,
        keep_hours: float | None = None,
        books: Callable[[], Iterable[str]] = tuple,
        may_write: Callable[[], bool] = lambda: True,
        rotate_s: float = ROTATE_S,
        flush_s: float = FLUSH_S,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        self.directory = directory
        self.files: list[Path] = []
        self.messages = 0
        self.note = ""
        self._keep_hours = keep_hours
        self._books = books
        self._may_write = may_write
        self._rotate_ns = int(rotate_s * 1e9)
        self._flush_s = flush_s
        self._queue_bytes = queue_bytes
        self._queue: deque[tuple[int, str | _Answer]] = deque()
        self._put_bytes = self._taken_bytes = 0
        self._refused = self._lost = 0
        self._ended_bytes = 0
        self._wanted: dict[str, None] = {}
        self._wants = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._infos: dict[str, bytes] = {}
        self._stems: set[str] = set()
        self._file: RecordingFile | None = None
        self._retry_at_s = 0.0
        self._flushed_s = time.monotonic()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    # --- in the loop --------------------------------------------------------------------------

    def frame(self, receipt_ns: int, text: str) -> None:
        """Take a frame as the socket delivered it (`StreamSupervisor`'s `on_raw`)."""
        self._enqueue(receipt_ns, text, len(text))

    def answer(self, path: str, parameters: dict[str, str | int], body: bytes) -> None:
        """Take a REST answer (`RestClient`'s `on_answer`); only what a replay needs is kept."""
        if path in ("depth", "exchangeInfo"):
            symbol = str(parameters.get("symbol", ""))
            self._enqueue(time.time_ns(), _Answer(path, symbol, body), len(body))

    def want_snapshots(self, symbols: Iterable[str]) -> None:
        """Have `run` fetch snapshots of `symbols`, because their diffs begin anew."""
        self._wanted.update(dict.fromkeys(symbols))
        if self._wanted:
            self._wants.set()

    async def run(self, rest: SnapshotSource) -> None:
        """Fetch the snapshots that the files need, for ever; `rest` hands them to `answer`."""
        while True:
            await self._wants.wait()
            while self._wanted:
                symbol = next(iter(self._wanted))
                self._wanted.pop(symbol)
                try:
                    await rest.depth(symbol, SNAPSHOT_LEVELS, background=True)
                except UnknownSymbol as error:
                    log.warning("the recording lacks a snapshot: %s", error)
                except RestError as error:
                    log.warning("the recording lacks a snapshot of %s: %s", symbol, error)
                    self._wanted[symbol] = None  # behind the others
                    await asyncio.sleep(_RETRY_S)
            self._wants.clear()

    @property
    def dropped(self) -> int:
        """Messages that were not written."""
        return self._refused + self._lost

    @property
    def bytes_written(self) -> int:
        """Bytes of all its files."""
        file = self._file
        return self._ended_bytes + (file.bytes if file is not None else 0)

    @property
    def summary(self) -> str:
        """The file that grows, its size, and what is wrong, in words."""
        file = self._file
        parts = []
        if file is not None:
            parts.append(f"{file.path.name}, {file.bytes / 1e6:.1f} MB, {file.lines:,} messages")
        elif not self.note:
            parts.append("waiting for the first message")
        if self.dropped:
            parts.append(f"{self.dropped:,} dropped")
        if self.note:
            parts.append(self.note)
        return "; ".join(parts)

    async def close(self) -> None:
        """Write what waits and end the file; nothing more may be handed over."""
        self._closing.set()
        await asyncio.to_thread(self._thread.join, _CLOSE_S)
        if self._thread.is_alive():
            log.warning("the recording could not be ended within %.0f s", _CLOSE_S)

    def _enqueue(self, receipt_ns: int, item: str | _Answer, size: int) -> None:
        if self._put_bytes - self._taken_bytes + size > self._queue_bytes:
            self._refused += 1
            return
        self._put_bytes += size
        self._queue.append((receipt_ns, item))

    # --- in the thread ------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._closing.wait(_STEP_S):
            self._drain_or_tell()
        self._drain_or_tell()
        self._end_file()

    def _drain_or_tell(self) -> None:
        """Work off the queue; a fault costs a message and begins a new file, not the thread."""
        try:
            self._drain()
        except Exception as error:
            log.exception("%s: a message could not be recorded", self.directory)
            self._lost += 1
            self._failed(error)

    def _drain(self) -> None:
        may_write = self._may_write()
        if not may_write:
            self._end_file()
            self.note = DISK_FLOOR_NOTE
        elif self.note == DISK_FLOOR_NOTE:
            self.note = ""
        for _ in range(len(self._queue)):
            receipt_ns, item = self._queue.popleft()
            self._taken_bytes += len(item if isinstance(item, str) else item.body)
            message = self._learned(item)
            if may_write and time.monotonic() >= self._retry_at_s:
                self._write(receipt_ns, message)
            else:
                self._lost += 1
        now_s = time.monotonic()
        if self._file is not None and now_s - self._flushed_s >= self._flush_s:
            self._flushed_s = now_s
            try:
                self._file.flush()
            except OSError as error:
                self._failed(error)

    def _write(self, receipt_ns: int, message: bytes) -> None:
        try:
            file = self._file_for(receipt_ns)
            file.write(receipt_ns, message)
        except OSError as error:
            self._failed(error)
            self._lost += 1
        else:
            self.messages += 1

    def _failed(self, error: Exception) -> None:
        """Give the file up; a new one is tried later."""
        words = getattr(error, "strerror", None) or str(error) or type(error).__name__
        self.note = f"the recording can not be written ({words})"
        log.warning("%s: %s", self.directory, self.note)
        self._retry_at_s = time.monotonic() + _RETRY_S
        file, self._file = self._file, None
        if file is not None:
            self._ended_bytes += file.bytes
            file.abandon()

    def _end_file(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.close()
        except OSError as error:
            self._failed(error)
        self._ended_bytes += file.bytes

    def _file_for(self, receipt_ns: int) -> RecordingFile:
        """Return the file of this hour, a new one where there is none."""
        file = self._file
        if file is not None:
            if receipt_ns // self._rotate_ns <= file.start_ns // self._rotate_ns:
                return file
            self._end_file()
        self._file = file = RecordingFile(self.directory, receipt_ns)
        self.note = ""
        self.files.append(file.path)
        known = [row for name, row in self._infos.items() if name.lower() in self._stems]
        if known:
            listing = b'{"rest":"exchangeInfo","data":{"symbols":[%b]}}' % b",".join(known)
            file.write(receipt_ns, listing)
        self._prune(receipt_ns / 1e9)
        try:
            self._loop.call_soon_threadsafe(lambda: self.want_snapshots(self._books()))
        except RuntimeError:
            log.info("the engine was gone before its recording ended")
        return file

    def _prune(self, now_s: float) -> None:
        if self._keep_hours is None:
            return
        try:
            prune(self.directory, now_s - self._keep_hours * _HOUR_S)
        except OSError as error:
            log.warning("old recordings could not be deleted: %s", error)

    def _learned(self, item: str | _Answer) -> bytes:
        """Return the JSON of a line, and remember what the next file will begin with."""
        if isinstance(item, str):
            if item.startswith(_PREFIX):
                self._stems.add(item[len(_PREFIX) : item.find("@", len(_PREFIX))])
            return item.encode(errors="replace")
        if item.path == "depth":
            symbol = msgspec.json.encode(item.symbol)
            return b'{"rest":"depth","symbol":%b,"data":%b}' % (symbol, item.body)
        try:
            rows = [bytes(row) for row in _decode_listing(item.body).symbols]
        except msgspec.DecodeError as error:
            log.warning("an answer about the markets is not kept for later files: %s", error)
            rows = []
        for row in rows:
            try:
                self._infos[_decode_named(row).symbol] = row
            except msgspec.DecodeError as error:
                log.warning("a market is not kept for later files: %s", error)
        return b'{"rest":"exchangeInfo","data":%b}' % item.body
