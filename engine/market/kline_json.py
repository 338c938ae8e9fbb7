"""Klines in JSON as lines of CSV, without reading the whole of it at once.

Every innermost array or object is a row: that holds for arrays of arrays (REST answers, freqtrade),
arrays of objects, one object a line, and either of them inside an envelope.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from engine.market.kline_errors import DamagedKlineFile, UnreadableKlineFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_ROW = re.compile(rb"\[[^\[\]{}]*\]|\{[^\[\]{}]*\}")
_NESTED = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[\s*[\[{]")
_MOST_PENDING_BYTES = 1 << 24
_MOST_COLUMNS = 30
_NO_ROWS = "{name} is JSON without rows of klines; rows are arrays or objects, one a candle."


def json_text(pieces: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Yield lines of CSV, with a header where the rows are objects.

    Args:
        pieces: The JSON text.
        name: What error messages call it.

    Raises:
        UnreadableKlineFile: when it holds no rows.
        DamagedKlineFile: when it breaks off; whole rows have been yielded by then.
    """
    rows = _Rows(name)
    pending = b""
    is_nested = False
    for piece in pieces:
        is_nested = is_nested or bool(not rows.found and _NESTED.match(pending + piece))
        pending += piece
        end = 0
        lines: list[str] = []
        for match in _ROW.finditer(pending):
            end = match.end()
            lines += rows.lines(match[0])
        if lines:
            yield "".join(lines).encode()
        pending = pending[end:]
        if len(pending) > _MOST_PENDING_BYTES:
            raise UnreadableKlineFile(f"{name} is JSON of another form than rows of klines.")
    if not rows.found:
        raise UnreadableKlineFile(_NO_ROWS.format(name=name))
    if b"[" in pending or b"{" in pending or (is_nested and b"]" not in pending):
        raise DamagedKlineFile(f"{name} breaks off before its last row is whole; fetch it again.")


class _Rows:
    def __init__(self, name: str) -> None:
        self._name = name
        self.found = False
        self._names: list[str] | None = None
        self._decoder = msgspec.json.Decoder()

    def lines(self, row: bytes) -> Sequence[str]:
        """Return the line of a row, and before the first object one with its names."""
        try:
            values: Any = self._decoder.decode(row)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return (row.decode("utf-8", "replace").replace("\n", " ") + "\n",)
        if not values:
            return ()
        if len(values) > _MOST_COLUMNS:
            raise UnreadableKlineFile(_NO_ROWS.format(name=self._name))
        self.found = True
        if isinstance(values, list):
            return (_line(values),)
        if self._names is None:
            self._names = list(values)
            return (_line(self._names), self._line_by_name(values))
        return (self._line_by_name(values),)

    def _line_by_name(self, values: dict[str, Any]) -> str:
        return _line([values.get(name) for name in self._names or ()])


def _line(values: Sequence[Any]) -> str:
    return ",".join([_cell(value) for value in values]) + "\n"


def _cell(value: Any) -> str:
    if isinstance(value, str):
        text = value.replace('"', "").replace("\n", " ")
        return f'"{text}"' if "," in text else text
    return "" if value is None else repr(value)
