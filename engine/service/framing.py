"""Reading the contract's length-prefixed messages from an asyncio stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    import socket

LENGTH_BYTES = 4


class MessageTooLarge(Exception):
    """A length prefix that announces more bytes than the reader accepts."""


def read_exactly(connection: socket.socket, count: int) -> bytes:
    """Return the next `count` bytes of a blocking socket.

    Raises:
        ConnectionResetError: when the peer left before.
    """
    parts: list[bytes] = []
    while count:
        part = connection.recv(min(count, 262_144))
        if not part:
            raise ConnectionResetError("the engine left in the middle of an answer")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


async def read_body(reader: asyncio.StreamReader, max_bytes: int) -> bytes:
    """Return the body of the next message.

    Raises:
        asyncio.IncompleteReadError: when the peer left.
        MessageTooLarge: when the prefix announces more than `max_bytes` bytes.
    """
    length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
    if length > max_bytes:
        raise MessageTooLarge(f"a message of {length} bytes, of at most {max_bytes}")
    return await reader.readexactly(length)
