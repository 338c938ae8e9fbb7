"""`timeUnit=MICROSECOND` of streams: payloads with times in microseconds."""

from __future__ import annotations

from typing import Any

import msgspec

_ALWAYS = ("E",)
_TIMES = {
    "trade": ("E", "T"),
    "aggTrade": ("E", "T"),
    "blockTrade": ("E", "T"),
    "avgPrice": ("E", "T"),
    "24hrTicker": ("E", "O", "C"),
    "1hTicker": ("E", "O", "C"),
    "4hTicker": ("E", "O", "C"),
    "1dTicker": ("E", "O", "C"),
    "referencePrice": ("t",),
}
_LAST_MICROSECONDS = 999
_FIRST_MICROSECOND = 10**14


def event_in_microseconds(payload: bytes) -> bytes:
    """Return a stream's payload with its times in microseconds; other JSON is returned as it is.

    The last millisecond of a candle becomes its last microsecond. Times that are microseconds
    already, as a recording may have them, stay.
    """
    try:
        value = msgspec.json.decode(payload)
    except msgspec.DecodeError:
        return payload
    events = value if isinstance(value, list) else [value]
    for event in events:
        if isinstance(event, dict):
            _change(event)
    return msgspec.json.encode(value)


def _change(event: dict[str, Any]) -> None:
    kind = event.get("e")
    if kind is None:  # a top of book or a partial book has ids, and no time
        return
    for key in _TIMES.get(kind, _ALWAYS):
        _scale(event, key)
    candle = event.get("k")
    if kind == "kline" and isinstance(candle, dict):
        _scale(candle, "t")
        _scale(candle, "T", _LAST_MICROSECONDS)


def _scale(values: dict[str, Any], key: str, rest: int = 0) -> None:
    time = values.get(key)
    if isinstance(time, int) and time < _FIRST_MICROSECOND:
        values[key] = time * 1000 + rest
