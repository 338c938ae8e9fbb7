"""A stream server that writes ready frames as fast as its client reads them.

Run as `python -m benchmarks.fast_sender`: it prints its port, serves one client after another on
loopback, and ends when its standard input closes. Frames are a mix of what an all-markets
connection carries: 8 of 10 are klines, the others trades and small depth diffs.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import sys
import threading

from engine.simulator.hub import combined_payload, text_frame

SYMBOLS = [f"coin{number:03d}usdt" for number in range(200)]
NAMES = [f"{symbol}@kline_1m" for symbol in SYMBOLS]
NAMES += [f"{symbol}@{kind}" for symbol in SYMBOLS[:40] for kind in ("trade", "depth@100ms")]
_ROUND = 10_000
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(rb"(?i)sec-websocket-key: *([^\r]+)")
_WRITE_BYTES = 1 << 18


def payload(number: int) -> tuple[str, dict[str, object]]:
    """Return stream name and data of message `number`."""
    at_ms = 1_795_000_000_000 + number
    price, kind = f"{84_000 + number % 997}.50000000", number % 10
    if kind == 8:
        symbol = SYMBOLS[number // 10 % 40]
        values = {"t": number, "p": price, "q": "0.00120000", "T": at_ms, "m": True, "M": True}
        return f"{symbol}@trade", {"e": "trade", "E": at_ms, "s": symbol.upper(), **values}
    if kind == 9:
        symbol = SYMBOLS[number // 10 % 40]
        levels = [[f"{84_000 + step}.10000000", "0.25000000"] for step in range(5)]
        diff = {"U": number, "u": number + 1, "b": levels, "a": levels}
        return f"{symbol}@depth@100ms", {
            "e": "depthUpdate",
            "E": at_ms,
            "s": symbol.upper(),
            **diff,
        }
    symbol = SYMBOLS[number % 200]
    open_ms = at_ms - at_ms % 60_000
    kline = {"t": open_ms, "T": open_ms + 59_999, "s": symbol.upper(), "i": "1m", "f": 1, "L": 9}
    kline |= dict.fromkeys("ochl", price) | {"v": "3.41500000", "n": 78, "x": False}
    kline |= {"q": "287583.11000000", "V": "1.90000000", "Q": "160001.02000000", "B": "0"}
    return f"{symbol}@kline_1m", {"e": "kline", "E": at_ms, "s": symbol.upper(), "k": kline}


def frames() -> list[bytes]:
    """Return one round of frames, as texts that are glued to pieces of one TCP write."""
    pieces, piece = [], bytearray()
    for number in range(_ROUND):
        name, data = payload(number)
        text = json.dumps(data, separators=(",", ":")).encode()
        piece += text_frame(combined_payload(name, text))
        if len(piece) >= _WRITE_BYTES:
            pieces.append(bytes(piece))
            piece = bytearray()
    return [*pieces, bytes(piece)]


def _read_command(client: socket.socket) -> dict[str, object]:
    """Read one masked text frame of less than 64 KB (RFC 6455, section 5.2)."""
    with client.makefile("rb", buffering=0) as reader:

        def exactly(size: int) -> bytes:
            data = b""
            while len(data) < size:
                data += reader.read(size - len(data)) or _gone()
            return data

        size = exactly(2)[1] & 0x7F
        size = int.from_bytes(exactly(2), "big") if size == 126 else size
        mask, data = exactly(4), exactly(size)
        text = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
    command: dict[str, object] = json.loads(text)
    return command


def _gone() -> bytes:
    raise ConnectionResetError


def _serve(client: socket.socket, pieces: list[bytes]) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(65_536) or _gone()
    found = _KEY.search(head)
    assert found is not None
    accept = base64.b64encode(hashlib.sha1(found[1] + _MAGIC, usedforsecurity=False).digest())
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    asked = len(NAMES) if b"streams=" in head.split(b"\r\n")[0] else 0
    while asked < len(NAMES):
        command = _read_command(client)
        names = command["params"]
        assert isinstance(names, list)
        asked += len(names)
        client.sendall(text_frame(json.dumps({"result": None, "id": command["id"]}).encode()))
    while True:
        for piece in pieces:
            client.sendall(piece)


def _serve_all(listener: socket.socket, pieces: list[bytes]) -> None:
    while True:
        client, _ = listener.accept()
        with client, contextlib.suppress(ConnectionError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _serve(client, pieces)


def main() -> None:
    """Serve until standard input closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        arguments = (listener, frames())
        threading.Thread(target=_serve_all, args=arguments, daemon=True).start()
        print(listener.getsockname()[1], flush=True)
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
