"""Recordings of Binance sessions: their lines, and what one pass over them tells.

Two layouts are read, plain or gzip, told apart line by line:

* `<receipt time, ns> <raw JSON>` (hftbacktest), where the JSON is a combined-stream message, a raw
  stream message or the answer of GET depth. In klinetop's own recordings an answer says what it is:
  `{"rest":"depth","symbol":"BTCUSDT","data":{…}}`, `{"rest":"exchangeInfo","data":{…}}`;
* `<receipt time, s>: <raw JSON>` and `https://… -> <receipt time, s>: <raw JSON>` (cryptofeed),
  where the JSON may also be the answer of GET exchangeInfo.
"""

from __future__ import annotations

import gzip
import heapq
import re
import zlib
from itertools import islice
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

Kind = Literal["stream", "depth", "exchangeInfo"]

_NS_LINE = re.compile(rb"(\d{16,20}) (?=[\[{])")
_SECONDS_LINE = re.compile(rb"(?:https?://(\S+) -> )?(\d{9,11})(?:\.(\d{1,9}))?: (?=[\[{])")
_SYMBOL = re.compile(rb"[?&]symbol=([^&\s]+)")
_SILENT = (b"wss://", b"ws://", b"configuration:")
_SNIFFED_LINES = 20
_COMBINED = b'{"stream":"'
_DATA = b'","data":'
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)
_STREAM_OF_EVENT = {
    "trade": "trade",
    "aggTrade": "aggTrade",
    "24hrTicker": "ticker",
    "24hrMiniTicker": "miniTicker",
    "bookTicker": "bookTicker",
    "depthUpdate": "depth@100ms",
    "avgPrice": "avgPrice",
    "referencePrice": "referencePrice",
    "1hTicker": "ticker_1h",
    "4hTicker": "ticker_4h",
    "1dTicker": "ticker_1d",
}


class Line(NamedTuple):
    """One recorded message.

    Attributes:
        receipt_ns: When the recorder received it, by its own clock (UTC epoch, ns).
        kind: `stream` for a stream's payload, else the REST endpoint that answered.
        name: Stream name (`btcusdt@trade`), or the symbol of a depth answer as far as the line
            tells it, else empty.
        payload: The JSON exactly as received, without a combined stream's envelope.
    """

    receipt_ns: int
    kind: Kind
    name: str
    payload: bytes


class Unread(NamedTuple):
    """A line that holds no message.

    Attributes:
        path: The file.
        line_number: Counted from 1.
        reason: What is wrong, in words.
        is_cut: Whether the file ends here, before its own end.
    """

    path: Path
    line_number: int
    reason: str
    is_cut: bool = False


class _Kline(msgspec.Struct):
    i: str


class _Head(msgspec.Struct):
    """The fields that tell what a message is."""

    stream: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"")
    lastUpdateId: int | None = None  # noqa: N815
    serverTime: int | None = None  # noqa: N815
    e: str | None = None
    s: str | None = None
    u: int | None = None
    k: _Kline | None = None
    rest: str | None = None
    symbol: str = ""


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_heads = msgspec.json.Decoder(list[_Head]).decode


def is_recording(path: Path) -> bool:
    """Tell by its first lines whether `path` is a recording."""
    with path.open("rb") as file:
        try:
            for line in islice(raw_lines(file), _SNIFFED_LINES):
                if _NS_LINE.match(line) or _SECONDS_LINE.match(line):
                    return True
                if not line.startswith((*_SILENT, b"https://")):
                    return False
        except _DAMAGED:
            return False
    return False


def read_lines(path: Path) -> Iterator[Line | Unread]:
    """Yield the messages of one file in their order, and `Unread` for lines that hold none.

    A file whose end is missing (a recorder that was killed) yields what it holds and one `Unread`.
    """
    number = 0
    with path.open("rb") as file:
        try:
            for number, raw in enumerate(raw_lines(file), 1):
                text = raw.strip()
                if not text or text.startswith(_SILENT):
                    continue
                try:
                    line = _combined_line(raw) or _parse(text)
                except (ValueError, msgspec.DecodeError) as error:
                    yield Unread(path, number, str(error))
                else:
                    if line is not None:
                        yield line
        except _DAMAGED as error:
            reason = f"the file is damaged or half-written: {error}"
            yield Unread(path, number + 1, reason, is_cut=True)


