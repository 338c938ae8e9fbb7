"""One question to the engine, for commands that run in every prompt.

It does what `engine.service.client` does without asyncio, whose import alone takes longer than the
question and its answer.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import msgspec

from engine import __version__
from engine.service.framing import LENGTH_BYTES, read_exactly
from engine.service.problems import (
    EngineGone,
    EngineMismatch,
    EngineProblem,
    mismatch,
    refuse_other_source,
)
from engine.service.requests import MAX_MESSAGE_BYTES, PROTOCOL, Hello, StatusRequest

if TYPE_CHECKING:
    from pathlib import Path

    from engine.settings import Settings

TIMEOUT_S = 5.0


def engine_status(socket_path: Path, settings: Settings) -> dict[str, Any] | None:
    """Return the answer of the engine that listens on `socket_path` to a `StatusRequest`.

    None when nobody listens there, or leaves before the answer.

    Raises:
        EngineGone: when it does not answer in time.
        EngineMismatch: when the engine is of another version.
        EngineProblem: when it does not want viewers, or runs another source.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT_S)
        try:
            connection.connect(str(socket_path))
            return _status(connection, settings)
        except TimeoutError:
            raise EngineGone(
                f"The engine of {settings.directory} did not answer within {TIMEOUT_S:.0f} s; "
                "`klinetop stop` ends it."
            ) from None
        except OSError:
            return None
        except msgspec.DecodeError as error:
            raise EngineProblem(f"The engine's answer can not be read: {error}.") from None


def _status(connection: socket.socket, settings: Settings) -> dict[str, Any]:
    welcome = _exchange(connection, Hello(version=__version__))
    if welcome["type"] == "Problem":
        kind = EngineMismatch if welcome.get("usage") else EngineProblem
        raise kind(str(welcome.get("message", "")))
    if welcome["type"] != "Welcome":
        raise mismatch("another version")
    if (welcome.get("version"), welcome.get("protocol")) != (__version__, PROTOCOL):
        raise mismatch(f"version {welcome.get('version')}")
    refuse_other_source(settings, str(welcome["source"]), str(welcome.get("source_note", "")))
    done = _exchange(connection, StatusRequest())
    if done["type"] == "Problem":
        raise EngineProblem(str(done.get("message", "")), usage=bool(done.get("usage")))
    data = done.get("data")
    if not isinstance(data, dict):
        raise EngineProblem(f"The engine answered with {done['type']}.")
    return data


def _exchange(connection: socket.socket, request: Hello | StatusRequest) -> dict[str, Any]:
    body = msgspec.msgpack.encode(request)
    connection.sendall(len(body).to_bytes(LENGTH_BYTES, "big") + body)
    length = int.from_bytes(read_exactly(connection, LENGTH_BYTES), "big")
    if length > MAX_MESSAGE_BYTES:
        raise EngineProblem(f"The engine's answer can not be read: {length} bytes.")
    answer = msgspec.msgpack.decode(read_exactly(connection, length))
    if not isinstance(answer, dict) or "type" not in answer:
        raise EngineProblem("The engine's answer can not be read: it is no message.")
    return answer
