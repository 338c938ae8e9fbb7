"""`X-MBX-TIME-UNIT`: answers with times in microseconds."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.simulator.errors import ApiError

_TIMES = frozenset(
    {"serverTime", "openTime", "closeTime", "time", "T", "timestamp", "transactTime", "updateTime"}
)
_ENDS = frozenset({"klines", "uiKlines", "ticker/tradingDay"})
_LAST_MS = 999


def wants_microseconds(unit: str | None) -> bool:
    """Tell whether the header asks for microseconds (either case, as the exchange takes it).

    Raises:
        ApiError: -1194 for another word.
    """
    word = "MILLISECOND" if unit is None else unit.upper()
    if word not in ("MILLISECOND", "MICROSECOND"):
        raise ApiError(
            -1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND."
        )
    return word == "MICROSECOND"


def in_microseconds(path: str, body: bytes) -> bytes:
    """Return an answer of `path` (such as `klines`) with its times in microseconds.

    The last millisecond of a candle or a day becomes its last microsecond.
    """
    answer = msgspec.json.decode(body)
    if path in ("klines", "uiKlines"):
        for row in answer:
            row[0], row[6] = row[0] * 1000, row[6] * 1000 + _LAST_MS
    else:
        _change(answer, ends=path in _ENDS)
    return msgspec.json.encode(answer)


def _change(value: Any, *, ends: bool) -> None:
    if isinstance(value, list):
        for item in value:
            _change(item, ends=ends)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in _TIMES and isinstance(item, int):
                value[key] = item * 1000 + (_LAST_MS if ends and key == "closeTime" else 0)
            else:
                _change(item, ends=ends)
