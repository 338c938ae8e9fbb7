"""Commands on an open WebSocket connection: SUBSCRIBE and its kin, with the documented errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import WSCloseCode

from engine.simulator.streams import is_well_formed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.simulator.connection import Connection

_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_ID = re.compile(r"[A-Za-z0-9_\-]{1,36}")
_LARGEST_ID = 2**63


class CommandError(Exception):
    """A command that is refused.

    Args:
        code: 0 unknown property, 1 wrong value, 2 invalid request, 3 invalid JSON, 4 too many.
        message: What the exchange says.
        nested: Whether it comes as `{"error": {...}}`, as seen in the wild; the documented ones
            are flat.
    """

    def __init__(self, code: int, message: str, *, nested: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.nested = nested


class InvalidStream(CommandError):
    """A name without the form of a stream name: the exchange says so and closes."""

    def __init__(self) -> None:
        super().__init__(2, "Invalid request: invalid stream", nested=True)


async def carry_out(connection: Connection, text: bytes, most_streams: int) -> None:
    """Carry out one command and send the answer; a malformed stream name ends the connection."""
    command: Any = None
    try:
        command = _parse(text)
        result = await _run(connection, command, most_streams)
    except CommandError as error:
        refuse(connection, error, command)
    else:
        connection.send_raw(
            msgspec.json.encode({"result": result, "id": command.get("id")}).decode()
        )


def refuse(connection: Connection, error: CommandError, command: Any = None) -> None:
    """Send what is wrong with a command (or with the names in a URL)."""
    problem: dict[str, Any] = {"code": error.code, "msg": error.message}
    if error.nested:
        problem = {"error": problem}
    if isinstance(command, dict) and _is_id(command.get("id")):
        problem["id"] = command.get("id")
    connection.send_raw(msgspec.json.encode(problem).decode())
    if isinstance(error, InvalidStream):
        connection.close_after(WSCloseCode.POLICY_VIOLATION, 0)


def check_names(names: Iterable[str]) -> None:
    """Let names pass that have the form of stream names, whether such streams are or not.

    Raises:
        InvalidStream: for one that does not.
    """
    if not all(map(is_well_formed, names)):
        raise InvalidStream


def _parse(text: bytes) -> dict[str, Any]:
    try:
        command = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise CommandError(3, "Invalid JSON: expected value at line 1 column 1") from None
    if not isinstance(command, dict):
        raise CommandError(2, "Invalid request: request must be an object")
    unknown = command.keys() - {"method", "params", "id"}
    if unknown:
        raise CommandError(
            2,
            f"Invalid request: unknown field {min(unknown)}, "
            "expected one of `method`, `params`, `id`",
        )
    if "method" not in command:
        raise CommandError(2, "Invalid request: missing field `method`")
    method = command["method"]
    if method not in _METHODS:
        expected = ", ".join(f"`{name}`" for name in _METHODS)
        raise CommandError(
            2, f"Invalid request: unknown variant {method}, expected one of {expected}"
        )
    if not _is_id(command.get("id")):
        raise CommandError(
            2, "Invalid request: request ID must be an unsigned integer or a short string"
        )
    return command


def _is_id(value: object) -> bool:
    if value is None:
        return True
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return -_LARGEST_ID <= value < _LARGEST_ID
    return isinstance(value, str) and _ID.fullmatch(value) is not None


async def _run(connection: Connection, command: dict[str, Any], most_streams: int) -> Any:
    method = command["method"]
    params = command.get("params")
    if method == "LIST_SUBSCRIPTIONS":
        if params:
            raise CommandError(2, "Invalid request: too many parameters")
        return list(connection.streams)
    params = _sequence(params)
    if method == "GET_PROPERTY":
        _property(params, 1)
        return connection.combined
    if method == "SET_PROPERTY":
        connection.combined = _property(params, 2)
        return None
    if not all(isinstance(stream, str) for stream in params):
        raise CommandError(2, "Invalid request: invalid type in `params`, expected a string")
    check_names(params)
    if method == "UNSUBSCRIBE":
        for stream in params:
            connection.unsubscribe(stream)
        return None
    await _subscribe(connection, params, most_streams)
    return None


def _sequence(params: Any) -> list[Any]:
    if params is None:
        raise CommandError(2, "Invalid request: missing field `params`")
    if not isinstance(params, list):
        raise CommandError(2, "Invalid request: invalid type for `params`, expected a sequence")
    return params


async def _subscribe(connection: Connection, params: list[str], most_streams: int) -> None:
    if len(connection.streams.keys() | set(params)) > most_streams:
        raise CommandError(4, "Too many subscriptions", nested=True)
    await connection.subscribe(params)


def _property(params: list[Any], count: int) -> bool:
    if len(params) < count:
        raise CommandError(2, "Invalid request: too few parameters")
    if len(params) > count:
        raise CommandError(2, "Invalid request: too many parameters")
    if params[0] != "combined":
        raise CommandError(0, "Unknown property")
    if count == 1:
        return False
    if not isinstance(params[1], bool):
        raise CommandError(1, "Invalid value type: expected Boolean")
    return params[1]
