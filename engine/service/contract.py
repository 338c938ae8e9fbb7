"""The messages between the engine and those who look at it.

They travel as length-prefixed msgpack over a Unix-domain socket: four bytes of length (big endian),
then one encoded struct. One request gets one answer, in order. The first request of a connection
is `Hello`. All times are exchange time in epoch milliseconds unless a name ends in `_age_ms`,
`_s` or says `wall`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.market.capture_figures import GapRow, MarketCoverage
from engine.market.symbol import SymbolInfo
from engine.service.frames import (
    BookSection,
    ChartSection,
    ForecastSection,
    Notice,
    StatusSection,
    StorageSection,
    TickerRow,
    TickersSection,
    TradesSection,
)
from engine.service.requests import (
    MAX_MESSAGE_BYTES,
    PROTOCOL,
    Backfill,
    BackfillMarkets,
    BackfillState,
    BookRequest,
    Cancel,
    CancelBackfill,
    CoverageRequest,
    GapsRequest,
    Goodbye,
    Hello,
    Import,
    KeepHouse,
    Pull,
    Request,
    Retrain,
    RetryGaps,
    Search,
    StatusRequest,
    Stop,
    Unwatch,
    View,
    Watch,
)

__all__ = [
    "MAX_MESSAGE_BYTES",
    "PROTOCOL",
    "Answer",
    "Backfill",
    "BackfillMarkets",
    "BackfillState",
    "BookRequest",
    "BookSection",
    "Cancel",
    "CancelBackfill",
    "ChartSection",
    "Coverage",
    "CoverageRequest",
    "Done",
    "ForecastSection",
    "Found",
    "Frame",
    "Gaps",
    "GapsRequest",
    "Goodbye",
    "Hello",
    "Import",
    "KeepHouse",
    "Notice",
    "Problem",
    "Pull",
    "Request",
    "Retrain",
    "RetryGaps",
    "Search",
    "StatusRequest",
    "StatusSection",
    "Stop",
    "StorageSection",
    "TickerRow",
    "TickersSection",
    "TradesSection",
    "Unwatch",
    "View",
    "Watch",
    "Welcome",
    "decode_answer",
    "decode_request",
    "encode",
]


class Welcome(msgspec.Struct, frozen=True, tag=True):
    """Answer to `Hello`."""

    version: str
    protocol: int
    pid: int
    source: str
    focused: str
    interval: str
    source_note: str = ""


class Frame(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The sections that changed after the revision asked for; None where nothing did."""

    revision: int
    status: StatusSection | None = None
    tickers: TickersSection | None = None
    book: BookSection | None = None
    chart: ChartSection | None = None
    trades: TradesSection | None = None
    storage: StorageSection | None = None
    forecast: ForecastSection | None = None
    notices: tuple[Notice, ...] = ()


class Found(msgspec.Struct, frozen=True, tag=True):
    """Answer to `Search`; `tickers` holds those of the symbols whose prices are known."""

    symbols: tuple[SymbolInfo, ...]
    tickers: tuple[TickerRow, ...] = ()


class Coverage(msgspec.Struct, frozen=True, tag=True):
    """Answer to `CoverageRequest`; `first_hour_ms` is the open time of the first cell's hour."""

    first_hour_ms: int
    total: int
    rows: tuple[MarketCoverage, ...]


class Gaps(msgspec.Struct, frozen=True, tag=True):
    """Answer to `GapsRequest`: rows, how many there are in all, and candles by state."""

    total: int
    candles_by_state: dict[str, int]
    rows: tuple[GapRow, ...]


class Done(msgspec.Struct, frozen=True, tag=True):
    """A command was carried out; `data` holds plain JSON-like values."""

    message: str = ""
    data: dict[str, Any] = {}


class Problem(msgspec.Struct, frozen=True, tag=True):
    """A command was refused; `message` says why and what to do. `usage` marks a user's mistake."""

    message: str
    usage: bool = False


Answer = Welcome | Frame | Found | Coverage | Gaps | Done | Problem

_request_decoder = msgspec.msgpack.Decoder(Request)
_answer_decoder = msgspec.msgpack.Decoder(Answer)
_encoder = msgspec.msgpack.Encoder()


def encode(message: Request | Answer) -> bytes:
    """Return `message` with its length prefix."""
    body = _encoder.encode(message)
    return len(body).to_bytes(4, "big") + body


def decode_request(body: bytes) -> Request:
    """Decode a request's body; raises `msgspec.DecodeError` on anything else."""
    request: Request = _request_decoder.decode(body)
    return request


def decode_answer(body: bytes) -> Answer:
    """Decode an answer's body; raises `msgspec.DecodeError` on anything else."""
    answer: Answer = _answer_decoder.decode(body)
    return answer
