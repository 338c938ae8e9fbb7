"""Kline files of any usual making, as candles."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from engine.market.candle import Candle
from engine.market.kline_csv import read_rows
from engine.market.kline_errors import DamagedKlineFile, UnreadableKlineFile
from engine.market.kline_layout import KlineHints
from engine.market.kline_packing import CHUNK_BYTES, Member, Package, unpacked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

    from engine.market.kline_errors import BadRow

_SEARCHED_ROWS = 1_000


class Ordered(NamedTuple):
    """The members of a file that hold klines.

    Attributes:
        members: By the time of their first candle.
        left_out: Names and reasons of the others.
        damage: The sentence for an archive that breaks off, else empty.
    """

    members: list[Member]
    left_out: list[tuple[str, str]]
    damage: str


def ordered(package: Package, hints: KlineHints) -> Ordered:
    """Return which members hold klines, in order of time.

    A single member is not looked at.

    Raises:
        UnreadableKlineFile: when none of several holds any.
    """
    if len(package.members) == 1:
        return Ordered(package.members, package.left_out, package.damage)
    found: list[tuple[int, str, Member]] = []
    left_out = list(package.left_out)
    for member in package.members:
        try:
            found.append((_first_ms(member, hints), member.name, member))
        except UnreadableKlineFile as error:
            left_out.append((member.name, str(error)))
    if not found:
        raise UnreadableKlineFile(f"None of its files holds klines: {' '.join(left_out[0])}")
    found.sort(key=lambda one: one[:2])
    return Ordered([member for _, _, member in found], left_out, package.damage)


def _first_ms(member: Member, hints: KlineHints) -> int:
    try:
        rows = read_rows(member_lines(member), hints=hints)
        for _, row in zip(range(_SEARCHED_ROWS), rows, strict=False):
            if isinstance(row, Candle):
                return row.open_time_ms
    except DamagedKlineFile as error:
        raise UnreadableKlineFile(str(error).removeprefix(f"{member.name} ")) from error
    raise UnreadableKlineFile("none of its first rows holds a candle.")


def read_klines(
    file: BinaryIO, name: str, hints: KlineHints | None = None
) -> Iterator[Candle | BadRow]:
    """Yield all rows of a file, of several members in order of time.

    Args:
        file: Opened in binary mode; it stays open.
        name: What error messages call it.
        hints: What the user says about it.

    Raises:
        DamagedKlineFile: where it breaks off; the rows before that place have been yielded by then.
        UnreadableKlineFile: when it holds no klines.
    """
    known = hints or KlineHints()
    with unpacked(file, name) as package:
        inside = ordered(package, known)
        for member in inside.members:
            yield from read_rows(member_lines(member), hints=known)
        if inside.damage:
            raise DamagedKlineFile(inside.damage)


def member_lines(member: Member) -> Iterator[str]:
    """Yield the lines of a member, decoded.

    Raises:
        DamagedKlineFile: where it breaks off; whole lines before that place have been yielded.
    """
    rest = b""
    read: Callable[[int], bytes] = member.open().read1
    while piece := read(CHUNK_BYTES):
        lines = (rest + piece).splitlines(keepends=True)
        rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
        yield from _decoded(lines)
    yield from _decoded(rest.splitlines(keepends=True))


def _decoded(lines: Sequence[bytes]) -> Iterator[str]:
    for line in lines:
        yield line.decode("utf-8", "replace")