def merged(paths: Sequence[Path]) -> Iterator[Line | Unread]:
    """Yield the messages of several files by receipt time; within a file their order stays."""
    yield from heapq.merge(*(read_lines(path) for path in paths), key=_receipt_ns)


def combined(stream: str, payload: bytes) -> bytes:
    """Return the combined-stream message of `payload`, as the exchange writes it."""
    return b'{"stream":"%b","data":%b}' % (stream.encode(), payload)


def _receipt_ns(line: Line | Unread) -> int:
    return line.receipt_ns if isinstance(line, Line) else 0


def raw_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a plain or gzip file, told apart by content."""
    start = file.read(2)
    file.seek(0)
    if start == b"\x1f\x8b":
        with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
            yield from unpacked
    else:
        yield from file


def _combined_line(raw: bytes) -> Line | None:
    """Take a whole line with a combined message apart without decoding it; None for others."""
    start = raw.find(b" ")
    if not (raw.endswith(b"}\n") and raw.startswith(_COMBINED, start + 1)):
        return None
    name_at = start + 1 + len(_COMBINED)
    end = raw.find(b'"', name_at)
    name = raw[name_at:end]
    if not raw.startswith(_DATA, end) or b"\\" in name or not raw[:start].isdigit():
        return None
    return Line(int(raw[:start]), "stream", name.decode(), raw[end + len(_DATA) : -2])


def _parse(text: bytes) -> Line | None:
    """Return the message of one line; None for an answer to a command, which is no data."""
    match = _NS_LINE.match(text)
    if match:
        return _message(int(match[1]), text[match.end() :], b"")
    match = _SECONDS_LINE.match(text)
    if match:
        fraction = (match[3] or b"").ljust(9, b"0")
        return _message(int(match[2]) * 10**9 + int(fraction), text[match.end() :], match[1] or b"")
    raise ValueError("the line does not start with a receipt time and a JSON message")


def _message(receipt_ns: int, payload: bytes, url: bytes) -> Line | None:
    if payload.startswith(b"["):
        heads = _decode_heads(payload)
        if heads and heads[0].e == "24hrMiniTicker":
            return Line(receipt_ns, "stream", "!miniTicker@arr", payload)
        raise ValueError("a list of messages that no known stream sends")
    head = _decode_head(payload)
    if head.stream is not None and head.data:
        return Line(receipt_ns, "stream", head.stream, bytes(head.data))
    if head.rest in ("depth", "exchangeInfo") and head.data:
        kind: Kind = "depth" if head.rest == "depth" else "exchangeInfo"
        return Line(receipt_ns, kind, head.symbol, bytes(head.data))
    if head.lastUpdateId is not None:
        symbol = _SYMBOL.search(url)
        return Line(receipt_ns, "depth", symbol[1].decode() if symbol else "", payload)
    if head.serverTime is not None:
        return Line(receipt_ns, "exchangeInfo", "", payload)
    if b'"id"' in payload and head.s is None:
        return None
    return Line(receipt_ns, "stream", _stream_of(head), payload)


def _stream_of(head: _Head) -> str:
    """Name the stream of a raw message (recorded from `/ws/<stream>`, without an envelope)."""
    if head.s is None:
        raise ValueError("a message that tells neither its stream nor its symbol")
    symbol = head.s.lower()
    if head.e == "kline" and head.k is not None:
        return f"{symbol}@kline_{head.k.i}"
    event = head.e if head.e is not None else "bookTicker" if head.u is not None else ""
    if event not in _STREAM_OF_EVENT:
        raise ValueError(f"a message of the unknown kind '{event}'")
    return f"{symbol}@{_STREAM_OF_EVENT[event]}"
