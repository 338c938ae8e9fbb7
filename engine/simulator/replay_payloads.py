"""Recorded payloads as far as a replay needs to understand them (official stream documentation)."""

from __future__ import annotations

import msgspec

from engine.market.candle import Candle


class TradePayload(msgspec.Struct):
    """A `trade` or `aggTrade` event (aggTrade's `f`, `l` are the ids of its trades)."""

    E: int
    T: int
    p: str
    q: str
    m: bool
    t: int = -1
    f: int = -1
    l: int = -1  # noqa: E741


class DepthPayload(msgspec.Struct):
    """A `depthUpdate` event."""

    E: int
    U: int
    u: int
    b: list[tuple[float, float]]
    a: list[tuple[float, float]]


class TopPayload(msgspec.Struct):
    """A `bookTicker` event."""

    u: int
    b: str
    B: str
    a: str
    A: str


class KlineBody(msgspec.Struct):
    """The `k` of a `kline` event."""

    t: int
    i: str
    o: float
    h: float
    l: float  # noqa: E741
    c: float
    v: float
    q: float
    n: int
    x: bool
    V: float
    Q: float


class KlinePayload(msgspec.Struct):
    """A `kline` event."""

    E: int
    k: KlineBody


class SnapshotPayload(msgspec.Struct):
    """The answer of GET depth."""

    lastUpdateId: int  # noqa: N815
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]


decode_trade = msgspec.json.Decoder(TradePayload).decode
decode_depth = msgspec.json.Decoder(DepthPayload, strict=False).decode
decode_top = msgspec.json.Decoder(TopPayload).decode
decode_kline = msgspec.json.Decoder(KlinePayload, strict=False).decode
decode_snapshot = msgspec.json.Decoder(SnapshotPayload, strict=False).decode


def candle_of(body: KlineBody) -> Candle:
    """Return the candle of a recorded kline event."""
    return Candle(
        body.t, body.o, body.h, body.l, body.c, body.v, body.q, body.n, body.V, body.Q, body.x
    )
